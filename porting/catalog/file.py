"""One catalog file (TOML) into model specs, with every problem named by file and line.

A file has `models` (a row is one entry, or a list under `names` or `configs` that share the other keys), `[defaults]` and
`[overrides."name"]`. Which files there are is porting.catalog's matter. No torch, no numpy.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from porting.bundles import shapes
from porting.bundles.cases import KINDS
from porting.catalog.checks import Check, a, kind_of, list_of, one_of, table_of
from porting.errors import CatalogError
from porting.sources import NAMES as SOURCES
from porting.types import InputSpec, ModelSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TIERS = ("smoke", "ci", "nightly", "full")
"""Each tier holds the ones before it: an entry of tier `smoke` is in all four."""

Table = dict[str, Any]

TABLES = ("defaults", "models", "overrides")
"""What a catalog file may hold."""

# Sources whose weights come with what is named: the seeded recipe must leave them alone.
REAL_WEIGHTS = frozenset(("factory", "onnx", "pt2", "checkpoint", "torchscript"))

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong in a catalog file."""

    file: str
    line: int
    """1 for the first line."""
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} {self.hint}".strip()

    def error(self) -> CatalogError:
        return CatalogError(f"{self.file}:{self.line}: {self.message}", self.hint)


@dataclasses.dataclass
class CatalogFile:
    """A file being read: its text, for finding lines, and what is wrong with it."""

    name: str
    text: str
    root: str
    table: str = "models"
    """The array of tables that holds its entries."""
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = self.text.splitlines()
        self.headers = [n for n, line in enumerate(self.lines, 1) if re.match(r"\s*\[+[^\[\],]+\]+\s*(#.*)?$", line)]
        self.entries = [n for n in self.headers if re.match(rf"\s*\[\[\s*{self.table}\s*\]\]", self.lines[n - 1])]
        self.entries = self.entries or list(_rows(self.lines, self.table))

    def complain(self, line: int, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.name, line, message, hint))

    def header(self, *parts: str) -> int:
        """Line of the table `[a."b"]`, or 1."""
        wanted = [part.strip("\"'") for part in parts]
        for number in self.headers:
            found = re.findall(r"\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+", self.lines[number - 1].split("#")[0])
            if [part.strip("\"'") for part in found][: len(wanted)] == wanted:
                return number
        return 1

    def entry(self, number: int) -> int:
        """Line of the n-th entry, or 1 when they are written another way."""
        return self.entries[number] if number < len(self.entries) else 1

    def find(self, start: int, word: str) -> int:
        """First line at or after `start`, in the same entry, where `word` stands as a key or a string; else `start`."""
        end = next((n for n in self.entries if n > start), len(self.lines) + 1)
        return next((n for n in range(start, end) if _stands_in(word, self.lines[n - 1])), start)


_NOT_BARE = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*")


def _rows(lines: Iterable[str], table: str) -> Iterator[int]:
    """Lines where the rows of `table = [` begin, where each begins a line."""
    begin = re.compile(rf"\s*{table}\s*=\s*\[")
    depth = 0
    for number, line in enumerate(lines, 1):
        if not depth and not begin.match(line):
            continue
        bare = _NOT_BARE.sub("", line)
        if depth == 1 and bare.lstrip().startswith("{"):
            yield number
        depth += sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))


_AFTER = re.compile(r"[\"']|\s*=|\]")


def _stands_in(word: str, line: str) -> bool:
    """Whether a line has a word as a key or a string. A pattern a word would cost more than reading the file does."""
    at = line.find(word)
    while at >= 0:
        if line[:at][-1:] in ("", *" \t{,.[\"'") and _AFTER.match(line, at + len(word)):
            return True
        at = line.find(word, at + 1)
    return False


def read(path: Path, root: Path | None = None) -> tuple[list[ModelSpec], list[Problem]]:
    """Read one catalog file. root: folder its relative paths start from; its own when not given.
    Returns the entries that are sound, and what is wrong with the others."""
    text, problem = read_text(path)
    if text is None:
        assert problem
        return [], [problem]
    file = CatalogFile(str(path), text, str(root or path.resolve().parent))
    data = parse(file)
    unknown_keys(file, data, TABLES)
    specs = read_entries(file, data, path.stem)
    return specs, file.problems


def read_text(path: Path) -> tuple[str | None, Problem | None]:
    try:
        return path.read_text(encoding="utf-8"), None
    except OSError as error:
        return None, Problem(str(path), 1, f"cannot be read: {error.strerror}.")
    except UnicodeDecodeError as error:
        return None, Problem(str(path), 1, f"is not UTF-8 text (byte {error.start}).")


