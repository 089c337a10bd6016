"""Write a matrix in the form that was asked for, to standard output, and as a folder of pages where one was asked for."""

from __future__ import annotations

import sys
from pathlib import Path

from porting.report.matrix import Matrix


def write(matrix: Matrix, form: str, html: Path | None = None) -> None:
    """Write `form` (`table`, `markdown`, `json`) to standard output; html: also write a site there."""
    if form == "json":
        from porting.report import json_

        sys.stdout.write(json_.render(matrix))
    elif form == "markdown":
        from porting.report import markdown

        sys.stdout.write(markdown.render(matrix))
    else:
        from rich.console import Console

        from porting.report import table

        table.print_matrix(matrix, Console(highlight=False, emoji=False))
    sys.stdout.flush()
    if html:
        from porting.report.html import write_site

        print(f"report: {write_site(matrix, html)}", file=sys.stderr)
