"""The program on the device that it was checked for by a stand-in, where that is here; on the CPU where it is not, and says so.

Needs: pip install torch numpy, and the plugin in port.json for the device itself
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export.passes import move_to_device_pass

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the exported program, and run it once."""
    wanted, plugin = artifact["options"]["device"], artifact["options"]["plugin"]
    here = importlib.util.find_spec(plugin) is not None
    if here:
        importlib.import_module(plugin)
    device = wanted if here else "cpu"
    program = torch.export.load(str(HERE / artifact["files"][0]))
    if device != "cpu":
        program = move_to_device_pass(program, device)
    module = program.module(check_guards=False)
    with torch.no_grad():
        results = module(
            *(torch.from_numpy(inputs[s["name"]]).to(device, getattr(torch, s["dtype"])) for s in artifact["inputs"])
        )
    print(f"{artifact['files'][0]} for {target} on {device}{'' if here else f': {plugin} is not here, nothing ran on {wanted}'}")
    names = [spec["name"] for spec in artifact["outputs"]]
    return {name: host(result) for name, result in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well


def host(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """In host memory; numpy has no bfloat16, so that comes as float32."""
    array: np.ndarray[Any, Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).cpu().numpy()
    return array
