"""Since when a cell passes or fails, by versions; and the queries. Results are appended to a real store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sample_results import output, result

from porting.records.history import Hit, Interval, intervals, may_hit, query
from porting.store import Store, cells
from porting.types import CaseNumbers, Cause, Evidence, Outcome, Stage

ORT = "onnxruntime:cpu:fp32"
NOW = datetime.now(timezone.utc)
FAILED: dict[str, Any] = {"outcome": Outcome.FAIL, "stage": Stage.RUN, "cause": Cause.CRASH, "signature": "aaaaaa"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results.db") as opened:
        yield opened


def past(store: Store, *steps: dict[str, Any], model: str = "a/b") -> None:
    """Append results, a day apart, the last one today."""
    for number, step in enumerate(steps):
        day = NOW - timedelta(days=len(steps) - 1 - number)
        values = {"outcome": Outcome.PASS, "evidence": Evidence.HOST, "key": f"k{number}", "bundle": "sha256:1", **step}
        outcome, evidence = values.pop("outcome"), values.pop("evidence")
        made = result(model, ORT, outcome, evidence, **values)
        store.append(replace(made, started=day.isoformat().replace("+00:00", "Z")))


def line(store: Store, model: str = "a/b") -> list[Interval]:
    (rows,) = store.histories(lambda name, _: name == model)
    return intervals(rows, store)


def hits(store: Store, name: str, days: float = 7) -> list[Hit]:
    return list(query(name, store.histories(lambda _, __: True, may_hit(name, days)), store, days))


def at(version: str, **more: Any) -> dict[str, Any]:
    return {"environment": {"openvino": version, "torch": "2.13.0"}, **more}


def numbers(share: float) -> dict[str, Any]:
    return {"cases": (CaseNumbers("nominal", (output("y", 1e-3, share),)),)}


def test_intervals_are_told_by_what_moved(store: Store) -> None:
    past(store, at("2026.2"), at("2026.3"), at("2026.4", **FAILED), at("2026.4", **FAILED), at("2026.5"))
    found = line(store)
    assert [(i.last.outcome.value, len(i.rows), dict(i.moved)) for i in found] == [
        ("pass", 2, {}),
        ("fail", 2, {"openvino": ("2026.3", "2026.4")}),
        ("pass", 1, {"openvino": ("2026.4", "2026.5")}),
    ]
    assert found[1].says == "fail at run (crash, aaaaaa)"


def test_what_has_no_answer_ends_no_interval(store: Store) -> None:
    absent = {"outcome": Outcome.UNAVAILABLE, "evidence": None}
    rig = {**FAILED, "cause": Cause.DISK}
    past(store, at("1"), at("1", **absent), at("1", **rig), at("2"))
    assert [len(i.rows) for i in line(store)] == [2]
    past(store, absent, absent, model="never/there")
    assert [i.last.outcome for i in line(store, "never/there")] == [Outcome.UNAVAILABLE]


def test_another_failure_and_weaker_evidence_are_other_intervals(store: Store) -> None:
    past(store, {}, {"evidence": Evidence.COMPILED}, FAILED, {**FAILED, "signature": "bbbbbb"})
    assert len(line(store)) == 4


def test_a_change_without_another_version_has_its_reason_too(store: Store) -> None:
    past(
        store,
        at("1"),
        at("1", **FAILED, bundle="sha256:2"),
        at("1", bundle="sha256:2"),
        at("1", **FAILED, key="k2", bundle="sha256:2"),
    )
    assert [i.because for i in line(store)] == [
        (),
        ("the bundle: model, inputs, reference or export",),
        ("the adapter, or the code that judges",),
        ("nothing: the same contents came to another result",),
    ]


def test_flaky_is_what_passed_and_failed_with_the_same_contents(store: Store) -> None:
    same = {"key": "same"}
    past(store, {**FAILED, **same}, same, {**FAILED, **same}, same, model="a/flaky")
    past(store, {**FAILED, "key": "old"}, {"key": "new"}, model="a/mended")
    past(store, {**FAILED, **same}, {**FAILED, **same}, model="a/broken")
    past(store, same, {**FAILED, **same, "cause": Cause.DISK}, same, model="a/rig")
    (hit,) = hits(store, "flaky")
    assert (hit.model, hit.detail) == ("a/flaky", "failed 2 of 4 times with the same contents")


def test_turns_within_the_days(store: Store) -> None:
    past(store, at("1"), at("2", **FAILED), at("2", **{**FAILED, "signature": "bbbbbb"}), model="a/broke")
    past(store, at("1", **FAILED), at("2"), model="a/mended")
    past(store, at("1"), at("2"), model="a/always")
    past(store, at("1", **FAILED), at("2", **FAILED), model="a/never")
    past(store, at("1"), at("2", outcome=Outcome.UNAVAILABLE, evidence=None), model="a/gone")
    (broke,) = hits(store, "regressed")
    assert (broke.model, dict(broke.moved)) == ("a/broke", {"openvino": ("1", "2")})
    assert broke.detail == "pass on host evidence -> fail at run (crash, bbbbbb)"
    (mended,) = hits(store, "newly-passing")
    assert mended.model == "a/mended"
    assert hits(store, "regressed", days=0.5) == [], "it broke yesterday"
    assert len(hits(store, "newly-passing", days=0.5)) == 1


def test_drift_towards_the_tolerance(store: Store) -> None:
    past(store, at("1", **numbers(0.2)), at("2", **numbers(0.3)), at("3", **numbers(0.6)), model="a/drifts")
    past(store, numbers(0.2), numbers(0.25), model="a/steady")
    past(store, numbers(0.001), numbers(0.01), model="a/tiny")
    past(store, numbers(0.1), numbers(0.6), FAILED, numbers(0.6), model="a/anew")
    past(store, numbers(0.1), {**numbers(1.5), "outcome": Outcome.MISMATCH}, model="a/over")
    (hit,) = hits(store, "drifting")
    assert (hit.model, dict(hit.moved)) == ("a/drifts", {"openvino": ("1", "3")})
    assert hit.detail.startswith("the worst error was ")


def test_many_cells_are_read_as_few_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "FEW", 50)
    days = [f"2026-11-0{day}T00:00:00Z" for day in (2, 1)]
    made = [result(f"m{n:03}", ORT, Outcome.PASS, Evidence.HOST, started=day) for n in range(60) for day in days]
    store.extend((one, None) for one in made)
    every = store.histories(lambda _, __: True)
    assert [len(rows) for rows in every] == [2] * 60
    assert [rows[0].started[:10] for rows in every] == ["2026-11-01"] * 60
    assert every[7] == store.histories(lambda model, _: model == "m007")[0] == store.history("m007", ORT)[::-1]
