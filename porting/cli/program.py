"""`porting run`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.errors import EnvironmentMissing, UsageError

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

SHOWN = 12
"""Lines of one kind that are printed; the report has all."""


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--device", "name", required=True, metavar="DEVICE", help="A maker, its device or its plugin: ascend, mlu, torch_musa."
)
@click.option("--no-fallback", is_flag=True, help="Refuse what the plugin would hand to the CPU, as its own setting does.")
@click.option("--keep-going", is_flag=True, help="Note what the card would refuse, and go on, to find all of it in one run.")
@click.option("-m", "module", is_flag=True, help="PROGRAM is a module, as with python -m.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the whole report here, as JSON.")
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    name: str, no_fallback: bool, keep_going: bool, module: bool, output: Path | None, program: str, arguments: tuple[str, ...]
) -> int:
    """Run a program of yours on a device that is not here: a stand-in of the maker's name, which computes on the CPU and has the
    operators that the maker has published, no others.

    torch.npu (torch.mlu, torch.musa) is there, and so is the plugin to import. What the card would refuse is an error with file
    and line; what would fall back to the CPU, and what makes the host wait, is told at the end, on standard error.

    PROGRAM may also be a model of the catalog: it then answers once and trains one step, on the CPU and on the stand-in, and both
    have to come to the same.

    Exit status: 0 when the program ended well and the card would have refused nothing; 1 when it would have, or the program
    failed; 2 wrong usage; 3 this torch cannot stand in for a device.
    """
    from porting.static.survey import listed

    profile = next(iter(listed([name]).values()))
    if not module and not Path(program).is_file():
        program, module, arguments = _step_of(program, profile)
    with tempfile.TemporaryDirectory(prefix="porting-run-") as folder:
        report = Path(folder) / "report.json"
        settings = {
            "profile": profile.name,
            "fallback": not no_fallback,
            "keep_going": keep_going,
            "module": module,
            "report": str(report),
        }
        code = _start(settings, program, arguments)
        if not report.is_file():
            raise _without_report(code)
        found = json.loads(report.read_text())
    if output:
        output.write_text(json.dumps({"device": profile.name, "evidence": "virtual", **found}, indent=1))
    for line in _lines(profile, found, fallback=not no_fallback):
        click.echo(line, err=True)
    return 1 if found["status"] or found["refusals"] else 0


def _step_of(program: str, profile: Profile) -> tuple[str, bool, tuple[str, ...]]:
    """What runs a model of the catalog. Raises UsageError when there is neither such a file nor such a model."""
    from porting.api import Setting

    assert profile.torch
    try:
        (spec,) = Setting.find().resolve([program])
    except UsageError as error:
        hint = f"With -m PROGRAM is a module. As a model: {error}"
        raise UsageError(f"there is no file {program}.", hint) from error
    return "porting.cells.step", True, (spec.id, profile.torch.device)


def _start(settings: dict[str, Any], program: str, arguments: tuple[str, ...]) -> int:
    words = [sys.executable, "-m", "porting.accelerators.script", json.dumps(settings), program, *arguments]
    with subprocess.Popen(words) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # it has the signal as well, and ends by itself
            return process.wait()


def _without_report(code: int) -> Exception:
    if code < 0:
        return UsageError(f"the program was ended by signal {-code} and left no report.")
    return EnvironmentMissing(
        f"the program could not be started on a stand-in (status {code}).", "See the lines above; porting doctor."
    )


def _lines(profile: Profile, found: dict[str, Any], fallback: bool) -> list[str]:
    assert profile.operators
    operators = found["operators"]
    by = {fate: [o for o in operators if o["support"] in fates] for fate, fates in _FATES.items()}
    counts = ", ".join(f"{sum(o['count'] for o in each)} {fate}" for fate, each in by.items())
    head = f"stand-in for {profile.vendor} ({profile.operators.plugin_version}): {len(operators)} operators; calls: {counts}"
    lines = ["", f"{head}. Virtual: nothing ran on {profile.torch.device if profile.torch else 'the card'}."]
    fate = "runs on the CPU instead" if fallback and profile.operators.otherwise == "cpu" else "is refused"
    lines += _some(f"not in the list, {fate}", [f"{o['name']}, {o['count']} calls, at {_first(o)}" for o in by["not listed"]])
    lines += _some("refused", [f"{r['operator']}: {r['why']}, at {r['place']}" for r in found["refusals"]])
    lines += _some("the host waits", [f"{w['what']}, {w['count']} times, at {w['place']}" for w in found["waits"]])
    lines += _some("held in half the width", [f"{c['dtype']}, {c['count']} tensors, at {c['place']}" for c in found["casts"]])
    if found["status"] and not found["refused"]:
        lines.append(f"the program itself ended with status {found['status']}{': ' if found['error'] else ''}{found['error']}")
    return lines


_FATES = {"native": ("native",), "composed": ("composite",), "not listed": ("fallback", "unknown")}


def _first(operator: dict[str, Any]) -> str:
    return next(iter(operator["places"]), "a place unknown")


def _some(head: str, lines: list[str]) -> list[str]:
    """A headed list, cut where it gets long; the same line once."""
    unique = list(dict.fromkeys(lines))
    if not unique:
        return []
    more = [f"    and {len(unique) - SHOWN} more"] if len(unique) > SHOWN else []
    return [f"{head}:", *(f"    {line}" for line in unique[:SHOWN]), *more]
