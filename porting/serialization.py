"""Dataclasses to JSON and back: whatever crosses a process border, a store or a file is written and read by these two.

Standard library only, and Python 3.9, as porting.types: a worker in another interpreter imports it.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import types
import typing
from typing import Any, Callable, Mapping, Optional

Json = Any  # what `json.dumps` takes; spelt out where the shape matters


def to_json(value: object) -> Json:
    """Turn dataclasses, enums, mappings and sequences into what `json.dumps` takes. Raises ValueError for NaN and infinity."""
    if type(value) in _AS_IS:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(v) for v in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise ValueError("non-finite numbers never enter JSON")
    return value


_AS_IS = frozenset((str, int, bool, type(None)))  # exactly these: an enum member may be a str besides

T = typing.TypeVar("T")


def from_json(kind: type[T], data: Json) -> T:
    """Build dataclass `kind` out of what `to_json` made. Unknown fields are dropped: a newer minor writer may add some."""
    return typing.cast(T, _build(kind, data))


_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))  # `X | Y` has a type of its own from Python 3.10 on


def _build(kind: Any, data: Json) -> Any:
    build = _builder(kind)
    return data if data is None or build is None else build(data)


@functools.cache
def _builder(kind: Any) -> Optional[Callable[[Json], Any]]:
    """What turns JSON, other than null, into a `kind`; None where the value stays as it is. Type hints are read once: a
    result has dozens of parts, and thousands of results are read at a time."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        options = [a for a in arguments if a is not type(None)]
        return _builder(options[0]) if len(options) == 1 else None
    if origin is tuple:
        return lambda data: tuple(_build(arguments[0], v) for v in data)
    if origin is not None and issubclass(origin, typing.cast(type, Mapping)):
        return lambda data: {k: _build(arguments[1], v) for k, v in data.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind
    return _dataclass_builder(kind) if dataclasses.is_dataclass(kind) else None


def _dataclass_builder(cls: Any) -> Callable[[Json], Any]:
    hints = typing.get_type_hints(cls)
    builders = {f.name: _builder(hints[f.name]) for f in dataclasses.fields(cls)}

    def build(data: Json) -> Any:
        values = {}
        for name, inner in builders.items():
            if name in data:
                value = data[name]
                values[name] = value if inner is None or value is None else inner(value)
        return cls(**values)

    return build
