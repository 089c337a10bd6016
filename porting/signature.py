"""Signatures: failures that read alike get the same six hex digits, over models, shapes and machines."""

from __future__ import annotations

import hashlib
import re

from porting.types import Cause, Stage

_REPLACED = (
    (re.compile(r"(/[\w.+-]+){2,}"), "PATH"),
    (re.compile(r"0x[0-9a-fA-F]+"), "ADDR"),
    (re.compile(r"\b[0-9a-f]{8,}\b"), "HEX"),
    (re.compile(r"(?<![A-Za-z])[-+]?\d+(\.\d+)?(e[-+]?\d+)?%?"), "N"),
    (re.compile(r"\(N(, N)*,?\)|\[N(, N)*\]"), "SHAPE"),
    (re.compile(r"_N\b"), ""),
    (re.compile(r"\s+"), " "),
)
_LENGTH = 240
_JUDGED = frozenset({Cause.TOLERANCE, Cause.NONFINITE, Cause.OUTPUT_STRUCTURE, Cause.UNSTABLE_REFERENCE, Cause.VACUOUS})
"""Their messages name cases, outputs and numbers, which are the model's, not the failure's."""


def normalise(message: str) -> str:
    """Leave out of a message what differs between two occurrences of the same failure: paths, addresses, numbers, shapes."""
    text = message
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return text.strip()[:_LENGTH]


def signature(target_adapter: str, stage: Stage, cause: Cause, message: str) -> str:
    """Six hex digits over adapter, stage, cause and the normalised message."""
    words = "" if cause in _JUDGED else normalise(message)
    return hashlib.sha256("\0".join((target_adapter, stage.value, cause.value, words)).encode()).hexdigest()[:6]
