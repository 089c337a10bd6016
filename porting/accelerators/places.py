"""Which line of a program asked for something."""

from __future__ import annotations

import sys
import types
from typing import Optional

_LIBRARIES = ("/torch/", "/porting/accelerators/", "runpy.py", "/importlib/", "/contextlib.py")


def calling_place() -> str:
    """`file:line` of the innermost frame outside of PyTorch and of this package, the file of an installed package by its path
    there; empty where there is none."""
    frame: Optional[types.FrameType] = sys._getframe()
    while frame:
        name = frame.f_code.co_filename
        if not any(part in name for part in _LIBRARIES) and not name.startswith("<"):
            return f"{name.rpartition('/site-packages/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
