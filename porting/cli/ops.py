"""`porting ops`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import console, format_option, print_json, print_table, store_option, trust_option

if TYPE_CHECKING:
    from porting.catalog.project import Project
    from porting.cells.pipeline import Pipeline
    from porting.operators.coverage import Line, Wrong
    from porting.operators.suite import NodeCase, Suite
    from porting.types import Result, Target

NAMES_SHOWN = 6
"""Cases of one explanation that are named."""


@click.command("ops")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--on", "on", multiple=True, metavar="TARGET,...", help="Targets or globs, `all` for every one here; with MODEL, makers."
)
@click.option("--train", is_flag=True, help="With MODEL: its backward pass, too.")
@click.option("--size", "sizes", multiple=True, metavar="AXIS=SIZE", help="With MODEL: an axis at another size than the nominal.")
@click.option("--onnx", is_flag=True, help="With MODEL: its ONNX operators, and the opset that they want, instead of PyTorch's.")
@trust_option
@click.option("--op", "operators", multiple=True, metavar="NAME", help="Only cases of this operator; may be repeated.")
@click.option("--filter", "globs", multiple=True, metavar="GLOB", help="Only cases of such a name; may be repeated.")
@click.option("--case", "names", multiple=True, metavar="NAME", help="Only this case; may be repeated.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Write each --case here, for a bug report."
)
@click.option("--rerun", is_flag=True, help="Run again what has a result for the same contents.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Processes at a time; 0 is one a core.")
@click.option("--threads", type=click.IntRange(min=1), default=1, help="Threads of each process.")
@click.option("--timeout", type=float, default=60.0, help="Wall seconds after which a case's conversion, load or run is ended.")
@click.option("--silence", type=float, default=30.0, help="Seconds without CPU use and output after which it counts as hanging.")
@click.option("--memory", type=float, default=0.0, metavar="GIB", help="Memory of a process; 0 is most of the machine's.")
@store_option
@format_option()
def command(models: tuple[str, ...], on: tuple[str, ...], form: str, output: Path | None, **given: Any) -> int:
    """Run the ONNX node cases on targets, and tell which operators are right, by operator and by opset. With MODEL: tell which of
    its operators makers of accelerators have, by their published lists.

    The cases are those of the installed onnx package: models of one operator with inputs and expected outputs. Targets that
    take ONNX models can be given them. What has a result for the same contents is not run again.

    A MODEL is built without its weights, so it may be of any size, and --on takes makers (ascend, cambricon), their devices (npu,
    mlu) or plugins. What is not in a list falls back to the CPU or is refused, as the maker's plugin does it. Exit status then: 1
    when something would be refused, else 0.

    Exit status: 0 when every case is right, refused by the stack in its own words, or wrong as its adapter's operators.toml
    says; 1 when a case is wrong or fails otherwise; 2 wrong usage; 3 a target is not here, or the rig failed.
    """
    from porting.api import Setting
    from porting.cli._progress import progress
    from porting.operators.filing import write_case
    from porting.operators.run import OperatorRun
    from porting.operators.suite import open_suite

    train, sizes, onnx, trust = (given.pop(name) for name in ("train", "sizes", "onnx", "trust"))
    if onnx and (train or sizes):
        raise click.UsageError("--train and --size go with PyTorch's operators, not with --onnx.")
    if models:
        from porting.cli import _survey

        return _survey.run_onnx(models, on, trust, form) if onnx else _survey.run(models, on, train, sizes, trust, form)
    if train or sizes or onnx:
        raise click.UsageError("--train, --size and --onnx are about a MODEL.")
    if output and not given["names"]:
        raise click.UsageError("-o needs --case: it writes the cases that are named.")
    setting = Setting.find(store=given["store"])
    patterns = [p for text in on for p in text.split(",") if p]
    options, stderr = _options(given), console(stderr=True)
    with setting.open_store() as store, progress(stderr) as show, setting.pipeline(store, options, show) as pipeline:
        targets, absent = _targets(patterns, pipeline, setting.project)
        suite = open_suite(pipeline.jobs)
        cases = suite.choose(given["names"], given["operators"], given["globs"])
        results = OperatorRun(pipeline, store, suite).check(cases, targets)
    for case in cases if output else ():
        own = [result for result in results if result.model == case.model]
        click.echo(f"wrote {write_case(suite, case, own, Path(str(output)))}", err=True)
    if form == "json":
        print_json(_record(case, result) for case in cases for result in results if result.model == case.model)
    else:
        _print(suite, cases, [str(target) for target in targets], results)
    return _exit_code(results) or (3 if absent else 0)


def _options(given: dict[str, Any]) -> Any:
    from porting.cells.jobs import Options
    from porting.workers.runner import Limits

    limits = Limits(seconds=given["timeout"], silent_seconds=given["silence"], memory_bytes=int(given["memory"] * (1 << 30)))
    command_line = "porting " + " ".join(sys.argv[1:])
    return Options(limits, given["workers"], given["threads"], given["rerun"], command=command_line)


# ---- what to run --------------------------------------------------------------------------------------------------


def _targets(patterns: Sequence[str], pipeline: Pipeline, project: Project | None) -> tuple[list[Target], list[Target]]:
    """The targets meant that can be given cases, and those of them that are not here; the reasons go to standard error."""
    from porting.api import choose_targets
    from porting.errors import EnvironmentMissing, UsageError
    from porting.operators.run import reasons_against

    wanted = choose_targets(patterns, pipeline, project)
    refused, absent = reasons_against(wanted, pipeline.jobs.prober.probe)
    if len(refused) == len(wanted):
        raise UsageError(f"{next(iter(refused.values()))}.", "porting targets show TARGET tells what an adapter takes.")
    if len(refused) + len(absent) == len(wanted):
        target, reason = next(iter(absent.items()))
        raise EnvironmentMissing(f"{target} is not here: {reason}.")
    for line in [
        *(f"{words}: left out" for words in refused.values()),
        *(f"{t} is not here: {why}" for t, why in absent.items()),
    ]:
        click.echo(line, err=True)
    return [target for target in wanted if target not in refused and target not in absent], list(absent)


# ---- what came of it ----------------------------------------------------------------------------------------------


def _exit_code(results: Sequence[Result]) -> int:
    """1 for what is wrong and not known, 3 for what only speaks of the rig, else 0."""
    from porting.operators.known import OUTCOMES, explanation
    from porting.types import INFRASTRUCTURE

    open_ = [result for result in results if result.outcome in OUTCOMES and not explanation(result)]
    if any(result.cause not in INFRASTRUCTURE for result in open_):
        return 1
    return 3 if open_ else 0


def _record(case: NodeCase, result: Result) -> dict[str, Any]:
    from porting.operators.known import explanation
    from porting.report.json_ import record
    from porting.serialization import to_json

    known = explanation(result)
    about = {"case": case.name, "operator": case.subject, "opset": case.opset, "expanded": case.expanded}
    return {**about, **record(result), "known": to_json(known) if known else None}


def _print(suite: Suite, cases: Sequence[NodeCase], targets: list[str], results: Sequence[Result]) -> None:
    from porting.operators import PREFIX
    from porting.operators.coverage import lines, words, wrong
    from porting.operators.known import mended

    found = {(result.model, result.target): result for result in results}
    operators = lines(sorted(cases, key=lambda c: (c.subject.lower(), c.expanded)), found, targets, _subject)
    opsets = lines(sorted(cases, key=lambda c: (c.domain, c.opset)), found, targets, _opset)
    _print_lines("operator", operators, targets, opsets=True)
    _print_lines("opset", opsets, targets)
    for group in wrong(results):
        click.echo(_why(group))
    for target in targets:
        names = [result.model.removeprefix(PREFIX) for result in mended(results) if result.target == target]
        if names:
            click.echo(f"{target}: {len(names)} known as wrong, and right now\n    {_some(names)}")
    click.echo(f"\nonnx {suite.version}, {len(cases)} of {len(suite.cases)} node cases")
    for line in lines(cases, found, targets, lambda _: "all"):
        for target in targets:
            click.echo(f"  {target}: {words(line.by_target[target])}")


def _subject(case: NodeCase) -> str:
    return f"{case.subject} (as function)" if case.expanded else case.subject


def _opset(case: NodeCase) -> str:
    return f"{case.domain or 'ai.onnx'} {case.opset}"


def _print_lines(head: str, found: Sequence[Line], targets: Sequence[str], opsets: bool = False) -> None:
    from porting.operators.coverage import words

    columns = [head, *(["opsets"] if opsets else []), *targets]
    rows = [
        [line.name, *([" ".join(map(str, sorted(line.opsets)))] if opsets else []), *(words(line.by_target[t]) for t in targets)]
        for line in found
    ]
    print_table(columns, rows)
    click.echo()


def _why(group: Wrong) -> str:
    """What is wrong, why, and with which cases."""
    from porting.operators import PREFIX
    from porting.report.words import printable

    names = [result.model.removeprefix(PREFIX) for result in group.results]
    first = group.results[0]
    if group.known:
        said = f"{group.known.kind}, seen with {group.known.version}: {group.known.reason}"
    else:
        said = f"NOT LOOKED INTO: {printable(first.message)[:300]}"
    return f"{group.target}: {len(names)} {first.outcome.value}, {said}\n    {_some(names)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
