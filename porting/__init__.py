"""porting: ports AI models to many accelerator backends and proves what it ported.

The names below are imported on first use, so that `import porting` costs nothing.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting._version import VERSION as __version__

if TYPE_CHECKING:
    from porting.api import check, convert, gate, models, ops, targets
    from porting.diagnose.verbs import locate, reduce, unlock
    from porting.errors import PortingError
    from porting.types import Cause, Evidence, Outcome, Precision, Result, Stage, Target

_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "adapters" / "__init__.py").is_file() and (_CHECKOUT / "setup.py").is_file():
    # In a checkout adapters/ and models/ lie beside porting/; installed, they lie inside it. Same import name both ways.
    __path__.append(str(_CHECKOUT))

_HOMES = {
    **dict.fromkeys(("check", "convert", "gate", "models", "ops", "targets"), "api"),
    **dict.fromkeys(("locate", "reduce", "unlock"), "diagnose.verbs"),
    "PortingError": "errors",
    **dict.fromkeys(("Cause", "Evidence", "Outcome", "Precision", "Result", "Stage", "Target"), "types"),
}

__all__ = [
    "Cause", "Evidence", "Outcome", "PortingError", "Precision", "Result", "Stage", "Target",
    "__version__", "check", "convert", "gate", "locate", "models", "ops", "reduce", "targets", "unlock",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'porting' has no attribute {name!r}")
    return getattr(importlib.import_module(f"porting.{_HOMES[name]}"), name)