def parse(file: CatalogFile) -> Table:
    """TOML to a table; empty, with a problem noted, when it is none."""
    try:
        data: Table = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+)", str(error))
        message = re.sub(r"\s*\(at .*\)$", "", str(error))
        file.complain(int(at.group(1)) if at else max(len(file.lines), 1), f"is not valid TOML: {message}.")
        return {}
    return data


def unknown_keys(file: CatalogFile, data: Table, known: Iterable[str], start: int = 1) -> None:
    """Note every key that nobody knows, with near names."""
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, list(known), n=3, cutoff=0.5)
            hint = f"Did you mean {', '.join(near)}?" if near else f"Known keys: {', '.join(known)}."
            file.complain(file.find(start, key), f"unknown key {key!r}.", hint)


# ---- entries ------------------------------------------------------------------------------------------------------


def read_entries(file: CatalogFile, data: Table, family: str) -> list[ModelSpec]:
    """The entries of `[[models]]`, with defaults and overrides merged in; none when anything is wrong, which is noted.
    family: the default family."""
    before = len(file.problems)
    models = data.get("models", [])
    if not isinstance(models, list) or not all(isinstance(entry, dict) for entry in models):
        file.complain(file.find(1, "models"), "'models' must be an array of tables.", "Write models = [{name = ...}].")
        return []
    defaults, overrides = (_table(file, data, key) for key in ("defaults", "overrides"))
    used = {name for entry in models for name in _names(entry)}
    _check_layer(file, defaults, file.header("defaults"), FIELDS)
    _check_overrides(file, overrides, used)
    for number, entry in enumerate(models):
        _check_entry(file, entry, file.entry(number))
    if len(file.problems) > before:
        return []
    specs = []
    for number, entry in enumerate(models):
        for name in _names(entry):
            layers = (defaults, entry, overrides.get(name, {}))
            specs.append(_spec(file, layers, name, file.find(file.entry(number), name), family))
    return [spec for spec in specs if spec]


_LISTS = ("names", "configs")
PLACE = "{name}"
"""Stands in an `id` for the entry's name."""


def _names(entry: Table) -> list[str]:
    """The names of an entry, also where it is not sound."""
    given = [entry[key] if key in _LISTS else [entry[key]] for key in ("name", *_LISTS) if key in entry]
    return [name for names in given if isinstance(names, list) for name in names if isinstance(name, str)]


def _check_entry(file: CatalogFile, entry: Table, line: int) -> None:
    _check_layer(file, entry, line, (*FIELDS, *_LISTS))
    given = [key for key in ("name", *_LISTS) if key in entry]
    if len(given) != 1:
        file.complain(line, "an entry needs exactly one of 'name', 'names' and 'configs'.")
    elif "id" in entry and given[0] in _LISTS and PLACE not in str(entry["id"]):
        file.complain(file.find(line, "id"), f"'id' cannot go with a list of {given[0]!r}.", f"Write {PLACE} in it.")


