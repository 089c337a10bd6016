"""`porting diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import console, format_option, print_json, store_option

if TYPE_CHECKING:
    from porting.records.diff import Change, Diff
    from porting.records.recorded import Recorded
    from porting.types import Result


@click.command("diff")
@click.argument("a")
@click.argument("b")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--on", "on", multiple=True, metavar="TARGET,...", help="Only these targets, or globs.")
@click.option("--drift", type=click.FloatRange(min=1), default=2.0, help="Factor from which an error inside a pass is another.")
@click.option("--slower", type=click.FloatRange(min=1), default=1.25, help="Factor from which a latency is another.")
@click.option("--memory", type=click.FloatRange(min=1), default=1.25, help="Factor from which a peak of memory is another.")
@store_option
@format_option()
def command(a: str, b: str, models: tuple[str, ...], on: tuple[str, ...], form: str, **given: Any) -> int:
    """Compare B with A, cell by cell: outcomes, causes, numbers that drift inside a pass, speed, memory.

    A and B are runs (`last`, `last~1`, an id or its beginning), exported files (results.jsonl.xz), stores (a path or URL) or
    versions (openvino=2026.3, "torch>=2.13"), which mean the latest results with them. MODEL is an id or a glob.

    Exit status: 0, or 1 when something that worked in A does not in B.
    """
    from porting.api import Setting
    from porting.records.diff import Factors, diff
    from porting.records.recorded import recorded

    setting = Setting.find(store=given["store"])
    sides = [recorded(text, setting) for text in (a, b)]
    old, new = (_chosen(side, models, [p for text in on for p in text.split(",") if p]) for side in sides)
    found = diff(old, new, Factors(given["drift"], given["slower"], given["memory"]))
    if form == "json":
        print_json(map(_record, found.changes))
    else:
        _print(found, sides[0].name, sides[1].name)
    return 1 if found.broken else 0


def _chosen(side: Recorded, models: tuple[str, ...], targets: list[str]) -> list[Result]:
    from fnmatch import fnmatchcase

    return [
        result
        for result in side.results
        if (not models or any(fnmatchcase(result.model, m) for m in models))
        and (not targets or any(fnmatchcase(result.target, p) for p in targets))
    ]


def _record(change: Change) -> dict[str, Any]:
    """A change for programs, without the results' details."""
    kept = ("stage", "outcome", "cause", "evidence", "signature", "message", "started", "environment")
    sides = {side: r and {key: getattr(r, key) for key in kept} for side, r in (("a", change.a), ("b", change.b))}
    plain = {"kind": change.kind, "model": change.model, "target": change.target, "detail": change.detail}
    return {**plain, "before": change.before, "after": change.after, **sides}


def _print(found: Diff, a: str, b: str) -> None:
    from rich.text import Text

    from porting.records.diff import Kind
    from porting.report.words import count, printable, version

    out = console()
    out.print(Text(f"A: {printable(a)}\nB: {printable(b)}"))
    for name, (old, new) in found.moved.items():
        out.print(Text(f"  {printable(name)}: {printable(version(old))} -> {printable(version(new))}", style="dim"))
    good = (Kind.MENDED, Kind.MORE, Kind.FASTER, Kind.LESS_MEMORY, Kind.ANSWERED)
    for change in found.changes:
        style = "bold red" if change.kind is Kind.BROKEN else "green" if change.kind in good else "yellow"
        out.print(
            Text.assemble((f"{change.kind.value:<17}", style), printable(f"{change.model} on {change.target}: {change.detail}"))
        )
    kinds = [change.kind for change in found.changes]
    sums = " · ".join(f"{kinds.count(kind)} {kind.value}" for kind in Kind if kind in kinds)
    out.print(Text(f"{count(found.cells, 'cell')} in both: {sums or 'no difference'}", style="bold"))
