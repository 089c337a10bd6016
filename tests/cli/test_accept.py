"""Accepting what came: a patch that git applies, after which the gate is content. Nothing is widened silently."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cli_kit import Run
from gate_kit import ABSENT, MODEL, TOML, entry, write

GROUNDS = ("--reason", "its kernel is wrong", "--owner", "upstream")


@pytest.fixture(autouse=True)
def project(recorded: Path, setting: Path) -> Path:
    """A project whose store has what came of one model on every fault."""
    (setting / "porting.toml").write_text(f'store = "results.db"\n{TOML}')
    shutil.copy(recorded, setting / "results.db")
    return setting


def on(*faults: str) -> tuple[str, str]:
    return "--on", ",".join(f"faulty:{fault}:fp32" for fault in faults)


def test_what_passes_is_accepted_with_its_evidence(porting: Run, project: Path) -> None:
    shown = porting("accept", *on("none", "chip-whole"))
    assert shown.code == 0
    assert not (project / "expect").exists(), "it only shows"
    assert porting("accept", *on("none", "chip-whole"), "--write").code == 0
    text = (project / "expect" / "faulty-none-fp32.toml").read_text()
    assert text == f'[[expect]]\noutcome = "pass"\nevidence = "host"\nmodels = [\n  "{MODEL}",\n]\n'
    assert 'evidence = "compiled"' in (project / "expect" / "faulty-chip-whole-fp32.toml").read_text()
    assert porting("report", "--strict", *on("none", "chip-whole")).code == 0
    again = porting("accept", *on("none", "chip-whole"))
    assert (again.code, again.out) == (0, "")


def test_the_patch_is_one_that_git_applies(porting: Run, project: Path) -> None:
    write(project, "faulty:sign:fp32", "# known\n" + entry("pass"))
    patch = porting("accept", *on("none", "sign"), *GROUNDS).out
    git = ["git", "-c", "core.autocrlf=false", "apply", "-"]
    subprocess.run(["git", "init", "-q"], check=True, capture_output=True)
    subprocess.run(git, input=patch, text=True, check=True, capture_output=True)
    assert porting("report", "--strict", *on("none", "sign")).code == 0
    assert (project / "expect" / "faulty-sign-fp32.toml").read_text().startswith("# known\n")


def test_a_failure_needs_a_reason_and_an_owner(porting: Run, project: Path) -> None:
    refused = porting("accept", *on("none", "sign"), "--write")
    assert refused.code == 1
    assert f"left out: {MODEL} on faulty:sign:fp32: new cell, mismatch" in refused.err
    assert [p.name for p in (project / "expect").iterdir()] == ["faulty-none-fp32.toml"]
    assert porting("accept", *on("sign"), "--reason", "x").code == 2
    assert porting("accept", *on("sign"), "--owner", "ours").code == 2
    assert porting("accept", *on("sign"), "--reason", " ", "--owner", "ours").code == 2
    assert porting("accept", *on("sign"), *GROUNDS, "--expires", "2026-01-01").code == 2
    assert porting("accept", *on("sign"), *GROUNDS, "--link", "issue 5").code == 2
    more = ("--link", "https://example.org/5", "--expires", "2099-03-01")
    assert porting("accept", *on("sign"), *GROUNDS, *more, "--write").code == 0
    text = (project / "expect" / "faulty-sign-fp32.toml").read_text()
    for line in ('outcome = "mismatch"', 'cause = "tolerance"', 'owner = "upstream"', "expires = 2099-03-01", "since = 20"):
        assert line in text
    assert porting("report", "--strict", *on("sign")).code == 0


def test_a_pass_on_weaker_evidence_is_not_taken_silently(porting: Run, project: Path) -> None:
    write(project, "faulty:chip-whole:fp32", entry("pass", "evidence = 'host'"))
    assert porting("accept", *on("chip-whole"), "--write").code == 1
    assert porting("accept", *on("chip-whole"), "--reason", "no card any more", "--owner", "ours", "--write").code == 0
    assert porting("report", "--strict", *on("chip-whole")).code == 0


def test_what_has_no_answer_is_never_accepted(porting: Run, project: Path) -> None:
    ended = porting("accept", "--on", f"{ABSENT},faulty:flood:fp32", *GROUNDS, "--write", "--format", "json")
    assert ended.code == 0
    assert [(row["judgement"], row["accepted"]) for row in ended.json()] == [("no answer", False)] * 2
    assert not (project / "expect").exists()


def test_a_mended_model_leaves_the_entry_of_its_failure_and_comments_stay(porting: Run, project: Path) -> None:
    path = write(
        project,
        "faulty:none:fp32",
        "# about this file\n\n[[expect]]\n# seen in May\noutcome = 'fail'\nreason = 'known'\nowner = 'ours'\nmodels = [\n"
        f'  "mine/before", # first\n  "{MODEL}",   # mended?\n  # a remark\n  "mine/zeta"\n]\n\n'
        '# the rest\n[[expect]]\noutcome = "pass"\nevidence = "host"\nmodels = ["mine/b", "mine/z"]\n',
    )
    assert porting("accept", MODEL, *on("none"), "--write").code == 0
    assert path.read_text() == (
        "# about this file\n\n[[expect]]\n# seen in May\noutcome = 'fail'\nreason = 'known'\nowner = 'ours'\nmodels = [\n"
        '  "mine/before", # first\n  # a remark\n  "mine/zeta",\n]\n\n# the rest\n[[expect]]\noutcome = "pass"\n'
        f'evidence = "host"\nmodels = [\n  "mine/b",\n  "{MODEL}",\n  "mine/z",\n]\n'
    )


def test_an_entry_that_is_left_empty_goes(porting: Run, project: Path) -> None:
    path = write(project, "faulty:none:fp32", entry("pass", models="mine/*") + "\n# why\n" + entry("fail") + "# the end\n")
    assert porting("accept", *on("none"), "--write").code == 0
    assert path.read_text() == entry("pass", models="mine/*") + "\n# why\n# the end\n", "the glob covers it again"


def test_a_glob_goes_when_nothing_that_it_covers_fails_any_more(porting: Run, project: Path) -> None:
    path = write(project, "faulty:none:fp32", entry("fail", models="mine/*"))
    assert porting("accept", MODEL, *on("none"), "--write").code == 0
    assert "mine/*" in path.read_text(), "other models may be covered by it"
    write(project, "faulty:none:fp32", entry("fail", models="mine/*"))
    assert porting("accept", *on("none"), "--write").code == 0
    assert "mine/*" not in path.read_text()
    assert porting("report", "--strict", *on("none")).code == 0


def test_a_model_of_an_entry_with_a_condition_leaves_it(porting: Run, project: Path) -> None:
    write(project, "faulty:none:fp32", entry("fail", "when = {faulty = '<1'}") + entry("pass", models="mine/other"))
    assert porting("report", "--gate", *on("none")).out.count("new pass") == 2
    assert porting("accept", *on("none"), "--write").code == 0
    assert porting("report", "--gate", *on("none"), MODEL).out.count("1 as expected") == 1


def test_an_expired_entry_is_renewed_with_its_reason(porting: Run, project: Path) -> None:
    path = write(project, "faulty:sign:fp32", entry("mismatch", "expires = 2026-01-31", "link = 'https://example.org/5'"))
    assert porting("accept", *on("sign"), "--write").code == 1
    assert porting("accept", *on("sign"), "--expires", "2099-01-31", "--write").code == 0
    text = path.read_text()
    assert 'reason = "known"' in text
    assert "expires = 2099-01-31" in text
    assert "https://example.org/5" in text
    assert porting("report", "--strict", *on("sign")).code == 0


def test_a_failure_is_accepted_for_a_version_alone(porting: Run, project: Path) -> None:
    path = write(project, "faulty:sign:fp32", entry("pass"))
    accepted = entry("pass")
    for wrong in ("faulty", "faulty=>3"):
        assert porting("accept", *on("sign"), *GROUNDS, "--when", wrong).code == 2
    assert "no results" in porting("accept", *on("sign"), *GROUNDS, "--when", "faulty>=0.2").complaint()
    assert porting("accept", *on("sign"), *GROUNDS, "--when", "faulty>=0.1,<0.2", "--write").code == 0
    text = path.read_text()
    assert text.startswith(accepted), "what is accepted of other versions stays"
    assert 'when = {faulty = ">=0.1,<0.2"}' in text
    assert porting("report", "--strict", *on("sign")).code == 0
    path.write_text(text.replace("<0.2", "<0.1"))
    assert porting("report", "--gate", *on("sign")).code == 1, "of another version a pass is expected"


def test_a_flaky_cell_is_accepted_with_its_rate(porting: Run, project: Path) -> None:
    for _ in range(2):
        porting("check", *on("first_fails"), "--rerun")
    porting("check", *on("first_fails"), "--rerun")
    assert porting("accept", *on("first_fails"), "--flaky", "--write").code == 1, "it is widened"
    assert porting("accept", *on("first_fails"), "--flaky", *GROUNDS, "--write").code == 0
    path = project / "expect" / "faulty-first_fails-fp32.toml"
    assert "flaky = {failed = 1, of = 3}" in path.read_text()
    porting("check", *on("first_fails"), "--rerun")
    assert porting("accept", *on("first_fails"), "--flaky", "--write").code == 0, "another rate for the same reason"
    assert "flaky = {failed = 1, of = 4}" in path.read_text()
    assert path.read_text().count("[[expect]]") == 1
    assert porting("report", "--strict", *on("first_fails")).code == 0


def test_models_that_are_gone_are_taken_out_when_asked_for(porting: Run, project: Path) -> None:
    path = write(project, "faulty:none:fp32", entry("pass") + entry("fail", models="gone/*"))
    assert porting("accept", *on("none"), "--write").code == 0
    assert "gone/*" in path.read_text()
    assert porting("accept", *on("none"), "--prune", "--write").code == 0
    assert path.read_text() == entry("pass")


def test_results_of_elsewhere_can_be_accepted(porting: Run, project: Path) -> None:
    assert porting("results", "export", "there.jsonl.xz").code == 0
    (project / "results.db").unlink()
    assert "no results to accept" in porting("accept").complaint()
    assert porting("accept", *on("none"), "--from", "there.jsonl.xz", "--write").code == 0
    assert (project / "expect" / "faulty-none-fp32.toml").is_file()
    for wrong in ("nowhere.jsonl", "nowhere.db"):
        assert porting("accept", "--from", wrong).code == 2
