"""`porting verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import format_option, print_json
from porting.errors import UsageError

if TYPE_CHECKING:
    from porting.codemod.verify import Run, Verified

SHOWN = 12
"""Lines of one kind that are printed; --format json has all."""


@click.command("verify")
@format_option()
@click.option(
    "--device", "makers", multiple=True, metavar="DEVICE", help="A maker, its device or its plugin. Default: all with lists."
)
@click.option("--cpu-only", is_flag=True, help="No stand-ins.")
@click.argument("original", type=click.Path(path_type=Path))
@click.argument("ported", type=click.Path(path_type=Path))
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    form: str,
    makers: tuple[str, ...],
    cpu_only: bool,
    original: Path,
    ported: Path,
    program: str,
    arguments: tuple[str, ...],
) -> int:
    """Prove a port: run PROGRAM of the original and of the ported tree on the CPU, then of the ported one on stand-ins for
    accelerators, and compare losses, outputs, weights after each step, and what is printed.

    PROGRAM is a Python file in both trees, run in copies of them, with the same seeds; its own options come after --. Told with
    file and line: calls of torch.cuda that are left, tensors of two devices in one operator, operators that the maker lacks, and
    waits of the host; as unverified: edits that no run has reached.

    Exit status: 0 all runs came to the same; 1 one did not, or a card would have refused something; 2 wrong usage; 3 the original
    does not run on the CPU, so that there is nothing to compare with.
    """
    from porting.codemod.verify import verify
    from porting.static.survey import listed

    for tree in (original, ported):
        if not (tree / program).is_file():
            raise UsageError(f"there is no {program} in {tree}.", "porting verify ORIGINAL PORTED -- train.py --steps 2")
    if cpu_only and makers:
        raise UsageError("--cpu-only and --device exclude each other.", "Leave one out.")
    names = [] if cpu_only else list(listed(makers))
    found = verify(original, ported, names, program, arguments)
    if form == "json":
        print_json([_json(found)])
    else:
        _show(found)
    if not all(run.well for run in found.runs[1:]):
        return 1
    return 0 if found.comparable else 3


def _json(found: Verified) -> dict[str, Any]:
    runs = [
        {
            "where": run.where,
            "status": run.status,
            "error": run.error,
            "place": run.place,
            "noted": len(run.events),
            "narrow": run.narrow,
            "differences": run.differences,
            "leftovers": run.leftovers,
            "refusals": run.refusals,
            "waits": run.waits,
            "evidence": "host" if run.where in ("original", "cpu") else "virtual",
        }
        for run in found.runs
    ]
    edits = {"edits": len(found.edits), "unverified": [asdict(e) for e in found.unverified]}
    return {"comparable": found.comparable, "runs": runs, **edits}


def _show(found: Verified) -> None:
    original, *rest = found.runs
    click.echo(_head("original on the CPU", original))
    for run in rest:
        click.echo(_head("port on the CPU" if run.where == "cpu" else f"port on a stand-in for {run.where} (virtual)", run))
        _some("differs", run.differences)
        _some("refused", [f"{r['operator']}: {r['why']}, at {r['place']}" for r in run.refusals])
        _some("CUDA is still called", [f"{c['what']}, {c['count']} times, at {c['place']}" for c in run.leftovers])
        _some("the host waits", [f"{w['what']}, {w['count']} times, at {w['place']}" for w in run.waits])
    if not found.comparable:
        click.echo("the original does not run here, so that nothing is compared with it")
    reached = len(found.edits) - len(found.unverified)
    click.echo(f"{reached} of {len(found.edits)} edits were run")
    _some("unverified", [f"{e.path}:{e.first}" for e in found.unverified])


def _head(what: str, run: Run) -> str:
    if run.status:
        return f"{what}: ended with {run.status}: {run.error}{f', at {run.place}' if run.place else ''}"
    verdict = "" if run.where == "original" else " as expected" if run.well else " NOT as expected"
    narrow = f" in {' and '.join(run.narrow)}" if run.narrow else ""
    return f"{what}: {len(run.events)} losses, outputs and steps{narrow}{verdict}"


def _some(head: str, lines: list[str]) -> None:
    unique = list(dict.fromkeys(lines))
    if unique:
        click.echo(f"    {head}:")
        for line in unique[:SHOWN]:
            click.echo(f"        {line}")
        if len(unique) > SHOWN:
            click.echo(f"        and {len(unique) - SHOWN} more")
