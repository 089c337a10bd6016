"""`porting results export|import`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from porting.cli._shared import store_option


@click.group("results")
def command() -> None:
    """Export and import recorded results as JSON Lines."""


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@click.option("--logs/--no-logs", default=True, help="With the logs.")
@store_option
def export(file: Path, logs: bool, store: str | None) -> None:
    """Write every result to FILE, or to standard output; the same results always make the same bytes."""
    from porting.api import Setting
    from porting.workspace import disk_errors

    with Setting.find(store=store).open_store() as records:
        if str(file) == "-":
            records.export_jsonl(sys.stdout.buffer, logs=logs)
            return
        part = file.with_name(file.name + ".part")
        with disk_errors(file):
            with open(part, "wb") as stream:
                count = records.export_jsonl(stream, logs=logs)
            part.replace(file)
    click.echo(f"{count} results written to {file}", err=True)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@store_option
def import_(file: Path, store: str | None) -> None:
    """Read results from FILE, or from standard input. All of them or, when one is not valid, none."""
    from porting.api import Setting
    from porting.errors import UsageError

    with Setting.find(store=store).open_store() as records:
        if str(file) == "-":
            found = records.import_jsonl(sys.stdin.buffer, "standard input")
        else:
            try:
                stream = open(file, "rb")  # noqa: SIM115 -- closed below; the error of opening has its own words
            except OSError as error:
                raise UsageError(f"cannot read {file}: {error.strerror}.") from error
            with stream:
                found = records.import_jsonl(stream, str(file))
    click.echo(f"{found.new} new results, {found.known} known already")
