"""The catalog: TOML files, and nets of our own beside them.

`porting.models()` lists the catalog, and Python binds this package to the same name as soon as a net is imported; so it can be
called as well, and answers alike.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _Listing(ModuleType):
    def __call__(self, patterns: Sequence[str] = (), tier: str | None = None) -> list[Any]:
        from porting.api import models

        return models(patterns, tier)


sys.modules[__name__].__class__ = _Listing
