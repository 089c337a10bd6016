"""`porting profile`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import format_option, print_json, print_table
from porting.errors import UnknownName

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

SHOWN = 20
"""Names of a difference that are printed; --format json has all."""


@click.group("profile")
def command() -> None:
    """What is known of makers of accelerators: names, dtypes, operators, cards, each with source and date."""


@command.command("list")
@format_option()
def list_(form: str) -> int:
    """Every maker, and what there is to know of it."""
    from porting.accelerators.profile import load

    known = load()
    if form == "json":
        print_json(_record(profile) for profile in known.values())
        return 0
    rows = [
        (name, p.vendor, p.torch.device if p.torch else "-", (p.torch.plugin if p.torch else "") or "-", _list(p), _lacks(p))
        for name, p in known.items()
    ]
    print_table(("name", "maker", "device", "plugin", "operators", "lacks"), rows)
    return 0


@command.command("show")
@click.argument("name")
@format_option()
def show(name: str, form: str) -> int:
    """One maker, every fact with its source."""
    profile = _profile(name)
    if form == "json":
        print_json([_record(profile)])
        return 0
    click.echo(profile.vendor)
    for field in dataclasses.fields(profile)[3:]:
        value = getattr(profile, field.name)
        for each in value if isinstance(value, tuple) else (value,) if value else ():
            click.echo(f"\n{field.name}")
            for key, fact in _facts(each):
                click.echo(f"    {key}: {fact}")
            click.echo(f"    source: {each.source} ({each.date})")
    return 0


def _facts(table: Any) -> list[tuple[str, str]]:
    """What a table says, in words; what it leaves at its default it does not say."""
    found = []
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        if field.name not in ("source", "date") and value != field.default:
            words = (", ".join(map(str, value)) or "nothing") if isinstance(value, tuple) else str(value)
            found.append((field.name.replace("_", " "), words))
    return found


@command.command("build")
@click.argument("name")
@click.option(
    "--from",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The plugin's wheel, its native_functions YAML, or one name a line; may be repeated.",
)
@click.option("--version", "version", default="", help="Of the plugin, where the file does not say.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("profiles"),
    show_default=True,
    help="Folder of your own profiles.",
)
@format_option()
def build(name: str, files: tuple[Path, ...], version: str, output: Path, form: str) -> int:
    """Make a maker's profile anew from the plugin that you have, and show what changed."""
    from porting.accelerators.profile import FOLDER_VARIABLE
    from porting.static.lists import build as make
    from porting.static.lists import difference, names_of, shipped

    base = _profile(name)
    found = shipped(list(files))
    made = make(base, found, version, output)
    before = names_of(base) if base.listed else frozenset()
    changed = difference(before, found.names)
    if form == "json":
        print_json([{"profile": str(made.folder), "operators": len(found.names), **dataclasses.asdict(changed)}])
        return 0
    click.echo(
        f"wrote {made.folder}: {len(found.names)} operators of {made.operators.plugin_version if made.operators else name}"
    )
    if base.listed:
        click.echo(f"against {_list(base)}:")
        _print(changed.added, changed.removed, changed.common)
    click.echo(f"Use it with {FOLDER_VARIABLE}={output}")
    return 0


@command.command("diff")
@click.argument("old")
@click.argument("new")
@format_option()
def diff(old: str, new: str, form: str) -> int:
    """What came and what went between two lists: makers, wheels, YAML files or lists. Exit status 1 when they differ."""
    from porting.static.lists import difference, names_of

    changed = difference(names_of(_meant(old)), names_of(_meant(new)))
    if form == "json":
        print_json([dataclasses.asdict(changed)])
    else:
        _print(changed.added, changed.removed, changed.common)
    return 1 if changed.added or changed.removed else 0


def _meant(text: str) -> Profile | Path:
    return Path(text) if Path(text).is_file() else _profile(text)


def _profile(name: str) -> Profile:
    from porting.accelerators.profile import find, load

    known = load()
    found = find(name, known)
    if found is None:
        raise UnknownName("accelerator", name, list(known), "porting profile list shows all.")
    return found


def _print(added: tuple[str, ...], removed: tuple[str, ...], common: int) -> None:
    click.echo(f"{len(added)} came, {len(removed)} went, {common} stayed")
    for sign, names in (("+", added), ("-", removed)):
        for name in names[:SHOWN]:
            click.echo(f"  {sign} {name}")
        if len(names) > SHOWN:
            click.echo(f"  {sign} and {len(names) - SHOWN} more")


def _list(profile: Profile) -> str:
    return profile.operators.plugin_version or profile.operators.list if profile.operators and profile.operators.list else "-"


def _lacks(profile: Profile) -> str:
    return ", ".join(profile.dtypes.lacks) or "nothing" if profile.dtypes else "-"


def _record(profile: Profile) -> dict[str, Any]:
    record = {**dataclasses.asdict(profile), "folder": str(profile.folder)}
    return {key: _plain(value) for key, value in record.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
