"""Run a built model in eager PyTorch: named tensors in, named arrays out, at a chosen precision.

Also gives the positional form of a model that exporters take. Nothing here judges or writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from porting.errors import ModelError
from porting.types import Precision, TensorSpec

if TYPE_CHECKING:
    import numpy
    import torch
    from torch import nn

    Arrays = dict[str, numpy.ndarray[Any, Any]]


def torch_dtype(precision: Precision) -> torch.dtype:
    """The dtype of weights and activations. Raises KeyError for a precision eager has no dtype of its own for."""
    import torch

    return {Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}[precision]


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Name every tensor of a model's answer: `logits`, `hidden_states.0`; a bare tensor is `output`, a tuple's `output_0` ..."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name or "output", value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from flatten(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from flatten(item, f"{name}.{index}" if name else f"output_{index}")


def _flat_class() -> type[Any]:
    from torch import nn

    class Flat(nn.Module):  # type: ignore[misc]
        """A model as exporters take it: tensors in order, a tuple of tensors back."""

        def __init__(self, model: nn.Module, names: Sequence[str], constants: Mapping[str, Any]) -> None:
            super().__init__()
            self.model = model
            self.names = tuple(names)
            self.constants = dict(constants)

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            answer = self.model(**dict(zip(self.names, tensors, strict=True)), **self.constants)
            return tuple(tensor for _, tensor in flatten(answer))

    return Flat


class EagerModel:
    """A module with its calling convention."""

    def __init__(self, module: nn.Module, names: Sequence[str], constants: Mapping[str, Any]) -> None:
        self.module = module
        self.names = tuple(names)
        self.constants = dict(constants)
        self.outputs: tuple[TensorSpec, ...] = ()
        """Of the last run at a precision: names, dtypes and shapes as eager gave them."""

    def flat(self) -> nn.Module:
        """The positional form, in eval mode: a fresh wrapper starts in train mode, and exporters restore that recursively."""
        return _flat_class()(self.module, self.names, self.constants).eval()

    def run(self, inputs: Arrays, precision: Precision | None = Precision.FP32) -> Arrays:
        """Run once on the CPU. inputs: by name. precision None means the wide run, whose float outputs are float64.

        Floating-point inputs are cast to the precision's dtype. Float outputs come back as float64, integers and bools as
        they are. The module itself must already be at `precision` (any, for the wide run).
        """
        import torch

        from porting.bundles.wide import widened

        dtype = torch.float64 if precision is None else torch_dtype(precision)
        tensors = {name: as_tensor(inputs[name], dtype) for name in self.names}
        with torch.no_grad(), widened() if precision is None else contextlib.nullcontext():
            answer = self.module(**tensors, **self.constants)
        # An output named like an input would be one value in an ONNX graph.
        outputs = {f"{n}_out" if n in self.names else n: tensor for n, tensor in flatten(answer)}
        if not outputs:
            raise ModelError("the model returned no tensor.", "Its forward has to return tensors, or a dict or tuple of them.")
        if precision is not None:
            self.outputs = tuple(TensorSpec(n, str(t.dtype).removeprefix("torch."), tuple(t.shape)) for n, t in outputs.items())
        return {name: _as_array(tensor) for name, tensor in outputs.items()}

    def to(self, precision: Precision) -> None:
        """Convert parameters and buffers in place, one by one, so that memory stays near the model's size."""
        self.module.to(torch_dtype(precision))

    def output_specs(self, inputs: Arrays, precision: Precision) -> tuple[TensorSpec, ...]:
        """Names, dtypes and shapes of the outputs at `precision`, by running."""
        self.run(inputs, precision)
        return self.outputs


def as_tensor(array: Any, dtype: torch.dtype) -> torch.Tensor:
    """An array as a tensor of its own memory; floating-point ones as `dtype`."""
    import numpy as np
    import torch

    tensor = torch.from_numpy(np.array(array))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _as_array(tensor: torch.Tensor) -> Any:
    tensor = tensor.detach()
    return (tensor.double() if tensor.is_floating_point() else tensor).cpu().contiguous().numpy()
