"""Lists of operators from what a maker ships: a plugin's wheel, the YAML that its kernels are generated from, or a plain list.

What comes out is a profile of one's own (porting.accelerators.profile): the built-in one with another list. Nothing of a wheel is
run or installed.
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porting.accelerators.operators import read_list
from porting.accelerators.profile import FILE, Profile, read
from porting.errors import EnvironmentMissing, UsageError

LARGEST = 16 << 20
"""Bytes of one YAML file that are read; those of the plugins have a tenth of a megabyte."""

# Sections of a file whose entries have a kernel. `symint` and `tensor` repeat names that stand elsewhere.
_SECTIONS = ("supported", "aten", "autograd", "quant", "custom", "vision", "audio")
_YAML_IN_WHEEL = re.compile(r"native_functions\w*\.ya?ml$|_functions\.ya?ml$")
_VERSION = re.compile(r"^Version: (?P<version>\S+)$", re.MULTILINE)
_SCHEMA = re.compile(r"\(.*\)\s*->.+")
_NAME = re.compile(r"^(?P<name>[A-Za-z_]\w*(::\w+)?(\.\w+)?)")


@dataclass(frozen=True)
class Shipped:
    """What was found in a maker's files."""

    names: frozenset[str]
    version: str
    """Of the wheel; empty for other files."""
    source: str
    """The files, in words."""


def shipped(paths: Sequence[Path]) -> Shipped:
    """Read files of one plugin. Raises UsageError for one that holds no operators, and EnvironmentMissing where nothing reads
    YAML."""
    names: set[str] = set()
    version, source = "", []
    for path in paths:
        found, of = _wheel(path) if path.suffix == ".whl" else (set(_names_in(_text(path), path.name)), "")
        if not found:
            raise UsageError(
                f"{path} names no operators.", "Give a plugin's wheel, its native_functions YAML, or one name a line."
            )
        names |= found
        version = of or version
        source.append(path.name)
    return Shipped(frozenset(names), version, ", ".join(source))


def build(base: Profile, found: Shipped, version: str, folder: Path) -> Profile:
    """Write the profile of `base` with another list into `folder`/NAME, replacing what is there. Raises UsageError for a maker
    whose device is not reached through PyTorch."""
    if base.torch is None:
        raise UsageError(f"{base.vendor} is not reached through PyTorch.", "porting profile show tells by what it is.")
    place = folder / base.name
    part = folder / f"{base.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    label = f"{base.torch.plugin or base.name} {version or found.version}".strip()
    name = f"{label.replace(' ', '-').replace('/', '_')}.txt"
    head = [
        f"# ATen operators of {base.vendor}, {label}",
        f"# source: {found.source}",
        "# names only: nothing of dtypes or shapes",
    ]
    (part / name).write_text("\n".join([*head, *sorted(found.names)]) + "\n", encoding="utf-8")
    if base.onnx:
        shutil.copyfile(base.folder / base.onnx.list, part / base.onnx.list)
    (part / FILE).write_text(_with_list(base, name, label, found.source), encoding="utf-8")
    read(part)  # a profile that cannot be read back is none
    shutil.rmtree(place, ignore_errors=True)
    part.rename(place)
    return read(place)


@dataclass(frozen=True)
class Difference:
    """Between two lists."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    common: int


def difference(old: frozenset[str], new: frozenset[str]) -> Difference:
    """What came and what went."""
    return Difference(tuple(sorted(new - old)), tuple(sorted(old - new)), len(old & new))


def names_of(what: Profile | Path) -> frozenset[str]:
    """The operators of a profile, or of a maker's file. Raises UsageError."""
    if isinstance(what, Path):
        return shipped([what]).names
    if not what.operators or not what.operators.list:
        raise UsageError(f"there is no list of PyTorch operators for {what.vendor}.")
    return read_list(what.folder / what.operators.list)


# ---- reading ------------------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path} has {path.stat().st_size >> 20} MiB, too much for a list.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error


def _wheel(path: Path) -> tuple[set[str], str]:
    """Names in the YAML files of a wheel, and the wheel's version."""
    names: set[str] = set()
    version = ""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if _YAML_IN_WHEEL.search(entry.filename) and entry.file_size <= LARGEST:
                    names |= set(_names_in(archive.read(entry).decode("utf-8"), entry.filename))
                elif entry.filename.endswith(".dist-info/METADATA") and entry.file_size <= LARGEST:
                    match = _VERSION.search(archive.read(entry).decode("utf-8", "replace"))
                    version = match["version"] if match else ""
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    return names, version


def _names_in(text: str, label: str) -> Iterator[str]:
    """Operators in YAML or in a plain list, in whichever of the makers' ways they are written."""
    if not label.endswith((".yaml", ".yml")):
        yield from _listed(text, label)
        return
    data = _yaml(text, label)
    entries = [entry for key in _SECTIONS for entry in data.get(key) or ()] if isinstance(data, Mapping) else data or ()
    for entry in entries:
        said = entry.get("func", "") if isinstance(entry, Mapping) else entry
        name = _name(str(said))
        if name:
            yield name


def _listed(text: str, label: str) -> Iterator[str]:
    """Operators one a line, by name or with their schema. Raises UsageError for a line that is neither: other files have
    words at the beginnings of their lines, too."""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        name = _name(line)
        rest = line.removeprefix("aten::")[len(name) :]
        if not name or (rest and not _SCHEMA.fullmatch(rest)):
            raise UsageError(
                f"{label}:{number} names no operator: {line[:60]!r}.",
                "A list has one operator a line, add.Tensor or add.Tensor(Tensor self, ...) -> Tensor.",
            )
        yield name


def _name(text: str) -> str:
    """`add.Tensor` of `add.Tensor(Tensor self, ...) -> Tensor` and of `aten::add.Tensor`."""
    match = _NAME.match(text.removeprefix("aten::"))
    return match["name"] if match else ""


def _yaml(text: str, label: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise EnvironmentMissing(f"{label} is YAML, which nothing here reads.", "pip install 'porting[profiles]'") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{label} is no YAML: {' '.join(str(error).split())[:200]}.") from error


# ---- writing ------------------------------------------------------------------------------------------------------


def _with_list(base: Profile, name: str, label: str, source: str) -> str:
    """The profile's own text, with another table [operators]."""
    text = (base.folder / FILE).read_text(encoding="utf-8")
    kept = re.sub(r"^\[operators\]\n(?:(?!\[).*\n?)*", "", text, flags=re.MULTILINE).rstrip()
    old = base.operators
    lines = {"list": name, "plugin_version": label, "otherwise": old.otherwise if old and not old.none else "error"}
    if old and old.forbid:
        lines["forbid"] = old.forbid
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in {**lines, "source": source}.items())
    return f"{kept}\n\n[operators]\n{table}\ndate = {datetime.date.today().isoformat()}\n"
