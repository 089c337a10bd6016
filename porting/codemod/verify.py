"""Whether a port does what the original does: both are run on the CPU, the port also on stand-ins for accelerators, and what
they came to is compared. What no run has reached is told, too."""

from __future__ import annotations

import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porting.codemod.scan import RECORD, looked_at
from porting.codemod.source import parse

ON_CPU = 1e-6
"""Relative difference between two runs of the same arithmetic on the CPU."""
ON_STAND_IN = 1e-3
"""Sums in another order, in float32."""
NARROW = {"float16": 1e-2, "bfloat16": 5e-2}
"""Where one of the runs computes in such a dtype, as under autocast, and the other does not."""
SECONDS = 1800
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Edit:
    """A statement that the port has changed, by its lines in the port."""

    path: str
    first: int
    last: int


@dataclass
class Run:
    """One program, once."""

    where: str
    """`original`, `cpu`, or a maker's name."""
    status: int
    error: str = ""
    place: str = ""
    output: list[str] = field(default_factory=list)
    events: list[tuple[str, list[float]]] = field(default_factory=list)
    narrow: list[str] = field(default_factory=list)
    """Dtypes of less than 32 bits that models computed in."""
    covered: Mapping[str, list[int]] = field(default_factory=dict)
    leftovers: list[dict[str, Any]] = field(default_factory=list)
    accelerator: Mapping[str, Any] = field(default_factory=dict)
    """The report of the stand-in."""
    differences: list[str] = field(default_factory=list)
    """From the run that it is held against."""

    @property
    def refusals(self) -> list[dict[str, str]]:
        return list(self.accelerator.get("refusals", ()))

    @property
    def waits(self) -> list[dict[str, Any]]:
        return [w for w in self.accelerator.get("waits", ()) if "codemod/observe.py" not in w["place"]]

    @property
    def well(self) -> bool:
        return not (self.status or self.differences or self.refusals)


@dataclass
class Verified:
    """What came of it."""

    edits: list[Edit]
    runs: list[Run]
    unverified: list[Edit]
    """Edits that no run has reached."""

    @property
    def comparable(self) -> bool:
        """Whether the original ran, so that there is something to compare with."""
        return self.runs[0].status == 0


def verify(original: Path, ported: Path, makers: Sequence[str], program: str, arguments: Sequence[str]) -> Verified:
    """Run a program of a project in copies of both trees. makers: names of profiles to stand in for."""
    edits = list(changed(original, ported))
    with tempfile.TemporaryDirectory(prefix="porting-verify-") as folder:
        trees = {name: _copy(tree, Path(folder) / name) for name, tree in (("original", original), ("ported", ported))}
        runs = [
            _run(trees["original"], "original", [], program, arguments),
            _run(trees["ported"], "cpu", edits, program, arguments),
        ]
        runs[1].differences = compare(runs[0], runs[1], ON_CPU) if runs[0].status == 0 else []
        for maker in makers:
            fresh = _copy(ported, Path(folder) / maker)
            run = _run(fresh, maker, edits, program, arguments)
            run.differences = compare(runs[1], run, allowed(runs[1], run), words=False) if runs[1].status == 0 else []
            runs.append(run)
            shutil.rmtree(fresh)
    covered = {(path, line) for run in runs for path, lines in run.covered.items() for line in lines}
    unverified = [e for e in edits if not any((e.path, line) in covered for line in range(e.first, e.last + 1))]
    return Verified(edits, runs, unverified)


# ---- what was changed


def changed(original: Path, ported: Path) -> Iterator[Edit]:
    """Statements of the port that are not in the original, file by file; of notebooks and settings, which no run traces, lines.
    Files that only one of them has do not count."""
    for path in sorted(ported.rglob("*")):
        relative = path.relative_to(ported)
        before = original / relative
        if any(part.startswith(".") for part in relative.parts) or not looked_at(relative.as_posix()):
            continue
        if not path.is_file() or not before.is_file():
            continue
        old, new = before.read_bytes(), path.read_bytes()
        if old != new:
            yield from _statements(relative.as_posix(), old, new)


def _statements(path: str, old: bytes, new: bytes) -> Iterator[Edit]:
    before, after = (data.decode("utf-8", "replace").splitlines() for data in (old, new))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    lines = [line + 1 for tag, _, _, j1, j2 in matcher.get_opcodes() if tag != "equal" for line in range(j1, j2)]
    tree = parse(new) if path.endswith(".py") else ast.Module([], [])
    spans = sorted({_span(line, tree) for line in lines})
    yield from (Edit(path, first, last) for first, last in spans)


