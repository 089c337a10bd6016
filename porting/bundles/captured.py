"""What is put right in every captured program: what PyTorch says in a way that hardly anyone else understands.

The numbers are the same to the bit. Who is served a program by us would otherwise need the same help in every adapter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def tidy(program: torch.export.ExportedProgram) -> None:
    """Say plainly what a program says oddly; in place. Checks of values and dtypes go, to which few have an answer: whether an
    answer is right is found by comparing it. Those of sizes that are needed stay: torch traces a program again by them."""
    import torch

    aten = torch.ops.aten
    checks = (aten._assert_async.default, aten._assert_async.msg, aten._assert_tensor_metadata.default)
    for node in list(program.graph.nodes):
        if node.target in checks:
            _erase(node)
        elif node.target is aten.detach_.default:
            node.target = aten.detach.default  # as if it were trained: ExecuTorch refuses to lower this in place
        elif node.target is aten.cat.default:
            _leave_out_nothing(node)
    _leave_out_checked(program.graph)
    program.graph_module.recompile()


def _leave_out_nothing(node: Any) -> None:
    """A row of no elements may stand among tensors of any rank, where PyTorch overlooks it. A cache that nothing was written to
    has such rows; TVM's importer and pnnx do not overlook them."""
    parts, *rest = node.args
    some = [part for part in parts if _shape(part) != (0,)]
    if not some or len(some) == len(parts):
        return
    node.args = (some, *rest)
    for part in parts:
        if part not in some:
            _erase_unused(part)


def _leave_out_checked(graph: Any) -> None:
    """What is computed for the sake of checks alone goes with them: how many places a mask has, against how many features there
    are to be put there. Sizes that depend on data are what most stacks do not have at all."""
    import torch

    aten = torch.ops.aten
    checks = {aten._assert_scalar.default, aten.sym_constrain_range.default, aten.sym_constrain_range_for_size.default}
    nodes = list(graph.nodes)
    needed: set[Any] = set()
    for node in reversed(nodes):
        if node.op != "call_function" or node in needed or (node.target not in checks and node.is_impure()):
            needed.update((node, *node.all_input_nodes))
    for node in reversed(nodes):
        if node.target in checks and _needs_work(node, needed):
            _erase(node)


def _needs_work(node: Any, needed: set[Any]) -> bool:
    """Whether a node asks for a tensor that nothing else needs."""
    import torch

    others = [each for each in node.all_input_nodes if each not in needed]
    return any(isinstance(each.meta.get("val"), torch.Tensor) or _needs_work(each, needed) for each in others)


def _shape(part: Any) -> tuple[Any, ...]:
    return tuple(part.meta["val"].shape)


def _erase_unused(node: Any) -> None:
    if node.op == "call_function" and not node.users and not node.is_impure():
        _erase(node)


def _erase(node: Any) -> None:
    """Erase a node, and what it alone read."""
    before = node.all_input_nodes
    node.graph.erase_node(node)
    for each in before:
        _erase_unused(each)
