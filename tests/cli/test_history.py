"""porting history, on real results."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Run
from gate_kit import MODEL, TOML


@pytest.fixture(autouse=True)
def two_runs(porting: Run, setting: Path) -> None:
    """One target fails at first, with the same contents; the other passes."""
    (setting / "porting.toml").write_text(TOML)
    for code in (1, 0):
        assert porting("check", "--on", "faulty:first_fails:fp32,faulty:none:fp32", "--rerun").code == code


def test_intervals_and_queries(porting: Run) -> None:
    told = porting("history", "--on", "faulty:*")
    assert told.code == 0
    assert f"{MODEL} on faulty:first_fails:fp32\n" in told.out
    assert "fail at run (exception, " in told.out
    assert "moved: nothing: the same contents came to another result" in told.out
    assert "pass on host evidence  2 results" in told.out
    (failed, passed) = porting("history", MODEL, "--on", "faulty:first*", "--format", "json").json()
    assert (failed["outcome"], passed["outcome"], failed["moved"]) == ("fail", "pass", {})
    assert failed["until"] < passed["from"]
    for query, detail in (("flaky", "failed 1 of 2 times"), ("newly-passing", "fail at run")):
        (hit,) = porting("history", "--query", query, "--format", "json").json()
        assert (hit["model"], hit["target"]) == (MODEL, "faulty:first_fails:fp32")
        assert detail in hit["detail"]
        assert f"1 {query} of 2 cells" in porting("history", "--query", query).out
    for query in ("regressed", "drifting"):
        assert porting("history", "--query", query).out == f"0 {query} of 2 cells\n"
    assert porting("history", "nothing/*").code == 2
    assert porting("history", "--query", "odd").code == 2


def test_the_queries_are_those_of_the_module() -> None:
    from porting import history
    from porting.cli.history import QUERIES

    assert set(QUERIES) == set(history.QUERIES)
