"""Notebooks: their code cells as one program, and edits of that program as edits of the notebook's own bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from porting.codemod import ignores, python, text
from porting.codemod.finding import Edit, Finding, Safety
from porting.codemod.ignores import Ignored
from porting.codemod.prefilter import GRID
from porting.codemod.project import Project

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

_SPACE = re.compile(r"\s*")
_ATOM = re.compile(r"[^\s,\]}]+")
_ASKED = re.compile(r"\?{1,2}[\w.]+|[\w.]+\?{1,2}")
_READ = ("cells", "cell_type", "source", "metadata", "kernelspec", "language", "language_info", "name")
"""Keys of what is read of a notebook; the others' values, pictures among them, are passed over."""
_AROUND = re.compile(r"%%(?:time|timeit|capture|prun|heat|memit)\b")
"""Marks of a cell which is Python all the same."""


@dataclass(frozen=True)
class _Text:
    """A string of the file. start, end: of what stands between its quotes, in characters of the file."""

    value: str
    start: int
    end: int
    listed: bool = False
    """Whether it is one of the lines of a cell."""


@dataclass(frozen=True)
class _Line:
    """A line of the program. start: its first byte there."""

    cell: int
    number: int
    """In its cell, from 1."""
    start: int
    said: str
    """As the notebook has it, without its line end."""
    text: _Text
    """The string of the file that it stands in."""
    at: int
    """Where it starts in that string's value."""
    foreign: bool
    """Whether its cell is for something else than Python."""


class Notebook:
    """A notebook that could be read. Raises ValueError, KeyError, TypeError or AttributeError for one that could not."""

    def __init__(self, data: bytes) -> None:
        self._raw = data.decode("utf-8")
        self.lines: list[_Line] = []
        self.magic: list[int] = []
        """Lines of the program, from 1, that are for a shell or for the notebook itself."""
        program: list[str] = []
        size = 0
        book = Reader(self._raw).value()[0]
        for line, said in self._read(book) if _is_python(book.get("metadata", {})) else ():
            self.lines.append(replace(line, start=size))
            if said != line.said:
                self.magic.append(len(self.lines))
            program.append(said)
            size += len(said.encode()) + 1
        self.program = "\n".join(program).encode()

    def _read(self, book: Any) -> Iterator[tuple[_Line, str]]:
        number = 0
        for cell in book["cells"]:
            if cell["cell_type"].value != "code":
                continue
            number += 1
            source = cell["source"]
            parts = [replace(part, listed=True) for part in source] if isinstance(source, list) else [source]
            foreign = bool(parts) and parts[0].value.startswith("%%") and not _AROUND.match(parts[0].value)
            count = 0
            for part in parts:
                at = 0
                for said in part.value.splitlines(keepends=True):
                    count += 1
                    bare = said.rstrip("\r\n")
                    yield _Line(number, count, 0, bare, part, at, foreign), f"#{bare}" if foreign else _python(bare)
                    at += len(said)

    def cells(self) -> Iterator[tuple[int, int, bytes]]:
        """Number, first line and program of each code cell that is not empty."""
        lines = self.program.split(b"\n")
        first = 0
        for index, line in enumerate(self.lines, 1):
            if index == len(self.lines) or self.lines[index].cell != line.cell:
                yield line.cell, first, b"\n".join(lines[first:index])
                first = index

    def line_of(self, finding: Finding) -> int:
        """The line of the program that a finding of a cell is in, from 1."""
        return next(n for n, line in enumerate(self.lines, 1) if (line.cell, line.number) == (finding.cell, finding.line))

    def changed(self, edits: Sequence[Edit]) -> bytes:
        """The notebook with edits of its program made: nothing else of it is touched, neither outputs nor layout."""
        raw = self._raw
        for edit in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
            if edit.new.endswith("\n") and edit.start == edit.end:
                at, new = self._statement(edit.start, edit.new.rstrip("\n"))
                raw = raw[:at] + new + raw[at:]
            else:
                start, end = self._place(edit.start), self._place(edit.end)
                raw = raw[:start] + _quoted(edit.new) + raw[end:]
        return raw.encode()

    def _statement(self, offset: int, said: str) -> tuple[int, str]:
        """Where a line of its own goes that is put before the line at an offset, in characters of the file, and its text there.
        It goes to the cell of the line before it, where there is one."""
        index = next((n for n, line in enumerate(self.lines) if line.start >= offset), len(self.lines))
        before = self.lines[index - 1] if index else None
        if before and not before.foreign and (index == len(self.lines) or self.lines[index].number == 1):
            return before.text.end, "\\n" + self._break(before.text) + _quoted(said)
        if self.lines[index].foreign:
            raise ValueError("the line before which it goes is no Python")
        line = self.lines[index]
        return self._place(line.start), _quoted(said) + "\\n" + (self._break(line.text) if line.at == 0 else "")

    def _break(self, part: _Text) -> str:
        """The end of one string and the start of the next, as this list of lines has them; empty where the cell is one string."""
        if not part.listed:
            return ""
        if after := re.compile(r"\s*,\s*(?=\")").match(self._raw, part.end + 1):
            return f'"{after[0]}"'
        before = re.search(r"(?P<gap>\"\s*,\s*|\[\s*)$", self._raw[: part.start - 1])
        assert before  # a list's first string, or one after another
        return f'"{before["gap"][1:]}"' if before["gap"][0] == '"' else f'",{before["gap"][1:] or " "}"'

    def _place(self, offset: int) -> int:
        """Where a byte of the program stands in the file, in characters."""
        line = next(line for line in reversed(self.lines) if line.start <= offset)
        at = line.text.start
        for _ in range(line.at + len(self.program[line.start : offset].decode())):
            at += _escaped(self._raw, at)
        return at


