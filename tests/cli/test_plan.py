"""`porting plan` and `porting check --budget`: what is worked first, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Run

MODELS = ("small_models:narrow", "small_models:wide")
FIRST, SECOND = "faulty:none:fp32", "faulty:sign:fp32"
LINE = (*MODELS, "--on", f"{FIRST},{SECOND}")


def altered(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**record, "key": "of other contents", **changes}


def give(porting: Run, records: Iterable[dict[str, Any]]) -> None:
    """Record these instead of what there is."""
    Path("given.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert porting("results", "import", "given.jsonl", "--store", "other.db").code == 0


def test_a_plan_says_what_is_new_what_is_open_and_which_version_moved(porting: Run) -> None:
    assert {entry["state"] for entry in porting("plan", *LINE, "--format", "json").json()} == {"new"}
    assert "and 4 of unknown length" in porting("plan", *LINE).err
    assert porting("check", *LINE).code == 1
    assert porting("plan", *LINE, "--format", "json").json() == []
    assert "unknown length" not in porting("plan", *LINE).err
    assert {e["state"] for e in porting("plan", *LINE, "--all", "--format", "json").json()} == {"known"}

    found = [json.loads(line) for line in porting("results", "export", "--no-logs").out.splitlines()]
    cells = {(record["model"], record["target"]): record for record in found}
    old = {**cells[MODELS[0], FIRST]["environment"], "faulty": "0.0", "onnx": "1.2.3"}
    give(
        porting,
        [
            altered(cells[MODELS[0], FIRST], environment=old, seconds=60.0),
            altered(cells[MODELS[0], SECOND]),
            {**cells[MODELS[1], FIRST], "outcome": "fail", "cause": "harness"},
        ],
    )
    plan = porting("plan", *LINE, "--store", "other.db", "--format", "json").json()
    told = {(entry["model"], entry["target"]): (entry["state"], entry["why"]) for entry in plan}
    state, why = told[MODELS[0], FIRST]
    assert state == "stale"
    assert "faulty 0.0 -> 0.1" in why
    assert "onnx 1.2.3 -> " in why
    assert "torch" not in why
    assert told[MODELS[0], SECOND] == ("stale", "the model's entry or source, the adapter, or porting's own code has changed")
    assert told[MODELS[1], FIRST] == ("open", "its last result says nothing of it: fail (harness)")
    assert told[MODELS[1], SECOND] == ("new", "never worked")
    assert plan[-1]["target"] == FIRST
    assert plan[-1]["model"] == MODELS[0], "what takes a minute tells the least a minute"
    assert [entry["bits"] * 60 / max(entry["seconds"], 1) for entry in plan] == sorted(
        (entry["bits"] * 60 / max(entry["seconds"], 1) for entry in plan), reverse=True
    )


def test_a_budget_takes_what_fits_in_the_order_of_the_plan(porting: Run) -> None:
    assert porting("check", *LINE).code == 1
    found = [json.loads(line) for line in porting("results", "export", "--no-logs").out.splitlines()]
    give(
        porting,
        [altered(r, seconds=300.0, stages=[]) if r["model"] == MODELS[0] else altered(r, seconds=2.0, stages=[]) for r in found],
    )
    within = ("--store", "other.db", "--budget", "10s", "--workers", "1", "--format", "json")
    assert {entry["model"] for entry in porting("plan", *LINE, *within).json()} == {MODELS[1]}
    ended = porting("check", *LINE, *within)
    assert {(r["model"], r["target"]) for r in ended.json() if r["outcome"] != "missing"} == {
        (MODELS[1], FIRST),
        (MODELS[1], SECOND),
    }
    assert "2 cells, 0 with a result for the same contents" in ended.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("45", 45), ("1.5h", 5400)]
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    from porting.cells.planning import span

    assert span(text) == seconds


@pytest.mark.parametrize("text", ["soon", "m30", "30 minutes", " "])
def test_what_is_no_length_of_time_is_wrong_usage(porting: Run, text: str) -> None:
    ended = porting("plan", *LINE, "--budget", text)
    assert (ended.code, "is no length of time" in ended.complaint()) == (2, True)
