"""Convolutions, pools and resizing in ncnn's layers, which take one item at a time: the first axis of their inputs is a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

from .._network import UnsupportedError
from .emitter import Emitter, Value, Way
from .rows import norm_of
from .writer import MOST_AXES, Setting, floats, size

if TYPE_CHECKING:
    import torch

_KERNEL, _DILATION, _STRIDE, _BEFORE, _BEHIND = (1, 11, 21), (2, 12, 22), (3, 13, 23), (4, 14, 24), (15, 16, 17)
"""Settings of a convolution, of the last axis, the one before it, and the first of three."""


def table() -> Dict[str, Way]:
    """By the name of an operator, how it is emitted."""
    return {
        "convolution": _convolution, "avg_pool2d": _average, "avg_pool3d": _average,
        "max_pool2d_with_indices": _largest, "max_pool3d_with_indices": _largest, "_adaptive_avg_pool2d": _adaptive,
        "_adaptive_avg_pool3d": _adaptive, "grid_sampler_2d": _grid,
        **dict.fromkeys(_RESIZED, _resized),
    }  # fmt: skip


# ---- convolution --------------------------------------------------------------------------------------------------


def _convolution(
    to: Emitter, value: Value, _weight: Value, bias: Any, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> Value:  # fmt: skip
    held, shift = to.known(to.node.args[1]), None if bias is None else to.known(to.node.args[2])
    if held is None or (bias is not None and shift is None):
        raise UnsupportedError("a convolution whose weights are computed")
    held, shift = _with_norm(to, held, shift, groups if transposed else 0)
    axes = len(value.shape) - 2
    stride, padding, dilation = (_all_axes(numbers, axes) for numbers in (stride, padding, dilation))
    output_padding = _all_axes(output_padding, axes)
    if axes == 1:  # an image of one row
        stride, padding, dilation, output_padding = [1, *stride], [0, *padding], [1, *dilation], [0, *output_padding]
        held, value, axes = held.unsqueeze(2), to.reshape(value, (*value.shape[:2], 1, value.shape[2])), 2
    outputs = held.shape[1] * groups if transposed else held.shape[0]
    settings: Dict[int, Setting] = {0: int(outputs), 5: int(shift is not None), 6: held.numel()}
    for place in range(axes):
        axis = axes - 1 - place
        settings[_KERNEL[place]] = int(held.shape[2 + axis])
        settings[_DILATION[place]], settings[_STRIDE[place]] = int(dilation[axis]), int(stride[axis])
        settings[_BEFORE[place]] = settings[_BEHIND[place]] = int(padding[axis])
        if transposed:
            settings[(18, 19, 20)[place]] = int(output_padding[axis])
    if groups > 1:
        settings[7] = groups
    kind = ("Deconvolution" if transposed else "Convolution") + ("DepthWise" if groups > 1 else "") + ("3D" if axes == 3 else "")
    weights = floats(_by_output(held, groups) if transposed else held.detach().float().numpy())
    if shift is not None:
        weights += floats(shift.detach().float().numpy(), tagged=False)
    shape = to.shape
    wide = shape if len(shape) == axes + 2 else (*shape[:2], 1, *shape[2:])
    return to.reshape(_by_item(to, kind, [value], wide, settings, weights), shape)


def _with_norm(to: Emitter, weight: Any, bias: Any, back: int) -> Tuple[Any, Any]:
    """Weights and bias with the BatchNorm that alone reads the convolution taken in. back: groups of a transposed one, else 0."""
    (reader, *others) = to.node.users
    norm = None if others else norm_of(to, reader)
    if norm is None:
        return weight, bias
    to.absorbed.add(reader)
    scale, shift = norm
    by_output = (-1, *(1,) * (weight.dim() - 1))
    if back:  # [in, out / groups, ...]
        scales = scale.reshape(back, 1, -1).expand(back, weight.shape[0] // back, -1).reshape(weight.shape[:2])
        scales = scales.reshape(*weight.shape[:2], *(1,) * (weight.dim() - 2))
    else:
        scales = scale.reshape(by_output)
    whole = shift if bias is None else shift + bias.double() * scale
    return (weight.double() * scales).float(), whole.float()


def _by_output(weight: torch.Tensor, groups: int) -> Any:
    """Weights of a transposed convolution, [in, out / groups, ...], with what makes an output together, group after group."""
    parts = [part.transpose(0, 1) for part in weight.detach().float().chunk(groups)]
    import torch

    return torch.cat([part.contiguous() for part in parts]).numpy()


def _by_item(
    to: Emitter,
    kind: str,
    values: Sequence[Value],
    shape: Tuple[int, ...],
    settings: Dict[int, Setting],
    weights: Sequence[bytes] = (),
) -> Value:
    """A layer that takes no batch, over the items of one."""
    blobs = [to.writer.to_batch(value.blob, value.shape) for value in values]
    made = to.writer.layer(kind, blobs, shape[1:], settings, weights)
    whole = shape if len(shape) <= MOST_AXES else (*shape[:3], size(shape[3:]))
    return Value(to.writer.from_batch(made, shape[0], whole), shape)


# ---- pools --------------------------------------------------------------------------------------------------------


def _pool(to: Emitter, value: Value, shape: Sequence[int], axes: int, settings: Dict[int, Setting]) -> Value:
    """Over the last `axes` axes."""
    front = value.shape[: len(value.shape) - axes]
    given = to.reshape(value, (1, size(front), *value.shape[len(front) :]))
    wide = (1, size(front), *shape[len(front) :])
    return to.reshape(_by_item(to, "Pooling3D" if axes == 3 else "Pooling", [given], wide, settings), shape)


def _window(kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], ceil: bool) -> Dict[int, Setting]:
    axes = len(kernel)
    settings: Dict[int, Setting] = {5: 0 if ceil else 1}
    for place in range(axes):
        axis = axes - 1 - place
        settings[_KERNEL[place]], settings[_DILATION[place]] = int(kernel[axis]), int(stride[axis])
        settings[(3, 13, 23)[place]] = settings[(14, 15, 16)[place]] = int(padding[axis])
    return settings


def _all_axes(numbers: Sequence[int], axes: int) -> List[int]:
    return list(numbers) * axes if len(numbers) == 1 else list(numbers)


def _average(
    to: Emitter, value: Value, kernel: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = (0,),
    ceil: bool = False, counts: bool = True, divisor: Any = None,
) -> Value:  # fmt: skip
    if divisor is not None:
        raise UnsupportedError(f"{to.node.target} with a divisor of its own")
    axes = _axes_of(to.node)
    kernel = _all_axes(kernel, axes)
    stride, padding = _all_axes(stride or kernel, axes), _all_axes(padding, axes)
    if not ceil:
        return _pool(to, value, to.shape, axes, {0: 1, 6: int(counts), **_window(kernel, stride, padding, ceil)})
    for number in range(axes):  # a product with the shares of the windows, axis after axis
        axis, how = len(value.shape) - axes + number, (kernel[number], stride[number], padding[number], True, counts)
        value = _along(to, value, axis, _shares(value.shape[axis], *how))
    return value


def _shares(count: int, *how: Any) -> torch.Tensor:
    """What of each of `count` places goes to which window of an average pool, [in, out]."""
    import torch

    return torch.nn.functional.avg_pool1d(torch.eye(count)[None], *how)[0]


def _axes_of(node: Any) -> int:
    """Axes of a pool, by its name."""
    return int(str(node.target).split("pool")[1][0])


def _largest(
    to: Emitter, value: Value, kernel: Sequence[int], stride: Sequence[int] = (), padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,), ceil: bool = False,
) -> List[Value]:  # fmt: skip
    if any(number != 1 for number in dilation):
        raise UnsupportedError(f"{to.node.target} with dilation")
    axes = _axes_of(to.node)
    kernel = _all_axes(kernel, axes)
    window = _window(kernel, _all_axes(stride or kernel, axes), _all_axes(padding, axes), ceil)
    return [_pool(to, value, tuple(to.node.meta["val"][0].shape), axes, {0: 0, **window})]


def _adaptive(to: Emitter, value: Value, sizes: Sequence[int]) -> Value:
    """A product with the shares of the windows, axis after axis."""
    import torch

    for number, count in enumerate(sizes):
        axis = len(value.shape) - len(sizes) + number
        shares = torch.nn.functional.adaptive_avg_pool1d(torch.eye(value.shape[axis])[None], count)[0]  # [in, out]
        value = _along(to, value, axis, shares)
    return value


# ---- resizing -----------------------------------------------------------------------------------------------------

_RESIZED = (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
)  # fmt: skip


def _resized(to: Emitter, value: Value, *args: Any, **kwargs: Any) -> Value:
    """A product with a matrix along each axis that changes: what PyTorch itself makes of that axis of a unit matrix."""
    import torch

    shape = to.shape
    for axis in range(2, len(shape)):
        probe_shape = [
            1,
            value.shape[axis],
            *(value.shape[other] if other != axis else value.shape[axis] for other in range(2, len(shape))),
        ]
        taken = [slice(0, 1)] * len(probe_shape)
        taken[1], taken[axis] = slice(None), slice(None)
        probe = torch.zeros(probe_shape)
        view = [1, value.shape[axis]] + [1] * (len(shape) - 2)
        view[axis] = value.shape[axis]
        probe += torch.eye(value.shape[axis]).reshape(view)
        matrix = to.node.target(probe, *args, **kwargs)[tuple(taken)].reshape(value.shape[axis], shape[axis])
        value = _along(to, value, axis, matrix) if not _unit(matrix) else value
    return value


def _unit(matrix: torch.Tensor) -> bool:
    import torch

    return matrix.shape[0] == matrix.shape[1] and bool(torch.equal(matrix, torch.eye(matrix.shape[0])))


def _along(to: Emitter, value: Value, axis: int, matrix: torch.Tensor) -> Value:
    """A product with a matrix, [in, out], along an axis."""
    rank = len(value.shape)
    moved, before = to.last(value, [axis])
    made = to.linear(moved, matrix, None)
    order = list(range(rank - 1))
    order.insert(axis, rank - 1)
    return to.permute(to.reshape(made, (*before, matrix.shape[1])), order)


def _grid(to: Emitter, value: Value, grid: Value, mode: int, padding: int, align: bool) -> Value:
    settings: Dict[int, Setting] = {0: mode + 1, 1: padding + 1, 2: int(align)}
    return _by_item(to, "GridSample", [value, grid], to.shape, settings)
