"""`porting check --precision auto`: what it sets, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import exit_code, print_json, print_table

if TYPE_CHECKING:
    from porting.types import Result


def settled(given: dict[str, Any], form: str, html: object) -> dict[str, Any]:
    """The options of a check as a search for the fastest precision needs them: one job at a time, with latencies."""
    from porting.cells.precision import BENCH_SECONDS

    if given["precision"] != "auto":
        return given
    if form not in ("table", "json") or html or given["writes"] or given["gate"]:
        raise click.UsageError("--precision auto prints its own table or json: no other format, --html, --write or --gate.")
    return {**given, "workers": 1, "bench": given["bench"] or BENCH_SECONDS}


def answer(results: Sequence[Result], planned: int, form: str) -> int:
    """Print what the search came to. Returns the exit status: 0 where every model has a right precision on every device."""
    from porting.cells.precision import choose
    from porting.serialization import to_json

    choices = choose(results)
    if form == "json":
        print_json([{**to_json(choice), "gain": choice.gain} for choice in choices])
    else:
        head = ("model", "device", "precision", "median ms", "times fp32", "outcome", "with")
        print_table(head, [row for choice in choices for row in _rows(choice)])
        click.echo("\nMeasured one after the other in one run on this machine; a precision without a latency is out.")
    if choices and all(choice.fastest for choice in choices) and len(results) == planned:
        return 0
    return exit_code(results, planned)


def _rows(choice: Any) -> list[tuple[str, ...]]:
    wide = next((each.seconds for each in choice.candidates if each.precision == "fp32"), None)
    return [
        (
            choice.model,
            choice.device,
            f"{each.precision}{' *' if each.precision == choice.fastest else ''}",
            f"{each.seconds * 1000:.2f}" if each.seconds else "",
            f"{wide / each.seconds:.2f}" if wide and each.seconds else "",
            each.outcome,
            ", ".join(each.passes_with),
        )
        for each in choice.candidates
    ]
