"""PyTorch alone, on the device the model was ported to.

Needs: pip install torch numpy, and the plugin of the device in port.json
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
PLUGINS = {
    "npu": "torch_npu",
    "mlu": "torch_mlu",
    "musa": "torch_musa",
    "gcu": "torch_gcu",
    "hpu": "habana_frameworks.torch",
    "sdaa": "torch_sdaa",
    "txda": "torch_txda",
    "ptpu": "torch_ptpu",
}


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the exported program on the device the model was ported to, and run it once."""
    device = artifact["options"]["device"]
    if device in PLUGINS:
        importlib.import_module(PLUGINS[device])
    module = load(HERE / artifact["files"][0], device)

    def tensor(spec: dict[str, Any]) -> torch.Tensor:
        return torch.from_numpy(inputs[spec["name"]]).to(device, getattr(torch, spec["dtype"]))

    with torch.no_grad():
        results = module(*(tensor(spec) for spec in artifact["inputs"]))
    print(f"{artifact['files'][0]} for {target} on {device}")
    names = [spec["name"] for spec in artifact["outputs"]]
    return {name: host(result) for name, result in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well


def load(path: Path, device: str) -> Any:
    """The program on a device, with what it holds."""
    if path.suffix == ".aten":
        sys.path.insert(0, str(HERE))
        return importlib.import_module("aten_program").Program(path, device)
    from torch.export.passes import move_to_device_pass

    program = torch.export.load(str(path))
    return (move_to_device_pass(program, device) if device != "cpu" else program).module(check_guards=False)


def host(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """In host memory; numpy has no bfloat16, so that comes as float32."""
    array: np.ndarray[Any, Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).cpu().numpy()
    return array
