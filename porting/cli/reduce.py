"""`porting reduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from porting.cli._shared import console, format_option, print_json, route_option, trust_option

if TYPE_CHECKING:
    from porting.diagnose.reduce import Reduced


@click.command("reduce")
@click.argument("model")
@click.argument("target")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="Where the case goes; a name in this folder without it."
)
@click.option("--timeout", type=float, default=60.0, help="Wall seconds after which a stage of one trial counts as hanging.")
@click.option("--memory", type=int, default=128, metavar="MIB", help="What the operators of one trial may read and make.")
@click.option("--form", "kind", type=click.Choice(["onnx", "pt2", "aten"]), help="Look at this form; else the target's first.")
@route_option
@click.option("--rerun", is_flag=True, help="Forget what an earlier run found out.")
@trust_option
@format_option()
def command(
    model: str,
    target: str,
    out: Path | None,
    timeout: float,
    memory: int,
    kind: str | None,
    route: str,
    rerun: bool,
    trust: bool,
    form: str,
) -> int:
    """Find the smallest case of MODEL's failure on TARGET, as a folder for a bug report.

    What `porting locate` finds is cut out of the model, and made smaller as long as it fails in the same way while a clean
    runtime takes it: shapes, attributes, values. The folder has the model, inputs, expected outputs and a script that needs the
    backend alone. An interrupted run goes on where it was.

    Exit status: 0 when a case was written, 1 when there is nothing to reduce, 2 wrong usage, 3 the target is not here, or the
    rig failed.
    """
    from porting.cli._progress import notes
    from porting.diagnose import verbs
    from porting.diagnose.locate import Settings
    from porting.serialization import to_json

    with notes(console(stderr=True)) as tell:
        settings = Settings(timeout, memory << 20, rerun, kind or "", route)
        found = verbs.reduce(model, target, out, settings=settings, trust=trust, on_progress=tell)
    if form == "json":
        print_json([to_json(found)])
    else:
        _print(found)
    return 0


def _print(found: Reduced) -> None:
    shapes = ", ".join(f"{name} {shape}" for name, shape in found.shapes.items())
    click.echo(f"{' + '.join(found.operators)} on {found.located.target}: {found.kind}")
    for blamed in (*found.located.blamed, *found.located.group)[:1]:
        if blamed.source.place:
            click.echo(f"  source line  {blamed.source.place} {blamed.source.text}")
    click.echo(f"  shapes       {shapes}")
    click.echo(f"  model        {found.bytes:,} bytes; its data was {found.before:,} bytes in the model it was found in")
    click.echo(f"  signature    {found.signature}")
    click.echo(f"  cost         {found.tries} tries, {found.seconds:.1f} s, and {found.located.processes} processes to locate it")
    click.echo(f"wrote {found.folder}: python {found.folder}/reproduce.py")
