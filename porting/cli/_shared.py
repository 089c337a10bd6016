"""What several commands share: options, output, the matrix that reports are made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from porting.api import Setting, TargetState
    from porting.expect import Gate
    from porting.records.story import Story
    from porting.report import Matrix
    from porting.store import Store
    from porting.types import ModelSpec, Result

F = TypeVar("F", bound=Callable[..., Any])


def format_option(*more: str) -> Callable[[F], F]:
    """`--format`: table for people, json for programs, and what else the command writes."""
    return click.option("--format", "form", type=click.Choice(["table", "json", *more]), default="table", help="Output format.")


store_option = click.option("--store", metavar="URL", help="Result store: a path or a database URL.")
trust_option = click.option("--trust", is_flag=True, help="Allow pickles and code from the model's own files.")


def _route(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """A route as it was typed. Raises UsageError for a change that nobody knows."""
    from porting import routes

    routes.check(text)
    return text


route_option = click.option(
    "--route",
    default="",
    metavar="CHANGE+...",
    callback=_route,
    help="The one route to take, such as attention=eager or usual; see porting routes.",
)

REPORTS = ("markdown", "comment", "github", "junit", "csv", "badge")
"""Forms of a matrix besides the table and JSON."""


def _writes(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> list[tuple[str, str]]:
    """Read FORM=FILE."""
    pairs = []
    for text in given:
        form, _, file = text.partition("=")
        if form not in ("json", *REPORTS) or not file:
            raise click.BadParameter(f"write it FORM=FILE with one of {', '.join(('json', *REPORTS))}; got {text!r}.")
        pairs.append((form, file))
    return pairs


writes_option = click.option(
    "--write",
    "writes",
    multiple=True,
    metavar="FORM=FILE",
    callback=_writes,
    help=f"Write a report besides: json, {', '.join(REPORTS)}; - is standard output. May be repeated.",
)


def print_json(objects: Iterable[Any]) -> None:
    """One JSON array on standard output and nothing else there."""
    from porting.serialization import to_json

    click.echo(json.dumps([to_json(o) for o in objects], ensure_ascii=False, indent=1))


def console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=True)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns, nothing cut or wrapped, so that they can be searched and piped."""
    lines = [tuple(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def exit_code(results: Iterable[Result], planned: int | None = None) -> int:
    """0 when every cell passed (or was skipped), 1 when one failed, 3 when one says nothing about its model or is missing."""
    from porting.types import Outcome

    found = list(results)
    rest = [r for r in found if r.outcome not in (Outcome.PASS, Outcome.DEGRADED, Outcome.SKIPPED)]
    if not all(_of_the_rig(r) for r in rest):
        return 1
    return 3 if rest or (planned is not None and planned > len(found)) else 0


def _of_the_rig(result: Result) -> bool:
    from porting.types import INFRASTRUCTURE, Outcome

    return result.cause in INFRASTRUCTURE or result.outcome in (Outcome.UNAVAILABLE, Outcome.MISSING)


def matrix_of(
    specs: Sequence[ModelSpec],
    states: Sequence[TargetState],
    results: Iterable[Result],
    gate: Gate | None = None,
    story: Story | None = None,
) -> Matrix:
    """The input of every report. specs, states: what was planned."""
    from porting._version import VERSION
    from porting.cells.jobs import utc_now
    from porting.report import Matrix, ModelRow, TargetColumn

    found = {(r.model, r.target): r for r in results}
    rows = tuple(ModelRow(s.id, s.family, s.task, "+".join(s.modalities), s.house, s.params, _origin(s)) for s in specs)
    columns = tuple(TargetColumn(str(s.target), s.evidence, s.available, s.reason) for s in states)
    return Matrix(rows, columns, found, generated=utc_now(), versions={"porting": VERSION}, gate=gate, story=story)


def story_of(
    setting: Setting, store: Store, specs: Iterable[ModelSpec], results: Sequence[Result], since: str | None = None
) -> Story:
    """What the pages tell beside the present state."""
    from porting.records.story import tell

    return tell(store, results, {spec.id: spec.params for spec in specs if spec.params}, since, setting.workspace)


def _origin(spec: ModelSpec) -> str:
    from pathlib import Path

    from porting.expect.file import shown

    return shown(Path(spec.origin)) if spec.origin else ""
