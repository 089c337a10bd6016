"""Lets a model whose arguments are lists, tuples or mappings of tensors be called with one tensor an input.

Every other part of the toolkit passes named tensors; what a class wants to have in a list is put there right before the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Rows:
    """An input that is handed over as the list of its rows, one a member of the batch."""

    name: str


@dataclass(frozen=True)
class Complex:
    """An input that is handed over as complex numbers: its last axis is the real and the imaginary part."""

    name: str


def names(structure: Any) -> frozenset[str]:
    """The inputs that a structure of input names, lists, tuples, mappings, Rows and Complex mentions."""
    if isinstance(structure, Mapping):
        return names(tuple(structure.values()))
    if isinstance(structure, (list, tuple)):
        return frozenset().union(*(names(item) for item in structure))
    return frozenset((structure.name if isinstance(structure, (Rows, Complex)) else structure,))


def gather(module: nn.Module, arguments: Mapping[str, Any]) -> nn.Module:
    """Wrap a module so that `arguments`, structures of input names by argument, are put together from its inputs."""
    return _class()(module, arguments)


def _fill(structure: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
    import torch

    if isinstance(structure, Rows):
        return list(inputs[structure.name].unbind(0))
    if isinstance(structure, Complex):
        return torch.view_as_complex(inputs[structure.name])
    if isinstance(structure, Mapping):
        return {key: _fill(item, inputs) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(_fill(item, inputs) for item in structure)
    return inputs[structure]


def _class() -> type[Any]:
    from torch import nn

    class Gathered(nn.Module):  # type: ignore[misc]
        """A module with some of its arguments made of several inputs."""

        def __init__(self, model: nn.Module, arguments: Mapping[str, Any]) -> None:
            super().__init__()
            self.model = model
            self.arguments = dict(arguments)
            self.used = frozenset().union(*(names(structure) for structure in arguments.values()))

        def forward(self, **inputs: Any) -> Any:
            made = {name: _fill(structure, inputs) for name, structure in self.arguments.items()}
            return self.model(**{name: value for name, value in inputs.items() if name not in self.used}, **made)

    return Gathered
