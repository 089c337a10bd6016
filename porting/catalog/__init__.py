"""The catalog: every model spec that is known, and what a person means by the name of a model.

One file's syntax is porting.catalog.file's matter, a person's own `porting.toml` porting.catalog.project's. No torch, no numpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import porting
from porting.catalog import file as catalog_file
from porting.catalog import measured
from porting.catalog.file import REAL_WEIGHTS, TIERS, Problem
from porting.catalog.project import FILE, Project, check_project, find_project
from porting.errors import UnknownName, UntrustedError, UsageError
from porting.types import ModelSpec

__all__ = ["Catalog", "Problem", "Project", "TIERS", "catalog_files", "find_project", "load", "resolve"]


class Catalog:
    """Model specs by id, in the order of their files and lines."""

    def __init__(self, specs: Iterable[ModelSpec]) -> None:
        self._specs: dict[str, ModelSpec] = {}
        for spec in specs:
            if spec.id in self._specs:
                raise duplicate(spec, self._specs[spec.id]).error()
            self._specs[spec.id] = spec

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def ids(self) -> list[str]:
        return list(self._specs)

    def get(self, name: str) -> ModelSpec:
        """Return the entry with this id. Raises UnknownName, with near names."""
        if name not in self._specs:
            raise UnknownName("model", name, self.ids(), "porting models list shows what is known.")
        return self._specs[name]

    def match(self, globs: Sequence[str] = (), tier: str | None = None) -> list[ModelSpec]:
        """Return the entries that match any of the ids or globs, all when there are none, and are in the tier, in the
        catalog's order. Raises UnknownName for a glob that matches no id, or a tier nobody knows."""
        if tier is not None and tier not in TIERS:
            raise UnknownName("tier", tier, list(TIERS), f"Known: {', '.join(TIERS)}.")
        for pattern in globs:
            if not any(fnmatchcase(name, pattern) for name in self._specs):
                self.get(pattern)
        return [
            spec
            for name, spec in self._specs.items()
            if (not globs or any(fnmatchcase(name, pattern) for pattern in globs)) and (tier is None or tier in spec.tiers)
        ]


def catalog_files() -> list[Path]:
    """The files of the catalog that comes with the toolkit: beside it in a checkout, inside it when installed."""
    for folder in porting.__path__:
        models = Path(folder) / "models"
        if models.is_dir():
            return sorted(path for path in models.rglob("*.toml") if path.relative_to(models).parts[0] != "expect")
    return []


def load(paths: Sequence[Path] | None = None, project: Project | None = None) -> Catalog:
    """Load a catalog. paths: files or folders, instead of the one that comes with the toolkit. project: whose entries to add.
    How many parameters an entry has is what its build showed, where the entry says nothing of it.
    Raises CatalogError naming file and line of the first problem."""
    specs, problems = read_all(catalog_files() if paths is None else files_in(paths))
    if problems:
        raise problems[0].error()
    return Catalog([*_sized(specs), *(project.models if project else ())])


def _sized(specs: Iterable[ModelSpec]) -> Iterator[ModelSpec]:
    known = measured.sizes()
    for spec in specs:
        yield replace(spec, params=known[spec.id]) if spec.params is None and spec.id in known else spec


def files_in(paths: Sequence[Path]) -> list[Path]:
    """The TOML files that are named, and those in folders that are."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob("*.toml")) if path.is_dir() else [path]
    return found


def read_all(files: Iterable[Path]) -> tuple[list[ModelSpec], list[Problem]]:
    """The entries of catalog files and of a `porting.toml`, and what is wrong in them."""
    specs: list[ModelSpec] = []
    problems: list[Problem] = []
    for file in files:
        if file.name == FILE:
            project, wrong = check_project(file)
            found = list(project.models)
        else:
            found, wrong = catalog_file.read(file)
        specs += found
        problems += wrong
    return specs, problems


def duplicate(spec: ModelSpec, first: ModelSpec) -> Problem:
    """Two entries have the same id."""
    file, _, line = spec.origin.rpartition(":")
    return Problem(
        file or spec.id, int(line or 1), f"model {spec.id!r} is already defined at {first.origin}.", "Give it another id."
    )


# ---- what a person means by the name of a model -------------------------------------------------------------------

_FILE_SUFFIXES = (".onnx", ".pt2", ".pt", ".pth", ".ts", ".jit", ".bin", ".pkl", ".ckpt", ".safetensors", ".gguf", ".tflite")
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*|.+\.py:[A-Za-z_][\w.]*")


def resolve(text: str, catalog: Catalog, trust: bool = False, folder: Path | None = None) -> list[ModelSpec]:
    """Return the specs that `text` means: a catalog id or glob, a path, or `package.module:factory`.

    trust: whether a person allows code from the model's own files. folder: where relative paths start, the working directory
    when not given. Raises UnknownName with near names, ModelError for a file that is no model, UntrustedError for one that
    needs trust.
    """
    if text in catalog:
        return [_one(catalog.get(text), trust)]
    start = (folder or Path.cwd()).absolute()
    if (start / Path(text).expanduser()).exists() or text.startswith("package:"):
        return [_from_path(text, start, trust)]
    if _FACTORY.fullmatch(text):
        return [_ad_hoc(text, "factory", start, trust)]
    if re.search(r"[*?[]", text):
        return [_trusted(spec, trust) for spec in catalog.match([text])]
    if text.endswith(_FILE_SUFFIXES) or text.startswith((".", "/", "~")):
        raise UsageError(f"no file or folder {text!r} in {start}.", "Check the path.")
    raise UnknownName("model", text, catalog.ids(), "Give a catalog id (porting models list), a path or package.module:factory.")


def _from_path(text: str, start: Path, trust: bool) -> ModelSpec:
    from porting.sources import _files

    spec = _ad_hoc(text, "onnx", start, trust)
    return replace(spec, source=_files.sniff(_files.locate(spec), trust))


def _ad_hoc(text: str, source: str, start: Path, trust: bool) -> ModelSpec:
    name = Path(text).as_posix()
    weights = "real" if source in REAL_WEIGHTS else "random"
    return ModelSpec(id=name, source=source, name=name, family=name, weights=weights, trust=trust, root=str(start))


def _trusted(spec: ModelSpec, trust: bool) -> ModelSpec:
    return replace(spec, trust=trust)


def _one(spec: ModelSpec, trust: bool) -> ModelSpec:
    """An entry named by itself that needs trust is refused at once; one among many is when its turn comes."""
    if spec.source == "torchscript" and not trust:
        hint = "If you trust its author, allow it with --trust."
        raise UntrustedError(f"{spec.id} is TorchScript, whose loading can run code.", hint)
    return _trusted(spec, trust)
