"""Run this model with ExecuTorch's runtime alone.

Needs: pip install executorch torch numpy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.runtime import Runtime

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the program and run it once. inputs: by name, in the declared dtypes. Returns every output by name."""
    program = Runtime.get().load_program(HERE / artifact["files"][0])
    print(f"{artifact['files'][0]} for {target} in ExecuTorch's runtime, with {program.metadata('forward')}")
    values = [torch.from_numpy(np.array(inputs[spec["name"]])) for spec in artifact["inputs"]]
    results = program.load_method("forward").execute(values)
    names = [spec["name"] for spec in artifact["outputs"]]
    return {name: result.numpy() for name, result in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well
