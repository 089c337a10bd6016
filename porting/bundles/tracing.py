"""Expressions of sizes, walked once: what torch asks of them while it traces, with the same answers, in less time.

Where sizes vary, a model that computes its own padding at each stride (TensorFlow's "same") has sizes that hold each earlier
one several times over. In memory they share their parts; torch and sympy walk them as if they did not, and the time grows by
several times with each stride, to minutes. While `shared_walks` is open, a part that was looked at is not looked at again.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Replaced = tuple[Any, str, Any]
"""Where, under which name, by what."""


@contextlib.contextmanager
def shared_walks() -> Iterator[int]:
    """While this is open, each part of an expression is looked at once. Gives how many kinds of walk are so; none of those that
    another version of torch or sympy has elsewhere."""
    with in_place((_free_symbols(), _atoms(), _is_number(), _text(), _written(), _bounds())) as count:
        yield count


@contextlib.contextmanager
def in_place(ours: Iterable[Replaced | None]) -> Iterator[int]:
    """While this is open, ours stand in the places of torch's. Gives how many do; None is what another version has elsewhere."""
    replaced = [one for one in ours if one]
    before = [inspect.getattr_static(place, name) for place, name, _ in replaced]
    for place, name, one in replaced:
        setattr(place, name, one)
    try:
        yield len(replaced)
    finally:
        for (place, name, _), one in zip(replaced, before, strict=True):
            setattr(place, name, one)


@contextlib.contextmanager
def untold_places() -> Iterator[None]:
    """While this is open, a node that is made anew does not look for the line of the program that it comes from: what was
    captured has its lines, and is traced again only to be taken apart."""
    from torch.fx import config

    if not hasattr(config, "do_not_emit_stack_traces"):
        yield
        return
    before = config.do_not_emit_stack_traces
    config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        config.do_not_emit_stack_traces = before


def _free_symbols() -> Replaced | None:
    from sympy import Basic

    known: dict[Any, frozenset[Any]] = {}

    def free_symbols(self: Any) -> set[Any]:
        found = known.get(self)
        if found is None:
            found = known[self] = frozenset[Any]().union(*(part.free_symbols for part in self.args))
        return set(found)

    return (Basic, "free_symbols", property(free_symbols)) if "free_symbols" in vars(Basic) else None


def _atoms() -> Replaced | None:
    from sympy import Atom, Basic

    def atoms(self: Any, *types: Any) -> set[Any]:
        wanted = tuple(t if isinstance(t, type) else type(t) for t in types) or (Atom,)
        return {part for part in _parts(self) if isinstance(part, wanted)}

    return (Basic, "atoms", atoms) if "atoms" in vars(Basic) else None


def _is_number() -> Replaced | None:
    """Asked of both sides of every sum and product of sizes."""
    from sympy import Expr

    known: dict[Any, bool] = {}

    def is_number(self: Any) -> bool:
        found = known.get(self)
        if found is None:
            found = known[self] = all(part.is_number for part in self.args)
        return found

    return (Expr, "is_number", property(is_number)) if "is_number" in vars(Expr) else None


def _parts(expression: Any) -> set[Any]:
    """An expression and all that it is made of."""
    from sympy import Basic

    found: set[Any] = set()
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Basic) and part not in found:
            found.add(part)
            waiting.extend(part.args)
    return found


def _text() -> Replaced | None:
    """The names of axes, which the exporter writes for each value."""
    from torch.fx.experimental.sym_node import SymNode

    known: dict[Any, str] = {}

    def text(self: Any) -> str:
        expression = self.expr
        if expression not in known:
            known[expression] = f"{expression}"
        return known[expression]

    return (SymNode, "str", text) if hasattr(SymNode, "str") else None


def _written() -> Replaced | None:
    """Expressions as a saved program has them, for each axis of each tensor."""
    import importlib

    from sympy import Basic

    printing = importlib.import_module("sympy.printing.repr")
    write: Callable[..., str] | None = getattr(printing, "srepr", None)
    if write is None:
        return None
    known: dict[Any, str] = {}

    def written(expression: Any, **how: Any) -> str:
        if how or not isinstance(expression, Basic):
            return write(expression, **how)
        if expression not in known:
            known[expression] = write(expression)
        return known[expression]

    return printing, "srepr", written


def _bounds() -> Replaced | None:
    """The ranges of expressions, by which torch knows whether one is always more than another."""
    from torch.utils._sympy import interp, value_ranges

    walk: Callable[..., Any] | None = getattr(value_ranges, "sympy_interp", None)
    step: Callable[..., Any] | None = getattr(interp, "_run_sympy_handler", None)
    if walk is None or step is None:
        return None

    def bounds(analysis: Any, env: Any, expression: Any, **how: Any) -> Any:
        import torch

        known: dict[Any, Any] = {}

        def of(part: Any) -> Any:
            if not part.args:  # a number, a truth value, a symbol
                return walk(analysis, env, part, **how)
            if part not in known:
                known[part] = step(analysis, [of(inner) for inner in part.args], part, how.get("index_dtype", torch.int64))
            return known[part]

        return of(expression)

    return value_ranges, "sympy_interp", bounds
