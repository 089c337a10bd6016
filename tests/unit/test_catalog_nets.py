"""Every net of the catalog's own is what its entry says: it builds at the stated size, minds each input, and answers each row of
a batch by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from porting import catalog
from porting.bundles import weights
from porting.bundles.build import build
from porting.bundles.cases import draw
from porting.bundles.eager import flatten
from porting.sources import BuiltModel
from porting.types import ModelSpec

torch.set_num_threads(1)

SPECS = {spec.id: spec for spec in catalog.load() if spec.source == "factory"}
MOVED = 1e-5
"""Relative change of an output from which an input counts as having reached it; fp32 noise is below 5e-6."""


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def outputs(built: BuiltModel, arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    assert built.module is not None
    return {n: t.double() for n, t in flatten(built.module(**{n: torch.from_numpy(a) for n, a in arrays.items()}))}


def row(built: BuiltModel, arrays: dict[str, Any], number: int) -> dict[str, Any]:
    """The inputs of one row of a batch."""
    axes = {spec.name: spec.shape.index("batch") for spec in built.inputs if "batch" in spec.shape}
    return {name: a.take([number], axes[name]) if name in axes else a for name, a in arrays.items()}


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / a.norm().clamp(min=1e-12))


def check_rows(spec: ModelSpec, built: BuiltModel) -> None:
    """A larger batch runs; its rows have different answers, the same as each by itself."""
    arrays = draw(built.inputs, {**built.sizes, "batch": 5}, "nominal", spec.id)
    whole, first, last = outputs(built, arrays), outputs(built, row(built, arrays, 0)), outputs(built, row(built, arrays, 4))
    apart = []
    for name, value in whole.items():
        axes = [n for n, (a, b) in enumerate(zip(value.shape, first[name].shape, strict=True)) if a != b]
        assert len(axes) == 1, f"{name}: {list(value.shape)} for a batch of 5, {list(first[name].shape)} for one"
        rows = value.unbind(axes[0])
        assert far(rows[0], first[name].select(axes[0], 0)) < 1e-3, name
        assert far(rows[4], last[name].select(axes[0], 0)) < 1e-3, name
        apart.append(max(far(rows[0], other) for other in rows[1:]))
    assert min(apart) > MOVED


def test_the_nets_of_our_own_are_many_and_of_every_domain() -> None:
    files = {spec.name.rpartition(":")[0] for spec in SPECS.values()}
    assert len(SPECS) >= 190
    assert len({spec.family for spec in SPECS.values()}) >= 170
    assert len(files) < len(SPECS)
    assert all(spec.weights == "random" and spec.task and spec.modalities and spec.license for spec in SPECS.values())


@pytest.mark.parametrize("name", list(SPECS))
def test_a_net_has_the_stated_size_minds_all_its_inputs_and_keeps_the_rows_of_a_batch_apart(name: str) -> None:
    spec = SPECS[name]
    built = build(spec)
    assert built.module is not None
    assert sum(p.numel() for p in built.module.parameters()) == spec.params
    nominal, contrast, edge = (draw(built.inputs, built.sizes, s, spec.id) for s in ("nominal", "contrast", "edge"))
    weights.randomise(built.module)
    weights.calibrate(
        built.module, [lambda: outputs(built, nominal), lambda: outputs(built, contrast)], lambda: weights.GOOD_MARGIN
    )
    before = outputs(built, nominal)
    assert all(t.isfinite().all() for t in (*before.values(), *outputs(built, edge).values()))
    padded = draw(built.inputs, built.sizes, "padded", spec.id)
    for spec_in in built.inputs:
        other = padded if spec_in.kind == "mask" else contrast
        after = outputs(built, {**nominal, spec_in.name: other[spec_in.name]})
        assert max(far(before[n], after[n]) for n in before) > MOVED, f"{spec_in.name} moves nothing"
    if any("batch" in spec_in.shape for spec_in in built.inputs):
        check_rows(spec, built)
