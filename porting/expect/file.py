"""Expectation files into expectations, with every problem named by file and line.

A folder has one file a target, called after it: `iree-rocm-gfx942-fp16.toml` is that of `iree:rocm-gfx942:fp16`. It has
`[[expect]]` entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import porting
from porting.catalog import file as catalog_file
from porting.catalog.checks import Check, a, kind_of, list_of, one_of
from porting.catalog.file import CatalogFile, Problem, Table
from porting.catalog.project import Project
from porting.errors import UsageError
from porting.expect import versions
from porting.expect.entry import OWNERS, Expectation, Observed
from porting.types import Cause, Evidence, Outcome, Stage, Target

TABLE = "expect"
FOLDER = "expect"
"""Beside a porting.toml that names no other."""

KEYS = tuple(f.name for f in fields(Expectation) if f.name not in ("target", "file", "line"))
_OF_A_FAILURE = ("stage", "cause", "signature", "expires", "flaky")
"""Keys that a plain pass cannot have."""


@dataclass(frozen=True)
class Book:
    """The expectations of a folder."""

    folder: Path
    by_target: Mapping[str, tuple[Expectation, ...]]

    def of(self, target: str) -> tuple[Expectation, ...]:
        return self.by_target.get(target, ())

    def expected(self, model: str, target: str, environment: Mapping[str, str]) -> Expectation | None:
        """The entry that counts for a cell: one that has the model's id before one with a glob, one whose condition holds
        before one without, of several the last."""
        found = [(n, e) for n, e in enumerate(self.of(target)) if e.covers(model) and e.applies(environment)]
        return max(found, key=lambda pair: (pair[1].names(model), bool(pair[1].when), pair[0]), default=(0, None))[1]

    def unlisted(self, root: Path) -> set[str]:
        """Models that are named and need no entry of a catalog: factories, and files that are there below `root`."""
        named = {name for entries in self.by_target.values() for entry in entries for name in entry.models}
        return {name for name in named if ":" in name or (not set(name) & set("*?[") and (root / name).exists())}


def file_name(target: str) -> str:
    """What the file of a target is called."""
    return f"{target.replace(':', '-')}.toml"


def target_of(stem: str) -> Target:
    """The target that a file's name means. Raises ValueError."""
    adapter, _, rest = stem.partition("-")
    device, _, precision = rest.rpartition("-")
    return Target.parse(f"{adapter}:{device}:{precision}")


def folder_of(project: Project | None, given: Path | None = None) -> Path:
    """Where expectations lie: the folder that was given, that of porting.toml, else that of the toolkit's own catalog.
    Raises UsageError for a given folder that is not there."""
    if given is not None:
        if not given.is_dir():
            raise UsageError(f"there is no folder {str(given)!r}.", "Make it, and fill it with porting accept --write.")
        return given
    if project is not None:
        return project.expect or project.root / FOLDER
    return next(Path(folder) / "models" / FOLDER for folder in porting.__path__ if (Path(folder) / "models").is_dir())


def read_folder(folder: Path) -> Book:
    """Read every file of a folder; one that is not there holds none. Raises CatalogError for the first problem."""
    book, problems = check_folder(folder)
    if problems:
        raise problems[0].error()
    return book


def check_folder(folder: Path) -> tuple[Book, list[Problem]]:
    """The same, with all that is wrong."""
    found: dict[str, tuple[Expectation, ...]] = {}
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.toml")):
        text, problem = catalog_file.read_text(path)
        if text is None:
            assert problem
            problems.append(problem)
            continue
        target, entries, wrong = read(path, text)
        found[target] = tuple(entries)
        problems += wrong
    return Book(folder, found), problems


def check_files(paths: Iterable[Path]) -> list[Problem]:
    """All that is wrong in these files."""
    problems: list[Problem] = []
    for path in paths:
        text, problem = catalog_file.read_text(path)
        problems += read(path, text)[2] if text is not None else [problem] if problem else []
    return problems


def is_expectations(path: Path) -> bool:
    """Whether a TOML file holds expectations, by its name or by what it holds."""
    try:
        target_of(path.stem)
    except ValueError:
        text, _ = catalog_file.read_text(path)
        return re.search(rf"^\s*\[\[\s*{TABLE}\s*\]\]", text or "", re.MULTILINE) is not None
    return True


