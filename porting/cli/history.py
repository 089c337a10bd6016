"""`porting history`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import console, format_option, print_json, store_option

if TYPE_CHECKING:
    from porting.records.history import Hit, Interval

QUERIES = ("flaky", "drifting", "regressed", "newly-passing")


@click.command("history")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--on", "on", multiple=True, metavar="TARGET,...", help="Only these targets, or globs.")
@click.option("--query", type=click.Choice(QUERIES), help="Only cells that are so, with a line each.")
@click.option(
    "--days", type=click.FloatRange(min=0), default=7.0, help="How far back a turn may lie, for regressed and newly-passing."
)
@store_option
@format_option()
def command(models: tuple[str, ...], on: tuple[str, ...], query: str | None, days: float, store: str | None, form: str) -> int:
    """Tell since when cells pass or fail, and which versions moved when that changed.

    MODEL is an id or a glob; without one, every model. What had no answer ends no interval. Queries: flaky, passed and failed
    with the same contents; regressed and newly-passing, turned within --days; drifting, passes with an error that has grown
    towards the tolerance.
    """
    from fnmatch import fnmatchcase

    from porting.api import Setting
    from porting.errors import UsageError
    from porting.operators import is_case
    from porting.records.history import intervals, may_hit
    from porting.records.history import query as find

    patterns = [p for text in on for p in text.split(",") if p]

    def wanted(model: str, target: str) -> bool:
        named = any(fnmatchcase(model, m) for m in models) if models else not is_case(model)
        return named and (not patterns or any(fnmatchcase(target, p) for p in patterns))

    with Setting.find(store=store).open_store() as records:
        total = sum(wanted(row.model, row.target) for row in records.matrix())
        if not total:
            raise UsageError("there are no results to show.", "Make some with porting check.")
        if query:
            hits = list(find(query, records.histories(wanted, may_hit(query, days)), records, days))
        else:
            lines = [intervals(rows, records) for rows in records.histories(wanted)]
    if query:
        print_json(map(vars, hits)) if form == "json" else _print_hits(query, hits, total)
    else:
        print_json(_record(i) for line in lines for i in line) if form == "json" else _print_lines(lines)
    return 0


def _record(interval: Interval) -> dict[str, Any]:
    row = interval.last
    kept = ("model", "target", "outcome", "evidence", "stage", "cause", "signature")
    times = {"from": interval.first.started, "until": row.started, "results": len(interval.rows)}
    causes = {"over": interval.over, "moved": interval.moved, "because": interval.because}
    return {**{name: getattr(row, name) for name in kept}, **times, **causes}


def _print_lines(lines: Sequence[Sequence[Interval]]) -> None:
    from rich.text import Text

    from porting.report.words import causes, count, printable

    out = console()
    for line in lines:
        out.print(Text(printable(f"{line[0].first.model} on {line[0].first.target}"), style="bold"))
        for interval in line:
            days = f"{interval.first.started[:10]} to {interval.last.started[:10]}"
            style = "green" if interval.works else "yellow"
            out.print(Text.assemble(f"  {days}  ", (printable(interval.says), style), f"  {count(len(interval.rows), 'result')}"))
            for text in causes(interval.moved, interval.because):
                out.print(Text(f"    moved: {printable(text)}", style="dim"))
            for text in causes(interval.held, ()):
                out.print(Text(f"    over:  {printable(text)}", style="dim"))


def _print_hits(query: str, hits: Sequence[Hit], cells: int) -> None:
    from rich.text import Text

    from porting.report.words import causes, count, printable

    out = console()
    for hit in hits:
        text = f"{hit.model} on {hit.target}: {hit.detail}, since {hit.since[:10]}"
        out.print(Text(printable(text)))
        for cause in causes(hit.moved, hit.because):
            out.print(Text(f"    moved: {printable(cause)}", style="dim"))
    out.print(Text(f"{len(hits)} {query} of {count(cells, 'cell')}", style="bold"))
