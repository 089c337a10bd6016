"""Convolutions and pooling of volumes as those of their frames: stacks for images have no others.

A volume is (batch, channels, frames, rows, columns). What slides over frames is done once for each place of it, for all frames
at once, and added up, or the largest kept.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

ONES, ZEROS = (1, 1, 1), (0, 0, 0)


def ways() -> dict[Any, Callable[..., Any]]:
    """What is done in the place of each operator over volumes."""
    import torch

    aten = torch.ops.aten
    return {
        aten.conv3d.default: _convolved,
        aten.conv3d.padding: _convolved_padded,
        aten.conv_transpose3d.input: _transposed,
        aten.max_pool3d.default: _largest,
        aten.avg_pool3d.default: _averaged,
    }


def _convolved(
    volume: Any, weight: Any, bias: Any = None, stride: Sequence[int] = ONES, padding: Sequence[int] = ZEROS,
    dilation: Sequence[int] = ONES, groups: int = 1,
) -> Any:  # fmt: skip
    import torch

    (step, *steps), (edge, *edges), (apart, *aparts) = map(_three, (stride, padding, dilation))
    parts = _seen(_wider(volume, edge, edge), weight.shape[2], step, apart)

    def convolved(frames: Any, place: int) -> Any:
        return torch.conv2d(frames, weight[:, :, place], None if place else bias, steps, edges, aparts, groups)

    return _added(_of_frames(part, functools.partial(convolved, place=place)) for place, part in enumerate(parts))


def _convolved_padded(
    volume: Any, weight: Any, bias: Any = None, stride: Sequence[int] = ONES, padding: str = "valid",
    dilation: Sequence[int] = ONES, groups: int = 1,
) -> Any:  # fmt: skip
    from torch.nn import functional

    if padding == "same":
        over = [apart * (size - 1) for apart, size in zip(_three(dilation), weight.shape[2:], strict=True)]
        edges = [part for each in reversed(over) for part in (each // 2, each - each // 2)]
        volume = functional.pad(volume, edges)
    return _convolved(volume, weight, bias, stride, ZEROS, dilation, groups)


def _transposed(
    volume: Any, weight: Any, bias: Any = None, stride: Sequence[int] = ONES, padding: Sequence[int] = ZEROS,
    more: Sequence[int] = ZEROS, groups: int = 1, dilation: Sequence[int] = ONES,
) -> Any:  # fmt: skip
    """Each frame is spread over as many as the weight has, `stride` from those of the next one."""
    import torch

    (step, *steps), (edge, *edges), (rest, *rests), (apart, *aparts) = map(_three, (stride, padding, more, dilation))
    taps, before = weight.shape[2], volume.shape[2]
    length = (before - 1) * step + apart * (taps - 1) + 1 + rest

    def spread(place: int) -> Any:
        def convolved(frames: Any) -> Any:
            return torch.conv_transpose2d(frames, weight[:, :, place], None, steps, edges, rests, groups, aparts)

        answer = _of_frames(volume, convolved)
        if step > 1:  # frames of zeros between, and none behind the last
            between = answer.new_zeros(*answer.shape[:3], step - 1, *answer.shape[3:])
            answer = torch.cat([answer.unsqueeze(3), between], 3).flatten(2, 3)[:, :, : (before - 1) * step + 1]
        return _wider(answer, place * apart, length - place * apart - ((before - 1) * step + 1))

    answer = _added(map(spread, range(taps)))[:, :, edge : length - edge]
    return answer if bias is None else answer + bias[:, None, None, None]


def _largest(
    volume: Any, size: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = ZEROS,
    dilation: Sequence[int] = ONES, ceil: bool = False,
) -> Any:  # fmt: skip
    import torch

    if ceil:
        return NotImplemented
    (frames, *sizes), (step, *steps) = _three(size), _three(stride or size)
    (edge, *edges), (apart, *aparts) = _three(padding), _three(dilation)
    pooled = _of_frames(volume, lambda image: torch.max_pool2d(image, sizes, steps, edges, aparts))
    wider = _wider(pooled, edge, edge, float("-inf"))
    return functools.reduce(torch.maximum, _seen(wider, frames, step, apart))


def _averaged(
    volume: Any, size: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = ZEROS, ceil: bool = False,
    _edges_count: bool = True, divisor: int | None = None,
) -> Any:  # fmt: skip
    """Of whole areas; what is at the edges counts in more than one way."""
    from torch.nn import functional

    if ceil or any(padding) or divisor is not None:
        return NotImplemented
    (frames, *sizes), (step, *steps) = _three(size), _three(stride or size)
    pooled = _of_frames(volume, lambda image: functional.avg_pool2d(image, sizes, steps))
    return _added(_seen(pooled, frames, step, 1)) / frames


def _seen(volume: Any, taps: int, step: int, apart: int) -> list[Any]:
    """The frames that each place of what slides over them sees."""
    last = (volume.shape[2] - apart * (taps - 1) - 1) // step * step + 1
    return [volume[:, :, place * apart : place * apart + last : step] for place in range(taps)]


def _of_frames(volume: Any, way: Callable[[Any], Any]) -> Any:
    """What comes of the frames of a volume, each as an image."""
    batch, _, frames = volume.shape[:3]
    images = way(volume.transpose(1, 2).flatten(0, 1))
    return images.unflatten(0, (batch, frames)).transpose(1, 2)


def _wider(volume: Any, before: Any, behind: Any, value: float = 0.0) -> Any:
    """With frames of one value before and behind."""
    from torch.nn import functional

    nothing = isinstance(before, int) and isinstance(behind, int) and not before and not behind
    return volume if nothing else functional.pad(volume, (0, 0, 0, 0, before, behind), value=value)


def _added(parts: Iterable[Any]) -> Any:
    return functools.reduce(operator.add, parts)


def _three(values: Sequence[int]) -> list[int]:
    """One number an axis; one alone stands for all."""
    return [*values] if len(values) == 3 else [values[0]] * 3
