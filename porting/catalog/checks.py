"""What a value of a TOML file must be, said in words when it is not. Which keys a file has is its reader's matter."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

Check = Callable[[Any], "str | None"]
"""Says what a value must be, or None when it is."""


def kind_of(value: Any) -> str:
    names = {str: "a string", bool: "a boolean", int: "a whole number", float: "a number", list: "an array", dict: "a table"}
    return names.get(type(value), "a date or time")


def a(kind: type, words: str) -> Check:
    def check(value: Any) -> str | None:
        return None if type(value) is kind else f"must be {words}, not {kind_of(value)}"

    return check


def list_of(kind: type, words: str) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return f"must be an array of {words}, not {kind_of(value)}"
        odd = [item for item in value if type(item) is not kind]
        return f"must be an array of {words}, but holds {kind_of(odd[0])}" if odd else None

    return check


def table_of(inner: Check, words: str) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"must be a table of {words}, not {kind_of(value)}"
        wrong = [(key, found) for key, item in value.items() if (found := inner(item))]
        return f"is wrong at {wrong[0][0]!r}: it {wrong[0][1]}" if wrong else None

    return check


def one_of(known: Iterable[str]) -> Check:
    def check(value: Any) -> str | None:
        if type(value) is not str:
            return f"must be a string, not {kind_of(value)}"
        if value in known:
            return None
        near = difflib.get_close_matches(value, list(known), n=1, cutoff=0.5)
        return f"is {value!r}, which nobody knows; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")

    return check
