"""What a backend's errors mean: an ordered table of patterns, and a probe that found no backend. What a verdict makes of it lives
elsewhere."""

from __future__ import annotations

import re
from typing import Optional, Sequence, Tuple

from porting.adapter import Adapter, DeviceState, Probe
from porting.types import Cause, Outcome

Meaning = Tuple[Outcome, Cause]
Rule = Tuple[str, Outcome, Cause]


def first_match(message: str, rules: Sequence[Rule]) -> Optional[Meaning]:
    """Return what the first rule whose pattern occurs in `message` says; None when no rule fits."""
    for pattern, outcome, cause in rules:
        if re.search(pattern, message):
            return outcome, cause
    return None


def one_line(error: BaseException) -> str:
    """The first line of an exception with its type, for the reason of a DeviceState."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def nothing_here(adapter: Adapter, error: BaseException) -> Probe:
    """What a probe answers when importing the backend, or asking it, raised `error`: no device, why, and how to get it."""
    state = DeviceState(False, f"{one_line(error)}; {adapter.install_hint}", Cause.MISSING_DEPENDENCY)
    return Probe(dict.fromkeys(adapter.devices, state))
