"""What a runner does with `action.yml` and the GitLab component: fills inputs in, and runs the steps' scripts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
REPORTS = ["badge.svg", "comment.md", "html", "junit.xml", "results.json"]


def tools(folder: Path) -> str:
    """A PATH on which `porting` and `python` are these; the scripts go to `folder`."""
    folder.mkdir()
    for name, command in (("porting", "-m porting"), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def run(script: str, environment: Mapping[str, str], shell: tuple[str, ...] = ("bash", "-eo", "pipefail", "-c")) -> Any:
    values = {**os.environ, **environment}
    return subprocess.run([*shell, script], env=values, capture_output=True, text=True, timeout=240)


# ---- GitHub -------------------------------------------------------------------------------------------------------

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def steps(**inputs: str) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """The steps with `run`, and their environment, as the runner fills them in."""
    known = {name: str(given["default"]) for name, given in ACTION["inputs"].items()} | inputs
    contexts = {f"inputs.{name}": value for name, value in known.items()} | {"github.action_path": str(ROOT)}

    def fill(text: str) -> str:
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: contexts[found[1]], text)

    for step in ACTION["runs"]["steps"]:
        if "run" in step:
            assert "${{" not in step["run"], "an input in a script would be run"
            assert step["shell"] == "bash"
            yield step, {name: fill(fill(value)) for name, value in step["env"].items()}


def check(summary: Path, **inputs: str) -> Any:
    """Run the step that checks. summary: the file that the job's summary goes to."""
    _, (step, environment) = steps(**inputs)
    environment |= {"GITHUB_STEP_SUMMARY": str(summary), "PORTING_CACHE": os.environ["PORTING_CACHE"]}
    return run(step["run"], environment)


# ---- GitLab -------------------------------------------------------------------------------------------------------

HEAD, TEMPLATE = yaml.safe_load_all((ROOT / "templates" / "porting.yml").read_text())


def gitlab(repository: Path, **inputs: str) -> Any:
    """Run the job's script as the runner does: all lines by one POSIX shell."""
    known = {name: str(given.get("default", "")) for name, given in HEAD["spec"]["inputs"].items()} | inputs

    def fill(text: str) -> str:
        return re.sub(r"\$\[\[ *inputs\.(\w+) *\]\]", lambda found: known[found[1]], text)

    job = TEMPLATE["porting"]
    environment = {name: fill(value).replace("$CI_PROJECT_DIR", str(repository)) for name, value in job["variables"].items()}
    environment |= {"PORTING_STRICT": known["strict"].lower(), "PORTING_CACHE": os.environ["PORTING_CACHE"]}
    assert not any("$[[" in line for line in job["script"]), "an input in a script would be run"
    return run("\n".join(job["script"]), environment, ("sh", "-e", "-c"))