def _spec(file: CatalogFile, layers: Iterable[Table], name: str, line: int, family: str) -> ModelSpec | None:
    merged: Table = {}
    for layer in layers:
        merged = merge(merged, {key: value for key, value in layer.items() if key not in _LISTS})
    if "source" not in merged:
        file.complain(line, f"{name!r} has no 'source'.", f"Known sources: {', '.join(SOURCES)}.")
        return None
    merged["name"] = name
    merged["id"] = merged.get("id", f"{merged['source']}/{PLACE}").replace(PLACE, name)
    merged.setdefault("family", family)
    merged.setdefault("weights", "real" if merged["source"] in REAL_WEIGHTS else "random")
    merged["tiers"] = [] if "cannot" in merged else _with_larger_tiers(merged.get("tiers", ["full"]))
    if "inputs" in merged:
        merged["inputs"] = [InputSpec(**{**table, **_tuples(table)}) for table in merged["inputs"]]
    if "axes" in merged:
        merged["axes"] = {key: tuple(value) for key, value in merged["axes"].items()}
    return ModelSpec(**{**merged, **_tuples(merged), "origin": f"{file.name}:{line}", "root": file.root})


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """Merge tables deeply; what is no table is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return merged


def _tuples(table: Table) -> Table:
    return {key: tuple(value) for key, value in table.items() if isinstance(value, list)}


def _with_larger_tiers(tiers: Iterable[str]) -> list[str]:
    first = min(TIERS.index(tier) for tier in tiers)
    return list(TIERS[first:])


def _table(file: CatalogFile, data: Table, key: str) -> Table:
    value = data.get(key, {})
    if isinstance(value, dict):
        return value
    file.complain(file.find(1, key), f"{key!r} must be a table.")
    return {}


def _check_overrides(file: CatalogFile, overrides: Table, used: set[str]) -> None:
    for name, layer in overrides.items():
        line = file.header("overrides", name)
        line = line if line > 1 else file.find(file.header("overrides"), name)
        if name not in used:
            near = difflib.get_close_matches(name, sorted(used), n=3, cutoff=0.5)
            hint = f"Did you mean {', '.join(near)}?" if near else ""
            file.complain(line, f"overrides for {name!r}, which no entry of this file names.", hint)
        if not isinstance(layer, dict):
            file.complain(file.find(file.header("overrides"), name), f"overrides for {name!r} must be a table.")
        else:
            _check_layer(file, layer, line, tuple(field for field in FIELDS if field != "name"))


# ---- types --------------------------------------------------------------------------------------------------------


def _check_layer(file: CatalogFile, layer: Table, line: int, known: Iterable[str]) -> None:
    """Check the keys and types of one table."""
    unknown_keys(file, layer, tuple(known), line)
    for key, value in layer.items():
        wrong = _CHECKS[key](value) if key in _CHECKS else None
        if wrong:
            file.complain(file.find(line, key), f"{key!r} {wrong}.")


def _tiers(value: Any) -> str | None:
    wrong = list_of(str, "strings")(value)
    if wrong or not value:
        return wrong or "must name at least one tier"
    return next((found for tier in value if (found := one_of(TIERS)(tier))), None)


def _size(value: Any) -> str | None:
    wrong = a(int, "a whole number")(value)
    return wrong or (None if value > 0 else "must be positive")


def _dims(value: Any) -> str | None:
    if not isinstance(value, list) or any(type(dim) not in (int, str) for dim in value):
        return "must be an array of whole numbers and axis names"
    try:
        shapes.axis_names([value])
    except shapes.ShapeError as error:
        return f"has an axis that makes no sense: {error}"
    return None


def _value(value: Any) -> str | None:
    return None if type(value) in (int, float) else f"must be a number, not {kind_of(value)}"


_INPUT_CHECKS: dict[str, Check] = {
    "name": a(str, "a string"),
    "dtype": one_of(DTYPES),
    "shape": _dims,
    "kind": one_of(KINDS),
    "low": a(int, "a whole number"),
    "high": a(int, "a whole number"),
    "value": _value,
    "prefix": list_of(int, "whole numbers"),
    "start": a(str, "a string"),
}


def _input(value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"must be an array of tables, but holds {kind_of(value)}"
    missing = [key for key in ("name", "dtype", "shape", "kind") if key not in value]
    odd = [key for key in value if key not in _INPUT_CHECKS]
    if missing or odd:
        return f"has an input without {missing[0]!r}" if missing else f"has an input with the unknown key {odd[0]!r}"
    wrong = [(key, found) for key, item in value.items() if (found := _INPUT_CHECKS[key](item))]
    return f"has an input whose {wrong[0][0]!r} {wrong[0][1]}" if wrong else None


def _inputs(value: Any) -> str | None:
    if not isinstance(value, list):
        return f"must be an array of tables, not {kind_of(value)}"
    return next((wrong for item in value if (wrong := _input(item))), None)


def _reason(value: Any) -> str | None:
    wrong = a(str, "a string")(value)
    return wrong or (None if value.strip() else "must say why")


_TEXT, _TEXTS, _SIZES = a(str, "a string"), list_of(str, "strings"), table_of(_size, "whole numbers")

_CHECKS: dict[str, Check] = {
    **dict.fromkeys(("id", "name", "task", "family", "house", "license", "license_weights"), _TEXT),
    **dict.fromkeys(("names", "configs", "modalities", "requires"), _TEXTS),
    "source": one_of(SOURCES),
    "config": a(dict, "a table"),
    "inputs": _inputs,
    "axes": table_of(_dims, "arrays of axis names"),
    "sizes": _SIZES,
    "steps": _SIZES,
    "weights": one_of(("random", "real")),
    "params": _size,
    "cannot": _reason,
    "tiers": _tiers,
}

# Trust is a person's decision at the command line, never a file's.
FIELDS = tuple(f.name for f in dataclasses.fields(ModelSpec) if f.name not in ("trust", "origin", "root"))
