"""Which Python files may hold a finding: by their words, before anything is parsed. The words are the rules' own, in rules.toml,
and the names of packages in packages.toml."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from porting.codemod.finding import table
from porting.codemod.words import packages

GRID = b"]("
"""In every file that calls a function with a grid."""
_PLAIN = re.compile(r"\w+")
_SPACE = r"[\s\\]+"
_OTHERS = rf"(?:[\w.\x80-\xff]+(?:{_SPACE}as{_SPACE}[\w\x80-\xff]+)?[\s\\]*,[\s\\]*)*"
"""What may stand in an import statement between its first word and a package."""


@dataclass(frozen=True)
class Word:
    """A regular expression that begins with a plain word, which is looked for first: that is many times as fast."""

    plain: bytes
    pattern: re.Pattern[bytes] | None
    """None where the plain word is all of it."""

    @classmethod
    def of(cls, text: str) -> Word:
        plain = _PLAIN.match(text)
        assert plain, text
        return cls(plain[0].encode(), None if plain[0] == text else re.compile(text.encode()))

    def stands_in(self, data: bytes) -> bool:
        return self.plain in data and (self.pattern is None or self.pattern.search(data) is not None)


def may_hold_something(data: bytes, named: bool) -> bool:
    """Whether a file has the words of some rule. named: whether it is held against targets, too."""
    return any(all(word.stands_in(data) for word in words) for words in _words(named))


@functools.cache
def _words(named: bool) -> Sequence[Sequence[Word]]:
    """What a file has all of, of one entry at least, if it has a finding."""
    entries = [entry for rule in table("rules").values() if named or rule["kind"] != "target" for entry in rule.get("words", ())]
    listed = dict.fromkeys((entry,) if isinstance(entry, str) else tuple(entry) for entry in [*entries, *_imports()])
    return [[Word.of(text) for text in entry] for entry in listed]


def _imports() -> Iterable[str]:
    """How a package that is bound to CUDA is imported."""
    known = "|".join(sorted({re.escape(name.partition(".")[0]) for name in packages()}))
    return rf"from{_SPACE}(?:{known})\b", rf"import{_SPACE}{_OTHERS}(?:{known})\b"
