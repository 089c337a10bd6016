"""The cache of built models keeps to its limit while models are checked, and no result suffers from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Run

from porting.bundles.cache import LIMIT_VARIABLE

LINE = ("check", "sample_models:two_outputs", "sample_models:ignores", "--on", "faulty:none:fp32", "--format", "json")


def test_a_run_over_its_limit_lets_finished_models_go_and_keeps_every_result(
    porting: Run, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1K")
    results = porting(*LINE)
    assert results.code == 0
    assert [r["outcome"] for r in results.json()] == ["pass", "pass"]
    shown = porting("cache", "show", "--format", "json").json()[0]
    assert shown["folder"] == str(own_cache / "bundles")
    assert shown["limit_bytes"] == 1024
    assert shown["bundles"] <= 1
    again = porting(*LINE)  # answered by what is recorded: nothing is built for it
    assert [r["started"] for r in again.json()] == [r["started"] for r in results.json()]
    assert porting("cache", "show", "--format", "json").json()[0]["bundles"] <= 1


def test_pruning_to_nothing_makes_the_model_anew_when_it_is_needed(porting: Run, own_cache: Path) -> None:
    first = porting(*LINE)
    assert first.code == 0
    said = porting("cache", "prune", "--to", "0")
    assert said.code == 0
    assert "2 bundles removed" in said.out
    assert [r["outcome"] for r in porting(*LINE, "--rerun").json()] == ["pass", "pass"]


@pytest.mark.parametrize("line", [("cache", "prune", "--to", "lots"), LINE])
def test_a_limit_that_makes_no_sense_is_refused_before_any_work(
    porting: Run, own_cache: Path, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...]
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "lots")
    answer = porting(*line)
    assert answer.code == 2
    assert "'lots', which is no size" in answer.complaint()
