"""`porting numerics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import console, format_option, print_json, print_table, store_option, trust_option

if TYPE_CHECKING:
    from porting.api import Setting
    from porting.confusion.survey import Plan, Survey
    from porting.types import ModelSpec

FAILED, INCOMPLETE = 1, 3


@click.command("numerics")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--tier", help="Only models of this tier; smoke where no model is named.")
@click.option("--faults", type=click.Choice(["answers", "model", "all"]), default="all", help="What to plant, and where.")
@click.option("--precision", multiple=True, metavar="P", help="fp32, fp16 or bf16; may be repeated. All three without it.")
@click.option("--factor", type=float, help="Try this factor on the noise, at the precisions looked at.")
@click.option("--floor", type=float, help="Try this floor.")
@click.option("--ceiling", type=float, help="Try this ceiling.")
@click.option("--flips", type=float, help="Try this share of integers that may differ.")
@click.option("--rebuild", is_flag=True, help="Build models and references anew.")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Jobs at a time; 0 is one a core.")
@click.option("--timeout", type=float, default=1800.0, help="Wall seconds after which a job is ended.")
@trust_option
@store_option
@format_option()
def command(models: tuple[str, ...], form: str, **given: Any) -> int:
    """Show what the pass rule catches, and how close right results come to it.

    Wrong answers are planted in what eager PyTorch answers, and faults inside the model; the table counts which the rule
    catches at each precision. With --factor, --floor, --ceiling or --flips the table is that of the changed rule, and what
    it judges otherwise is listed. Exit status 1: something passes that has to be caught, or the other way round.
    """
    from porting.api import Setting
    from porting.confusion.survey import survey

    setting = Setting.find(store=given["store"])
    specs = _specs(setting, models, given["tier"], given["trust"])
    plan = _plan(given)
    out = console(stderr=True)

    def show(spec: ModelSpec, one: Survey, done: int) -> None:
        out.print(f"[{done}/{len(specs)}] {spec.id}: {len(one.trials)} trials" + "".join(f"; {why}" for why in one.lost))

    with setting.open_store() as store, setting.pipeline(None, _options(given)) as pipeline:
        found = survey(pipeline, specs, plan, store, show)
    (_print_json if form == "json" else _print_tables)(found, plan)
    return _status(found)


def _specs(setting: Setting, models: Sequence[str], tier: str | None, trust: bool) -> list[ModelSpec]:
    if not models and not tier and not (setting.project and setting.project.models):
        tier = "smoke"
    return setting.resolve(models, tier, trust)


def _plan(given: dict[str, Any]) -> Plan:
    from porting.confusion.survey import Plan
    from porting.confusion.trial import PRECISIONS, rule_sets

    known = {p.value: p for p in PRECISIONS}
    unknown = [name for name in given["precision"] if name not in known]
    if unknown:
        raise click.UsageError(f"--precision takes {', '.join(known)}; got {unknown[0]!r}.")
    chosen = tuple(p for name, p in known.items() if name in given["precision"]) or PRECISIONS
    sets = rule_sets({name: given[name] for name in ("factor", "floor", "ceiling", "flips")}, chosen)
    return Plan(chosen, sets, given["faults"] != "model", given["faults"] != "answers")


def _options(given: dict[str, Any]) -> Any:
    from porting.cells.jobs import Options
    from porting.workers.runner import Limits

    return Options(Limits(seconds=given["timeout"]), given["workers"], rebuild=given["rebuild"])


def _status(found: Survey) -> int:
    from porting.confusion import table

    if any(cell.wrong for cell in table.cells(found.trials)):
        return FAILED
    return INCOMPLETE if found.lost else 0


def _print_json(found: Survey, _plan: Plan) -> None:
    from porting.confusion import table
    from porting.confusion.survey import outcomes_differ

    rows = [cell.to_json() for cell in table.cells(found.trials)]
    rows += [table.margin_to_json(margin) for margin in found.margins]
    rows += [table.change_to_json(trial) for trial in outcomes_differ(found.trials)]
    print_json([*rows, *({"kind": "note", "message": note} for note in (*found.lost, *found.notes))])


def _print_tables(found: Survey, plan: Plan) -> None:
    from porting.confusion import table

    counted = table.cells(found.trials)
    precisions = [p.value for p in plan.precisions]
    _print_rules(plan)
    for kind, head in (("answer", "planted in the answer"), ("fault", "planted in the model")):
        rows = table.lines(counted, kind, plan.precisions)
        if rows:
            click.echo()
            print_table((head, *precisions), rows)
    if found.margins:
        click.echo()
        print_table(("right results", "of", "number", "median", "most", "over", "where"), table.margin_lines(found.margins))
        click.echo("Their largest error over what is allowed: median and most of all models; over: how many would fail.")
    _print_changes(found, plan)
    _print_wrong(counted)
    for note in (*found.lost, *found.notes):
        click.echo(f"Note: {note}", err=True)


def _print_rules(plan: Plan) -> None:
    for precision in plan.precisions:
        rules = [rules[precision] for rules in plan.rule_sets]
        words = [f"factor {r.factor:g}, floor {r.floor:g}, ceiling {r.ceiling:g}, flips {r.flips:g}" for r in rules]
        click.echo(f"{precision.value}: {words[-1]}" + (f" (now: {words[0]})" if len(words) > 1 else ""))


def _print_changes(found: Survey, plan: Plan) -> None:
    from porting.confusion.survey import outcomes_differ

    if len(plan.rule_sets) < 2:
        return
    changed = outcomes_differ(found.trials)
    click.echo(f"\n{len(changed)} of {len(found.trials)} trials are judged otherwise than by the rule as it is.")
    if changed:
        rows = [(t.planted, t.precision.value, t.model, t.outcomes[0], t.outcomes[-1]) for t in changed]
        print_table(("planted", "precision", "model", "now", "then"), rows)


def _print_wrong(counted: Sequence[Any]) -> None:
    wrong = [cell for cell in counted if cell.wrong]
    if wrong:
        click.echo("\nNot as they have to be:")
        print_table(
            ("planted", "precision", "has to be", "is not in"),
            [(c.planted, c.precision.value, c.expected, ", ".join(c.wrong)) for c in wrong],
        )
