"""OpenVINO alone, on the device and at the precision the model was ported to.

Needs: pip install openvino numpy
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # openvino reports every import otherwise
import openvino  # noqa: E402

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Compile the model for the device and precision it was ported to, and run it once."""
    core = openvino.Core()
    hint = {"INFERENCE_PRECISION_HINT": artifact["options"]["INFERENCE_PRECISION_HINT"]}
    compiled = core.compile_model(core.read_model(str(HERE / artifact["files"][0])), artifact["options"]["device"], hint)
    computes_in = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    print(f"{artifact['files'][0]} for {target} on {artifact['options']['device']}, which computes in {computes_in}")
    results = compiled([inputs[spec["name"]] for spec in artifact["inputs"]])
    return {spec["name"]: np.array(results[number]) for number, spec in enumerate(artifact["outputs"])}
