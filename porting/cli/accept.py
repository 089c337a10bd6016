"""`porting accept`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.cli._gate import known_models, open_book
from porting.cli._shared import format_option, print_json, store_option

if TYPE_CHECKING:
    from porting.expect.accept import Edit, Grounds, Plan
    from porting.expect.entry import Observed
    from porting.store import Store
    from porting.types import Result


@click.command("accept")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--on", "on", multiple=True, metavar="TARGET,...", help="Only these targets, or globs.")
@click.option("--from", "source", metavar="RESULTS", help="Results of an exported file or another store.")
@click.option("--reason", default="", help="Why the failures among them are accepted.")
@click.option("--owner", type=click.Choice(["ours", "upstream", "never"]), help="Who would mend them.")
@click.option("--link", default="", metavar="URL", help="Where it is discussed.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The last day on which they count as accepted.")
@click.option(
    "--when",
    "conditions",
    multiple=True,
    metavar="VERSION",
    help="Only where it is so: 'openvino>=2026.4'; the rest stays. Repeat.",
)
@click.option("--flaky", is_flag=True, help="Accept as flaky what passed and failed with the same contents, with its rate.")
@click.option("--prune", is_flag=True, help="Take out models that nothing is known of.")
@click.option("--write", is_flag=True, help="Change the files, instead of showing how they would change.")
@click.option("--expect", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder of expectation files.")
@store_option
@format_option()
def command(models: tuple[str, ...], form: str, **given: Any) -> int:
    """Accept the latest recorded results as expectations: prints a patch, and with --write applies it.

    MODEL is an id or a glob. What passes is taken as it is; a failure, or a pass on weaker evidence, needs --reason and --owner
    and is left out without. An expired entry keeps its reason with --expires alone. What says nothing about a model is never
    accepted.

    Exit status: 0 when everything is accepted, 1 when a failure was left out.
    """
    from porting.api import Setting
    from porting.expect.accept import edits, plan
    from porting.expect.judge import judge
    from porting.records.recorded import store_of

    grounds = _grounds(given)
    setting = Setting.find(store=given["store"])
    folder = given["expect"]
    if folder is not None and given["write"]:
        folder.mkdir(parents=True, exist_ok=True)
    with store_of(given["source"], setting) as records:
        book = open_book(setting, folder)
        results = _chosen(records, models, [p for text in given["on"] for p in text.split(",") if p], grounds.when or {})
        gate = judge(results, book, known_models(setting, records, book))
        flaky = _flaky(records, results) if given["flaky"] else {}
    planned = plan(gate, grounds, flaky)
    made = edits(book, planned, gate, gate.stale if given["prune"] else (), whole=not models)
    if given["write"]:
        _write(made)
    if form == "json":
        print_json(_records(planned))
    elif not given["write"]:
        click.echo("".join(edit.diff for edit in made), nl=False)
    _tell(planned, made, given["write"])
    return 1 if planned.ungrounded else 0


def _grounds(given: dict[str, Any]) -> Grounds:
    from porting.errors import UsageError
    from porting.expect.accept import Grounds

    reason, owner, expires = given["reason"].strip(), given["owner"] or "", given["expires"]
    if bool(reason) != bool(owner):
        raise UsageError("a failure is accepted with --reason and --owner, both.", "Say why, and who would mend it.")
    if given["link"] and not given["link"].startswith(("https://", "http://")):
        raise UsageError(f"--link is an address; got {given['link']!r}.", "Write it with https://.")
    return Grounds(reason, owner, given["link"], _day(expires), _conditions(given["conditions"]))


def _conditions(texts: Collection[str]) -> dict[str, str]:
    """Conditions by key of the environment."""
    from porting.errors import UsageError
    from porting.records.recorded import version_of

    found = {}
    for text in texts:
        version = version_of(text)
        if version is None:
            raise UsageError(f"{text!r} is no condition.", "Write it as 'openvino>=2026.4,<2027' or openvino=2026.4.")
        found[version[0]] = version[1]
    return found


def _day(expires: datetime | None) -> date | None:
    from porting.errors import UsageError
    from porting.expect.judge import today

    if expires is not None and expires.date() < today():
        raise UsageError(f"--expires {expires.date().isoformat()} is past.", "Name a day to come.")
    return expires.date() if expires else None


def _chosen(records: Store, models: Collection[str], targets: Collection[str], when: Mapping[str, str]) -> list[Result]:
    from fnmatch import fnmatchcase

    from porting.errors import UsageError
    from porting.expect.versions import holds
    from porting.operators import is_case

    found = [
        result
        for result in records.latest()
        if (any(fnmatchcase(result.model, m) for m in models) if models else not is_case(result.model))
        and (not targets or any(fnmatchcase(result.target, p) for p in targets))
        and all(key in result.environment and holds(condition, result.environment[key]) for key, condition in when.items())
    ]
    if not found:
        raise UsageError("there are no results to accept.", "Make some with porting check.")
    return found


def _flaky(records: Store, results: Collection[Result]) -> dict[tuple[str, str], tuple[Result, Observed]]:
    """Cells that came to a pass and to a failure with the same contents."""
    from porting.expect.accept import observed_rate

    found = {}
    for result in results:
        rows = [row for row in records.history(result.model, result.target) if row.key == result.key]
        if len({row.outcome for row in rows}) > 1:
            past = [one for row in reversed(rows) if (one := records.get(row.record))]
            rate = observed_rate(past)
            if rate:
                found[result.model, result.target] = rate
    return found


def _write(made: Collection[Edit]) -> None:
    from porting.workspace import atomic_write, disk_errors

    for edit in made:
        with disk_errors(edit.path):
            edit.path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(edit.path, edit.after.encode())


def _records(planned: Plan) -> list[dict[str, Any]]:
    """What is accepted and what is not, for programs."""
    rows = [(judged, True, entry) for judged, entry in planned.wanted]
    rows += [(judged, False, None) for judged in (*planned.ungrounded, *planned.silent)]  # type: ignore[misc]
    return [
        {
            "model": judged.result.model,
            "target": judged.result.target,
            "judgement": judged.judgement.value,
            "outcome": judged.result.outcome.value,
            "accepted": accepted,
            "reason": entry.reason if entry else "",
            "owner": entry.owner if entry else "",
        }
        for judged, accepted, entry in rows
    ]


def _tell(planned: Plan, made: Collection[Edit], written: bool) -> None:
    for judged in planned.ungrounded:
        cell = f"{judged.result.model} on {judged.result.target}"
        text = (
            f"left out: {cell}: {judged.judgement.value}, {judged.result.outcome.value}; accepting it takes --reason and --owner"
        )
        click.echo(text, err=True)
    for judged in planned.silent:
        click.echo(f"left out: {judged.result.model} on {judged.result.target}: {judged.detail}", err=True)
    files = ", ".join(edit.path.name for edit in made) or "no file"
    does = "written" if written else "would change with --write"
    click.echo(f"{len(planned.wanted)} accepted, {len(planned.ungrounded)} left out; {files} {does}", err=True)
