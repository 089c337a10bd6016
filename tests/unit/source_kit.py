"""What the tests of the sources share: a spec, what is built from it, and a run of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from porting.bundles.cases import cases
from porting.sources import BuiltModel, _inputs, source
from porting.types import ModelSpec

torch.set_num_threads(1)


def spec(kind: str, name: str, root: Path | None = None, **more: Any) -> ModelSpec:
    return ModelSpec(id=f"{kind}/{name}", source=kind, name=name, root=str(root or ""), **more)


def build(kind: str, name: str, root: Path | None = None, **more: Any) -> BuiltModel:
    return source(kind).build(spec(kind, name, root, **more))


def run(built: BuiltModel, varying: frozenset[str] = frozenset()) -> list[Any]:
    """Run every case in eager PyTorch."""
    assert built.module is not None
    assert not built.module.training
    with torch.no_grad():
        return [
            built.module(**_inputs.tensors(case.arrays), **built.constants)
            for case in cases(built.inputs, built.sizes, varying, "test")
        ]
