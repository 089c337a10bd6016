"""porting diff, on real results: runs, files, stores, versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_kit import Run
from gate_kit import MODEL, TOML

ANY_MEMORY = ("--memory", 1000)
"""What a process takes depends on what its server had imported by then."""


@pytest.fixture(autouse=True)
def project(setting: Path) -> Path:
    (setting / "porting.toml").write_text(TOML)
    return setting


@pytest.fixture
def two_runs(porting: Run, project: Path) -> None:
    """The first fails, the second does not; beside a target that passes in both."""
    for code in (1, 0):
        assert porting("check", "--on", "faulty:first_fails:fp32,faulty:none:fp32", "--rerun").code == code


@pytest.mark.usefixtures("two_runs")
def test_two_runs(porting: Run) -> None:
    mended = porting("diff", "last~1", "last", *ANY_MEMORY)
    assert mended.code == 0
    assert f"mended           {MODEL} on faulty:first_fails:fp32: fail at run (exception) -> pass on host evidence" in mended.out
    assert "2 cells in both: 1 mended" in mended.out
    broken = porting("diff", "last", "last~1", "--format", "json", *ANY_MEMORY)
    assert broken.code == 1
    (change,) = broken.json()
    assert (change["kind"], change["a"]["outcome"], change["b"]["message"]) == ("broken", "pass", "RuntimeError: device lost")
    assert porting("diff", "last", "last~1", "--on", "faulty:none:*").code == 0
    assert porting("diff", "last", "last").out.endswith("2 cells in both: no difference\n")
    assert porting("diff", "last", "last~1", "nothing/*").code == 0


@pytest.mark.usefixtures("two_runs")
def test_a_run_a_store_and_a_file(porting: Run, project: Path) -> None:
    assert porting("results", "export", "now.jsonl.xz").code == 0
    assert "no difference" in porting("diff", "last", "now.jsonl.xz").out
    shutil.copy(project.parent / "state" / "results.db", project / "copy.db")
    assert "no difference" in porting("diff", "now.jsonl.xz", "copy.db").out
    assert porting("diff", "last~1", "copy.db").out.count("mended") == 2


@pytest.mark.usefixtures("two_runs")
def test_versions(porting: Run) -> None:
    assert "no difference" in porting("diff", "faulty=0", "faulty>=0.1,<0.2").out
    refused = porting("diff", "faulty=0.2", "last")
    assert refused.code == 2
    assert "There are results with faulty: 0.1" in refused.complaint()
    assert "no comparison" in porting("diff", "faulty=>3", "last").complaint()


@pytest.mark.usefixtures("two_runs")
def test_what_means_no_results_is_told(porting: Run) -> None:
    for wrong in ("last~7", "zzz", "nowhere.jsonl", "nowhere.db"):
        refused = porting("diff", "last", wrong)
        assert refused.code == 2
        assert wrong in refused.complaint()


def test_numbers_that_drift_inside_a_pass(porting: Run, project: Path) -> None:
    """Two backends round differently: what one came to stands here for an older version of the other."""
    for target in ("onnxruntime:cpu:fp32", "torch:cpu:fp32"):
        assert porting("check", "--on", target).code == 0
    porting("results", "export", "both.jsonl")
    lines = (project / "both.jsonl").read_text().splitlines()
    ort, torch = ([line for line in lines if f'"target":"{name}:cpu:fp32"' in line] for name in ("onnxruntime", "torch"))
    (project / "a.jsonl").write_text(ort[0] + "\n")
    (project / "b.jsonl").write_text(torch[0].replace('"target":"torch:', '"target":"onnxruntime:') + "\n")
    drifted = porting("diff", "a.jsonl", "b.jsonl", "--drift", 1, "--format", "json")
    assert drifted.code == 0
    (change,) = [change for change in drifted.json() if change["kind"] == "drift"]
    assert 0 < min(change["before"], change["after"]) < max(change["before"], change["after"]) <= 1
    assert "% of what is allowed" in change["detail"]
