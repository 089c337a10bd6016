"""PyTorch and its compiler alone. What was compiled when the model was ported lies in inductor_cache; PyTorch compiles again
what does not fit this machine.

Needs: pip install torch numpy, and a C++ compiler
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.fx.experimental._config

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Compile the exported program, out of the cache beside it where that fits, and run it once."""
    cache = tempfile.TemporaryDirectory()  # a copy: the compiler writes there too
    shutil.copytree(HERE / "inductor_cache", cache.name, dirs_exist_ok=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    program = torch.export.load(str(HERE / artifact["files"][0]))
    module = torch.compile(program.module(check_guards=False), fullgraph=True, dynamic=artifact["options"]["dynamic"])

    def tensor(spec: dict[str, Any]) -> torch.Tensor:
        value = torch.from_numpy(inputs[spec["name"]]).to(getattr(torch, spec["dtype"]))
        for axis, size in enumerate(spec["shape"]):
            if isinstance(size, str):
                torch._dynamo.mark_dynamic(value, axis)
        return value

    # As it was compiled: one code for every size, 1 included.
    with cache, torch.no_grad(), torch.fx.experimental._config.patch(backed_size_oblivious=True):
        results = module(*(tensor(spec) for spec in artifact["inputs"]))
    print(f"{artifact['files'][0]} for {target} compiled for this CPU")
    names = [spec["name"] for spec in artifact["outputs"]]
    return {name: host(result) for name, result in zip(names, results)}  # noqa: B905 -- runs on Python 3.9 as well


def host(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """In host memory; numpy has no bfloat16, so that comes as float32."""
    array: np.ndarray[Any, Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).cpu().numpy()
    return array
