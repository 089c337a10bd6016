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

    aten, wrapped = torch.ops.aten, torch.ops.higher_order
    checks = (aten._assert_async.default, aten._assert_async.msg, aten._assert_tensor_metadata.default)
    for node in list(program.graph.nodes):
        if node.target is wrapped.wrap_with_set_grad_enabled or (node.target is wrapped.wrap_with_autocast and not node.args[2]):
            _unwrap(node)
    in_place = _joins_in_place()
    for node in list(program.graph.nodes):
        if node.target in checks:
            _erase(node)
        elif node.target is aten.detach_.default:
            node.target = aten.detach.default  # as if it were trained: ExecuTorch refuses to lower this in place
        elif node.target in in_place:
            node.target = in_place[node.target]
        elif node.target is aten.cat.default:
            _leave_out_nothing(node)
    _leave_out_checked(program.graph)
    program.graph_module.recompile()


def _joins_in_place() -> dict[Any, Any]:
    """What Python's |=, &= and ^= call, to what means the same and PyTorch can write out of place."""
    import torch

    aten = torch.ops.aten
    pairs = [(getattr(aten, f"__i{way}__"), getattr(aten, f"bitwise_{way}_")) for way in ("and", "or", "xor")]
    return {getattr(called, kind): getattr(meant, kind) for called, meant in pairs for kind in ("Tensor", "Scalar")}


def _unwrap(node: Any) -> None:
    """Put in the place of a call what it calls: a region without gradients, or without automatic casts, of a program that has
    neither. As a program within the program, most stacks refuse it. One that an answer comes from stays: its name is told."""
    graph, module = node.graph, node.graph.owning_module
    held = next(arg for arg in node.args if getattr(arg, "op", "") == "get_attr")
    inner = getattr(module, held.target).graph
    known = all(each.op in ("placeholder", "call_function", "output") for each in inner.nodes)
    if not known or any(user.op == "output" for reader in node.users for user in reader.users):
        return
    given = iter(node.args[node.args.index(held) + 1 :])
    copies = {each: next(given) for each in inner.nodes if each.op == "placeholder"}
    with graph.inserting_before(node):
        for each in inner.nodes:
            if each.op == "call_function":
                copies[each] = graph.node_copy(each, copies.__getitem__)
    (answers,) = next(each for each in inner.nodes if each.op == "output").args
    for reader in list(node.users):
        answer = answers[reader.args[1]]
        reader.replace_all_uses_with(copies[answer])
        graph.erase_node(reader)
    graph.erase_node(node)
    if not held.users:
        graph.erase_node(held)
        delattr(module, held.target)


def _leave_out_nothing(node: Any) -> None:
    """A row of no elements may stand among tensors of any rank, where PyTorch overlooks it. A cache that nothing was written to
    has such rows; TVM's importer and pnnx do not overlook them."""
    parts, *rest = node.args
    some = [part for part in parts if not _is_nothing(part)]
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


def _is_nothing(part: Any) -> bool:
    """Whether a tensor is a row of no elements whatever the data are; to ask it of a size that depends on them is an error."""
    shape = tuple(part.meta["val"].shape)
    return len(shape) == 1 and isinstance(shape[0], int) and shape[0] == 0


def _erase_unused(node: Any) -> None:
    if node.op == "call_function" and not node.users and not node.is_impure():
        _erase(node)


def _erase(node: Any) -> None:
    """Erase a node, and what it alone read."""
    before = node.all_input_nodes
    node.graph.erase_node(node)
    for each in before:
        _erase_unused(each)
