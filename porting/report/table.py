"""The matrix in a terminal. Reads without colour. Glyphs only where words do not fit, a list where glyphs do not either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from porting.expect import Gate
from porting.report.counts import Reason, first_line, reasons, tally
from porting.report.gate import answered, owned, told
from porting.report.matrix import Matrix
from porting.report.words import ASCII_GLYPHS, count, explain, glyph, legend, printable, summary, where, word
from porting.types import Outcome, Result

LINES_SHOWN = 40
"""Non-passes are told one by one up to here, by reason above."""

STYLES = {
    Outcome.PASS: "green",
    Outcome.DEGRADED: "cyan",
    Outcome.MISMATCH: "yellow",
    Outcome.FAIL: "bold red",
    Outcome.UNSUPPORTED: "magenta",
    Outcome.UNAVAILABLE: "dim",
    Outcome.INVALID: "dim",
    Outcome.SKIPPED: "dim",
    Outcome.MISSING: "reverse",
}


def print_matrix(matrix: Matrix, console: Console) -> None:
    """Print the matrix, its legend, a line for every non-pass (a reason each where there are many), and the counts."""
    _print_cells(matrix, console)
    console.print()
    for line in _legend(matrix):
        console.print(_plain(line, console))
    console.print()
    for text in _why(matrix):
        console.print(_plain(text, console), soft_wrap=True)
    console.print(_plain(Text(summary(tally(matrix.results())), style="bold"), console), soft_wrap=True)
    for text in _gate(matrix.gate) if matrix.gate else ():
        console.print(_plain(text, console), soft_wrap=True)


def _plain(text: Text, console: Console) -> Text:
    """Exchange glyphs that the terminal's encoding lacks."""
    if console.options.ascii_only:
        text.plain = "".join(ASCII_GLYPHS.get(c, c) for c in text.plain).encode("ascii", "replace").decode()
    return text


# ---- the three layouts --------------------------------------------------------------------------------------------


def _print_cells(matrix: Matrix, console: Console) -> None:
    for layout in (_words, _glyphs):
        head, rows = layout(matrix)
        widths = [max(map(_width, column)) for column in zip(*head, *rows, strict=True)]
        if sum(widths) + 2 * (len(widths) - 1) <= console.width:
            for line in (*head, *rows):
                console.print(_plain(_joined(line, widths), console), soft_wrap=True)
            if layout is _glyphs:
                _print_key(matrix, console)
            return
    for text in _list(matrix):
        console.print(_plain(text, console), soft_wrap=True)


# A line of the matrix: text and style of every column.
Line = list[tuple[str, str]]


def _width(cell: tuple[str, str]) -> int:
    return cell_len(cell[0])


def _joined(line: Line, widths: Sequence[int]) -> Text:
    padded = ((text + " " * (width - cell_len(text)), style) for (text, style), width in zip(line, widths, strict=True))
    return Text("  ").join(Text(text, style=style, end="") for text, style in padded)


def _words(matrix: Matrix) -> tuple[list[Line], list[Line]]:
    """Adapter, device with precision, and evidence below each other, so that a column is as narrow as its words."""
    names = [printable(column.id).partition(":") for column in matrix.targets]
    head: list[Line] = [
        [("", ""), *((adapter, "bold") for adapter, _, _ in names)],
        [("", ""), *((rest, "") for _, _, rest in names)],
        [("model", ""), *((column.evidence.value, "italic") for column in matrix.targets)],
    ]
    return head, [[(printable(row.id), ""), *map(_label, matrix.row(row.id))] for row in matrix.models]


def _glyphs(matrix: Matrix) -> tuple[list[Line], list[Line]]:
    head: list[Line] = [[("model", ""), *((f"{number:>2}", "") for number in range(1, len(matrix.targets) + 1))]]
    return head, [[(printable(row.id), ""), *map(_mark, matrix.row(row.id))] for row in matrix.models]


def _print_key(matrix: Matrix, console: Console) -> None:
    console.print()
    for number, column in enumerate(matrix.targets, 1):
        line = Text(f"{number:>3}  {printable(column.id)} ({column.evidence.value})")
        console.print(_plain(line, console), soft_wrap=True)


def _list(matrix: Matrix) -> Iterator[Text]:
    for row in matrix.models:
        yield Text(printable(row.id), style="bold")
        for result in matrix.row(row.id):
            yield Text.assemble("  ", _label(result), f"  {printable(result.target)}")


def _label(result: Result) -> tuple[str, str]:
    return f"{glyph(result.outcome, result.evidence)} {word(result.outcome, result.evidence)}", STYLES[result.outcome]


def _mark(result: Result) -> tuple[str, str]:
    return f" {glyph(result.outcome, result.evidence)}", STYLES[result.outcome]


# ---- what the marks mean, and why ---------------------------------------------------------------------------------


def _legend(matrix: Matrix) -> Iterator[Text]:
    for outcome, mark, name, meaning in legend(matrix.results()):
        yield Text.assemble((f"{mark} {name:<12}", STYLES[outcome]), meaning)


def _why(matrix: Matrix) -> Iterator[Text]:
    found = [r for r in matrix.results() if r.outcome is not Outcome.PASS]
    absent = [r for r in found if r.outcome is Outcome.UNAVAILABLE]
    single = [r for r in found if r.outcome is not Outcome.UNAVAILABLE]
    if len(single) <= LINES_SHOWN:
        yield from (_cell_line(result) for result in single)
    else:
        yield from _reason_lines(reasons(single))
    # One target that is not here makes every model unavailable, for one and the same reason.
    yield from _reason_lines(reasons(absent))
    if found:
        yield Text()


def _cell_line(result: Result) -> Text:
    text = f"  {where(result)}: {printable(first_line(result.message)) or 'no message'}"
    name = f"  {printable(result.model)} on {printable(result.target)}"
    return Text.assemble(_label(result), (name, "bold"), text, (f"\n    {printable(explain(result))}", "dim"))


def _reason_lines(found: list[Reason]) -> Iterator[Text]:
    yield from (_reason_line(reason) for reason in found[:LINES_SHOWN])
    if len(found) > LINES_SHOWN:
        yield Text(f"{len(found) - LINES_SHOWN} more reasons; the HTML report has them all")


def _reason_line(reason: Reason) -> Text:
    first = reason.cells[0]
    scope = f"  {count(len(reason.cells), 'cell')} ({count(reason.models, 'model')}, {count(reason.targets, 'target')})"
    text = f"  {where(first)}: {printable(reason.message) or 'no message'}"
    return Text.assemble(_label(first), (scope, "bold"), text, (f"\n    {printable(explain(first))}", "dim"))


# ---- the gate -----------------------------------------------------------------------------------------------------


def _gate(gate: Gate) -> Iterator[Text]:
    """What is not as expected, with the entry that it was held against, and the sum."""
    yield Text()
    for item in told(gate):
        style = "bold red" if item.breaks else "yellow"
        expected = item.expected
        entry = f"\n    {printable(expected.place)}  {printable(owned(expected))}".rstrip() if expected else ""
        yield Text.assemble((f"{item.word:<16}", style), printable(item.text), (entry, "dim"))
    yield Text(f"{gate.headline} ({answered(gate)})", style="bold red" if gate.exit_code == 1 else "bold")
