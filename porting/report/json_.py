"""Results for programs: a JSON array of objects, one per planned cell."""

from __future__ import annotations

import json
from typing import Any

from porting.report.matrix import Matrix
from porting.report.numerics import summary
from porting.types import Result, to_json


def record(result: Result) -> dict[str, Any]:
    """Return a result as JSON, every field under its own name, and besides `numerics`: worst number and all cases.

    `numerics` is null when nothing was compared.
    """
    data: dict[str, Any] = to_json(result)
    data["numerics"] = {"worst": summary(result), "cases": data["cases"]} if result.cases else None
    return data


def records(matrix: Matrix) -> list[dict[str, Any]]:
    """Return every planned cell, model by model; missing ones too."""
    return [record(result) for result in matrix.results()]


def render(matrix: Matrix) -> str:
    """Return the JSON text, a line for every cell, ending in a newline."""
    lines = (json.dumps(data, ensure_ascii=False) for data in records(matrix))
    return "[\n" + ",\n".join(lines) + "\n]\n"
