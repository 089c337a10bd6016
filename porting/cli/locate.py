"""`porting locate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from porting.cli._shared import console, format_option, print_json, print_table, route_option, trust_option

if TYPE_CHECKING:
    from porting.diagnose.locate import Blamed, Located

SHOWN = 24
"""Lines of a table of operators."""


@click.command("locate")
@click.argument("model")
@click.argument("target")
@click.option("--timeout", type=float, default=60.0, help="Wall seconds after which a stage of one trial counts as hanging.")
@click.option("--memory", type=int, default=128, metavar="MIB", help="What the operators of one trial may read and make.")
@click.option("--form", "kind", type=click.Choice(["onnx", "pt2", "aten"]), help="Look at this form; else the target's first.")
@route_option
@click.option("--rerun", is_flag=True, help="Forget what an earlier run found out.")
@trust_option
@format_option()
def command(
    model: str, target: str, timeout: float, memory: int, kind: str | None, route: str, rerun: bool, trust: bool, form: str
) -> int:
    """Tell which operators of MODEL are wrong on TARGET by themselves, and which source lines of the model they are from.

    Every operator is run by itself on the target, fed with reference values, many at a time; where each is right by itself, the
    smallest group that is wrong together is looked for. Works on ONNX models and on exported programs, as the target takes
    them. An interrupted run goes on where it was.

    Exit status: 0 when all is right, 1 when something is wrong, 2 wrong usage, 3 the target is not here, or the rig failed.
    """
    from porting.cli._progress import notes
    from porting.diagnose import verbs
    from porting.diagnose.locate import RIGHT, Settings
    from porting.serialization import to_json

    with notes(console(stderr=True)) as tell:
        settings = Settings(timeout, memory << 20, rerun, kind or "", route)
        found = verbs.locate(model, target, settings=settings, trust=trust, on_progress=tell)
    if form == "json":
        print_json([to_json(found)])
    else:
        for line in lines(found):
            click.echo(line)
        _print_operators(found)
    return 0 if found.verdict == RIGHT else 1


def lines(found: Located) -> Iterator[str]:
    """What was found, without the tables."""
    from porting.report.words import printable

    yield f"{found.model} on {found.target}: {found.said}"
    yield f"  whole model  {printable(found.whole)[:300]}"
    yield f"  looked at    case {found.case}: {found.nodes} operators, {found.kernels} kernels"
    yield f"  cost         {found.processes} processes on the target, {found.models} models, {found.seconds:.1f} s"
    for note in found.notes:
        yield f"  note         {printable(note)}"


def _print_operators(found: Located) -> None:
    for title, blamed in (
        ("wrong by themselves", found.blamed),
        ("wrong together", found.group),
        ("fail by themselves, but not as the model does", found.refused),
    ):
        if blamed:
            click.echo(f"\n{title}:")
            rows = list(_rows(blamed))
            print_table(("operator", "nodes", "how", "inputs", "source line"), rows[:SHOWN])
            if len(rows) > SHOWN:
                click.echo(f"and {len(rows) - SHOWN} more lines; --format json has all of them")


def _rows(blamed: Sequence[Blamed]) -> Iterator[tuple[str, ...]]:
    """A line for each kernel and kind of fault."""
    from porting.report.words import printable

    groups: dict[tuple[int, str], list[Blamed]] = {}
    for each in blamed:
        groups.setdefault((each.kernel, each.kind), []).append(each)
    for group in groups.values():
        first = group[0]
        where = " ".join(filter(None, (first.source.place, printable(first.source.text), _scope(first.source.scope))))
        yield first.operator, str(len(group)), _how(first), " ".join(first.inputs), where or f"node {first.value}"


def _scope(scope: str) -> str:
    return f"({scope})" if scope else ""


def _how(blamed: Blamed) -> str:
    from porting.report.words import printable

    if blamed.message:
        return f"{blamed.kind}: {printable(blamed.message.splitlines()[0])[:120]}"
    if blamed.distance is None:
        return blamed.kind
    return f"off by {blamed.distance:.1e}, allowed {blamed.allowed:.1e}"
