"""Mixtures of experts in sizes alone: what a server holds of them while it computes.

The form that exports (`batched_mm`) copies the weights of each token's experts, which is by far the largest tensor of a big model
and which no server does: those compute an expert for all the tokens that chose it. Which chose which needs values, and a model
that is walked without weights has none. How many choices there are does not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def as_served() -> Iterator[None]:
    """Inside, the experts of transformers' models take their choices one expert at a time, in sizes: the answers mean nothing."""
    from porting.sources.transformers_config import EXPERTS

    if "transformers" not in sys.modules:
        yield
        return
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    ALL_EXPERTS_FUNCTIONS[EXPERTS] = _one_for_all  # of this object alone, over what the library has by that name
    try:
        yield
    finally:
        del ALL_EXPERTS_FUNCTIONS[EXPERTS]


def _one_for_all(
    experts: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """All choices through the first expert. hidden_states: (tokens, width); top_k_index, top_k_weights: (tokens, choices).
    Returns (tokens, width)."""
    tokens, choices = top_k_index.shape
    chosen = hidden_states.repeat_interleave(choices, dim=0)
    into = _linear(chosen, (experts.gate_up_proj if experts.has_gate else experts.up_proj)[0], experts.is_transposed)
    inside = experts._apply_gate(into) if experts.has_gate else experts.act_fn(into)
    out = _linear(inside, experts.down_proj[0], experts.is_transposed) * top_k_weights.reshape(-1, 1)
    return out.reshape(tokens, choices, -1).sum(dim=1).to(hidden_states.dtype)


def _linear(values: torch.Tensor, weight: torch.Tensor, transposed: bool) -> torch.Tensor:
    return values @ (weight if transposed else weight.t())
