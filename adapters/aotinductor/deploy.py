"""PyTorch's runtime alone: the package was compiled when the model was ported, to native code for the CPU it was made on.

Needs: pip install torch numpy
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._inductor

HERE = Path(__file__).resolve().parent
os.environ["AOTI_RUNTIME_CHECK_INPUTS"] = "1"  # a package otherwise answers inputs of a wrong size or dtype with nonsense


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the package and run it once."""
    package = torch._inductor.aoti_load_package(str(HERE / artifact["files"][0]))
    values = [torch.from_numpy(inputs[spec["name"]]).to(getattr(torch, spec["dtype"])) for spec in artifact["inputs"]]
    print(f"{artifact['files'][0]} for {target} on this CPU, compiled for {package.get_metadata()['AOTI_CPU_ISA']}")
    with torch.no_grad():
        results = package(*values)
    names = [spec["name"] for spec in artifact["outputs"]]
    return {name: host(result) for name, result in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well


def host(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """In host memory; numpy has no bfloat16, so that comes as float32."""
    array: np.ndarray[Any, Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).cpu().numpy()
    return array
