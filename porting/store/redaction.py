"""What is published of a result: words in the place of what tells of a machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

_ELSEWHERE = (
    (re.compile(rb"(?:/[\w.+@~-]+)+/(?:site|dist)-packages(?=/)"), b"PACKAGES"),
    (re.compile(rb"(?:/[\w.+@~-]+)+(?=/(?:porting|adapters)/(?:\w+/)*\w+\.py)"), b"PORTING"),
)
"""Where packages and the toolkit lie on a machine whose results were imported: tracebacks name files there. No pattern takes what
only looks like a path, such as the names of a graph's nodes."""


def redaction(words: Mapping[str, str], elsewhere: bool = False) -> Callable[[bytes], bytes]:
    """What turns a record's line into one that can be published. words: what to write instead of some strings. elsewhere: also
    leave out where packages and the toolkit lay on other machines."""
    # The longest first: a folder may lie in another.
    pairs = [(json.dumps(place)[1:-1].encode(), words[place].encode()) for place in sorted(words, key=len, reverse=True)]

    def redacted(line: bytes) -> bytes:
        for place, word in pairs:
            line = line.replace(place, word)
        for pattern, word in _ELSEWHERE if elsewhere else ():
            line = pattern.sub(word, line)
        return line

    return redacted
