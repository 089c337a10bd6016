"""`porting explain`."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from porting.cli._shared import format_option, print_json, store_option

if TYPE_CHECKING:
    from porting.store import Store


def _meant(records: Store, model: str) -> str:
    """The model's id in the records: a path may be written in more ways than one."""
    return next((name for name in (model, PurePath(model).as_posix()) if records.latest([name])), model)


def _advice(records: Store, model: str, target: str) -> str:
    from porting.errors import near_names

    recorded = list(dict.fromkeys(row.model for row in records.matrix()))
    near = [] if model in recorded else near_names(model, recorded)
    meant = f"Did you mean {', '.join(near)}? " if near else ""
    return f"{meant}Make one: porting check {model} --on {target}"


@click.command("explain")
@click.argument("model")
@click.argument("target")
@click.option("--log", is_flag=True, help="Print the whole log instead.")
@store_option
@format_option()
def command(model: str, target: str, log: bool, store: str | None, form: str) -> int:
    """Tell what happened to MODEL on TARGET: stages, numbers, placement, log and the command that does it again."""
    from porting.api import Setting
    from porting.diagnose.known import known_of
    from porting.diagnose.notes import LOCATED, recall, smallest
    from porting.errors import UsageError
    from porting.records.history import intervals, turn
    from porting.report.explain import text_of
    from porting.report.json_ import record
    from porting.report.words import printable_lines
    from porting.serialization import to_json

    setting = Setting.find(store=store)
    with setting.open_store() as records:
        model = _meant(records, model)
        found = records.latest([model], [target])
        if not found:
            raise UsageError(f"no result for {model} on {target}.", _advice(records, model, target))
        history = records.history(model, target)
        since = turn(intervals(history[::-1], records))
        whole = records.log_text(found[0].log) if log and found[0].log else None
    result, cell = found[0], (found[0].model, found[0].target)
    if form == "json":
        located = recall(setting.workspace, LOCATED, result.key)
        case = smallest(setting.workspace, [result]).get(cell)
        print_json([{**record(result), "located": located, "reduced": to_json(case), "since": to_json(since)}])
    elif log:
        click.echo(printable_lines(whole or result.log_tail or "nothing was printed"))
    else:
        known = known_of(setting.workspace, [result]).get(cell)
        click.echo(printable_lines(text_of(result, len(history), known, since)))
    return 0
