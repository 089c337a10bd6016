"""Changing the text of an expectation file: models taken out of entries and put into others. What is not touched stays as it
is, comments included. What has to change is porting.expect.accept's matter."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path

from porting.errors import CatalogError
from porting.expect.entry import Expectation
from porting.expect.file import TABLE, read

_ITEM = re.compile(r"""^(\s*)("(?:[^"\\]|\\.)*"|'[^']*')\s*,?(\s*#.*)?$""")
_HEADER = re.compile(rf"^\s*\[\[\s*{TABLE}\s*\]\]")
_MODELS = re.compile(r"^[ \t]*models[ \t]*=[ \t]*\[", re.MULTILINE)
_STRING_OR_COMMENT = re.compile(r"""\"(?:[^"\\]|\\.)*\"|'[^']*'|\#[^\n]*""")


class Document:
    """The text of one file, entry by entry."""

    def __init__(self, path: Path, text: str) -> None:
        """Raises CatalogError for a text that is not sound."""
        _, self.entries, problems = read(path, text)
        if problems:
            raise problems[0].error()
        self._path = path
        self._head, self._blocks = _split(text)
        if len(self._blocks) != len(self.entries):
            raise CatalogError(f"{path} has entries that are not written as [[{TABLE}]].", "Write each as a table of its own.")

    @property
    def text(self) -> str:
        return self._head + "".join(self._blocks)

    def take_out(self, number: int, models: Iterable[str]) -> None:
        """Take models out of the n-th entry; one that is left without any goes, but for comments that follow it."""
        left = [model for model in self.entries[number].models if model not in set(models)]
        self._blocks[number] = _with_models(self._blocks[number], left) if left else _after(self._blocks[number])
        self.entries[number] = dataclasses.replace(self.entries[number], models=tuple(left))

    def put(self, wanted: Expectation) -> None:
        """Put the models of `wanted` into the entry that is like it, or make one at the end."""
        for number, entry in enumerate(self.entries):
            if entry.models and _same(entry, wanted):
                models = tuple(sorted({*entry.models, *wanted.models}))
                self._blocks[number] = _with_models(self._blocks[number], models)
                self.entries[number] = dataclasses.replace(entry, models=models)
                return
        before = self.text
        gap = "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
        self._blocks.append(gap + render(wanted))
        self.entries.append(wanted)


def render(expectation: Expectation) -> str:
    """An entry as text."""
    lines = [f"[[{TABLE}]]"]
    for field in dataclasses.fields(Expectation):
        value = getattr(expectation, field.name)
        if field.name not in ("target", "models", "file", "line") and value not in (None, "", {}):
            lines.append(f"{field.name} = {_value(value)}")
    return "\n".join([*lines, _array(expectation.models), ""])


def _value(value: object) -> str:
    if dataclasses.is_dataclass(value) or isinstance(value, dict):
        pairs = vars(value) if dataclasses.is_dataclass(value) else value
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in pairs.items()) + "}"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value) if isinstance(value, int) else quoted(str(getattr(value, "value", value)))


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quoted(key)


def quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _array(models: Iterable[str]) -> str:
    return "models = [\n" + "".join(f"{_item(model)}\n" for model in models) + "]"


def _item(model: str) -> str:
    return f"  {quoted(model)},"


def _same(entry: Expectation, wanted: Expectation) -> bool:
    """Whether two entries say the same of their models; since when does not count."""
    alike = {"models": (), "file": "", "line": 0, "since": None}
    return dataclasses.replace(entry, **alike) == dataclasses.replace(wanted, **alike)  # type: ignore[arg-type]


# ---- text ---------------------------------------------------------------------------------------------------------


def _split(text: str) -> tuple[str, list[str]]:
    """What stands before the first entry, and each entry with what follows it."""
    head, blocks = "", list[str]()
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line):
            blocks.append(line)
        elif blocks:
            blocks[-1] += line
        else:
            head += line
    return head, blocks


def _after(block: str) -> str:
    """The comments at the end of a block, which speak of the next entry."""
    kept: list[str] = []
    for line in reversed(block.splitlines(keepends=True)):
        if not _says_nothing(line):
            break
        kept.insert(0, line)
    return "".join(kept) if "".join(kept).strip() else ""


def _with_models(block: str, models: Iterable[str]) -> str:
    """A block with other models. Where they stand one a line, lines of those that stay are kept, comments and all."""
    start, end = _span(block)
    first, *lines, last = block[start:end].splitlines() if "\n" in block[start:end] else ("", "no item", "")
    names = [_name(line) for line in lines]
    if any(name is None and not _says_nothing(line) for name, line in zip(names, lines, strict=True)):
        return block[:start] + _array(models) + block[end:]
    left, fresh, kept = set(models), sorted(set(models).difference(filter(None, names))), [first]
    for name, line in zip(names, lines, strict=True):
        while name is not None and fresh and fresh[0] < name:
            kept.append(_item(fresh.pop(0)))
        if name is None or name in left:
            kept.append(line if name is None else _ITEM.sub(r"\1\2,\3", line))
    return block[:start] + "\n".join([*kept, *map(_item, fresh), last]) + block[end:]


def _name(line: str) -> str | None:
    """The model that stands on a line by itself."""
    found = _ITEM.match(line)
    if not found:
        return None
    return found[2][1:-1] if found[2].startswith("'") else str(json.loads(found[2]))


def _says_nothing(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _span(block: str) -> tuple[int, int]:
    """Where `models = [...]` begins and ends in a block."""
    found = _MODELS.search(block)
    assert found, "a sound entry has models"
    at = found.end()
    while block[at] != "]":
        skipped = _STRING_OR_COMMENT.match(block, at)
        at = skipped.end() if skipped else at + 1
    return found.start(), at + 1
