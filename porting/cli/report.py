"""`porting report`."""

from __future__ import annotations

from pathlib import Path

import click

from porting.cli._shared import format_option, matrix_of, store_option


@click.command("report")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--on", "on", multiple=True, metavar="TARGET,...", help="Only these targets, or globs.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a folder of pages that opens from disk.")
@store_option
@format_option("markdown")
def command(models: tuple[str, ...], on: tuple[str, ...], html: Path | None, store: str | None, form: str) -> int:
    """Show the latest recorded result of every cell.

    MODEL is an id or a glob. Results of `porting ops` are left out without one; 'onnx/node/*' means them.
    """
    import fnmatch

    from porting import registry
    from porting.api import Setting, TargetState
    from porting.errors import PortingError, UsageError
    from porting.operators import is_case
    from porting.report import render
    from porting.types import Evidence, ModelSpec, Target

    setting = Setting.find(store=store)
    with setting.open_store() as records:
        results = records.latest()
    patterns = [p for text in on for p in text.split(",") if p]
    results = [
        r
        for r in results
        if (any(fnmatch.fnmatchcase(r.model, m) for m in models) if models else not is_case(r.model))
        and (not patterns or any(fnmatch.fnmatchcase(r.target, p) for p in patterns))
    ]
    if not results:
        raise UsageError("there are no results to show.", "Make some with porting check.")
    known = {spec.id: spec for spec in setting.catalog}
    specs = [known.get(m) or ModelSpec(m, "", m) for m in dict.fromkeys(r.model for r in results)]
    states = []
    for text in dict.fromkeys(r.target for r in results):
        target = Target.parse(text)
        try:
            evidence = registry.adapter(target.adapter).evidence_of(target.device)
        except PortingError:  # recorded with an adapter that is not here any more
            evidence = next((r.evidence for r in results if r.target == text and r.evidence), Evidence.STATIC)
        states.append(TargetState(target, evidence, True))
    matrix = matrix_of(specs, states, results)
    render.write(matrix, form, html)
    return 0
