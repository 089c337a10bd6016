"""Annotations, as GitHub Actions reads them from a log: one line each, beside the line of the file that is concerned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from porting.report.gate import answered, told
from porting.report.matrix import Matrix
from porting.report.verdicts import Level, levels, reason
from porting.report.words import printable

SHOWN = 10
"""Of each kind; GitHub shows no more of a step."""

_KINDS = {Level.BAD: "error", Level.SILENT: "error", Level.FINDING: "warning"}


@dataclass(frozen=True)
class Annotation:
    """One note."""

    kind: str
    """`error`, `warning` or `notice`."""
    title: str
    text: str
    place: str = ""
    """`file:line`, where there is one."""

    @property
    def line(self) -> str:
        file, _, number = self.place.rpartition(":")
        place = f"file={_property(file)},line={number}," if file and number.isdigit() and not file.startswith("/") else ""
        return f"::{self.kind} {place}title={_property(self.title)}::{_data(self.text)}"


def render(matrix: Matrix) -> str:
    """Return a line a note, the worst first; where there are more of a kind than are shown, the last line tells how many."""
    found = list(_of_gate(matrix) if matrix.gate else _of_cells(matrix))
    lines = []
    for kind in ("error", "warning", "notice"):
        notes = [note for note in found if note.kind == kind]
        more = len(notes) - SHOWN
        lines += [note.line for note in (notes if more <= 0 else notes[: SHOWN - 1])]
        if more > 0:
            lines.append(Annotation(kind, "porting", f"{more + 1} more are in the summary and the report").line)
    return "".join(f"{line}\n" for line in lines)


def _of_gate(matrix: Matrix) -> Iterator[Annotation]:
    gate = matrix.gate
    assert gate
    origins = {row.id: row.origin for row in matrix.models}
    found = levels(matrix)
    for item in told(gate):
        result = item.judged.result if item.judged else None
        grade = found[result.model, result.target] if result else Level.BAD if item.breaks else Level.FINDING
        place = item.expected.place if item.expected else origins.get(result.model, "") if result else ""
        yield Annotation(_KINDS.get(grade, "notice"), f"porting: {item.word}", item.text, place)
    yield Annotation("notice", "porting", f"{gate.headline} ({answered(gate)})")


def _of_cells(matrix: Matrix) -> Iterator[Annotation]:
    origins = {row.id: row.origin for row in matrix.models}
    found = levels(matrix)
    for result in matrix.results():
        grade = found[result.model, result.target]
        if grade is not Level.GOOD:
            text = f"{result.model} on {result.target}: {reason(result, None)}"
            yield Annotation(_KINDS[grade], f"porting: {result.outcome.value}", text, origins.get(result.model, ""))


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
