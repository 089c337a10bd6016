"""ExecuTorch imported and called without its warnings of itself."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import Any, Iterator


@contextmanager
def quietly() -> Iterator[None]:
    """Ignore what ExecuTorch 1.5.1, torchao and torch's tracing warn of: each other's deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def runtime() -> Any:
    """ExecuTorch's runtime, executorch.runtime.Runtime. Raises ImportError, or whatever a broken install raises."""
    with quietly():
        from executorch.runtime import Runtime

        return Runtime.get()
