"""`porting verify`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import format_option, print_json
from porting.errors import UsageError

if TYPE_CHECKING:
    from porting.codemod.runs import Run
    from porting.codemod.verify import Verified

SHOWN = 12
"""Lines of one kind that are printed; --format json has all."""


@click.command("verify")
@format_option()
@click.option(
    "--device",
    "--on",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="cuda, or a maker, its device or its plugin. Default: cuda, and all makers with lists.",
)
@click.option("--cpu-only", is_flag=True, help="No stand-ins.")
@click.argument("original", type=click.Path(path_type=Path))
@click.argument("ported", type=click.Path(path_type=Path))
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    form: str,
    devices: tuple[str, ...],
    cpu_only: bool,
    original: Path,
    ported: Path,
    program: str,
    arguments: tuple[str, ...],
) -> int:
    """Prove a port: run PROGRAM of the original and of the ported tree on the CPU and on a stand-in for CUDA, then of the ported
    one on stand-ins for other accelerators, and compare losses, outputs, weights after each step, what is printed, and, on CUDA,
    the operators and calls that came to the device.

    PROGRAM is a Python file in both trees, run in copies of them, with the same seeds; its own options come after --. Told with
    file and line: calls of torch.cuda that are left, tensors of two devices in one operator, operators that the maker lacks, and
    waits of the host; as unverified: edits that no run has reached.

    Exit status: 0 all runs came to the same; 1 one did not, or a card would have refused something; 2 wrong usage; 3 something
    could not be compared: the program shows nothing, the original runs neither on the CPU nor on the stand-in for CUDA, or it
    does not run on the latter, or that cannot be had with this PyTorch.
    """
    from porting.codemod.verify import verify

    for tree in (original, ported):
        if not (tree / program).is_file():
            raise UsageError(f"there is no {program} in {tree}.", "porting verify ORIGINAL PORTED -- train.py --steps 2")
    if cpu_only and devices:
        raise UsageError("--cpu-only and --device exclude each other.", "Leave one out.")
    found = verify(original, ported, [] if cpu_only else _names(devices), program, arguments)
    if form == "json":
        print_json([_json(found)])
    else:
        _show(found)
    if not all(run.well for run in found.runs if not run.original):
        return 1
    return 0 if found.comparable and found.shown and not found.without_cuda else 3


def _names(devices: tuple[str, ...]) -> list[str]:
    """CUDA, and the names of profiles; all of them where none is asked for."""
    from porting.accelerators.cuda import NAME, PROFILE
    from porting.static.survey import listed

    makers = [device for device in devices if device.lower() not in (NAME, PROFILE)]
    asked = not devices or len(makers) < len(devices)
    return [*([NAME] if asked else []), *(listed(makers, besides=[NAME]) if makers or not devices else [])]


def _json(found: Verified) -> dict[str, Any]:
    runs = [
        {
            "where": run.where,
            "status": run.status,
            "error": run.error,
            "place": run.place,
            "noted": len(run.events),
            "compared": run.compared,
            "narrow": run.narrow,
            "differences": run.differences,
            "leftovers": run.leftovers,
            "refusals": run.refusals,
            "waits": run.waits,
            "evidence": run.evidence,
        }
        for run in found.runs
    ]
    edits = {"edits": len(found.edits), "unverified": [asdict(e) for e in found.unverified]}
    devices = {run.device: run.evidence for run in found.runs if not run.unavailable}
    return {
        "comparable": found.comparable,
        "shown": found.shown,
        "devices": devices,
        "without_cuda": found.without_cuda,
        "runs": runs,
        **edits,
    }


_NAMES = {
    "original": "original on the CPU",
    "cpu": "port on the CPU",
    "original on cuda": "original on a stand-in for cuda (virtual)",
}


def _show(found: Verified) -> None:
    for run in found.runs:
        click.echo(_head(_NAMES.get(run.where, f"port on a stand-in for {run.where} (virtual)"), run))
        if run.original:
            continue
        _some("differs", run.differences)
        _some("refused", [f"{r['operator']}: {r['why']}, at {r['place']}" for r in run.refusals])
        _some("CUDA is still called", [f"{c['what']}, {c['count']} times, at {c['place']}" for c in run.leftovers])
        waits = [] if run.device == "cuda" else run.waits  # they are the original's
        _some("the host waits", [f"{w['what']}, {w['count']} times, at {w['place']}" for w in waits])
    if not found.comparable:
        click.echo("the original does not run here, so that nothing is compared with it")
    if found.comparable and not found.shown:
        click.echo("nothing is compared: the program has no loss, output or step and prints nothing; print what it comes to")
    if found.without_cuda:
        click.echo(f"nothing is compared on CUDA: {found.without_cuda}")
    reached = len(found.edits) - len(found.unverified)
    click.echo(f"{reached} of {len(found.edits)} edits were run")
    _some("unverified", [f"{e.path}:{e.first}" for e in found.unverified])


def _head(what: str, run: Run) -> str:
    if run.status:
        return f"{what}: ended with {run.status}: {run.error}{f', at {run.place}' if run.place else ''}"
    verdict = "" if run.original else " NOT as expected" if not run.well else " as expected" if run.events or run.output else ""
    until = "" if run.compared is None else f", the first {run.compared} compared: a scaler skipped a step for overflow then"
    narrow = f" in {' and '.join(run.narrow)}" if run.narrow else ""
    return f"{what}: {len(run.events)} losses, outputs and steps{narrow}{verdict}{until}"


def _some(head: str, lines: list[str]) -> None:
    unique = list(dict.fromkeys(lines))
    if unique:
        click.echo(f"    {head}:")
        for line in unique[:SHOWN]:
            click.echo(f"        {line}")
        if len(unique) > SHOWN:
            click.echo(f"        and {len(unique) - SHOWN} more")
