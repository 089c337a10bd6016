"""Mends an installed tpu-mlir 1.30.2 where it does not run as it comes. Run once, by the interpreter that it is installed for."""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path

C_LIBRARIES = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libstdc++.so.6", "libgcc_s.so.1")
"""Of the Ubuntu that the wheel was built on. Its programs find them first, and other libraries of this system want newer ones."""
TORCH = "import torch\n"
NO_TORCH = """\
import types
torch = types.SimpleNamespace(tensor=lambda value: types.SimpleNamespace(numpy=lambda: np.array(value)))
"""
"""OnnxOpt.py imports torch to turn an array into an array."""


def main() -> None:
    """Move the libraries aside and write the import out."""
    root = Path(str(distribution("tpu-mlir").locate_file("tpu_mlir")))
    libraries, aside = root / "lib" / "third_party", root / "lib" / "aside"
    aside.mkdir(exist_ok=True)
    for name in C_LIBRARIES:
        if (libraries / name).exists():
            (libraries / name).rename(aside / name)
    source = root / "python" / "transform" / "OnnxOpt.py"
    text = source.read_text(encoding="utf-8")
    if TORCH not in text and NO_TORCH not in text:
        sys.exit(f"{source} is of another form than the one that is mended here")
    source.write_text(text.replace(TORCH, NO_TORCH), encoding="utf-8")


main()
