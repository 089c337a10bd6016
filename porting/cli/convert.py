"""`porting convert`."""

from __future__ import annotations

from pathlib import Path

import click

from porting.cli._shared import console, exit_code, format_option, print_json, route_option, store_option, trust_option


@click.command("convert")
@click.argument("model")
@click.option("--to", "target", required=True, metavar="TARGET", help="Where to, for instance openvino:cpu:fp32.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write.")
@click.option("--inputs", multiple=True, type=click.Path(path_type=Path), help="npz file with your own inputs; may be repeated.")
@route_option
@click.option("--force", is_flag=True, help="Replace what is in the folder.")
@trust_option
@store_option
@format_option()
def command(
    model: str,
    target: str,
    output: Path,
    inputs: tuple[Path, ...],
    route: str,
    force: bool,
    trust: bool,
    store: str | None,
    form: str,
) -> int:
    """Convert MODEL for a target, check it on every case, and write a folder that deploys without this toolkit.

    The folder gets the artifact, port.json (source, digests, versions, inputs and outputs, tolerance, result), run.py (runs
    it with the backend alone, through backend.py) and sample.npz. Nothing is written unless the check passed. For a target
    that is compiled for only, sample.npz holds what the model should answer there.
    """
    from porting import api
    from porting.cells.jobs import Options
    from porting.cli._progress import progress
    from porting.report.json_ import record

    given, options = list(inputs) or None, Options(route=route)
    with progress(console(stderr=True)) as show:
        result = api.convert(
            model, target, output, given, trust=trust, options=options, store=store, overwrite=force, on_event=show
        )
    if form == "json":
        print_json([record(result)])
    elif exit_code([result]):
        click.echo(f"{result.outcome.value} at {result.stage.value}: {result.message} {result.hint}".strip())
        click.echo(f"Nothing was written. More: porting explain {result.model} {result.target}")
    else:
        click.echo(f"{result.outcome.value}: {result.message}")
        check = f"python {output / 'run.py'}"
        compiled = result.evidence and not result.evidence.ran
        click.echo(f"Wrote {output}. {f'Where the target is, prove it: {check} --check' if compiled else f'Try it: {check}'}")
    return exit_code([result])
