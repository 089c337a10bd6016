"""A few real node cases where `porting ops` looks for the suite, since making all of them takes a dozen seconds."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

from porting.operators import suite

MODULES = ("adagrad", "add", "dropout", "identity", "maxunpool", "relu", "shape", "split")
NAMES = ("test_training_dropout", *(f"test_{module}" for module in MODULES))


def make_suite(cache: Path) -> Path:
    """Write them into a cache, once. Returns the folder."""
    folder = suite.folder_in(cache)
    if not (folder / suite.INDEX).exists():
        with mock.patch.object(suite, "_collect", _collect):
            suite.write({"folder": str(folder)}, None, None)
    return folder


def _collect() -> list[Any]:
    import onnx.backend.test.case.node as node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            importlib.import_module(f"{node.__name__}.{name}")
    # Other tests of this process may have let onnx make more.
    return [case for case in node._NodeTestCases if case.name.startswith(NAMES)]
