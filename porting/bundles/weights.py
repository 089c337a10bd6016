"""The seeded weight recipe: gives randomly initialised models weights that make faults visible.

Random initialisation hides faults: zero gammas and heads, constant outputs, attention so flat that masks do not matter.
Real weights are never touched. The steps and what each cures: docs/verdicts.md.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

VARIANCE_FLOORS = (0.0, 0.03, 0.1, 0.3)
"""Shares of the mean variance that BatchNorm's calibrated variances are raised by; 0 makes some nets chaotic."""
GOOD_MARGIN = 4e5
"""Sensitivity over fp32 noise at which no larger floor need be tried. About where bf16 can be judged safely: its noise is some
24,000 times that of fp32, and may reach an eighth."""


def randomise(module: nn.Module) -> None:
    """Give constant parameters values and weak matrices unit gain, in place, seeded by the parameter's name."""
    import torch

    with torch.no_grad():
        for name, owner, parameter in _parameters(module):
            if parameter.is_floating_point() and parameter.numel():
                _randomise_one(name, owner, parameter)


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    seen: set[int] = set()
    for prefix, owner in module.named_modules():
        for leaf, parameter in owner.named_parameters(recurse=False):
            if id(parameter) not in seen:  # tied weights are changed once
                seen.add(id(parameter))
                yield (f"{prefix}.{leaf}" if prefix else leaf), owner, parameter


def _generator(name: str) -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))


def _randomise_one(name: str, owner: nn.Module, parameter: torch.Tensor) -> None:
    import torch
    from torch import nn

    mean = float(parameter.float().mean())
    std = float(parameter.float().std(unbiased=False)) if parameter.numel() > 1 else 0.0
    if _is_constant(parameter, mean, std):
        values = torch.randn(parameter.shape, generator=_generator(name))
        parameter.copy_(_instead_of_constant(name.rsplit(".", 1)[-1], owner, parameter, mean, values))
    elif parameter.dim() >= 2 and not isinstance(owner, nn.Embedding):
        target = 1 / math.sqrt(_fan_in(parameter))
        if 0 < std < 0.5 * target:
            parameter.mul_(min(target / std, 1e6))


def _is_constant(parameter: torch.Tensor, mean: float, std: float) -> bool:
    if parameter.numel() == 1:
        return mean == 0
    return std <= 1e-6 * max(abs(mean), 1e-3) or (std < 1e-4 and abs(mean) < 1e-4)


def _fan_in(parameter: torch.Tensor) -> int:
    return max(1, parameter[0].numel()) if parameter.dim() >= 2 else 1


def _instead_of_constant(leaf: str, owner: nn.Module, parameter: torch.Tensor, mean: float, values: torch.Tensor) -> torch.Tensor:
    from torch import nn

    if parameter.squeeze().dim() >= 2:  # a zero head or mixing matrix
        fan = 1 if isinstance(owner, nn.Embedding) else _fan_in(parameter)
        return values / math.sqrt(fan)
    if "bias" in leaf or leaf.endswith("_b") or _is_plain_zero(leaf, owner, mean):
        return mean + 0.1 * values
    if abs(mean) < 0.3:  # a gate: LayerScale, a residual gamma that starts at 0, norms that multiply by 1 + weight
        import torch

        return 0.5 + 0.25 * torch.sigmoid(values)
    return mean * (1 + 0.1 * values)


def _is_plain_zero(leaf: str, owner: nn.Module, mean: float) -> bool:
    """A vector that starts at zero and is added, not multiplied with."""
    multiplies = leaf == "weight" or "gamma" in leaf or "scale" in leaf or _is_batch_norm(owner)
    return abs(mean) < 1e-12 and not multiplies


def _is_batch_norm(module: nn.Module) -> bool:
    from torch import nn

    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """BatchNorm layers that keep running statistics."""
    return [m for m in module.modules() if _is_batch_norm(m) and m.track_running_stats]


def calibrate(module: nn.Module, passes: Sequence[Callable[[], object]], margin: Callable[[], float]) -> None:
    """Set BatchNorm's statistics from data, in place. No effect without BatchNorm.

    passes: each runs the module on other inputs. margin: sensitivity to the input over fp32 noise of the module as it is
    then; the variance floor with the largest margin is kept.
    """
    norms = batch_norms(module)
    if not norms:
        return
    _measure_statistics(norms, passes)
    measured = [(n.running_mean.clone(), n.running_var.clone()) for n in norms]
    best = (-1.0, VARIANCE_FLOORS[0])
    for floor in VARIANCE_FLOORS:
        _set_statistics(norms, measured, floor)
        value = margin()
        best = max(best, (value, floor)) if value == value else best
        if value >= GOOD_MARGIN:
            break
    _set_statistics(norms, measured, best[1])


def _measure_statistics(norms: Sequence[nn.Module], passes: Sequence[Callable[[], object]]) -> None:
    import torch

    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = None  # a plain average over the passes
        norm.reset_running_stats()
    try:
        with torch.no_grad():
            for run in passes:
                run()
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum


def _set_statistics(norms: Sequence[nn.Module], measured: Sequence[tuple[torch.Tensor, torch.Tensor]], floor: float) -> None:
    """Write the measured statistics with the variance floor, jittered so that a lost or mixed-up statistic shows."""
    import torch

    with torch.no_grad():
        for number, (norm, (mean, variance)) in enumerate(zip(norms, measured, strict=True)):
            generator = _generator(f"batch_norm.{number}")
            raised = variance + floor * variance.mean()
            norm.running_mean.copy_(mean + 0.1 * raised.sqrt() * torch.randn(mean.shape, generator=generator))
            norm.running_var.copy_((raised * (0.8 + 0.4 * torch.rand(mean.shape, generator=generator))).clamp_(min=1e-8))
