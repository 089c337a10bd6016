"""PyTorch itself, imported without what makers plug into it, and what its errors mean."""

from __future__ import annotations

import importlib
import os
from typing import Any, Tuple

from porting.types import Cause, Outcome

from ._causes import Rule

AUTOLOAD = "TORCH_DEVICE_BACKEND_AUTOLOAD"


def import_torch() -> Any:
    """Import torch, its plugins left out: one that is broken would end the import. Each is imported by `state` instead."""
    before = os.environ.get(AUTOLOAD)
    os.environ[AUTOLOAD] = "0"
    try:
        return importlib.import_module("torch")
    finally:
        if before is None:
            del os.environ[AUTOLOAD]
        else:
            os.environ[AUTOLOAD] = before


RULES: Tuple[Rule, ...] = (
    (r"^Missing: ", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"Could not run '[\w:.]+' with arguments from the", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (r"operator '?[\w:.]+'? is not (currently )?(implemented|supported)", Outcome.UNSUPPORTED, Cause.UNSUPPORTED_OP),
    (
        r"not implemented for '\w+'|dtype .* is not supported|doesn't support .* dtype",
        Outcome.UNSUPPORTED,
        Cause.UNSUPPORTED_DTYPE,
    ),
    (r"Guard failed|ConstraintViolation|GuardOnDataDependent", Outcome.FAIL, Cause.DYNAMIC_SHAPE),
    (r"DefaultCPUAllocator: (can't|not enough)", Outcome.FAIL, Cause.HOST_OOM),
    (r"[Oo]ut of memory|OUT_OF_MEMORY", Outcome.FAIL, Cause.DEVICE_OOM),
)
