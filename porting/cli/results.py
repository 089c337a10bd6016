"""`porting results export|import|compact`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from porting.cli._shared import store_option

if TYPE_CHECKING:
    from porting.store import Imported, Store


@click.group("results")
def command() -> None:
    """Export and import recorded results as JSON Lines, signed where wanted; make a store smaller."""


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-")
@click.option("--on", "targets", metavar="TARGET,...", help="Only results of these targets or globs.")
@click.option("--latest", is_flag=True, help="Of every cell the latest result alone.")
@click.option("--logs/--no-logs", default=True, help="With the logs.")
@click.option("--redact", is_flag=True, help="Without the logs and a machine's paths, to be published.")
@click.option("--hide", multiple=True, metavar="WORD", help="Leave this out, too, a host or a serial number; may be repeated.")
@click.option("--sign", type=click.Path(path_type=Path), metavar="KEY", help="Sign with this private Ed25519 key.")
@store_option
def export(
    file: Path,
    targets: str | None,
    latest: bool,
    logs: bool,
    redact: bool,
    hide: tuple[str, ...],
    sign: Path | None,
    store: str | None,
) -> None:
    """Write every result to FILE, or to standard output; the same results always make the same bytes. What ends in .xz is
    compressed. A key for --sign is one that `ssh-keygen -t ed25519` makes."""
    from porting.api import Setting
    from porting.store.jsonl import opened
    from porting.store.redaction import redaction
    from porting.store.signing import Hashed, private_key
    from porting.workspace import disk_errors

    setting = Setting.find(store=store)
    key = private_key(sign) if sign else None
    logs, words = logs and not (redact or hide), setting.workspace.places() if redact else {}
    words |= dict.fromkeys(hide, "HIDDEN")

    def write(stream: IO[bytes]) -> int:
        hashed = Hashed(stream)
        count = records.export_jsonl(hashed, logs=logs, targets=chosen, latest=latest, change=redaction(words, elsewhere=redact))
        if key:
            hashed.sign(key)
        return count

    with setting.open_store() as records:
        chosen = None if targets is None else _recorded_targets(records, targets)
        if str(file) == "-":
            write(sys.stdout.buffer)
            return
        part = file.with_name(f".part.{file.name}")
        with disk_errors(file):
            with opened(part, "wb") as stream:
                count = write(stream)
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
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--verify", type=click.Path(path_type=Path), metavar="KEYS", help="Only if signed with one of these public keys.")
@store_option
def import_(files: tuple[Path, ...], verify: Path | None, store: str | None) -> None:
    """Read results from FILE after FILE, or from standard input. All of a file or, when one result is not valid, none; the files
    before it stay imported. What is signed has to be as it was signed; with --verify it has to be signed by a key of that file,
    one a line: ssh-ed25519 AAAA... NAME."""
    from porting.api import Setting
    from porting.store.signing import trusted_keys

    trusted = trusted_keys(verify) if verify else None
    with Setting.find(store=store).open_store() as records:
        for file in files or (Path("-"),):
            found, signer = _imported(records, file, trusted)
            where = f"{file}: " if len(files) > 1 else ""
            signed = f", signed by {signer}" if signer else ""
            click.echo(f"{where}{found.new} new results, {found.known} known already{signed}")


def _imported(records: Store, file: Path, trusted: Mapping[str, str] | None) -> tuple[Imported, str]:
    """What a file, or for "-" standard input, added to the store, and who signed it."""
    from porting.store.jsonl import import_file
    from porting.store.signing import Checked

    if str(file) != "-":
        return import_file(records, file, trusted)
    lines = Checked(sys.stdin.buffer, "standard input", trusted)
    return records.import_jsonl(lines, lines.name), lines.signer


@command.command("compact")
@click.option("--keep", metavar="DAYS", type=click.FloatRange(min=0), default=90.0, show_default=True, help="All of these days.")
@click.option("--trial", is_flag=True, help="Change nothing, say what would go.")
@store_option
def compact(keep: float, trial: bool, store: str | None) -> None:
    """Remove old results that say the same as those before and after them, with the same versions.

    Of such a line the first and the last stay: since when a cell passes or fails, and what moved when that changed, are told as
    before. Runs that began before the kept days are forgotten: they cannot be compared any more.
    """
    from datetime import datetime, timedelta, timezone

    from porting.api import Setting

    before = (datetime.now(timezone.utc) - timedelta(days=keep)).isoformat(timespec="microseconds")
    with Setting.find(store=store).open_store() as records:
        found = records.compact(before, trial)
    would = "would be " if trial else ""
    click.echo(f"{found.results} results, {found.runs} runs and {found.logs} logs {would}removed; {found.kept} results stay")
