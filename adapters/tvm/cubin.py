"""CUDA source to machine code by NVRTC, as it comes from the package index: no toolkit, no driver, no device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence


def toolkit() -> Path:
    """The folder with the headers of the installed CUDA packages. Raises ImportError when NVRTC or they are not there."""
    import cuda.bindings.nvrtc  # noqa: F401 -- TVM imports it only when it compiles
    import nvidia

    for root in nvidia.__path__:
        for folder in sorted(Path(root).glob("cu*"), reverse=True):
            if (folder / "include" / "cuda_runtime.h").is_file() and (folder / "include" / "cccl").is_dir():
                return folder
    raise ImportError("the headers of nvidia-cuda-runtime and nvidia-cuda-cccl are not installed")


def compile_kernels(source: str, arch: str) -> bytes:
    """Compile as TVM does where it finds a GPU. arch: `sm_80`. Raises RuntimeError with the compiler's errors."""
    from tvm.support import nvcc

    folder = toolkit()
    os.environ["CUDA_PATH"] = str(folder)  # where TVM looks for headers, which in the packages lie otherwise than in a toolkit
    options = [f"-I{folder / 'include' / 'cccl'}"]
    return bytes(nvcc.compile_cuda(source, "cubin", arch, options, compiler="nvrtc"))


def missing(names: Sequence[str], cubin: bytes) -> Sequence[str]:
    """Kernels without a section of machine code in a cubin."""
    return [name for name in names if f".text.{name}\0".encode() not in cubin]
