"""What `check`, `report` and `accept` share about expectations: options, where they lie, which models there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import F

if TYPE_CHECKING:
    from porting.api import Setting
    from porting.cells.pipeline import Pipeline
    from porting.expect import Gate
    from porting.expect.file import Book
    from porting.store import Store
    from porting.types import ModelSpec, Result, Target

expect_option = click.option(
    "--expect", type=click.Path(path_type=Path), metavar="DIR", help="Folder of expectation files; implies --gate."
)


def gate_options(function: F) -> F:
    """`--gate`, `--strict`, `--expect`."""
    gate = click.option("--gate", is_flag=True, help="Judge by what was accepted: only what is worse fails.")
    strict = click.option("--strict", is_flag=True, help="Let every finding fail the gate; implies --gate.")
    return gate(strict(expect_option(function)))


def wants_gate(given: dict[str, Any]) -> bool:
    return bool(given["gate"] or given["strict"] or given["expect"])


def open_book(setting: Setting, folder: Path | None) -> Book:
    """The expectations that count here. Raises CatalogError naming file and line, UsageError for a folder that is not there."""
    from porting.expect.file import folder_of, read_folder

    return read_folder(folder_of(setting.project, folder))


def known_models(setting: Setting, store: Store, book: Book) -> Collection[str]:
    """Ids of all models there are: of the catalog, with results, or files and factories that need no entry."""
    return {*setting.catalog.ids(), *(row.model for row in store.matrix()), *book.unlisted(setting.workspace.root)}


class Rerun:
    """Runs single cells of a finished check again, as part of the same run."""

    def __init__(self, setting: Setting, store: Store, specs: Sequence[ModelSpec], run: Pipeline) -> None:
        self._setting, self._store, self._tell, self._run_id = setting, store, run.tell, run.run_id
        self._specs = {spec.id: spec for spec in specs}
        self._options = replace(run.options, rerun=True)

    def __call__(self, cells: Sequence[tuple[str, str]]) -> list[Result]:
        from porting.types import Target

        by_target: dict[Target, list[ModelSpec]] = {}
        for model, target in cells:
            by_target.setdefault(Target.parse(target), []).append(self._specs[model])
        click.echo(f"running {len(cells)} cell{'s' * (len(cells) != 1)} again, which may have failed by chance", err=True)
        with self._setting.pipeline(self._store, self._options, self._tell, self._run_id) as pipeline:
            return [result for target, specs in by_target.items() for result in pipeline.check(specs, [target])]


def judge_check(
    book: Book, setting: Setting, store: Store, results: Sequence[Result], given: dict[str, Any], rerun: Rerun
) -> Gate:
    """The gate of a run that was just done."""
    from porting.expect.judge import judge_run

    known = known_models(setting, store, book)
    return judge_run(results, book, known, given["strict"], given["retries"], rerun)


def cells_without_record(book: Book, results: Sequence[Result], wanted: Callable[[str, str], bool]) -> list[Result]:
    """Cells that expectations name by the model's id, and that have no record, as missing. wanted: by model and target."""
    from porting.report.matrix import missing

    known = {(result.model, result.target) for result in results}
    named = [
        (name, target)
        for target, entries in book.by_target.items()
        for entry in entries
        for name in entry.models
        if not set(name) & set("*?[") and wanted(name, target)
    ]
    return [missing(*cell) for cell in dict.fromkeys(named) if cell not in known]
