"""Write a matrix in the forms that were asked for: to standard output, to files, and as a folder of pages."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from porting.report.matrix import Matrix

MODULES = {
    "json": "json_",
    "markdown": "markdown",
    "comment": "comment",
    "github": "github",
    "junit": "junit",
    "csv": "csv_",
    "badge": "badge",
}
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file whose Markdown GitHub shows on the page of a job."""


def write(matrix: Matrix, form: str, html: Path | None = None, files: Sequence[tuple[str, str]] = ()) -> None:
    """Write `form` (`table` or a key of MODULES) to standard output. html: also write a site there. files: other forms, with the
    file that each is written to; `-` is standard output. Raises DiskError."""
    if form == "table":
        from rich.console import Console

        from porting.report import table

        table.print_matrix(matrix, Console(highlight=False, emoji=False))
    else:
        sys.stdout.write(text_of(matrix, form))
    for other, file in files:
        _write(file, text_of(matrix, other))
    sys.stdout.flush()
    if "github" in (form, *(other for other, _ in files)):
        _summarise(matrix)
    if html:
        from porting.report.html import write_site

        print(f"report: {write_site(matrix, html)}", file=sys.stderr)


def text_of(matrix: Matrix, form: str) -> str:
    """The matrix in a form of text."""
    text: str = importlib.import_module(f"porting.report.{MODULES[form]}").render(matrix)
    return text


def _write(file: str, text: str) -> None:
    from porting.workspace import atomic_write, disk_errors

    if file == "-":
        sys.stdout.write(text)
        return
    path = Path(file)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode("utf-8"))


def _summarise(matrix: Matrix) -> None:
    """Add the comment's text to the page of the job that runs this."""
    from porting.workspace import disk_errors

    place = os.environ.get(SUMMARY_VARIABLE)
    if place:
        with disk_errors(Path(place)), open(place, "a", encoding="utf-8") as stream:
            stream.write(text_of(matrix, "comment") + "\n")