class Reader:
    """JSON whose strings know where they stand; keys are plain. All else is read as nothing."""

    def __init__(self, raw: str) -> None:
        json.loads(raw, strict=False)  # so that what follows may trust it
        self._raw = raw
        self._decoder = json.JSONDecoder(strict=False)

    def value(self, at: int = 0) -> tuple[Any, int]:
        """The value at a place, and where it ends."""
        at = self._skip(at)
        first = self._raw[at]
        if first == '"':
            text, end = self._decoder.raw_decode(self._raw, at)
            return _Text(text, at + 1, end - 1), end
        if first in "{[":
            return self._several(at + 1, first == "{")
        atom = _ATOM.match(self._raw, at)
        assert atom
        return None, atom.end()

    def _several(self, at: int, keyed: bool) -> tuple[Any, int]:
        found: list[tuple[str, Any]] = []
        at = self._skip(at)
        while self._raw[at] not in "]}":
            key = ""
            if keyed:
                named, at = self.value(at)
                key, at = named.value, self._skip(at) + 1
            value, at = self.value(at) if not keyed or key in _READ else (None, self._end(at))
            found.append((key, value))
            at = self._skip(at)
            if self._raw[at] == ",":
                at = self._skip(at + 1)
        return (dict(found) if keyed else [value for _, value in found]), at + 1

    def _end(self, at: int) -> int:
        """Where a value ends that is not read."""
        return self._decoder.raw_decode(self._raw, self._skip(at))[1]

    def _skip(self, at: int) -> int:
        space = _SPACE.match(self._raw, at)
        return space.end() if space else at


def _quoted(said: str) -> str:
    return json.dumps(said, ensure_ascii=False)[1:-1]


def _is_python(about: Any) -> bool:
    """Whether a notebook's metadata name Python, or nothing."""
    named = [about.get(part, {}).get(key) for part, key in (("kernelspec", "language"), ("language_info", "name"))]
    return all(name is None or name.value.lower().startswith(("python", "ipython")) for name in named)


def _escaped(raw: str, at: int) -> int:
    """How many characters of the file one of a string's value takes."""
    if raw[at] != "\\":
        return 1
    if raw[at + 1] != "u":
        return 2
    pair = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}").match(raw, at)
    return 12 if pair else 6


def scan(path: str, data: bytes, project: Project, named: Sequence[Profile] = ()) -> tuple[list[Finding], list[Ignored]]:
    """What is found in the code cells, and what marks there set aside. They are read as one program, since names of one are used
    in the next; where that does not parse, each alone, and then nothing is edited. Edits are of the program's bytes."""
    try:
        book = Notebook(data)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        return [Finding("PRT900", path, 1, 1, path, Safety.REPORT, f"no notebook: {error}")], []
    found = _scan(path, book.program, project, named)
    if any(f.rule == "PRT900" for f in found):
        found = [
            replace(f if f.rule == "PRT900" else f.without_edits("its notebook does not parse as a whole"), line=f.line + first)
            for _, first, program in book.cells()
            for f in _scan(path, program, project, named)
        ]
    found += _magic(path, book)
    found, ignored = ignores.apply(path, book.program.decode(), found)
    found.sort(key=lambda f: (f.line, f.column, f.rule))
    return [_moved(f, book) for f in found], [replace(i, finding=_moved(i.finding, book)) for i in ignored]


def _scan(path: str, program: bytes, project: Project, named: Sequence[Profile]) -> list[Finding]:
    look = python.may_hold_something(program, named) or GRID in program
    return python.scan(path, program, project, named) if look else python.check(path, program)


def _magic(path: str, book: Notebook) -> Iterator[Finding]:
    """What lines say that are for a shell: packages that they install, tools, variables."""
    for number in book.magic:
        for finding in text.find(path, "shell", book.lines[number - 1].said.strip().lstrip("!%")):
            yield replace(finding, line=number)


def _python(line: str) -> str:
    bare = line.lstrip()
    indent = line[: len(line) - len(bare)]
    return f"{indent}pass  #{bare}" if bare.startswith(("%", "!")) or _ASKED.fullmatch(bare.strip()) else line


def _moved(finding: Finding, book: Notebook) -> Finding:
    """A finding of the whole program, in its cell."""
    if not 0 < finding.line <= len(book.lines):
        return finding
    line = book.lines[finding.line - 1]
    return replace(finding, line=line.number, cell=line.cell)
