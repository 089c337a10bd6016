"""Which line of a program asked for something."""

from __future__ import annotations

import sys
import types
from typing import Optional

_LIBRARIES = ("/torch/", "/porting/accelerators/", "runpy.py", "/importlib/", "/contextlib.py")


OBSERVER = "/porting/codemod/observe.py"
"""Stands between a program and what it calls, when a port is verified."""


def calling_place(*passed: str) -> str:
    """`file:line` of the innermost frame outside of PyTorch and of this package, the file of an installed package by its path
    there; empty where there is none. passed: parts of other files' names that are passed over, too."""
    frame: Optional[types.FrameType] = sys._getframe()
    while frame:
        name = frame.f_code.co_filename
        if not any(part in name for part in (*_LIBRARIES, *passed)) and not name.startswith("<"):
            return f"{name.rpartition('/site-packages/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
