"""How a family reads its backend's error messages: an ordered table of patterns. What a verdict makes of it lives elsewhere."""

from __future__ import annotations

import re
from typing import Optional, Sequence, Tuple

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
