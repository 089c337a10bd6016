"""MNN alone.

Needs: pip install MNN numpy
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import MNN
import numpy as np

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the model on the target's device at MNN's high precision, and run it once."""
    device, expr = target.split(":")[1].upper(), MNN.expr
    runtime = MNN.nn.create_runtime_manager(({"backend": device, "precision": "high", "numThread": os.cpu_count() or 1},))
    runtime.set_hint(3, 0)  # no convolution by Winograd with large tiles, which is less exact
    names = [[spec["name"] for spec in artifact[side]] for side in ("inputs", "outputs")]
    module = MNN.nn.load_module_from_file(str(HERE / artifact["files"][0]), *names, runtime_manager=runtime)
    print(f"{artifact['files'][0]} as {target}; where this MNN has no {device}, it says so and uses the CPU")
    answers = module.forward([variable(inputs[spec["name"]]) for spec in artifact["inputs"]])
    if len(answers) != len(artifact["outputs"]):
        sys.exit(f"MNN answers with {len(answers)} of {len(artifact['outputs'])} outputs")
    values = [expr.convert(answer, expr.NCHW).read() for answer in answers]
    return {spec["name"]: np.array(value, spec["dtype"]) for spec, value in zip(artifact["outputs"], values)}  # noqa: B905


def variable(value: np.ndarray[Any, Any]) -> MNN.expr.Var:
    """An input of MNN's, which knows float32 and int32."""
    floating = value.dtype.kind == "f"
    made = MNN.expr.placeholder(list(value.shape), MNN.expr.NCHW, MNN.expr.float if floating else MNN.expr.int)
    made.write(np.array(value, np.float32 if floating else np.int32, order="C"))
    return made
