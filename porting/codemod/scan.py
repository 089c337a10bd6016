"""A tree of source: which files are read as what, and everything that is found in them."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from porting.codemod import baseline, ignores, kernels, notebooks, operators, python, text
from porting.codemod.finding import Finding, Safety, rules
from porting.codemod.ignores import Ignored
from porting.codemod.project import Project

if TYPE_CHECKING:
    from porting.accelerators.profile import Profile

_SKIPPED = ("__pycache__", "node_modules", "site-packages")
_BUILT = ("build", "dist")
RECORD = ".porting-rewrite.json"
"""What a rewrite keeps beside the tree."""
MAX_BYTES = 8 << 20
"""Larger files are data, whatever their name says; a notebook's pictures count."""


@dataclass
class Scanned:
    """What came of a tree."""

    root: Path
    findings: list[Finding] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    files: int = 0
    python_files: int = 0
    python_lines: int = 0

    def counts(self, kind: str = "") -> dict[Safety, int]:
        """Findings by class; kind: of rules of one kind alone."""
        chosen = [f for f in self.findings if not kind or rules()[f.rule].kind == kind]
        return {safety: sum(1 for f in chosen if f.safety is safety) for safety in Safety}

    def only(self, chosen: Collection[str]) -> Scanned:
        """The same tree as some rules alone see it."""
        findings = [f for f in self.findings if f.rule in chosen]
        return replace(self, findings=findings, ignored=[i for i in self.ignored if i.finding.rule in chosen])

    def share(self, *safeties: Safety) -> float | None:
        """Of the findings in code that are to be rewritten by somebody, the share that has one of some classes."""
        counts = self.counts("code")
        total = sum(n for safety, n in counts.items() if safety is not Safety.KEEP)
        return sum(counts[s] for s in safeties) / total if total else None


def scan(
    root: Path,
    targets: Sequence[Profile] = (),
    exclude: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Scanned:
    """Look at a file or at all of a folder. exclude: patterns of paths that are left out."""
    base = base_of(root)
    inside = root.resolve().relative_to(base.resolve())
    paths = sorted(_paths(base, inside, exclude)) if root.is_dir() else [inside.as_posix()]
    project = Project(base, (p for p in paths if p.endswith(".py")))
    scanned = Scanned(base)
    collected = gc.isenabled()
    gc.disable()  # trees hold no circles that matter, and looking for them is a third of the time
    try:
        later: dict[str, bytes] = {}
        for done, path in enumerate(paths):
            _file(scanned, path, project, targets, later)
            if done % 64 == 0:
                progress(done, len(paths))
        _others(scanned, paths, project, later)
    finally:
        if collected:
            gc.enable()
    return scanned


def _others(scanned: Scanned, paths: Sequence[str], project: Project, later: Mapping[str, bytes]) -> None:
    """Look at Python files without any rule's words, which may call what the tree has of kernels, and join what was found."""
    known = operators.Kernels(scanned.findings, project)
    for path, data in later.items():
        found = python.read(path, data, project) if known.concern(data) else python.check(path, data)
        _take(scanned, path, data, found)
    order = {path: number for number, path in enumerate(paths)}
    scanned.findings = sorted(known.join(scanned.findings, paths), key=lambda f: order[f.path])
    scanned.ignored.sort(key=lambda i: order[i.finding.path])


def base_of(path: Path) -> Path:
    """The folder that places are told from: the one that is named, or the one that the package which it belongs to lies in."""
    folder = path if path.is_dir() else path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.resolve().parent
    return folder


def _paths(root: Path, inside: Path, exclude: Sequence[str]) -> Iterator[str]:
    for folder, folders, files in os.walk(root / inside):
        folders[:] = sorted(f for f in folders if not _left_out(Path(folder), f))
        above = Path(folder).relative_to(root)
        for name in files:
            if not looked_at(name) or name == RECORD or os.path.islink(os.path.join(folder, name)):
                continue
            relative = (above / name).as_posix()
            if not any(fnmatch(relative, pattern) for pattern in exclude):
                yield relative


def _left_out(parent: Path, name: str) -> bool:
    """Whether a folder holds nothing that its owner has written: installed packages, caches, what a build has made."""
    if name in _SKIPPED or name.endswith(".egg-info") or (name.startswith(".") and name not in (".github", ".circleci")):
        return True
    if name in _BUILT:
        return any((parent / file).is_file() for file in ("setup.py", "pyproject.toml"))
    return (parent / name / "pyvenv.cfg").is_file()


def looked_at(path: str) -> bool:
    """Whether a file's name says that it is something that is read."""
    return path.endswith((".py", ".ipynb", *kernels.SUFFIXES)) or bool(text.kind_of(path))


def _file(scanned: Scanned, path: str, project: Project, targets: Sequence[Profile], later: dict[str, bytes]) -> None:
    """Look at one file. later: takes up those of Python that the rules need not look at."""
    try:
        data = _read(os.path.join(scanned.root, path))
    except (OSError, ValueError) as error:
        scanned.findings.append(python.unreadable(path, error))
        return
    if path.endswith(".json") and baseline.is_one(data):
        return
    scanned.files += 1
    if path.endswith(".py"):
        scanned.python_files += 1
        scanned.python_lines += data.count(b"\n")
        if not python.may_hold_something(data, targets):
            later[path] = data
            return
        found: Iterable[Finding] = python.scan(path, data, project, targets)
    elif path.endswith(".ipynb"):
        found, ignored = notebooks.scan(path, data, project, targets)
        scanned.ignored += ignored
    else:
        words = data.decode("utf-8", "replace")
        if path.endswith(kernels.SUFFIXES):
            project.native.add(path, words)
            found = kernels.find(path, words)
        else:
            found = text.find(path, text.kind_of(path), words, targets)
    _take(scanned, path, data, found)


def _take(scanned: Scanned, path: str, data: bytes, found: Iterable[Finding]) -> None:
    """Put down what was found in a file, and apart from it what marks there set aside."""
    if b"porting:" in data and not path.endswith(".ipynb"):
        found, ignored = ignores.apply(path, data.decode("utf-8", "replace"), found)
        scanned.ignored += ignored
    scanned.findings += found


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"{size >> 20} MiB is no source")
        return file.read()
