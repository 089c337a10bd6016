"""What a model repository uses from its CI: the steps are run here, as the runner would, on a small repository."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ci_kit import REPORTS, ROOT, TEMPLATE, check, gitlab, run, steps, tools, yaml
from cli_kit import Run
from gate_kit import MODEL, TOML, entry, write

from porting.cli import COMMANDS


@pytest.fixture
def repository(setting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model repository: a porting.toml, an accepted pass and an accepted failure; and `porting` and `python` on PATH."""
    (setting / "porting.toml").write_text(f'targets = ["faulty:none:fp32", "faulty:sign:fp32"]\n{TOML}')
    write(setting, "faulty:none:fp32", entry("pass"))
    write(setting, "faulty:sign:fp32", entry("mismatch"))
    monkeypatch.setenv("PATH", tools(tmp_path / "bin"))
    return setting


# ---- GitHub -------------------------------------------------------------------------------------------------------


def test_the_action_checks_a_repository_and_leaves_reports(repository: Path, tmp_path: Path) -> None:
    done = check(tmp_path / "summary.md")
    assert done.returncode == 0, done.stderr
    assert "::notice title=porting::gate as expected: 2 as expected (2 of 2 cells answered)" in done.stdout
    assert sorted(p.name for p in (repository / "porting-report").iterdir()) == REPORTS
    assert "## gate as expected" in (tmp_path / "summary.md").read_text()
    suites = ElementTree.parse(repository / "porting-report" / "junit.xml").getroot()
    assert (suites.attrib["tests"], suites.attrib["skipped"]) == ("2", "1")
    (repository / "expect" / "faulty-sign-fp32.toml").write_text(entry("pass"))
    worse = check(
        tmp_path / "summary.md", models=f"{MODEL} small_models:deep", targets="faulty:s*", report="other", arguments="--retries 0"
    )
    assert worse.returncode == 1
    assert "::error file=expect/faulty-sign-fp32.toml,line=1,title=porting%3A regression::mine/narrow on" in worse.stdout
    assert "small_models:deep on faulty:sign:fp32" in worse.stdout
    assert (repository / "other" / "comment.md").is_file()


def test_the_action_can_be_strict_and_take_other_expectations(repository: Path, tmp_path: Path) -> None:
    (repository / "expect").rename(repository / "nightly")
    write(repository / "nightly", "faulty:none:fp32", "")
    (repository / "nightly" / "faulty-none-fp32.toml").write_text(entry("fail"))
    for strict, code in (("false", 0), ("true", 1)):
        done = check(tmp_path / "summary.md", targets="faulty:none:fp32", expect="nightly", strict=strict)
        assert done.returncode == code, done.stderr


def test_the_action_installs_what_it_is_asked_for(repository: Path, tmp_path: Path) -> None:
    (step, defaults), _ = steps()
    assert defaults == {"PACKAGE": f"{ROOT}[catalog]", "REQUIREMENTS": ""}
    log = tmp_path / "pip.txt"
    said = f'python() {{ printf "%s\\n" "$@" > {shlex.quote(str(log))}; }}\n'
    (_, environment), _ = steps(requirements="torch_npu .[extra]")
    assert run(said + step["run"], environment).returncode == 0
    assert log.read_text().splitlines()[-3:] == [f"{ROOT}[catalog]", "torch_npu", ".[extra]"]


def test_inputs_are_no_commands(repository: Path, tmp_path: Path) -> None:
    done = check(tmp_path / "summary.md", models="$(touch owned) `touch owned` ;touch owned", targets="faulty:none:fp32")
    assert done.returncode == 2
    assert not (repository / "owned").exists()


# ---- GitLab -------------------------------------------------------------------------------------------------------


def test_the_gitlab_job_checks_a_repository_and_leaves_reports(repository: Path) -> None:
    done = gitlab(repository, package="unused")
    assert done.returncode == 0, done.stderr
    assert "gate as expected: 2 as expected" in done.stdout
    assert sorted(p.name for p in (repository / "porting-report").iterdir()) == REPORTS
    reports = TEMPLATE["porting"]["artifacts"]["reports"]["junit"].replace("$[[ inputs.report ]]", "porting-report")
    assert (repository / reports).is_file()
    write(repository, "faulty:none:fp32", entry("fail"))
    (repository / "mine" / "nar").mkdir(parents=True)  # a glob of models means no files
    for strict, code in (("False", 0), ("True", 1)):
        done = gitlab(repository, package="unused", models="mine/nar*", targets="faulty:none:fp32", strict=strict)
        assert done.returncode == code, done.stderr
        assert "1 new pass" in done.stdout


# ---- pre-commit ---------------------------------------------------------------------------------------------------

HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


@pytest.mark.parametrize("hook", HOOKS, ids=[hook["id"] for hook in HOOKS])
def test_a_hook_runs_a_command_that_there_is(hook: dict[str, Any], repository: Path, porting: Run) -> None:
    assert hook.keys() >= {"id", "name", "entry", "language"}
    program, name, *more = shlex.split(hook["entry"])
    assert program == "porting"
    if name not in COMMANDS:
        pytest.skip(f"there is no porting {name}")
    assert porting(name, *more).code == 0


def test_the_hook_on_models_fails_for_what_is_not_sound(repository: Path, porting: Run) -> None:
    write(repository, "faulty:none:fp32", "[[expect]]\n")
    (hook,) = (hook for hook in HOOKS if hook["id"] == "porting-models")
    assert porting(*shlex.split(hook["entry"])[1:]).code != 0
    assert re.search(hook["files"], "expect/faulty-none-fp32.toml")


CUDA = "def train(model):\n    model.cuda()\n"


def test_pre_commit_stops_a_commit_that_a_hook_finds_fault_with(repository: Path, tmp_path: Path) -> None:
    if shutil.which("pre-commit") is None:
        pytest.skip("pre-commit is not here; pip install pre-commit")
    toolkit = tmp_path / "toolkit"  # of which pre-commit reads this file alone, as the hooks run what is installed
    toolkit.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", toolkit)
    revision = committed(toolkit)
    hooks = [{"id": "porting-models"}, {"id": "porting-scan", "args": ["--baseline", "cuda.json"]}]
    config = {"repos": [{"repo": str(toolkit), "rev": revision, "hooks": hooks}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (repository / "old.py").write_text(CUDA)
    subprocess.run(["porting", "scan", ".", "--write-baseline", "cuda.json"], cwd=repository, check=True)
    committed(repository)
    assert hooked(repository, tmp_path) == {"porting models validate": "Passed", "porting scan": "Passed"}
    (repository / "new.py").write_text(CUDA.replace("train", "test"))
    (repository / "expect" / "faulty-none-fp32.toml").write_text("[[expect]]\n")
    assert hooked(repository, tmp_path) == {"porting models validate": "Failed", "porting scan": "Failed"}


def committed(folder: Path) -> str:
    """Commit all that is in a folder; returns the id of the commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--no-verify", "--message", "all"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def hooked(folder: Path, tmp_path: Path) -> dict[str, str]:
    """What pre-commit says of each hook."""
    subprocess.run(["git", "-C", str(folder), "add", "--all"], check=True)
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "pre-commit")}
    command = ["pre-commit", "run", "--all-files", "--color", "never"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return dict(re.findall(r"^(porting [\w ]+?)\.+(?:\(.*\))?(\w+)$", done.stdout, re.MULTILINE))
