"""`porting check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._fleet import fleet_options, place_of
from porting.cli._gate import Rerun, gate_options, judge_check, open_book, wants_gate
from porting.cli._precision import answer, settled
from porting.cli._shared import (
    REPORTS,
    console,
    exit_code,
    format_option,
    matrix_of,
    route_option,
    store_option,
    story_of,
    trust_option,
    writes_option,
)

if TYPE_CHECKING:
    from porting.cells.pipeline import Event
    from porting.types import ModelSpec


@click.command("check")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--on", "on", multiple=True, metavar="TARGET,...", help="Targets or globs; `all` for every one that is here.")
@click.option("--tier", help="Only models of this tier: smoke, ci, nightly, full.")
@click.option("--inputs", multiple=True, type=click.Path(path_type=Path), help="npz file with your own inputs; may be repeated.")
@route_option
@click.option("--precision", type=click.Choice(["auto"]), help="Every precision of the targets' devices; tells the fastest.")
@click.option("--shard", metavar="I/N", help="Only the I-th of N parts of the models, counted from 1.")
@click.option("--changed", metavar="REVISION", help="Only what a change since this revision of the repository can affect.")
@click.option("--budget", metavar="TIME", help="Only what tells most within 30m, 2h, 90s; see porting plan.")
@click.option("--rerun", is_flag=True, help="Run again what has a result for the same contents.")
@click.option("--rebuild", is_flag=True, help="Build models, references and exports anew, too.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run; always so, the flag only says it.")
@click.option("--bench", type=float, default=0.0, metavar="SECONDS", help="Measure the latency of what passed, this long a cell.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Jobs at a time; 0 is one a core.")
@click.option("--threads", type=click.IntRange(min=1), default=1, help="Threads of each job.")
@click.option("--timeout", type=float, default=600.0, help="Wall seconds after which a job is ended.")
@click.option("--silence", type=float, default=120.0, help="Seconds without CPU use and output after which it counts as hanging.")
@click.option("--memory", type=float, default=0.0, metavar="GIB", help="Memory of a job; 0 is most of the machine's.")
@gate_options
@click.option("--retries", type=click.IntRange(0, 5), default=1, help="How often the gate runs a new failure again.")
@fleet_options
@click.option("--html", type=click.Path(path_type=Path), help="Also write the report's folder.")
@writes_option
@trust_option
@store_option
@format_option(*REPORTS)
def command(models: tuple[str, ...], form: str, html: Path | None, **given: Any) -> int:
    """Check models on targets and record what came of it.

    MODEL is a catalog id or glob, a path (.onnx, .pt2, a checkpoint folder) or package.module:factory. Without one, the
    models of porting.toml, or of --tier. Without --on, every target that is here at fp32. What has a result for the same
    contents is not run again. With --launcher the cells are worked on a cluster, each where its target is. With --gate the exit
    status says whether anything is worse than what was accepted. With --precision auto every precision of the targets' devices is
    checked and measured, one job at a time, and the fastest that is right is told, if need be with some layers left in fp32.
    """
    from porting.api import Setting, choose_targets, target_state, wrong_input
    from porting.bundles.given import store_inputs
    from porting.cells.changed import affected
    from porting.cells.planning import plan, span, within, workers
    from porting.cells.precision import searched
    from porting.cli._progress import progress
    from porting.errors import ModelError
    from porting.report import render

    given = settled(given, form, html)
    setting = Setting.find(store=given["store"])
    book = open_book(setting, given["expect"]) if wants_gate(given) else None
    specs = _shard(setting.resolve(models, given["tier"], given["trust"]), given["shard"])
    folder = store_inputs([Path(p) for p in given["inputs"]], setting.workspace) if given["inputs"] else None
    options = _options(given, folder)
    seconds = span(given["budget"]) if given["budget"] else None
    patterns = [p for text in given["on"] for p in text.split(",") if p]

    def tell(event: Event) -> None:
        if not event.result or not wrong_input(specs, [event.result], options):  # that is said once, at the end
            show(event)

    with (
        setting.open_store() as store,
        progress(console(stderr=True)) as show,
        setting.pipeline_at(place_of(given), store, options, patterns, tell) as run,
    ):
        targets = choose_targets(patterns, run, setting.project)
        targets = searched(targets) if given["precision"] else targets
        if given["changed"]:
            specs, targets = affected(setting, given["changed"], specs, targets)
        cells = run.plan(specs, targets)
        if seconds is not None:
            cells = [cell for cell, _ in within(plan(run, store, cells), seconds * workers(given["workers"]))]
        results = run.check_cells(cells)
        states = [target_state(target, run.jobs.prober.about(target)) for target in targets]
        gate = judge_check(book, setting, store, results, given, Rerun(setting, store, specs, run)) if book else None
        story = story_of(setting, store, specs, results) if html else None
    wrong = wrong_input(specs, results, options)
    if wrong and len(wrong) == len(results):
        raise ModelError(wrong[0].message, wrong[0].hint)
    if given["precision"] and not wrong:
        return answer(results, len(cells), form)
    render.write(matrix_of(specs, states, results, gate, story), form, html, given["writes"])
    for text in dict.fromkeys(str(ModelError(r.message, r.hint)) for r in wrong):
        click.echo(f"Error: {text}", err=True)
    if wrong:
        return ModelError.exit_code
    return gate.exit_code if gate else exit_code(results, len(cells))


def _options(given: dict[str, Any], inputs: Path | None) -> Any:
    from porting.cells.jobs import Options
    from porting.workers.runner import Limits

    memory = int(given["memory"] * (1 << 30))
    limits = Limits(seconds=given["timeout"], silent_seconds=given["silence"], memory_bytes=memory)
    return Options(
        limits,
        given["workers"],
        given["threads"],
        given["rerun"],
        given["rebuild"],
        given["bench"],
        inputs,
        "porting " + " ".join(sys.argv[1:]),
        given["route"],
    )


def _shard(specs: list[ModelSpec], text: str | None) -> list[ModelSpec]:
    if not text:
        return specs
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise click.UsageError(f"--shard is written I/N with 1 <= I <= N, for instance 2/8; got {text!r}.")
    return specs[int(part) - 1 :: int(parts)]
