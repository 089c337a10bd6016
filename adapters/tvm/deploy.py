"""TVM's virtual machine alone. A library is for the CPU it was made on; an archive is linked here first, on the chip it is for.

Needs: pip install apache-tvm numpy, and for an archive a C++ compiler
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax
from tvm.support import cc

HERE = Path(__file__).resolve().parent


def run(artifact: dict[str, Any], target: str, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Load the library, link it first where it comes in parts, and run the model once."""
    device = tvm.device(artifact["options"]["device"])
    with tempfile.TemporaryDirectory() as scratch:
        machine = relax.VirtualMachine(load(HERE / artifact["files"][0], Path(scratch)), device)
        print(f"{artifact['files'][0]} for {target} on {device}")
        answer = machine["main"](*[tvm.runtime.tensor(inputs[spec["name"]], device) for spec in artifact["inputs"]])
        results = [answer] if isinstance(answer, tvm.runtime.Tensor) else answer
        return {spec["name"]: np.array(results[number].numpy()) for number, spec in enumerate(artifact["outputs"])}


def load(path: Path, scratch: Path) -> Any:
    """Load a shared library, or objects and C sources that are linked to one in `scratch`."""
    if path.suffix != ".tar":
        return tvm.runtime.load_module(str(path))
    with tarfile.open(path) as archive:
        archive.extractall(scratch)
    folders = [tvm.libinfo.find_include_path(), tvm_ffi.libinfo.find_include_path(), tvm_ffi.libinfo.find_dlpack_include_path()]
    parts = sorted(str(part) for part in scratch.iterdir())
    cc.create_shared(str(scratch / "model.so"), parts, [f"-I{folder}" for folder in folders])
    return tvm.runtime.load_module(str(scratch / "model.so"))