def _span(line: int, tree: ast.Module) -> tuple[int, int]:
    """Lines of the smallest statement around a line; of one with a body only its head."""
    best = (line, line)
    size = 1 << 30
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        last = body[0].lineno - 1 if body and body[0].lineno > node.lineno else node.end_lineno or node.lineno
        if first <= line <= last and last - first < size:
            best, size = (first, last), last - first
    return best


def _copy(tree: Path, to: Path) -> Path:
    shutil.copytree(tree, to, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__", RECORD))
    return to


# ---- runs


def _run(tree: Path, where: str, edits: Sequence[Edit], program: str, arguments: Sequence[str]) -> Run:
    watched: dict[str, list[int]] = {}
    for edit in edits:
        watched.setdefault(str(tree / edit.path), []).extend(range(edit.first, edit.last + 1))
    report, stand_in = tree.parent / f"{tree.name}.json", tree.parent / f"{tree.name}.stand-in.json"
    settings = json.dumps({"root": str(tree), "watched": watched, "report": str(report)})
    words = ["porting.codemod.observe", settings, str(tree / program), *arguments]
    if where not in ("original", "cpu"):
        device = {"profile": where, "fallback": True, "keep_going": True, "module": True, "report": str(stand_in)}
        words = ["porting.accelerators.script", json.dumps(device), *words]
    done = _start(words, tree)
    without: dict[str, Any] = {"status": done.returncode or 1, "error": _last_line(done.stderr)}
    found: dict[str, Any] = json.loads(report.read_text()) if report.is_file() else without
    accelerator: dict[str, Any] = json.loads(stand_in.read_text()) if stand_in.is_file() else {}
    root = os.path.realpath(tree) + os.sep
    return Run(
        where,
        found["status"] or (done.returncode and 1),
        found.get("error", "") or (_last_line(done.stderr) if done.returncode else ""),
        found.get("place", ""),
        done.stdout.splitlines(),
        [(kind, numbers) for kind, numbers in found.get("events", ())],
        found.get("narrow", []),
        {path.removeprefix(root): lines for path, lines in found.get("covered", {}).items()},
        _left(found.get("leftovers", []), edits),
        _relative(accelerator, root),
    )


def _left(leftovers: list[dict[str, Any]], edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Calls of torch.cuda that the port makes itself, not through the helper, which asks torch.cuda where there is no card."""
    helped = {f"{edit.path}:{line}" for edit in edits for line in range(edit.first, edit.last + 1)}
    return [call for call in leftovers if call["place"] not in helped]


def _start(words: Sequence[str], tree: Path) -> subprocess.CompletedProcess[str]:
    ours = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([ours, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
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


# ---- comparing


def allowed(one: Run, other: Run) -> float:
    """The relative difference that rounding explains between a run on the CPU and one on a stand-in."""
    return max([ON_STAND_IN, *(NARROW[dtype] for dtype in {*one.narrow} ^ {*other.narrow})])


def compare(one: Run, other: Run, allowed: float, words: bool = True) -> list[str]:
    """What differs between two runs: how they ended, the numbers that were noted, and the words that were printed. words: also
    these, numbers in them apart, which may be times."""
    found = []
    if other.status != one.status:
        found.append(f"ended with {other.status} instead of {one.status}{f', {other.error}' if other.error else ''}")
    for number, (mine, theirs) in enumerate(zip(one.events, other.events, strict=False)):
        if mine[0] != theirs[0] or not _alike(mine[1], theirs[1], allowed):
            found.append(f"{number + 1}. {mine[0]}: {_short(theirs)} instead of {_short(mine)}")
            break
    if len(one.events) != len(other.events) and other.status == one.status:
        found.append(f"{len(other.events)} losses, outputs and steps instead of {len(one.events)}")
    if words and other.status == one.status:
        skeletons = [[_NUMBER.sub("N", line) for line in run.output] for run in (one, other)]
        if skeletons[0] != skeletons[1]:
            line = next((pair for pair in zip(*skeletons, strict=False) if pair[0] != pair[1]), ("", "more or fewer lines"))
            found.append(f"printed {line[1]!r} instead of {line[0]!r}")
    return found


def _alike(one: Sequence[float], other: Sequence[float], allowed: float) -> bool:
    """Pairs of a sum and a sum of magnitudes, which the difference is measured by."""
    if len(one) != len(other):
        return False
    pairs = zip(one[::2], one[1::2], other[::2], other[1::2], strict=True)
    return all(_near(a, b, size, allowed) and _near(size, other_size, size, allowed) for a, size, b, other_size in pairs)


def _near(one: float, other: float, size: float, allowed: float) -> bool:
    return one == other or abs(one - other) <= allowed * max(size, 1e-12) or (one != one and other != other)


def _short(event: tuple[str, list[float]]) -> str:
    return f"{event[0]} " + " ".join(f"{n:.8g}" for n in event[1][:4])
