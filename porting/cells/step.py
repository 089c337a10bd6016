"""A model of the catalog answers once and trains one step, on the CPU and on an accelerator, and both come to the same.

    python -m porting.cells.step MODEL DEVICE

Run by `porting run --device npu MODEL` on a stand-in; the same on a real device whose plugin is imported before.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from porting.sources import BuiltModel

LEARNING_RATE = 1e-3
ALLOWED = 1e-3
"""Difference of two answers over the largest value, of gradients and weights over their norm: fp32 and sums in another order."""


def main(model: str, device: str) -> int:
    """Print what came of it, a line each. Returns 0 when all agrees, 1 when it does not or cannot be compared."""
    import torch

    from porting import sources
    from porting.api import Setting

    (spec,) = Setting.find().resolve([model])
    torch.manual_seed(0)
    with torch.enable_grad():
        built = sources.source(spec.source).build(spec)
        if built.module is None:
            print(f"{model}: an ONNX file has no module to train")
            return 1
        agree = _inference(built, device)
        return 0 if _training(built, device) and agree else 1


def _inference(built: BuiltModel, device: str) -> bool:
    import torch

    assert built.module is not None
    with torch.no_grad():
        here, there = (_answer(_on(built.module, where), built, where) for where in ("cpu", device))
    worst = max((_apart(here[name], there[name].cpu()) for name in here), default=0.0)
    print(f"inference: {len(here)} outputs, {worst:.1e} apart at most ({_verdict(worst)})")
    return here.keys() == there.keys() and worst <= ALLOWED


def _training(built: BuiltModel, device: str) -> bool:
    """Forward, backward, and a step of SGD with momentum."""
    assert built.module is not None
    here, there = (_step(_on(built.module, where).eval(), built, where) for where in ("cpu", device))  # no dropout: it draws anew
    if here is None or there is None:
        print("training step: no output depends on a parameter by a gradient")
        return here is there
    worst = max(_norm_apart(here.gradients, there.gradients), _norm_apart(here.weights, there.weights))
    losses = f"loss {here.loss:.6g} on the CPU, {there.loss:.6g} on {device}"
    print(f"training step: {losses}; gradients and weights {worst:.1e} apart ({_verdict(worst)})")
    return abs(here.loss - there.loss) <= ALLOWED * max(abs(here.loss), 1.0) and worst <= ALLOWED


@dataclass(frozen=True)
class _Step:
    """What a training step came to, on the host."""

    loss: float
    gradients: Mapping[str, torch.Tensor]
    weights: Mapping[str, torch.Tensor]


def _step(module: nn.Module, built: BuiltModel, where: str) -> _Step | None:
    import torch

    optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE, momentum=0.9)
    parts = [value.float().square().mean() for value in _answer(module, built, where).values() if value.requires_grad]
    if not parts:
        return None
    loss = torch.stack(parts).sum()
    loss.backward()
    gradients = {name: p.grad.cpu() for name, p in module.named_parameters() if p.grad is not None}
    optimizer.step()
    return _Step(float(loss.detach().cpu()), gradients, {name: p.detach().cpu() for name, p in module.named_parameters()})


def _norm_apart(ones: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]) -> float:
    """Norm of the difference over the norm, all tensors as one vector: a single one may be noise around a gradient of zero."""
    if ones.keys() != others.keys():
        return float("inf")
    difference = sum(float((ones[name].double() - others[name].double()).square().sum()) for name in ones)
    whole = sum(float(value.double().square().sum()) for value in ones.values())
    return math.sqrt(difference / whole) if whole else 0.0


def _on(module: nn.Module, where: str) -> nn.Module:
    return copy.deepcopy(module).to(where)


def _answer(module: nn.Module, built: BuiltModel, where: str) -> Mapping[str, torch.Tensor]:
    import torch

    from porting.bundles.cases import draw
    from porting.bundles.eager import flatten

    arrays = draw(built.inputs, built.sizes, "nominal", "step")
    given = {**{name: torch.from_numpy(array) for name, array in arrays.items()}, **built.constants}
    inputs = {name: value.to(where) if isinstance(value, torch.Tensor) else value for name, value in given.items()}
    found = dict(flatten(module(**inputs)))
    return {name: value for name, value in found.items() if value.is_floating_point()}


def _apart(one: Any, other: Any) -> float:
    """Largest difference over the largest value; infinite where the shapes, or what is not a number, differ."""
    import torch

    if one.shape != other.shape:
        return float("inf")
    one, other = one.double(), other.double()
    finite = torch.isfinite(one)
    if not torch.equal(finite, torch.isfinite(other)):
        return float("inf")
    one, other = one[finite], other[finite]
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-6)) if one.numel() else 0.0


def _verdict(worst: float) -> str:
    return "alike" if worst <= ALLOWED else "NOT ALIKE"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
