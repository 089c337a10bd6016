"""A program of plain data as a graph of core ATen operators at fixed sizes, without views and writes.

The last resort of a stack that takes exported programs: nothing is left in it of symbolic sizes, of higher-order operators, or of
what depends on no input, and few operators are left at all.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Collection, Dict, Sequence, Tuple

from porting.adapter import ExportedForm

from . import _aten as plain
from ._constants import fold, writes
from ._torch_program import to_tensor

if TYPE_CHECKING:
    import torch

    Tensors = Tuple[torch.Tensor, ...]


def example_of(form: ExportedForm) -> Tensors:
    """Inputs at the form's sizes, in its order; floating ones in the dtype that the program takes."""
    import numpy as np
    import torch

    values = (
        form.sample() if form.samples else {spec.name: np.zeros(tuple(map(int, spec.shape)), spec.dtype) for spec in form.inputs}
    )
    given = [(to_tensor(values[spec.name]), getattr(torch, spec.dtype)) for spec in form.inputs]
    return tuple(value.to(dtype) if value.is_floating_point() else value for value, dtype in given)


def captured(form: ExportedForm) -> torch.export.ExportedProgram:
    """A form of this kind as torch.export would have captured it, for a stack that takes nothing else. Raises what torch raises
    where values are read into Python."""
    import torch

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(folded(form), example_of(form), strict=False)


def folded(form: ExportedForm) -> torch.fx.GraphModule:
    """The same as a module: views are views again, and what depends on no input is computed."""
    import torch

    graph = core(form.path, example_of(form))
    with torch.no_grad():
        as_views(graph)
        fold(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def core(path: Path, example: Sequence[torch.Tensor], whole: Collection[str] = ()) -> torch.fx.GraphModule:
    """The graph of a saved program (porting/bundles/aten.py). What nodes hold in `meta` has the shapes and dtypes that they make
    of `example`. whole: operators that are not decomposed. Raises what torch raises where values are read into Python."""
    import torch

    with warnings.catch_warnings(), torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        warnings.simplefilter("ignore")
        graph = _traced(plain.Program(path), example, whole)
        if any(writes(node.target) for node in graph.graph.nodes):
            graph = _traced(graph, example, whole)  # decompositions write too
    for node in reversed(graph.graph.nodes):
        if name_of(node.target).startswith("_assert") and not node.users:  # of what tracing assumed, as guards are
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    return graph


def _traced(program: Callable[..., Any], example: Sequence[torch.Tensor], whole: Collection[str]) -> torch.fx.GraphModule:
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    pure = torch.func.functionalize(program, remove="mutations_and_views")
    return make_fx(pure, decomposition_table=_table(whole), tracing_mode="fake", _allow_non_fake_inputs=True)(*example)


def _table(whole: Collection[str]) -> Dict[Any, Callable[..., Any]]:
    import torch
    from torch._decomp import core_aten_decompositions

    ways = {**core_aten_decompositions(), torch.ops.aten.masked_scatter.default: _masked_scatter}
    return {overload: way for overload, way in ways.items() if name_of(overload) not in whole}


def _masked_scatter(data: torch.Tensor, mask: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Each place that is chosen reads the next element of the source: the one that as many chosen ones are before it."""
    import torch

    mask = mask.expand(data.shape)
    place = (mask.reshape(-1).to(torch.int64).cumsum(0) - 1).clamp(0, source.numel() - 1)
    return torch.where(mask, source.reshape(-1).index_select(0, place).reshape(data.shape), data)


def name_of(target: Any) -> str:
    """An operator's name without its overload, and without the ending of what copies in the place of a view."""
    schema = getattr(target, "_schema", None)
    name = str(getattr(target, "__name__", target)) if schema is None else str(schema.name).split("::")[-1]
    return name[: -len("_copy")] if name.endswith("_copy") and name not in ("_to_copy", "lift_fresh_copy") else name


def as_views(graph: torch.fx.GraphModule) -> None:
    """Let what copies in the place of a view be that view, and a view a reshape: stacks know the views, and have their own
    strides."""
    import torch

    for node in graph.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.name.startswith("aten::"):
            continue
        name, overload = name_of(node.target), schema.overload_name or "default"
        if (name, overload) == ("view", "default"):
            node.target = torch.ops.aten.reshape.default
        elif schema.name != f"aten::{name}":
            node.target = getattr(getattr(torch.ops.aten, name), overload)
