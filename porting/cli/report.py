"""`porting report`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._gate import cells_without_record, gate_options, known_models, open_book, wants_gate
from porting.cli._shared import REPORTS, format_option, matrix_of, store_option, story_of, writes_option

if TYPE_CHECKING:
    from porting.api import Setting, TargetState
    from porting.store import Store
    from porting.types import ModelSpec, Result


@click.command("report")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--tier", help="Only models of this tier: smoke, ci, nightly, full.")
@click.option("--on", "on", multiple=True, metavar="TARGET,...", help="Only these targets, or globs.")
@click.option("--run", help="What one run came to: its id, `last`, or `last~1` for the one before. Missing cells are told.")
@gate_options
@click.option("--html", type=click.Path(path_type=Path), help="Write a folder of pages that opens from disk.")
@click.option("--since", metavar="RUN|DAY", help="Tell on the pages what changed since; without it, since the last run began.")
@writes_option
@store_option
@format_option(*REPORTS)
def command(models: tuple[str, ...], on: tuple[str, ...], form: str, html: Path | None, **given: Any) -> int:
    """Show the latest recorded result of every cell.

    MODEL is an id or a glob. Results of `porting ops` are left out without one; 'onnx/node/*' means them. With --gate the results
    are judged by what was accepted; a cell that an expectation names and that has no record is missing.
    """
    import fnmatch

    from porting.api import Setting
    from porting.errors import UsageError
    from porting.expect.judge import judge
    from porting.operators import is_case
    from porting.report import render

    patterns = [p for text in on for p in text.split(",") if p]

    setting = Setting.find(store=given["store"])
    tier = {spec.id for spec in setting.resolve((), given["tier"])} if given["tier"] else None

    def wanted(model: str, target: str) -> bool:
        named = any(fnmatch.fnmatchcase(model, m) for m in models) if models else not is_case(model)
        return (
            named and (tier is None or model in tier) and (not patterns or any(fnmatch.fnmatchcase(target, p) for p in patterns))
        )

    if given["since"] and not html:
        raise click.UsageError("--since is for the pages: add --html DIR.")
    gate, story = None, None
    with setting.open_store() as records:
        results = [r for r in _recorded(records, given["run"]) if wanted(r.model, r.target)]
        if wants_gate(given):
            book = open_book(setting, given["expect"])
            own = given["expect"] or setting.project  # the toolkit's catalog is more than anybody has to run
            results += cells_without_record(book, results, wanted) if own and not given["run"] else []
            gate = judge(results, book, known_models(setting, records, book), strict=given["strict"])
        if not results:
            raise UsageError("there are no results to show.", "Make some with porting check.")
        specs = _specs(setting, results)
        if html:
            story = story_of(setting, records, specs, results, given["since"] or given["run"])
    render.write(matrix_of(specs, _states(results), results, gate, story), form, html, given["writes"])
    return gate.exit_code if gate else 0


def _recorded(records: Store, run: str | None) -> list[Result]:
    from porting.report.matrix import missing

    if run is None:
        return records.latest()
    found = records.find_run(run).id
    return records.of_run(found) + [missing(*cell) for cell in records.missing(found)]


def _specs(setting: Setting, results: Iterable[Result]) -> list[ModelSpec]:
    from porting.types import ModelSpec

    known = {spec.id: spec for spec in setting.catalog}
    return [known.get(m) or ModelSpec(m, "", m) for m in dict.fromkeys(r.model for r in results)]


def _states(results: Sequence[Result]) -> list[TargetState]:
    """The targets of recorded results, with the evidence that a result on them rests on, the strongest first."""
    from porting import registry
    from porting.api import TargetState
    from porting.errors import PortingError
    from porting.types import Evidence, Target

    states = []
    for text in dict.fromkeys(r.target for r in results):
        target = Target.parse(text)
        try:
            evidence = registry.adapter(target.adapter).evidence_of(target.device)
        except PortingError:  # recorded with an adapter that is not here any more
            evidence = next((r.evidence for r in results if r.target == text and r.evidence), Evidence.STATIC)
        states.append(TargetState(target, evidence, True))
    return sorted(states, key=lambda state: list(Evidence).index(state.evidence))
