"""What a mask picks: a program is captured again with as many rows as were picked on the nominal case, and with the sizes that
were read out of data there.

How many places a mask has is known once it is computed. Most stacks want to know before, and have no tensors whose size depends
on data. The rows are found by counting; where another case picks more or fewer, its answer is another one, which comparing tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MOST = 1 << 24
"""Comparisons by which the rows of one mask are found; what takes more is left as it is."""


def has_picks(program: torch.export.ExportedProgram) -> bool:
    """Whether any call of a program picks by a mask, or reads a whole number out of a tensor."""
    return any(node.op == "call_function" and _picks(node) for node in program.graph.nodes)


def _picks(node: Any) -> bool:
    import torch

    aten = torch.ops.aten
    if node.target in (aten.nonzero.default, aten.masked_select.default):
        return True
    if node.target is aten.item.default:
        return isinstance(node.meta["val"], (int, torch.SymInt))
    if node.target not in (aten.index.Tensor, *_puts()):
        return False
    return any(each is not None and _is_mask(each.meta["val"]) for each in node.args[1])


def _is_mask(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.dtype is torch.bool


def _puts() -> tuple[Any, ...]:
    import torch

    return torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default


def counted(program: torch.export.ExportedProgram) -> Any:
    """A module that answers as a captured one does on its example, with as many rows for each mask as there."""
    import torch
    from torch import nn

    module = program.module(check_guards=False)
    counts = _counts(module, program.example_inputs[0])
    left_out = (
        torch.ops.aten._assert_scalar.default,
        torch.ops.aten.sym_constrain_range.default,
        torch.ops.aten.sym_constrain_range_for_size.default,
    )

    class Run(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not followed
        count: int | None

        def run_node(self, n: Any) -> Any:
            self.count = counts.get(n.name)
            return super().run_node(n)

        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            if target in left_out and isinstance(args[0], (bool, int)):  # of a size that is known by now
                return None
            answer = NotImplemented if self.count is None else _answer(target, self.count, *args)
            return super().call_function(target, args, kwargs) if answer is NotImplemented else answer

    class Picking(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: Any) -> Any:
            return Run(self.inner).run(*tensors)

    return Picking()


def _counts(module: Any, example: tuple[Any, ...]) -> dict[str, int]:
    """How many places each mask has on an example, and each number that is read, by the name of the node."""
    import torch

    counts: dict[str, int] = {}

    class Count(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: Any) -> Any:
            answer = super().run_node(n)
            if n.op == "call_function" and _picks(n):
                masks = [self.env[each] for each in n.all_input_nodes[1:] if _is_mask(self.env[each])]
                by_index = n.target in (torch.ops.aten.index.Tensor, *_puts())
                counts[n.name] = int(masks[0].sum()) if by_index else answer if isinstance(answer, int) else len(answer)
            return answer

    with torch.no_grad():
        Count(module).run(*example)
    return counts


def _answer(target: Any, count: int, tensor: Any, *args: Any) -> Any:
    """What a call that picks `count` rows answers; NotImplemented for one that stays as it is."""
    import torch

    aten = torch.ops.aten
    if target is aten.item.default:
        return count
    if target is aten.nonzero.default:
        places = _places(tensor if _is_mask(tensor) else tensor != 0, count)
        return NotImplemented if places is None else torch.stack(_along_axes(places, tensor.shape), 1)
    if target is aten.masked_select.default:
        tensor, mask = torch.broadcast_tensors(tensor, args[0])
        return _index(tensor, [mask], count)
    if target is aten.index.Tensor:
        return _index(tensor, args[0], count)
    indices, values, *accumulate = args
    if len(indices) > 1 or any(accumulate):
        return NotImplemented
    answer = _put(tensor, indices[0], values, count)
    return tensor.copy_(answer) if target is aten.index_put_.default else answer


def _places(mask: Any, count: int) -> Any:
    """Where the first `count` true ones are in a mask that is laid flat; int64[count]. None where that takes too much."""
    import torch

    flat = mask.reshape(-1)
    if count * flat.shape[0] > MOST:
        return None
    before = torch.cumsum(flat.to(torch.int64), 0) < torch.arange(1, count + 1)[:, None]
    return before.to(torch.int64).sum(1).clamp(max=max(flat.shape[0] - 1, 0))


def _along_axes(places: Any, shape: tuple[int, ...]) -> list[Any]:
    """Places of what is laid flat as those along each of its axes."""
    found = []
    for size in reversed(shape):
        found.append(places % size)
        places = places // size
    return found[::-1]


def _index(tensor: Any, indices: list[Any], count: int) -> Any:
    import torch

    given = [axis for axis, each in enumerate(indices) if each is not None]
    masks = [each for each in indices if _is_mask(each)]
    places = [_places(mask, count) for mask in masks]
    if any(each is None for each in places):
        return NotImplemented
    if len(given) == 1:
        (axis,) = given
        rows = tensor.flatten(axis, axis + masks[0].dim() - 1)
        return rows.index_select(axis, places[0])
    found, known = [], iter(places)
    for each in indices:
        found += _along_axes(next(known), each.shape) if _is_mask(each) else [each]
    return torch.ops.aten.index.Tensor(tensor, found)


def _put(tensor: Any, mask: Any, values: Any, count: int) -> Any:
    import torch

    rest = tensor.shape[mask.dim() :]
    chosen = mask.reshape(*mask.shape, *(1 for _ in rest))
    if values.numel() == 1 or not count:
        return torch.where(chosen, values.reshape(()), tensor) if count else tensor.clone()
    place = (torch.cumsum(mask.reshape(-1).to(torch.int64), 0) - 1).clamp(0, count - 1)
    read = values.expand(count, *rest).index_select(0, place).reshape(tensor.shape)
    return torch.where(chosen, read, tensor)
