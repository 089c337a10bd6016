"""Runs of a program in a copy of a project: on the CPU, or on a stand-in, watched; and what one came to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porting.accelerators.cuda import NAME as CUDA
from porting.accelerators.cuda import PROFILE
from porting.codemod.edits import Edit
from porting.codemod.scan import RECORD

ORIGINAL, CPU = "original", "cpu"
ORIGINAL_ON_CUDA = f"original on {CUDA}"
SECONDS = 1800


@dataclass
class Run:
    """One program, once."""

    where: str
    """`original` on the CPU, `original on cuda`; of the port `cpu`, `cuda`, or a maker's name."""
    status: int
    error: str = ""
    place: str = ""
    output: list[str] = field(default_factory=list)
    events: list[tuple[str, list[float]]] = field(default_factory=list)
    narrow: list[str] = field(default_factory=list)
    """Dtypes of less than 32 bits that models computed in."""
    skips: list[int] = field(default_factory=list)
    """Events before each step that a GradScaler skipped, since gradients overflowed."""
    covered: Mapping[str, list[int]] = field(default_factory=dict)
    leftovers: list[dict[str, Any]] = field(default_factory=list)
    accelerator: Mapping[str, Any] = field(default_factory=dict)
    """The report of the stand-in."""
    differences: list[str] = field(default_factory=list)
    """From the run that it is held against."""
    compared: int | None = None
    """Events that were held against that run's, where one of both skipped a step next; else all were."""

    @property
    def refusals(self) -> list[dict[str, str]]:
        return list(self.accelerator.get("refusals", ()))

    @property
    def waits(self) -> list[dict[str, Any]]:
        return [w for w in self.accelerator.get("waits", ()) if "codemod/observe.py" not in w["place"]]

    @property
    def original(self) -> bool:
        return self.where in (ORIGINAL, ORIGINAL_ON_CUDA)

    @property
    def device(self) -> str:
        """`cpu`, `cuda`, or a maker's name."""
        return {ORIGINAL: CPU, ORIGINAL_ON_CUDA: CUDA}.get(self.where, self.where)

    @property
    def evidence(self) -> str:
        """`host`, or `virtual`: no card has seen it."""
        return "host" if self.device == CPU else "virtual"

    @property
    def unavailable(self) -> str:
        """Why the stand-in could not be had; empty where it could."""
        return str(self.accelerator.get("unavailable", ""))

    @property
    def ran(self) -> bool:
        """Whether it ended as a program that is right does, and asked for nothing that is not there."""
        return not (self.status or self.refusals)

    @property
    def well(self) -> bool:
        return self.ran and not self.differences


def copy(tree: Path, to: Path) -> Path:
    shutil.copytree(tree, to, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__", RECORD))
    return to


def start(tree: Path, where: str, edits: Sequence[Edit], program: str, arguments: Sequence[str]) -> Run:
    """Run a program of a tree, which it may write to. where: as in Run; edits: whose lines are watched."""
    watched: dict[str, list[int]] = {}
    for edit in edits:
        watched.setdefault(str(tree / edit.path), []).extend(range(edit.first, edit.last + 1))
    report, stand_in = tree.parent / f"{tree.name}.json", tree.parent / f"{tree.name}.stand-in.json"
    settings = json.dumps({"root": str(tree), "watched": watched, "report": str(report)})
    words = ["porting.codemod.observe", settings, str(tree / program), *arguments]
    on_cuda = where in (ORIGINAL_ON_CUDA, CUDA)
    if where not in (ORIGINAL, CPU):
        profile = PROFILE if on_cuda else where
        device = {"profile": profile, "fallback": True, "keep_going": True, "module": True, "report": str(stand_in)}
        words = ["porting.accelerators.script", json.dumps(device), *words]
    done = _end(words, tree, on_cuda)
    without: dict[str, Any] = {"status": done.returncode or 1, "error": _last_line(done.stderr)}
    found: dict[str, Any] = json.loads(report.read_text()) if report.is_file() else without
    accelerator: dict[str, Any] = json.loads(stand_in.read_text()) if stand_in.is_file() else {}
    root = os.path.realpath(tree) + os.sep
    return Run(
        where,
        found["status"] or (done.returncode and 1),
        found.get("error", "") or (_last_line(done.stderr) if done.returncode else ""),
        found.get("place", ""),
        done.stdout.replace(root, "").splitlines(),
        [(kind, numbers) for kind, numbers in found.get("events", ())],
        found.get("narrow", []),
        found.get("skips", []),
        {path.removeprefix(root): lines for path, lines in found.get("covered", {}).items()},
        [] if on_cuda else _left(found.get("leftovers", []), edits),
        _relative(accelerator, root),
    )


def _left(leftovers: list[dict[str, Any]], edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Calls of torch.cuda that the port makes itself, not through the helper, which asks torch.cuda where there is no card."""
    helped = {f"{edit.path}:{line}" for edit in edits for line in range(edit.first, edit.last + 1)}
    return [call for call in leftovers if call["place"] not in helped]


def _end(words: Sequence[str], tree: Path, on_cuda: bool) -> subprocess.CompletedProcess[str]:
    ours = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([ours, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if on_cuda:  # the stand-in's card is seen, whatever this machine hides
        environment.pop("CUDA_VISIBLE_DEVICES", None)
    command = [sys.executable, "-m", *words]
    try:
        return subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"it ran for more than {SECONDS} s")


def _relative(report: dict[str, Any], root: str) -> dict[str, Any]:
    """The stand-in's report with places in the tree instead of in its copy."""
    text = json.dumps(report).replace(json.dumps(root)[1:-1], "")
    found: dict[str, Any] = json.loads(text)
    return found


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
