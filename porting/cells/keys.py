"""Content keys: what a bundle and a cell depend on, as digests. The same key means the same work, which is not done again.

Called for every cell of a run, also when nothing has to be done: no torch, no numpy, every file read once.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path

from porting.serialization import Json
from porting.types import ModelSpec, Target

_BUNDLE_CODE = (
    *(
        f"bundles/{name}"
        for name in (
            "aten", "build", "bundle", "captured", "cases", "eager", "export", "generation", "given", "onnx_reference",
            "optimizer", "pinned", "prompts", "reference", "shapes", "tables", "tensors", "tracing", "weights", "wide",
        )
    ),
    "numerics", "rewrites", "sources/__init__",
)  # fmt: skip
_CELL_CODE = (
    "adapter", "bundles/generation", "bundles/tensors", "cells/attempt", "cells/cell", "cells/parted", "diagnose/blockers",
    "numerics", "rewrites/parts", "routes", "verdict", "workers/worker",
)  # fmt: skip
_OPERATOR_CODE = (
    "adapter", "bundles/tensors", "numerics/metrics", "operators/chunk", "operators/job", "operators/judge", "operators/record",
    "verdict", "workers/worker",
)  # fmt: skip
BUNDLE_DISTRIBUTIONS = ("torch", "onnx", "onnxscript", "onnx-ir", "numpy")


def digest(value: Json) -> str:
    """sha256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@functools.cache
def code(names: tuple[str, ...]) -> str:
    """Digest of modules and packages of porting, by their source."""
    folder = Path(__file__).parents[1]
    total = hashlib.sha256()
    for name in names:
        path = folder / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            total.update(file.read_bytes())
    return total.hexdigest()


@functools.cache
def version(distribution: str) -> str:
    """Installed version of a distribution, or nothing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _source_code(source: str) -> tuple[str, ...]:
    """The modules of porting.sources that build from a source: its own and what they import there, so that a change of one
    source leaves the models of the others as they are."""
    from porting import sources

    folder = Path(__file__).parents[1] / "sources"
    found: set[str] = set()
    waiting = {sources.MODULES.get(source, source)}
    while waiting:
        name = waiting.pop()
        found.add(name)
        tree = ast.parse((folder / f"{name}.py").read_bytes())
        waiting |= {name for name in _imported(tree) if (folder / f"{name}.py").is_file()} - found
    return tuple(f"sources/{name}" for name in sorted(found))


def _imported(tree: ast.AST) -> set[str]:
    """Last parts of the modules that a module of porting.sources imports from beside it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            beside = node.level == 1 or (node.module or "").startswith("porting.sources")
            names |= {(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)} if beside else set()
    return names


def bundle_key(spec: ModelSpec, fingerprint: Mapping[str, str], given: str = "") -> str:
    """Key of a model's bundle. fingerprint: what its source says it depends on. given: digest of a person's own inputs."""
    return digest(
        {
            "spec": spec.identity(),
            "source": dict(fingerprint),
            "given": given,
            "code": code(_BUNDLE_CODE),
            "builder": code(_source_code(spec.source)),
            "versions": {name: version(name) for name in BUNDLE_DISTRIBUTIONS},
        }
    )


def cell_key(bundle: str, target: Target, adapter: str, environment: Mapping[str, str], route: str = "") -> str:
    """Key of a cell. bundle: its bundle's key. adapter: digest of the adapter's code. environment: versions found there. route:
    the one that a person wants, if any."""
    said = {"bundle": bundle, "target": str(target), "adapter": adapter, "environment": dict(environment)}
    return digest({**said, "code": code(_CELL_CODE), **({"route": route} if route else {})})


def judging_key(adapter: str) -> str:
    """Key of what a result depends on besides the model and the environment. adapter: digest of the adapter's code."""
    return digest({"adapter": adapter, "code": code(_CELL_CODE)})


def operator_key(case: str, target: Target, adapter: str, environment: Mapping[str, str]) -> str:
    """Key of a node case on a target. case: digest of its model and data; the rest as for a cell."""
    return digest(
        {
            "case": case,
            "target": str(target),
            "adapter": adapter,
            "environment": dict(environment),
            "code": code(_OPERATOR_CODE),
        }
    )
