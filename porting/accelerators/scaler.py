"""A maker's own GradScaler, for a stand-in: `torch.npu.amp.GradScaler`.

Where the card lacks float64, it divides one by the scale in float32 (torch_npu 2.13.0, torch_npu/npu/amp/grad_scaler.py);
PyTorch's own, torch.amp.GradScaler, does that in float64 wherever it runs, but for one device of Apple's.
"""

from __future__ import annotations

from typing import Any


def grad_scaler(name: str, single: bool) -> Any:
    """The class. name: the device's. single: whether the card lacks float64.

    It takes keywords alone: what comes in what order differs among makers.
    """
    import torch
    from torch.amp.grad_scaler import OptState

    class GradScaler(torch.amp.GradScaler):  # type: ignore[misc]
        def __init__(self, **given: Any) -> None:
            super().__init__(name, **given)

        def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
            if not single or not self._enabled:
                super().unscale_(optimizer)
                return
            self._check_scale_growth_tracker("unscale_")
            state = self._per_optimizer_states[id(optimizer)]
            if state["stage"] is not OptState.READY:
                raise RuntimeError("unscale_() was called before on this optimizer since the last update()")
            assert self._scale is not None
            found = torch.zeros((), dtype=torch.float32, device=self._scale.device)
            state["found_inf_per_device"] = self._unscale_grads_(optimizer, self._scale.reciprocal(), found, False)
            state["stage"] = OptState.UNSCALED

    return GradScaler
