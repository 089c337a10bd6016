"""`porting models list|show|validate`."""

from __future__ import annotations

from pathlib import Path

import click

from porting.cli._shared import format_option, print_json, print_table


@click.group("models")
def command() -> None:
    """List, show and validate the catalog."""


@command.command("list")
@click.argument("patterns", nargs=-1, metavar="[GLOB]...")
@click.option("--tier", help="Only this tier: smoke, ci, nightly, full.")
@format_option()
def list_(patterns: tuple[str, ...], tier: str | None, form: str) -> None:
    """List models, those of porting.toml included."""
    from porting.api import models

    found = models(patterns, tier)
    if form == "json":
        keys = ("id", "family", "task", "source", "params", "tiers")
        print_json({key: getattr(spec, key) for key in keys} for spec in found)
        return
    rows = [(s.id, s.family, s.task, s.house, _size(s.params), " ".join(s.tiers)) for s in found]
    print_table(("model", "family", "task", "house", "parameters", "tiers"), rows)
    click.echo(f"{len(found)} models")


@command.command("show")
@click.argument("model")
@format_option()
def show(model: str, form: str) -> None:
    """Show one entry whole: how it is built, its metadata, where it is defined."""
    from porting.api import Setting
    from porting.types import to_json

    spec = Setting.find().catalog.get(model)
    data = to_json(spec)
    if form == "json":
        print_json([spec])
        return
    print_table(("field", "value"), [(key, _text(value)) for key, value in data.items() if value not in (None, "", [], {})])


@command.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@format_option()
def validate(paths: tuple[Path, ...], form: str) -> int:
    """Check catalog files without building anything; PATHS are files or folders, by default the whole catalog and the
    porting.toml of this folder."""
    from porting import catalog
    from porting.workspace import Workspace

    own = Workspace.find().config
    problems = catalog.validate(list(paths) or [*catalog.catalog_files(), *([own] if own else [])])
    if form == "json":
        print_json({"file": str(p.file), "line": p.line, "message": p.message, "hint": p.hint} for p in problems)
    else:
        for problem in problems:
            click.echo(str(problem))
        click.echo(f"{len(problems)} problems" if problems else "the catalog is valid")
    return 2 if problems else 0


def _size(params: int | None) -> str:
    if params is None:
        return ""
    return f"{params / 1e6:.1f} M" if params >= 1e5 else f"{params / 1e3:.0f} k"


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
