"""Transposed convolutions as plain ones over rows and columns that are spread with zeros between them, and patches that are put
together to an image (torch.nn.functional.fold) as a transposed convolution.

Few stacks put patches together, and what PyTorch decomposes it to adds rows up at places that are tensors. Transposed
convolutions most stacks have, some not with groups or with every padding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

ONES, ZEROS = (1, 1), (0, 0)


def folds() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of an operator that puts patches together, where there are transposed convolutions."""
    import torch

    return {torch.ops.aten.col2im.default: functools.partial(_folded, torch.conv_transpose2d)}


def convolutions() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of each transposed convolution of images, and of what is one."""
    import torch

    aten = torch.ops.aten
    return {aten.conv_transpose2d.input: transposed, aten.col2im.default: functools.partial(_folded, transposed)}


def transposed(
    image: Any, weight: Any, bias: Any = None, stride: Sequence[int] = ONES, padding: Sequence[int] = ZEROS,
    over: Sequence[int] = ZEROS, groups: int = 1, dilation: Sequence[int] = ONES,
) -> Any:  # fmt: skip
    """The transposed convolution of float[batch, channels, rows, columns] with float[channels, new channels / groups, ...];
    `over` is what PyTorch calls output_padding."""
    import torch
    from torch.nn import functional

    steps, edges, more, aparts = map(_two, (stride, padding, over, dilation))
    sides = weight.shape[2:]
    spans = [apart * (side - 1) for apart, side in zip(aparts, sides, strict=True)]
    before = [span - edge for span, edge in zip(spans, edges, strict=True)]
    after = [room + end + 1 - step for room, end, step in zip(before, more, steps, strict=True)]  # zeros follow the last one, too
    by_group = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    wide = functional.pad(_spread(image, *steps), (before[1], after[1], before[0], after[0]))
    return torch.conv2d(wide, by_group.flip(2, 3), bias, 1, 0, aparts, groups)


def _spread(image: Any, down: int, along: int) -> Any:
    """Rows and columns with zeros after each: float[batch, channels, rows * down, columns * along]; on the way nothing has more
    than four axes."""
    from torch.nn import functional

    batch, channels, rows, columns = image.shape
    if along > 1:
        apart = functional.pad(image.reshape(batch, channels, rows * columns, 1), (0, along - 1))
        image, columns = apart.reshape(batch, channels, rows, columns * along), columns * along
    if down > 1:
        image = functional.pad(image, (0, (down - 1) * columns)).reshape(batch, channels, rows * down, columns)
    return image


def _folded(
    turned: Callable[..., Any], patches: Any, size: Sequence[Any], kernel: Sequence[int], dilation: Sequence[int],
    padding: Sequence[int], stride: Sequence[int],
) -> Any:  # fmt: skip
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
    over = [room % step for room, step in zip(rooms, stride, strict=True)]
    ones = torch.tensor(np.tile(np.eye(count).reshape(count, 1, *kernel), (channels, 1, 1, 1)), dtype=patches.dtype)
    rows = batched.reshape(batched.shape[0], channels * count, *places)
    image = turned(rows, ones, None, stride, padding, over, channels, dilation)
    return image if patches.dim() == 3 else image[0]


def _two(sizes: Sequence[int]) -> tuple[int, int]:
    """One size for both axes, or one for each."""
    return (sizes[0], sizes[-1])
