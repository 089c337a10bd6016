"""Tables that PyTorch makes anew for every export, kept: the same answers, in less time.

The exporter reads the signatures of its 500 functions from their source text at every export, and asks for each of PyTorch's
composed operators some dozen times a decomposition. Neither changes from one export to the next.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import Any

from porting.bundles.tracing import Replaced, in_place


@contextlib.contextmanager
def kept_tables() -> Iterator[int]:
    """While this is open, these tables are made once a process. Gives how many are so; none of those that another version of
    torch has elsewhere."""
    with in_place((_functions(), _composed())) as count:
        yield count


@functools.cache
def _functions() -> Replaced | None:
    """The exporter's functions by operator. Each export has a table of its own, to which it may add."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:
        return None
    if not hasattr(ONNXRegistry, "from_torchlib"):
        return None
    made = functools.cache(ONNXRegistry.from_torchlib)

    def from_torchlib(*how: Any, **named: Any) -> Any:
        table = copy.copy(made(*how, **named))
        table.functions = {operator: list(functions) for operator, functions in table.functions.items()}
        return table

    return ONNXRegistry, "from_torchlib", staticmethod(from_torchlib)


@functools.cache
def _composed() -> Replaced | None:
    """Composed operators, each of which is asked for so that Python knows of it: again only where there are others."""
    import torch
    from torch._export import utils

    name = "_materialize_cpp_cia_ops"
    registered = getattr(torch._C, "_dispatch_get_registrations_for_dispatch_key", None)
    if registered is None or not hasattr(utils, name):
        return None
    ask, known = getattr(utils, name), [()]

    def ask_once() -> None:
        there = tuple(registered("CompositeImplicitAutograd"))
        if there != known[0]:
            ask()
            known[0] = there

    return utils, name, ask_once
