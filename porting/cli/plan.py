"""`porting plan`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from porting.cli._shared import format_option, print_json, print_table, store_option, trust_option


@click.command("plan")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--on", "on", multiple=True, metavar="TARGET,...", help="Targets or globs; `all` for every one that is here.")
@click.option("--tier", help="Only models of this tier: smoke, ci, nightly, full.")
@click.option("--budget", metavar="TIME", help="Only what fits into 30m, 2h, 90s.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Jobs at a time; 0 is one a core.")
@click.option("--all", "everything", is_flag=True, help="What is known already, too.")
@trust_option
@store_option
@format_option()
def command(models: tuple[str, ...], on: tuple[str, ...], form: str, everything: bool, **given: Any) -> int:
    """Tell what `porting check` would work, why, how long it would take, and in which order it tells most.

    A cell is new, stale (the version that moved is named), or open (its last result speaks of the rig). The order is by
    information per minute: how uncertain the result is, by what others on its target came to, over what it will take, by past
    results. Nothing is run but the probes of adapters.
    """
    from porting.api import Setting, choose_targets
    from porting.cells import planning
    from porting.cells.planning import Planned

    setting = Setting.find(store=given["store"])
    seconds = planning.span(given["budget"]) if given["budget"] else None
    specs = setting.resolve(models, given["tier"], given["trust"])
    with setting.open_store() as store, setting.pipeline(store) as run:
        cells = run.plan(specs, choose_targets([p for text in on for p in text.split(",") if p], run, setting.project))
        found = planning.plan(run, store, cells)
    workers = planning.workers(given["workers"])
    chosen = found if seconds is None else planning.within(found, seconds * workers)
    shown: list[Planned] = [entry for _, entry in chosen if everything or entry.state != "known"]
    if form == "json":
        print_json(shown)
        return 0
    rows = [(p.model, p.target, p.state, _seconds(p), f"{p.bits:.2f}", p.why) for p in shown]
    print_table(("model", "target", "state", "seconds", "bits", "why"), rows)
    counts = Counter(entry.state for _, entry in found)
    total = sum(entry.seconds or 0.0 for _, entry in chosen)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    unknown = sum(entry.seconds is None and entry.state != "known" for _, entry in chosen)
    more = f", and {unknown} of unknown length" if unknown else ""
    about = f"about {total / workers / 60:.1f} minutes for {workers} jobs at a time{more}"
    click.echo(f"{len(cells)} cells: {states}; {about}", err=True)
    if seconds is not None and len(chosen) < len(found):
        click.echo(f"{len(found) - len(chosen)} cells do not fit into {given['budget']}", err=True)
    return 0


def _seconds(entry: Any) -> str:
    return "?" if entry.seconds is None else f"{entry.seconds:.1f}"