def read(path: Path, text: str) -> tuple[str, list[Expectation], list[Problem]]:
    """Read one file's text: its target, the entries that are sound, and what is wrong with the rest."""
    file = CatalogFile(shown(path), text, str(path.parent), TABLE)
    try:
        target = str(target_of(path.stem))
    except ValueError:
        target = path.stem
        hint = "Write adapter-device-precision.toml, for instance onnxruntime-cpu-fp32.toml."
        file.complain(1, f"the file's name {path.name!r} means no target.", hint)
    data = catalog_file.parse(file)
    catalog_file.unknown_keys(file, data, (TABLE,))
    entries = data.get(TABLE, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        file.complain(file.find(1, TABLE), f"{TABLE!r} must be an array of tables.", f"Write [[{TABLE}]].")
        return target, [], file.problems
    found = [made for number, entry in enumerate(entries) if (made := _entry(file, entry, file.entry(number), target))]
    _check_once(file, found)
    return target, found, file.problems


def shown(path: Path) -> str:
    """A path as a person here would write it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def _entry(file: CatalogFile, entry: Table, line: int, target: str) -> Expectation | None:
    before = len(file.problems)
    catalog_file.unknown_keys(file, entry, KEYS, line)
    for key, value in entry.items():
        wrong = _CHECKS[key](value) if key in _CHECKS else None
        if wrong:
            file.complain(file.find(line, key), f"{key!r} {wrong}.")
    if len(file.problems) == before:
        _check_sense(file, entry, line)
    if len(file.problems) > before:
        return None
    return Expectation(target=target, file=file.name, line=line, **{key: _value(key, value) for key, value in entry.items()})


def _check_sense(file: CatalogFile, entry: Table, line: int) -> None:
    """Check what a key asks of others; each is of the right type by now."""
    for key in ("models", "outcome"):
        if key not in entry:
            file.complain(line, f"an expectation needs {key!r}.")
    outcome = entry.get("outcome")
    if outcome == Outcome.PASS.value:
        for key in (key for key in _OF_A_FAILURE if key in entry):
            file.complain(file.find(line, key), f"a pass has no {key!r}.")
    elif outcome is not None:
        for key in (key for key in ("reason", "owner") if not entry.get(key, "").strip()):
            hint = "Why is it accepted?" if key == "reason" else f"Who would mend it: {', '.join(OWNERS)}."
            file.complain(file.find(line, "outcome"), f"what is no pass needs {key!r}.", hint)
        if "evidence" in entry and outcome != Outcome.DEGRADED.value:
            file.complain(file.find(line, "evidence"), "only a pass has 'evidence'.")
    if "since" in entry and "expires" in entry and entry["expires"] < entry["since"]:
        file.complain(file.find(line, "expires"), "it expires before it began.")


def _check_once(file: CatalogFile, entries: Iterable[Expectation]) -> None:
    """Complain of a model that two entries without a condition name."""
    seen: dict[str, Expectation] = {}
    for entry in entries:
        for model in () if entry.when else entry.models:
            first = seen.setdefault(model, entry)
            if first is not entry:
                hint = "Which of them counts? Leave one, or give it a 'when'."
                file.complain(file.find(entry.line, model), f"{model!r} is in the entry of line {first.line}, too.", hint)


def _value(key: str, value: Any) -> Any:
    kinds = {"outcome": Outcome, "stage": Stage, "cause": Cause, "evidence": Evidence}
    if key in kinds:
        return kinds[key](value)
    return Observed(**value) if key == "flaky" else tuple(value) if key == "models" else value


# ---- types --------------------------------------------------------------------------------------------------------


def _models(value: Any) -> str | None:
    wrong = list_of(str, "strings")(value)
    return wrong or (None if value and all(value) else "must name at least one model")


def _signature(value: Any) -> str | None:
    if isinstance(value, str) and len(value) == 6 and set(value) <= set("0123456789abcdef"):
        return None
    return "must be six hex digits, as results have them"


def _link(value: Any) -> str | None:
    if isinstance(value, str) and value.startswith(("https://", "http://")):
        return None
    return "must be an address that begins with https://"


def _day(value: Any) -> str | None:
    return None if type(value) is date else f"must be a day such as 2027-03-01, not {kind_of(value)}"


def _flaky(value: Any) -> str | None:
    sound = isinstance(value, dict) and set(value) == {"failed", "of"} and all(type(n) is int for n in value.values())
    if sound and 0 < value["failed"] < value["of"]:
        return None
    return "must be what was observed, {failed = 3, of = 20}, some but not all of them failed"


def _when(value: Any) -> str | None:
    if not isinstance(value, dict) or not value:
        return "must be a table of conditions, {openvino = '>=2026.3'}"
    wrong = [(key, found) for key, condition in value.items() if (found := versions.misfit(condition))]
    return f"is wrong at {wrong[0][0]!r}: it {wrong[0][1]}" if wrong else None


_CHECKS: dict[str, Check] = {
    "models": _models,
    "outcome": one_of([o.value for o in Outcome if o is not Outcome.MISSING]),
    "stage": one_of([stage.value for stage in Stage]),
    "cause": one_of([cause.value for cause in Cause]),
    "signature": _signature,
    "evidence": one_of([evidence.value for evidence in Evidence]),
    "reason": a(str, "a string"),
    "owner": one_of(tuple(OWNERS)),
    "link": _link,
    "since": _day,
    "expires": _day,
    "flaky": _flaky,
    "when": _when,
}
