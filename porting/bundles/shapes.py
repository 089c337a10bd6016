"""Sizes of axes that depend on each other, written as small expressions: `2*frames`, `sequence+past_sequence`, `height//16`.

Names, whole numbers, `+ - * //` and parentheses; nothing else, and no eval. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from porting.errors import ModelError

_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_][A-Za-z0-9_.]*)|(//|[-+*()]))")

Dim = int | str


class ShapeError(ModelError):
    """An axis expression that cannot be read, or whose size is unknown or negative."""


def is_name(dim: Dim) -> bool:
    """Whether `dim` is a plain axis name."""
    return isinstance(dim, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", dim) is not None


def names(dim: Dim) -> frozenset[str]:
    """Return the axis names that `dim` mentions."""
    return frozenset(t for t in _tokens(dim) if is_name(t)) if isinstance(dim, str) else frozenset()


def axis_names(shapes: Iterable[Iterable[Dim]]) -> frozenset[str]:
    """Return every axis name that these shapes mention."""
    return frozenset().union(*(names(dim) for shape in shapes for dim in shape))


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> int:
    """Return the size of `dim`. sizes: by axis name. Raises ShapeError."""
    if isinstance(dim, int):
        return dim
    value, rest = _sum(_tokens(dim), sizes)
    if rest:
        raise ShapeError(f"cannot read {dim!r}: unexpected {rest[0]!r}")
    if value < 0:
        raise ShapeError(f"{dim!r} is {value} at {dict(sizes)}")
    return value


def resolve(shape: Iterable[Dim], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape in numbers. Raises ShapeError."""
    return tuple(evaluate(dim, sizes) for dim in shape)


def _tokens(text: str) -> list[str]:
    tokens, at, text = [], 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise ShapeError(f"cannot read {text!r}: unexpected {text[at:].strip()[0]!r}")
        tokens.append(found.group().strip())
        at = found.end()
    return tokens


def _sum(tokens: list[str], sizes: Mapping[str, int]) -> tuple[int, list[str]]:
    value, rest = _product(tokens, sizes)
    while rest and rest[0] in "+-":
        sign = 1 if rest[0] == "+" else -1
        term, rest = _product(rest[1:], sizes)
        value += sign * term
    return value, rest


def _product(tokens: list[str], sizes: Mapping[str, int]) -> tuple[int, list[str]]:
    value, rest = _atom(tokens, sizes)
    while rest and rest[0] in ("*", "//"):
        operator = rest[0]
        factor, rest = _atom(rest[1:], sizes)
        if operator == "//" and factor == 0:
            raise ShapeError("division by zero")
        value = value * factor if operator == "*" else value // factor
    return value, rest


def _atom(tokens: list[str], sizes: Mapping[str, int]) -> tuple[int, list[str]]:
    if not tokens:
        raise ShapeError("the expression ends too early")
    head, rest = tokens[0], tokens[1:]
    if head.isdigit():
        return int(head), rest
    if head == "(":
        value, rest = _sum(rest, sizes)
        if rest[:1] != [")"]:
            raise ShapeError("a parenthesis is not closed")
        return value, rest[1:]
    if head not in sizes:
        raise ShapeError(f"no size for axis {head!r}")
    return sizes[head], rest
