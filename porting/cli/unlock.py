"""`porting unlock`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from porting.cli._shared import format_option, print_json, print_table, store_option

if TYPE_CHECKING:
    from porting.diagnose.unlock import Plan, Remedy


NAME = 64
"""Characters of what a table says; json has all."""


@click.command("unlock")
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--top", type=click.IntRange(min=1), default=20, help="Remedies that the table shows; json has all.")
@click.option("--steps", type=click.IntRange(min=1), default=5, help="Steps of each target's plan.")
@store_option
@format_option()
def command(targets: tuple[str, ...], top: int, steps: int, store: str | None, form: str) -> int:
    """Tell which single remedy would turn most recorded cells to passes: an operator, a dtype, a shape, a bug.

    Reads the latest result of every cell in the store, of TARGETs (names or globs) or of all. Results of lists (static) and of
    stand-ins (virtual) count as well, and are told apart. Models of one family count as one.
    """
    from porting.diagnose import verbs
    from porting.serialization import to_json

    found = verbs.unlock(targets, steps=steps, store=store)
    if form == "json":
        print_json([*({"remedy": to_json(r)} for r in found.remedies), *({"plan": to_json(p)} for p in found.plans)])
    else:
        _print(found.remedies[:top], len(found.remedies), found.plans)
    return 0


def _print(found: Sequence[Remedy], total: int, plans: Sequence[Plan]) -> None:
    from porting.report.words import printable

    rows = [
        (
            f"{each.weight:.1f}", str(each.turns), str(each.blocks), str(each.models), str(each.targets), str(each.families),
            each.kind, printable(each.name)[:NAME], each.where, ", ".join(each.evidence), ", ".join(each.known),
            f"{each.model} {each.target}", str(each.case or ""),
        )
        for each in found
    ]  # fmt: skip
    head = (
        "weight",
        "turns",
        "blocks",
        "models",
        "targets",
        "families",
        "kind",
        "what",
        "of",
        "evidence",
        "known",
        "look first at",
        "smallest case",
    )
    print_table(head, rows)
    click.echo(
        f"\n{len(found)} of {total} remedies. turns: cells that pass by this alone; weight: the same with a family as one model."
    )
    for plan in plans:
        if plan.blocked:
            click.echo(f"\n{plan.target} ({plan.evidence}): {plan.passing} pass, {plan.blocked} are blocked")
        for number, step in enumerate(plan.steps, 1):
            click.echo(f"  {number}. {printable('; '.join(step.remedies))}: {step.cells} more in all")
