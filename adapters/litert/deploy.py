"""LiteRT's interpreter alone.

Needs: pip install ai-edge-litert numpy
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the file and run it once, at the sizes it was converted for."""
    interpreter = Interpreter(str(HERE / artifact["files"][0]))
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    taken = runner.get_input_details()  # without inputs that nothing depends on
    given = {f"args_{number}": inputs[spec["name"]] for number, spec in enumerate(artifact["inputs"])}
    for spec in artifact["inputs"]:
        if list(inputs[spec["name"]].shape) != spec["shape"]:
            raise ValueError(f"{spec['name']} has to have the shape {spec['shape']}")
    print(f"{artifact['files'][0]} for {target} on this CPU, with XNNPACK")
    answer = runner(**{key: value for key, value in given.items() if key in taken})
    return {spec["name"]: answer[f"output_{number}"] for number, spec in enumerate(artifact["outputs"])}
