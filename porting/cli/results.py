"""`porting results export|import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porting.cli._shared import store_option

if TYPE_CHECKING:
    from porting.store import Store


@click.group("results")
def command() -> None:
    """Export and import recorded results as JSON Lines."""


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@click.option("--on", "targets", metavar="TARGET,...", help="Only results of these targets or globs.")
@click.option("--latest", is_flag=True, help="Of every cell the latest result alone.")
@click.option("--logs/--no-logs", default=True, help="With the logs.")
@click.option("--redact", is_flag=True, help="Without the logs and this machine's paths, to be published.")
@store_option
def export(file: Path, targets: str | None, latest: bool, logs: bool, redact: bool, store: str | None) -> None:
    """Write every result to FILE, or to standard output; the same results always make the same bytes. What ends in .xz is
    compressed."""
    from porting.api import Setting
    from porting.store.jsonl import opened
    from porting.workspace import disk_errors

    setting = Setting.find(store=store)
    logs, words = logs and not redact, setting.workspace.places() if redact else {}
    with setting.open_store() as records:
        chosen = None if targets is None else _recorded_targets(records, targets)
        if str(file) == "-":
            records.export_jsonl(sys.stdout.buffer, logs=logs, targets=chosen, latest=latest, words=words)
            return
        part = file.with_name(f".part.{file.name}")
        with disk_errors(file):
            with opened(part, "wb") as stream:
                count = records.export_jsonl(stream, logs=logs, targets=chosen, latest=latest, words=words)
            part.replace(file)
    click.echo(f"{count} results written to {file}", err=True)


def _recorded_targets(records: Store, patterns: str) -> list[str]:
    """The targets with results that names or globs mean. Raises UsageError for one that means none."""
    import fnmatch

    from porting.errors import UsageError

    known = sorted({row.target for row in records.matrix()})
    found: list[str] = []
    for pattern in patterns.split(","):
        meant = fnmatch.filter(known, pattern)
        if not meant:
            raise UsageError(
                f"there is no result of a target {pattern!r}.", f"There are results of: {', '.join(known) or 'none'}."
            )
        found += meant
    return found


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@store_option
def import_(file: Path, store: str | None) -> None:
    """Read results from FILE, or from standard input. All of them or, when one is not valid, none."""
    from porting.api import Setting
    from porting.store.jsonl import import_file

    with Setting.find(store=store).open_store() as records:
        if str(file) == "-":
            found = records.import_jsonl(sys.stdin.buffer, "standard input")
        else:
            found = import_file(records, file)
    click.echo(f"{found.new} new results, {found.known} known already")
