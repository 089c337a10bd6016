"""porting history, on real results."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Run
from gate_kit import MODEL, TOML


@pytest.fixture
def two_runs(porting: Run, setting: Path) -> None:
    """One target fails at first, with the same contents; the other passes."""
    (setting / "porting.toml").write_text(TOML)
    for code in (1, 0):
        assert porting("check", "--on", "faulty:first_fails:fp32,faulty:none:fp32", "--rerun").code == code


@pytest.mark.usefixtures("two_runs")
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
    from porting.cli.history import QUERIES
    from porting.records import history

    assert set(QUERIES) == set(history.QUERIES)


def test_a_history_and_a_diff_go_by_versions(porting: Run, setting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A maker's releases: in 0.2 the numbers move, slower and in more memory; 0.3 is broken, and mended as 0.4."""
    (setting / "porting.toml").write_text(TOML)

    def release(version: str, *states: str) -> int:
        monkeypatch.setenv("FAULTY_VERSION", version)
        monkeypatch.setenv("PORTING_MACHINE", version)  # what is here is remembered by machine
        for state in ("moved", "broken"):
            (setting / state).unlink(missing_ok=True)
        for state in states:
            (setting / state).touch()
        return porting("check", "--on", "faulty:nudged:fp32", "--bench", 0.05).code

    def hit(query: str) -> str:
        return porting("history", "--query", query).out

    assert (release("0.1"), release("0.2", "moved")) == (0, 0)
    (interval,) = porting("history", "--format", "json").json()
    assert (interval["over"]["faulty"], interval["over"]["porting"][0]) == (["0.1", "0.2"], interval["over"]["porting"][1])
    assert len(interval["over"]["adapter"][0]) == 12
    assert "over:  faulty 0.1 -> 0.2" in porting("history").out
    assert "moved: faulty 0.1 -> 0.2" in hit("drifting")
    same = porting("diff", "faulty=0.1", "faulty=0.2")
    assert same.code == 0
    assert "  faulty: 0.1 -> 0.2\n" in same.out
    assert "1 cell in both: 1 drift · 1 slower · 1 more memory" in same.out

    assert release("0.3", "broken") == 1
    assert f"{MODEL} on faulty:nudged:fp32: pass on host evidence -> fail at run (exception" in hit("regressed")
    assert "moved: faulty 0.2 -> 0.3" in hit("regressed")
    told = porting("explain", MODEL, "faulty:nudged:fp32").out
    assert "before: pass on host evidence" in told
    assert "moved: faulty 0.2 -> 0.3" in told
    (explained,) = porting("explain", MODEL, "faulty:nudged:fp32", "--format", "json").json()
    assert explained["since"]["moved"]["faulty"] == ["0.2", "0.3"]
    worse = porting("diff", "faulty=0.2", "faulty=0.3", "--format", "json")
    assert worse.code == 1
    assert [(c["kind"], c["b"]["cause"]) for c in worse.json()] == [("broken", "exception")]

    assert release("0.4") == 0
    assert "moved: faulty 0.3 -> 0.4" in hit("newly-passing")
    assert hit("regressed") == "0 regressed of 1 cell\n"
    told = porting("history", "--format", "json").json()
    assert [interval["moved"].get("faulty") for interval in told] == [None, ["0.2", "0.3"], ["0.3", "0.4"]]
