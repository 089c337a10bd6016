"""Patches that are put together to an image (torch.nn.functional.fold) as the transposed convolution that this is: few stacks
have the operator, and what PyTorch decomposes it to adds rows up at places that are tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def ways() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of each operator that puts patches together."""
    import torch

    return {torch.ops.aten.col2im.default: _folded}


def _folded(
    patches: Any,
    size: Sequence[Any],
    kernel: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Any:
    """Patches, float[batch, channels * rows * columns of one, how many], added up where they lie: float[batch, channels, *size].

    Each channel is a group of its own, whose kernels have a one at the place that a row of the patches is for.
    """
    import numpy as np
    import torch

    batched = patches if patches.dim() == 3 else patches[None]
    count = kernel[0] * kernel[1]
    channels = patches.shape[-2] // count
    spans = [apart * (side - 1) + 1 for apart, side in zip(dilation, kernel, strict=True)]
    rooms = [side + 2 * edge - span for side, edge, span in zip(size, padding, spans, strict=True)]
    places = [room // step + 1 for room, step in zip(rooms, stride, strict=True)]
    rest = [room % step for room, step in zip(rooms, stride, strict=True)]
    ones = np.tile(np.eye(count).reshape(count, 1, *kernel), (channels, 1, 1, 1))
    image = torch.conv_transpose2d(
        batched.reshape(batched.shape[0], channels * count, *places), torch.tensor(ones, dtype=patches.dtype), None,
        stride, padding, rest, channels, dilation,
    )  # fmt: skip
    return image if patches.dim() == 3 else image[0]
