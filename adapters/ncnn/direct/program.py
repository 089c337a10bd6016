"""A program of plain data as a graph of core ATen operators at fixed sizes, without views and writes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Sequence

from ... import _aten as plain
from ..._constants import writes

if TYPE_CHECKING:
    import torch

WHOLE = (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa", "grid_sampler_2d", "native_layer_norm", "native_group_norm", "_softmax", "_log_softmax",
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "softplus", "gelu", "silu", "elu", "leaky_relu",
)  # fmt: skip
"""Operators that stay as they are, since a layer or a product says them better than what PyTorch decomposes them to."""


def core(path: Path, example: Sequence[torch.Tensor]) -> torch.fx.GraphModule:
    """The graph of a saved program (porting/bundles/aten.py). What nodes hold in `meta` has the shapes and dtypes that they make
    of `example`. Raises what torch raises where values are read into Python."""
    import torch

    with warnings.catch_warnings(), torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        warnings.simplefilter("ignore")
        graph = _traced(plain.Program(path), example)
        if any(writes(node.target) for node in graph.graph.nodes):
            graph = _traced(graph, example)  # decompositions write too
    graph.graph.eliminate_dead_code()
    return graph


def _traced(program: Callable[..., Any], example: Sequence[torch.Tensor]) -> torch.fx.GraphModule:
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    pure = torch.func.functionalize(program, remove="mutations_and_views")
    return make_fx(pure, decomposition_table=_table(), tracing_mode="fake", _allow_non_fake_inputs=True)(*example)


def _table() -> Dict[Any, Callable[..., Any]]:
    from torch._decomp import core_aten_decompositions

    return {overload: way for overload, way in core_aten_decompositions().items() if name_of(overload) not in WHOLE}


def name_of(target: Any) -> str:
    """An operator's name without its overload, and without the ending of what copies in the place of a view."""
    schema = getattr(target, "_schema", None)
    name = str(getattr(target, "__name__", target)) if schema is None else str(schema.name).split("::")[-1]
    return name[: -len("_copy")] if name.endswith("_copy") and name not in ("_to_copy", "lift_fresh_copy") else name
