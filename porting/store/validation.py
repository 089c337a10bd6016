"""Whether a JSON value fits a dataclass of porting.types: fields, types, enum values. Reads nothing, changes nothing."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any

from porting.types import Outcome

Checker = Callable[[Any], str]
"""Returns what is wrong, or an empty string."""


def misfit(kind: type, data: Any) -> str:
    """Say how `data` differs from what `to_json` makes of a `kind`; empty when it fits. Fields nobody knows are no misfit."""
    return _checker(kind)(data)


@functools.cache
def _checker(kind: Any) -> Checker:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda _: ""
    if type(None) in arguments:
        (inner,) = (_checker(a) for a in arguments if a is not type(None))
        return lambda value: "" if value is None else inner(value)
    if origin is tuple:
        return _check_list(_checker(arguments[0]))
    if origin is not None:
        return _check_mapping(_checker(arguments[1]))
    if dataclasses.is_dataclass(kind):
        return _check_object(typing.cast(type, kind))
    if issubclass(kind, Enum):
        return _check_enum(kind)
    return _PLAIN[kind]


def _check_list(item: Checker) -> Checker:
    def check(value: Any) -> str:
        if not isinstance(value, list):
            return f"is {_named(value)}, not a list"
        return next((f"has an item that {wrong}" for wrong in map(item, value) if wrong), "")

    return check


def _check_mapping(item: Checker) -> Checker:
    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return f"is {_named(value)}, not an object"
        return next((f"has an entry {name[:40]!r} that {wrong}" for name, v in value.items() if (wrong := item(v))), "")

    return check


def _check_object(kind: type) -> Checker:
    hints = typing.get_type_hints(kind)
    fields = [(f.name, _checker(hints[f.name])) for f in dataclasses.fields(kind)]
    required = [
        f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]

    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return f"is {_named(value)}, not an object"
        for name in required:
            if name not in value:
                return f"has no field {name!r}"
        for name, inner in fields:
            if name in value and (wrong := inner(value[name])):
                return f"has a field {name!r} that {wrong}"
        return ""

    return check


def _check_enum(kind: type[Enum]) -> Checker:
    # A missing result is made when a plan is read back; nobody stores one.
    known = {member.value for member in kind if member is not Outcome.MISSING}

    def check(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return ""
        return f"is {_named(value)}, not one of {', '.join(sorted(known))}"

    return check


def _check_integer(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"is {_named(value)}, not an integer"
    return "" if -(2**63) <= value < 2**63 else "does not fit in 64 bits"


def _check_number(value: Any) -> str:
    if isinstance(value, float):
        return ""
    return "is not a number" if _check_integer(value) else ""


def _check_text(value: Any) -> str:
    return "" if isinstance(value, str) else f"is {_named(value)}, not a text"


def _check_bool(value: Any) -> str:
    return "" if isinstance(value, bool) else f"is {_named(value)}, not true or false"


_PLAIN: dict[Any, Checker] = {int: _check_integer, float: _check_number, str: _check_text, bool: _check_bool}


def _named(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:60] + "..."
