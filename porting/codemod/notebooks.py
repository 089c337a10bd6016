"""Notebooks: their code cells as Python. What is found there is told, not edited."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from porting.accelerators.profile import Profile
from porting.codemod import python
from porting.codemod.finding import Finding, Safety
from porting.codemod.project import Project


def scan(path: str, data: bytes, project: Project, named: Sequence[Profile] = ()) -> list[Finding]:
    """What is found in the code cells. They are read as one program, since names of one are used in the next; where that does
    not parse, each alone."""
    try:
        cells = list(_cells(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [Finding("PRT900", path, 1, 1, path, Safety.REPORT, f"no notebook: {error}")]
    whole = "\n".join(text for _, text in cells)
    found = python.scan(path, whole.encode(), project, named)
    if not any(f.rule == "PRT900" for f in found):
        return [_moved(f, cells) for f in found]
    return [
        replace(f if f.rule == "PRT900" else f.without_edits("in a notebook"), cell=number)
        for number, text in cells
        for f in python.scan(path, text.encode(), project, named)
    ]


def _cells(data: bytes) -> Iterator[tuple[int, str]]:
    """Number and text of each code cell, without what is no Python."""
    number = 0
    for cell in json.loads(data)["cells"]:
        if cell["cell_type"] != "code":
            continue
        number += 1
        lines = cell["source"] if isinstance(cell["source"], list) else cell["source"].splitlines(keepends=True)
        if lines and lines[0].startswith("%%"):
            lines = [f"#{line}" for line in lines]
        yield number, "".join(map(_python, lines)).rstrip("\n")


def _python(line: str) -> str:
    bare = line.lstrip()
    indent = line[: len(line) - len(bare)]
    return f"{indent}pass  #{bare}" if bare.startswith(("%", "!")) or bare.rstrip().endswith("?") else line


def _moved(finding: Finding, cells: Sequence[tuple[int, str]]) -> Finding:
    """A finding of the whole program, in its cell."""
    first = 1
    for number, text in cells:
        count = text.count("\n") + 1
        if finding.line < first + count:
            shown = finding.without_edits("in a notebook") if finding.edits else finding
            return replace(shown, line=finding.line - first + 1, cell=number)
        first += count
    return finding
