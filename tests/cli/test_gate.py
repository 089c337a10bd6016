"""The gate, by situations that a maintainer meets: what it says of each, and whether the build fails.

All results are real: models are run on the adapter whose devices are faults. Most situations judge what was recorded once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Run
from gate_kit import ABSENT, TOML, entry, write


@pytest.fixture
def signature(recorded: Path, porting: Run, setting: Path) -> Mapping[str, str]:
    """Signatures by fault."""
    found = porting("report", "--store", recorded, "--format", "json").json()
    return {r["target"].split(":")[1]: r["signature"] for r in found}


@dataclass
class Situation:
    """What was accepted of a target, what came, and what a maintainer wants to be told of it."""

    fault: str
    expect: str
    """The expectation file's text; SIGNATURE stands for the one that came."""
    judgement: str
    code: int
    strict: int
    """Exit status of a strict gate."""
    says: str = ""


SITUATIONS = {
    "a pass, as accepted": Situation("none", entry("pass"), "as expected", 0, 0),
    "an accepted failure, as accepted": Situation(
        "raises", entry("fail", "signature = 'SIGNATURE'", "stage = 'run'"), "as expected", 0, 0
    ),
    "new crash": Situation("run_segfault", entry("pass"), "regression", 1, 1, "pass was accepted; now fail · run · crash"),
    "new wrong answer": Situation("sign", entry("pass"), "regression", 1, 1, "mismatch · compare · tolerance"),
    "new exception": Situation("raises", entry("pass"), "regression", 1, 1, "kernel not found"),
    "newly refused": Situation("refuses", entry("pass"), "regression", 1, 1, "unsupported · convert"),
    "part of it fell back to the CPU": Situation("partial", entry("pass"), "regression", 1, 1, "degraded"),
    "all of it fell back to the CPU": Situation("fallback", entry("pass"), "regression", 1, 1, "nothing executed"),
    "a refusal became a wrong answer": Situation("sign", entry("unsupported"), "regression", 1, 1),
    "a refusal became a crash": Situation("run_segfault", entry("unsupported"), "regression", 1, 1),
    "an accepted pass that ran, now only compiled": Situation(
        "chip-whole", entry("pass", "evidence = 'host'"), "regression", 1, 1, "it now rests on compiled evidence"
    ),
    "the same failure with a new message": Situation(
        "raises", entry("fail", "signature = 'abcdef'"), "failure changed", 0, 1, "abcdef) was accepted; now fail"
    ),
    "it fails at another stage": Situation("raises", entry("fail", "stage = 'convert'"), "failure changed", 0, 1),
    "an exception became a crash": Situation("run_segfault", entry("fail", "cause = 'exception'"), "failure changed", 0, 1),
    "a wrong answer became an error": Situation("raises", entry("mismatch"), "failure changed", 0, 1),
    "fixed": Situation("none", entry("fail"), "new pass", 0, 1, "now pass on host evidence"),
    "fixed in part": Situation("partial", entry("fail"), "new pass", 0, 1),
    "an expired expectation": Situation(
        "raises", entry("fail", "expires = 2026-01-31"), "expired", 0, 1, "accepted until 2026-01-31"
    ),
    "fixed after it expired": Situation("none", entry("fail", "expires = 2026-01-31"), "new pass", 0, 1),
    "a new model that works": Situation("none", "", "new cell", 0, 1),
    "a new model that does not": Situation("sign", "", "new cell", 1, 1, "nothing was accepted of it; now mismatch"),
    "an unavailable target": Situation("cuda", entry("pass"), "no answer", 3, 3, "the target is not here"),
    "an unavailable target that was known to be": Situation("cuda", entry("unavailable"), "as expected", 0, 0),
    "a broken rig": Situation("flood", entry("pass"), "no answer", 3, 3, "the rig failed"),
    "a broken rig where a failure was accepted": Situation("flood", entry("fail"), "no answer", 3, 3, "the rig failed"),
    "a missing cell": Situation("none", entry("pass") + entry("pass", models="mine/other"), "missing", 3, 3, "mine/other"),
    "an expectation that matches nothing": Situation(
        "none", entry("pass") + entry("fail", models="mine/gone*"), "matches nothing", 0, 1, "mine/gone*: no model is called so"
    ),
    "an expectation for an older version": Situation(
        "none", entry("pass") + entry("fail", "when = {faulty = '<0.1'}"), "as expected", 0, 0
    ),
    "an expectation for this version": Situation(
        "none", entry("pass") + entry("fail", "when = {faulty = '>=0.1,<0.2'}"), "new pass", 0, 1
    ),
}


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


def test_a_failure_by_chance_fails_no_build_and_is_told(porting: Run, project: Path) -> None:
    write(project, "faulty:first_fails:fp32", entry("pass"))
    ended = porting("check", "--on", "faulty:first_fails:fp32", "--gate", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"], gate_of(ended)["again"]) == (0, "flaky", ["pass"])
    assert "nobody has accepted it as flaky" in gate_of(ended)["detail"]
    (project / "failed_once").unlink()
    assert porting("check", "--on", "faulty:first_fails:fp32", "--strict", "--rerun").code == 1, "it is a finding"
    (project / "failed_once").unlink()
    assert porting("check", "--on", "faulty:first_fails:fp32", "--gate", "--retries", 0, "--rerun").code == 1


def test_a_flaky_cell_is_run_again_as_often_as_its_rate_asks(porting: Run, project: Path) -> None:
    write(project, "faulty:first_fails:fp32", entry("fail", "flaky = {failed = 1, of = 4}"))
    ended = porting("check", "--on", "faulty:first_fails:fp32", "--strict", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"]) == (0, "flaky")
    assert "it fails 1 of 4 times" in gate_of(ended)["detail"]
    ended = porting("check", "--on", "faulty:first_fails:fp32", "--strict", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"]) == (0, "as expected"), "it passed this time"


def test_a_flaky_cell_that_fails_another_way_is_a_finding(porting: Run, project: Path) -> None:
    write(project, "faulty:first_fails:fp32", entry("fail", "flaky = {failed = 1, of = 4}", "signature = 'abcdef'"))
    ended = porting("check", "--on", "faulty:first_fails:fp32", "--strict", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"]) == (1, "flaky")
    assert "but by another failure" in gate_of(ended)["detail"]


def test_a_flaky_cell_that_fails_every_time_is_a_regression(porting: Run, project: Path) -> None:
    write(project, "faulty:raises:fp32", entry("fail", "flaky = {failed = 1, of = 4}"))
    ended = porting("check", "--on", "faulty:raises:fp32", "--gate", "--format", "json")
    assert (ended.code, gate_of(ended)["judgement"], gate_of(ended)["again"]) == (1, "regression", ["fail"] * 3)
    assert "failed 4 times in a row" in gate_of(ended)["detail"]
    recorded = porting("report", "--gate", "--run", "last", "--format", "json")
    assert gate_of(recorded)["judgement"] == "flaky", "a report runs nothing again, and says so"
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
