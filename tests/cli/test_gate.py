"""The gate, by situations that a maintainer meets: what it says of each, and whether the build fails.

All results are real: models are run on the adapter whose devices are faults. Most situations judge what was recorded once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Run
from gate_kit import ABSENT, LIVE, SITUATIONS, TOML, Situation, entry, write


@pytest.fixture
def signature(recorded: Path, porting: Run, setting: Path) -> Mapping[str, str]:
    """Signatures by fault."""
    found = porting("report", "--store", recorded, "--format", "json").json()
    return {r["target"].split(":")[1]: r["signature"] for r in found}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_a_situation_has_the_verdict_that_a_maintainer_wants(
    situation: Situation, recorded: Path, signature: Mapping[str, str], porting: Run, setting: Path
) -> None:
    target = ABSENT if situation.fault == "cuda" else f"faulty:{situation.fault}:fp32"
    written = write(setting, target, situation.expect.replace("SIGNATURE", str(signature[situation.fault])))
    command = ("report", "--store", recorded, "--expect", written.parent, "--on", target)
    ended = porting(*command)
    assert ended.code == situation.code, ended.out
    assert f"1 {situation.judgement}" in ended.out.replace("1 matching", "1 matches")
    assert situation.says in ended.out
    assert porting(*command, "--strict").code == situation.strict
    judged = [r["gate"]["judgement"] for r in porting(*command, "--format", "json").json()]
    assert situation.judgement in judged
    assert situation.judgement in porting(*command, "--format", "markdown").out.replace("matching", "matches")


# ---- a run that is judged at once ---------------------------------------------------------------------------------


@pytest.fixture
def project(setting: Path) -> Path:
    (setting / "porting.toml").write_text(TOML)
    return setting


def gate_of(ended: Any) -> dict[str, Any]:
    (found,) = ended.json()
    judged: dict[str, Any] = found["gate"]
    return judged


@pytest.mark.parametrize("situation", LIVE.values(), ids=LIVE.keys())
def test_a_check_has_the_verdict_that_a_maintainer_wants(situation: Situation, porting: Run, project: Path) -> None:
    target = f"faulty:{situation.fault}:fp32"
    write(project, target, situation.expect)
    command = ("check", "--on", target, "--rerun", "--format", "json")
    for strict, code in (("--gate", situation.code), ("--strict", situation.strict)):
        ended = porting(*command, strict)
        judged = gate_of(ended)
        assert (ended.code, judged["judgement"]) == (code, situation.judgement), judged
        assert situation.says in judged["detail"]
        (project / "failed_once").unlink(missing_ok=True)
        (project / "moved").touch()  # the second time, numbers are others


def test_a_failure_that_is_not_run_again_fails_the_build(porting: Run, project: Path) -> None:
    write(project, "faulty:first_fails:fp32", entry("pass"))
    assert porting("check", "--on", "faulty:first_fails:fp32", "--gate", "--retries", 0).code == 1


def test_a_report_runs_nothing_again_and_says_so(porting: Run, project: Path) -> None:
    write(project, "faulty:raises:fp32", entry("fail", "flaky = {failed = 1, of = 4}"))
    ended = porting("check", "--on", "faulty:raises:fp32", "--gate", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"], gate_of(ended)["again"]) == (1, "regression", ["fail"] * 3)
    recorded = porting("report", "--gate", "--run", "last", "--format", "json")
    assert gate_of(recorded)["judgement"] == "flaky"
    assert "was not run again" in gate_of(recorded)["detail"]


def test_a_regression_that_stays_says_so(porting: Run, project: Path) -> None:
    write(project, "faulty:raises:fp32", entry("pass"))
    ended = porting("check", "--on", "faulty:raises:fp32", "--gate")
    assert ended.code == 1
    assert "run again, it came to the same" in ended.out
    assert "expect/faulty-raises-fp32.toml:1" in ended.out
    assert "gate fails: 1 regression (1 of 1 cell answered)" in ended.out


def test_a_model_that_cannot_be_built_any_more_is_a_regression(porting: Run, project: Path) -> None:
    (project / "porting.toml").write_text(TOML.replace("narrow", "weights").replace(":weights", ":needs_a_file"))
    write(project, "faulty:none:fp32", entry("pass", models="mine/weights"))
    ended = porting("check", "--on", "faulty:none:fp32", "--gate", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"], ended.json()[0]["outcome"]) == (1, "regression", "invalid")


def test_a_run_that_was_killed_has_missing_cells(porting: Run, project: Path) -> None:
    for fault in ("none", "hang"):
        write(project, f"faulty:{fault}:fp32", entry("pass"))
    line = [sys.executable, "-m", "porting", "check", "--on", "faulty:none:fp32,faulty:hang:fp32", "--workers", "1"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    while not process.stderr.readline().startswith("[1/2"):
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    ended = porting("report", "--run", "last", "--gate")
    assert ended.code == 3
    assert "missing         mine/narrow on faulty:hang:fp32: planned, and there is no record" in ended.out
    assert "gate incomplete: 1 missing · 1 as expected (1 of 2 cells answered)" in ended.out


def test_a_target_that_sent_nothing_is_missing_whole(porting: Run, project: Path, recorded: Path) -> None:
    write(project, "faulty:none:fp32", entry("pass"))
    write(project, "openvino:cpu:fp32", entry("pass"))
    ended = porting("report", "--gate", "--store", recorded, "--on", "faulty:none:fp32,openvino:*")
    assert ended.code == 3
    assert "gate incomplete: 1 missing · 1 as expected" in ended.out
    assert porting("report", "--gate", "--store", recorded, "--on", "faulty:none:fp32").code == 0


def test_the_catalogs_own_expectations_ask_for_no_results(porting: Run, setting: Path, recorded: Path) -> None:
    ended = porting("report", "--gate", "--store", recorded, "--on", "faulty:none:fp32,onnxruntime:cpu:fp32")
    assert "missing" not in ended.out
    assert "1 new cell" in ended.out


def test_no_target_at_all_is_no_result_of_zero(porting: Run, project: Path) -> None:
    write(project, ABSENT, entry("pass"))
    ended = porting("check", "--on", ABSENT, "--gate")
    assert ended.code == 3
    assert "gate incomplete: 1 no answer (0 of 1 cell answered)" in ended.out
    assert "0 %" not in ended.out


def test_a_broken_expectation_file_is_told_before_anything_runs(porting: Run, project: Path) -> None:
    write(project, "openvino:cpu:fp32", "[[expect]]\nmodels = 3\n")
    ended = porting("check", "--on", "faulty:none:fp32", "--gate")
    assert ended.code == 2
    assert "expect/openvino-cpu-fp32.toml:2: 'models' must be an array" in ended.complaint()
    assert porting("results", "export").out == ""


def test_a_folder_that_is_not_there_is_told(porting: Run, project: Path) -> None:
    refused = porting("check", "--on", "faulty:none:fp32", "--expect", "nowhere")
    assert refused.code == 2
    assert "'nowhere'" in refused.complaint()


def test_the_project_may_keep_its_expectations_elsewhere(porting: Run, project: Path) -> None:
    (project / "porting.toml").write_text('expect = "accepted"\n' + TOML)
    write(project, "faulty:none:fp32", entry("fail"))
    (project / "expect").rename(project / "accepted")
    ended = porting("check", "--on", "faulty:none:fp32", "--gate", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"]) == (0, "new pass")
    assert gate_of(ended)["entry"] == "accepted/faulty-none-fp32.toml:1"
    (project / "porting.toml").write_text("expect = 3\n" + TOML)
    assert "'expect' must be a string" in porting("check", "--gate").complaint()


def test_validate_reads_expectations_too(porting: Run, project: Path) -> None:
    assert porting("models", "validate").code == 0
    wrong = write(project, "openvino:cpu:fp32", "[[expect]]\nmodels = ['a']\noutcome = 'fail'\n")
    for command in (("models", "validate"), ("models", "validate", wrong), ("models", "validate", project)):
        ended = porting(*command)
        assert ended.code == 2
        assert ended.out.count("openvino-cpu-fp32.toml:3: what is no pass needs") == 2
    (wrong.parent / "misnamed.toml").write_text(entry("pass"))
    assert "means no target" in porting("models", "validate", project).out
