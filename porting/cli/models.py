"""`porting models list|show|validate|build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import console, format_option, print_json, print_table, trust_option

if TYPE_CHECKING:
    from porting.catalog.measured import Measured
    from porting.types import ModelSpec


@click.group("models")
def command() -> None:
    """List, show, validate and build the catalog."""


@command.command("list")
@click.argument("patterns", nargs=-1, metavar="[GLOB]...")
@click.option("--tier", help="Only this tier: smoke, ci, nightly, full.")
@format_option()
def list_(patterns: tuple[str, ...], tier: str | None, form: str) -> None:
    """List models, those of porting.toml included, with what building them has shown."""
    from porting.api import models
    from porting.catalog.measured import known
    from porting.workspace import Workspace

    found, records = models(patterns, tier), known(Workspace.find())
    if form == "json":
        print_json(_facts(spec, records.get(spec.id)) for spec in found)
        return
    rows = [(s.id, s.family, s.task, s.house, *_shown(s, records.get(s.id)), _tiers(s)) for s in found]
    print_table(("model", "family", "task", "house", "parameters", "reference", "tiers"), rows)
    sound, idle = sum(s.id in records and records[s.id].sound for s in found), sum(bool(s.cannot) for s in found)
    click.echo(f"{len(found)} models; {sound} with a reference that was found sound, {idle} that cannot be built")


@command.command("show")
@click.argument("model")
@format_option()
def show(model: str, form: str) -> None:
    """Show one entry whole: how it is built, its metadata, where it is defined, and what building it has shown."""
    from porting.api import Setting
    from porting.catalog.measured import known
    from porting.serialization import to_json

    setting = Setting.find()
    spec = setting.catalog.get(model)
    record = known(setting.workspace).get(spec.id)
    if form == "json":
        print_json([{**to_json(spec), "measured": to_json(record)}])
        return
    data = to_json(spec) | ({f"measured {key}": value for key, value in to_json(record).items()} if record else {})
    print_table(("field", "value"), [(key, _text(value)) for key, value in data.items() if value not in (None, "", [], {})])


@command.command("build")
@click.argument("patterns", nargs=-1, metavar="[MODEL]...")
@click.option("--tier", help="Only this tier: smoke, ci, nightly, full.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File of records; by default measured.jsonl in .porting."
)
@click.option("--rerun", is_flag=True, help="Build what has a record of the same contents, too.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Jobs at a time; 0 is one a core.")
@click.option("--timeout", type=float, default=600.0, help="Wall seconds after which a model is given up.")
@trust_option
@format_option()
def build(patterns: tuple[str, ...], out: Path | None, form: str, **given: Any) -> int:
    """Build models and run their references on this machine's CPU, and record what that shows: architecture, parameters,
    inputs that count, axes that vary, cost, and whether the reference can tell right from wrong. Exports nothing. A run that
    was killed goes on where it was."""
    from porting.api import Setting
    from porting.catalog import measured
    from porting.catalog.health import Health
    from porting.cells.jobs import Options
    from porting.cli._progress import progress
    from porting.workers.runner import Limits

    setting = Setting.find()
    specs = setting.resolve(patterns, given["tier"], given["trust"])
    path = out or measured.own(setting.workspace)
    options = Options(Limits(seconds=given["timeout"]), given["workers"])
    with progress(console(stderr=True)) as tell, setting.pipeline(None, options, tell) as pipeline:
        records = Health(pipeline, path).build(specs, given["rerun"])
    measured.tidy(path)
    if form == "json":
        print_json(records)
    else:
        print_table(("model", "reference", "why"), [(r.model, r.status, r.message) for r in records if not r.sound])
        click.echo(f"{len(records)} models, {sum(r.sound for r in records)} with a sound reference; recorded in {path}")
    return 0 if all(record.sound for record in records) else 1


@command.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@format_option()
def validate(paths: tuple[Path, ...], form: str) -> int:
    """Check catalog and expectation files without building anything; PATHS are files or folders, by default the whole catalog,
    the porting.toml of this folder and its expectations."""
    from porting import catalog
    from porting.catalog.project import check_project
    from porting.catalog.validity import validate as find_problems
    from porting.expect.file import folder_of
    from porting.workspace import Workspace

    own = Workspace.find().config
    expectations = sorted(folder_of(check_project(own)[0] if own else None).glob("*.toml"))
    problems = find_problems(list(paths) or [*catalog.catalog_files(), *([own] if own else []), *expectations])
    if form == "json":
        print_json({"file": str(p.file), "line": p.line, "message": p.message, "hint": p.hint} for p in problems)
    else:
        for problem in problems:
            click.echo(str(problem))
        click.echo(f"{len(problems)} problems" if problems else "the catalog is valid")
    return 2 if problems else 0


@command.command("keys")
@format_option()
def keys(form: str) -> None:
    """Show the content key of every model and adapter: it changes when anything that results depend on does, and only then. For
    caches in CI, and for `check --changed`."""
    from porting.api import Setting
    from porting.cells.changed import ADAPTER, MODEL, keys_here

    found = keys_here(Setting.find())
    rows = [(MODEL, *pair) for pair in found.models.items()] + [(ADAPTER, *pair) for pair in found.adapters.items()]
    if form == "json":
        print_json({"kind": kind, "id": name, "key": key} for kind, name, key in rows)
        return
    print_table(("kind", "id", "key"), rows)


def _facts(spec: ModelSpec, record: Measured | None) -> dict[str, Any]:
    """An entry and its record, as one flat object."""
    keys = (
        "id",
        "family",
        "house",
        "task",
        "modalities",
        "source",
        "license",
        "license_weights",
        "weights",
        "params",
        "tiers",
        "cannot",
    )
    measured = ("status", "message", "architecture", "full_params", "inputs", "axes", "notes", "cpu_seconds", "peak_rss_bytes",
                "versions", "date")  # fmt: skip
    facts = {key: getattr(spec, key) for key in keys} | {key: getattr(record, key) if record else None for key in measured}
    return facts | {"params": spec.params or (record.params if record else None)}


def _tiers(spec: ModelSpec) -> str:
    return f"cannot: {spec.cannot}" if spec.cannot else " ".join(spec.tiers)


def _shown(spec: ModelSpec, record: Measured | None) -> tuple[str, str]:
    return _size(spec.params or (record.params if record else None)), record.status if record else ""


def _size(params: int | None) -> str:
    if params is None:
        return ""
    return f"{params / 1e6:.1f} M" if params >= 1e5 else f"{params / 1e3:.0f} k"


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
