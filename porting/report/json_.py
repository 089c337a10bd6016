"""Results for programs: a JSON array of objects, one per planned cell."""

from __future__ import annotations

import json
from typing import Any

from porting.expect import Judged, Stale
from porting.report.matrix import Matrix
from porting.report.numerics import summary
from porting.serialization import to_json
from porting.types import Result


def record(result: Result) -> dict[str, Any]:
    """Return a result as JSON, every field under its own name, and besides `numerics`: worst number and all cases.

    `numerics` is null when nothing was compared.
    """
    data: dict[str, Any] = to_json(result)
    data["numerics"] = {"worst": summary(result), "cases": data["cases"]} if result.cases else None
    return data


def records(matrix: Matrix) -> list[dict[str, Any]]:
    """Return every planned cell, model by model; missing ones too. With a gate each has its judgement under `gate`, and an entry
    that matches nothing is an object of its own, without a model."""
    found = [record(result) for result in matrix.results()]
    if matrix.gate is None:
        return found
    for data in found:
        judged = matrix.gate.cells.get((data["model"], data["target"]))
        data["gate"] = _judged(judged) if judged else None
    return found + [{"gate": _stale(stale)} for stale in matrix.gate.stale]


def _judged(judged: Judged) -> dict[str, Any]:
    expected = judged.expected
    entry = (
        {"entry": expected.place, "reason": expected.reason, "owner": expected.owner, "link": expected.link} if expected else {}
    )
    again = [outcome.value for outcome in judged.again]
    said = {"judgement": judged.judgement.value, "breaks": judged.breaks, "detail": judged.detail, "again": again}
    return {**said, **entry}


def _stale(stale: Stale) -> dict[str, Any]:
    return {"judgement": "matches nothing", "breaks": False, "entry": stale.expected.place, "models": list(stale.models)}


def render(matrix: Matrix) -> str:
    """Return the JSON text, a line for every cell, ending in a newline."""
    lines = (json.dumps(data, ensure_ascii=False) for data in records(matrix))
    return "[\n" + ",\n".join(lines) + "\n]\n"
