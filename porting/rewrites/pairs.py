"""Complex numbers as pairs of real ones: a program is captured again with each complex tensor held along a last axis of two."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass
class Pair:
    """A complex tensor."""

    real: Any
    """Real and imaginary part along the last axis."""

    @property
    def ndim(self) -> int:
        return int(self.real.ndim) - 1

    @property
    def shape(self) -> Any:
        return self.real.shape[:-1]

    @property
    def parts(self) -> tuple[Any, Any]:
        return self.real[..., 0], self.real[..., 1]


def has_complex(program: torch.export.ExportedProgram) -> bool:
    """Whether any value of a program is complex."""
    return any(_is_complex(node.meta.get("val")) for node in program.graph.nodes)


def _is_complex(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.is_complex()


class Unpaired(NotImplementedError):
    """An operator on complex numbers that is not known in pairs."""


def paired(module: Any) -> Any:
    """A module that answers as a captured one whose inputs and outputs are real, without complex numbers inside."""
    import torch
    from torch import nn
    from torch.utils._pytree import tree_leaves

    ways = _ways()

    class Run(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not followed
        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            packet = getattr(target, "overloadpacket", None)
            name = str(packet).removeprefix("aten.") if packet else getattr(target, "__name__", "")
            leaves = tree_leaves((args, kwargs), is_leaf=lambda value: isinstance(value, Pair))
            if not any(isinstance(leaf, Pair) for leaf in leaves) and not _MAKERS.fullmatch(name):
                return super().call_function(target, args, kwargs)
            if name == "getitem":
                return args[0][args[1]]
            if name not in ways:
                raise Unpaired(f"{target} on complex numbers is not known in pairs")
            return ways[name](*args, **kwargs)

        def get_attr(self, target: str, args: Any, kwargs: Any) -> Any:
            held = constants.get(target)
            return Pair(getattr(holder[0], held)) if held else super().get_attr(target, args, kwargs)

    constants: dict[str, str] = {}
    holder: list[Any] = []

    class Paired(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            for node in module.graph.nodes:
                if node.op == "get_attr" and node.target not in constants:
                    self._hold(node.target)

        def _hold(self, target: str) -> None:
            owner, _, name = target.rpartition(".")
            place = self.inner.get_submodule(owner)
            value = getattr(place, name)
            if _is_complex(value):
                constants[target] = f"pair_{len(constants)}"
                self.register_buffer(constants[target], torch.view_as_real(value.detach().resolve_conj()).contiguous())
                place._buffers.pop(name, None)
                place._parameters.pop(name, None)
                setattr(place, name, None)

        def forward(self, *tensors: Any) -> Any:
            return Run(self.inner).run(*tensors)

    made = Paired()
    holder.append(made)
    return made


_MAKERS = re.compile(r"view_as_complex|polar|complex|_?fft_\w+")
"""Operators that make complex numbers of real ones."""


def _ways() -> Mapping[str, Callable[..., Any]]:
    """Operators on pairs, by name."""
    from porting.rewrites.fourier import ways as fourier

    kept = ("clone", "contiguous", "alias", "detach", "detach_", "lift_fresh_copy", "lift_fresh", "resolve_conj", "resolve_neg")
    same = dict.fromkeys((*kept, "to", "_to_copy"), lambda pair, *_, **__: pair)
    return {**same, "_assert_tensor_metadata": lambda *_, **__: None, **_arithmetic(), **_shapes(), **_several(), **fourier()}


def _arithmetic() -> Mapping[str, Callable[..., Any]]:
    import torch

    def total(pair: Pair, dims: Any = None, keepdim: bool = False) -> Pair:
        return Pair(pair.real.sum([_at(pair, d) for d in (range(pair.ndim) if dims is None else dims)], keepdim))

    return {
        "view_as_complex": Pair,
        "view_as_real": lambda pair: pair.real,
        "complex": lambda real, imag: Pair(torch.stack(torch.broadcast_tensors(real, imag), -1)),
        "polar": lambda size, angle: Pair(torch.stack((size * torch.cos(angle), size * torch.sin(angle)), -1)),
        "real": lambda pair: pair.parts[0],
        "imag": lambda pair: pair.parts[1],
        "abs": lambda pair: torch.sqrt(pair.parts[0] ** 2 + pair.parts[1] ** 2),
        **dict.fromkeys(("conj", "_conj", "conj_physical"), _conjugate),
        "neg": lambda pair: Pair(-pair.real),
        "mul": _times,
        "div": _over,
        "add": lambda one, other: Pair(as_pair(one).real + as_pair(other).real),
        "sub": lambda one, other: Pair(as_pair(one).real - as_pair(other).real),
        "sum": total,
        **dict.fromkeys(("matmul", "mm", "bmm"), lambda one, other: _bilinear(torch.matmul, one, other)),
        "outer": lambda one, other: _bilinear(torch.outer, one, other),
        "einsum": lambda rule, both, **_: _bilinear(lambda *pair: torch.einsum(rule, *pair), *both),
    }


def _shapes() -> Mapping[str, Callable[..., Any]]:
    """Operators that move elements, and know nothing of what they are."""
    import torch

    def along(function: Callable[..., Any]) -> Callable[..., Pair]:
        """Of an operator whose second argument is an axis."""
        return lambda pair, dim=0, *rest, **more: Pair(function(pair.real, _at(pair, dim), *rest, **more))

    def shaped(pair: Pair, *shape: Any) -> Pair:
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else shape
        return Pair(pair.real.reshape(*sizes, 2))

    def squeezed(pair: Pair, dim: Any = None) -> Pair:
        dims = [dim] if isinstance(dim, int) else list(range(pair.ndim)) if dim is None else list(dim)
        return Pair(pair.real.squeeze([_at(pair, d) for d in dims]))

    def padded(pair: Pair, pad: Any, *how: Any) -> Pair:
        return Pair(torch.nn.functional.pad(pair.real, [0, 0, *pad], *how))

    return {
        **dict.fromkeys(("view", "reshape", "_unsafe_view"), shaped),
        "flatten": lambda pair, start=0, end=-1: Pair(torch.flatten(pair.real, _at(pair, start), _at(pair, end))),
        "expand": lambda pair, sizes, **_: Pair(pair.real.expand(*sizes, 2)),
        "repeat": lambda pair, times: Pair(pair.real.repeat(*times, 1)),
        "unsqueeze": lambda pair, dim: Pair(pair.real.unsqueeze(dim + pair.ndim + 1 if dim < 0 else dim)),
        "squeeze": squeezed,
        "permute": lambda pair, dims: Pair(pair.real.permute(*(_at(pair, d) for d in dims), pair.ndim)),
        "transpose": lambda pair, one, other: Pair(pair.real.transpose(_at(pair, one), _at(pair, other))),
        "select": along(torch.select),
        "slice": along(torch.ops.aten.slice.Tensor),
        "narrow": along(torch.narrow),
        "index_select": along(torch.index_select),
        "index": lambda pair, indices: Pair(torch.ops.aten.index.Tensor(pair.real, list(indices))),
        "pad": padded,
        "constant_pad_nd": padded,
        "size": lambda pair, dim: pair.shape[dim],
        "sym_size": lambda pair, dim: pair.shape[dim],
    }


def _several() -> Mapping[str, Callable[..., Any]]:
    """Operators that take several tensors, or give several."""
    import torch

    def parts(function: Callable[..., Any]) -> Callable[..., list[Pair]]:
        return lambda pair, sizes, dim=0: [Pair(part) for part in function(pair.real, sizes, _at(pair, dim))]

    def joined(function: Callable[..., Any], more: int = 0) -> Callable[..., Pair]:
        def way(pairs: Any, dim: int = 0) -> Pair:
            whole = [as_pair(value) for value in pairs]
            return Pair(function([pair.real for pair in whole], dim + whole[0].ndim + more if dim < 0 else dim))

        return way

    return {
        **dict.fromkeys(("split", "split_with_sizes"), parts(torch.split)),
        "chunk": parts(torch.chunk),
        "unbind": lambda pair, dim=0: [Pair(part) for part in torch.unbind(pair.real, _at(pair, dim))],
        "cat": joined(torch.cat),
        "stack": joined(torch.stack, 1),
    }


def _at(pair: Pair, dim: int) -> int:
    """An axis of the complex tensor, counted from the front."""
    return dim + pair.ndim if dim < 0 else dim


def as_pair(value: Any) -> Pair:
    """A complex value as it is; a real one with nothing imaginary."""
    import torch

    if isinstance(value, Pair):
        return value
    if isinstance(value, torch.Tensor):
        return Pair(torch.stack((value, torch.zeros_like(value)), -1))
    return Pair(torch.tensor([complex(value).real, complex(value).imag]))


def _conjugate(pair: Pair) -> Pair:
    import torch

    real, imaginary = pair.parts
    return Pair(torch.stack((real, -imaginary), -1))


def _times(one: Any, other: Any) -> Pair:
    import torch

    if not isinstance(one, Pair):
        one, other = other, one
    if not isinstance(other, Pair):
        return Pair(one.real * (other.unsqueeze(-1) if isinstance(other, torch.Tensor) else other))
    (a, b), (c, d) = one.parts, other.parts
    return Pair(torch.stack((a * c - b * d, a * d + b * c), -1))


def _bilinear(product: Callable[[Any, Any], Any], one: Any, other: Any) -> Pair:
    """A product that is linear in both, of pairs or of a pair and what is real."""
    import torch

    (a, b), (c, d) = as_pair(one).parts, as_pair(other).parts
    return Pair(torch.stack((product(a, c) - product(b, d), product(a, d) + product(b, c)), -1))


def _over(one: Pair, other: Any) -> Pair:
    import torch

    if isinstance(other, Pair):
        c, d = other.parts
        size = (c**2 + d**2).unsqueeze(-1)
        return Pair(_times(one, _conjugate(other)).real / size)
    return Pair(one.real / (other.unsqueeze(-1) if isinstance(other, torch.Tensor) else other))
