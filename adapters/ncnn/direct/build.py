"""A graph of core ATen operators, walked node by node, as an ncnn network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from ..._constants import attribute, follows
from ..._core_program import name_of
from .._network import FLOAT, INT, Layer, UnsupportedError
from . import arithmetic, images, places, rows
from .emitter import Emitter, Value, empty, shape_of
from .writer import MOST_AXES, Blob, Shape, Writer, size

if TYPE_CHECKING:
    import torch

WHOLE = (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa", "grid_sampler_2d", "native_layer_norm", "native_group_norm", "_softmax", "_log_softmax",
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "softplus", "gelu", "silu", "elu", "leaky_relu",
    "masked_scatter",
)  # fmt: skip
"""Operators that stay as they are, since a layer or a product says them better than what PyTorch decomposes them to."""
MOST_KNOWN = 1 << 26
"""Elements of a constant that is computed ahead."""
AS_FLOATS = "f"
"""Behind the name of an input of integers that is fed as floats."""
_LIKE = ("full_like", "zeros_like", "ones_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty")
"""Operators that take nothing but the shape of what they are given."""


class Builder(Emitter):
    """Emits a graph, and knows what of it depends on no input."""

    def __init__(self, graph: torch.fx.GraphModule, narrow: bool = False) -> None:
        """narrow: whether the network is to run in fewer bits than 32."""
        super().__init__(Writer(narrow))
        self._module = graph
        self._made: Dict[Any, Any] = {}
        self._ways = {**arithmetic.table(), **places.table(), **rows.table(), **images.table()}
        self.dtypes: Dict[str, str] = {}
        """Of the inputs and outputs, by blob."""
        self.shapes: Dict[str, Shape] = {}
        """Axes of the same."""

    def build(self) -> None:
        """Add the whole graph; outputs are called out0, out1 and so on. Raises UnsupportedError with all that has no words."""
        missing: Dict[str, None] = {}
        self.constants.update((n, attribute(self._module, n.target)) for n in self._module.graph.nodes if n.op == "get_attr")
        for number, node in enumerate(self._module.graph.nodes):  # inputs come first
            if node.op == "placeholder":
                self._made[node] = self._input(number, node)
            elif node.op == "output":
                self._finish(node, missing)
            elif node not in self.constants and not self._fold(node):
                name = name_of(node.target)
                if name not in self._ways and name != "getitem":
                    missing[f"aten::{name}"] = None
                if not missing:
                    self._emit(node, name)
        if missing:
            raise UnsupportedError(f"ncnn has no layer for {', '.join(missing)}")

    def network(self) -> Tuple[List[Layer], bytes]:
        """The layers, and the weights behind them. What no output needs is in neither, nor in `dtypes` and `shapes` any more."""
        layers, weights = self.writer.network([name for name in self.dtypes if name.startswith("out")])
        kept = {top for layer in layers for top in layer.tops}
        self.dtypes = {name: dtype for name, dtype in self.dtypes.items() if name in kept}
        self.shapes = {name: shape for name, shape in self.shapes.items() if name in kept}
        return layers, weights

    # ---- nodes

    def _input(self, number: int, node: Any) -> Value:
        """An input; one of integers twice, as the integers that a table is looked up by, and as floats to compute with."""
        value = node.meta["val"]
        shape = shape_of(node)
        if not value.numel():
            return empty(shape)
        if value.is_floating_point():
            return Value(self._fed(f"in{number}", FLOAT, shape), shape)
        return Value(self._fed(f"in{number}{AS_FLOATS}", FLOAT, shape), shape, self._fed(f"in{number}", INT, shape))

    def _fed(self, name: str, dtype: str, shape: Shape) -> Blob:
        self.dtypes[name], self.shapes[name] = dtype, few(shape)
        return self.writer.input(name, few(shape), exact=dtype == INT or name.endswith(AS_FLOATS))

    def _fold(self, node: Any) -> bool:
        """Compute a node that depends on no input; whether it is one."""
        import torch

        if name_of(node.target) in _LIKE:
            value = node.meta["val"]
            args = (torch.empty(tuple(node.args[0].meta["val"].shape), dtype=node.args[0].meta["val"].dtype), *node.args[1:])
            self.constants[node] = node.target(*args, **node.kwargs).to(value.dtype)
            return True
        if not follows(node.target) or any(self.known(given) is None for given in node.all_input_nodes):
            return False
        value = node.meta["val"]
        leaves = value if isinstance(value, (list, tuple)) else [value]
        if sum(leaf.numel() for leaf in leaves if isinstance(leaf, torch.Tensor)) > MOST_KNOWN:
            return False
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), self.constants.__getitem__)
        self.constants[node] = node.target(*args, **kwargs)
        return True

    def _emit(self, node: Any, name: str) -> None:
        import torch

        if name == "getitem":
            self._made[node] = self._made[node.args[0]][node.args[1]]
            return
        value = node.meta["val"]
        if isinstance(value, torch.Tensor) and not value.numel():
            self._made[node] = empty(tuple(value.shape))
            return
        self.node = node
        parts = value if isinstance(value, (list, tuple)) else [value]
        self.exact = not all(part.is_floating_point() for part in parts if isinstance(part, torch.Tensor))
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), self._value)
        self._made[node] = self._ways[name](self, *args, **kwargs)

    def _value(self, node: Any) -> Any:
        if node not in self._made:
            known = self.constants[node]
            self._made[node] = self.constant(known) if hasattr(known, "is_floating_point") else known
        return self._made[node]

    def _finish(self, node: Any, missing: Dict[str, None]) -> None:
        if missing:
            return
        for number, given in enumerate(node.args[0]):
            value, name = self._value(given), f"out{number}"
            self.dtypes[name], self.shapes[name] = FLOAT, few(value.shape)
            self.writer.layer("Noop", [self.mat(value, few(value.shape))], few(value.shape), name=name)


def few(shape: Shape) -> Shape:
    """A shape of at most MOST_AXES axes for as many elements."""
    if not shape:
        return (1,)
    return shape if len(shape) <= MOST_AXES else (size(shape[: len(shape) - MOST_AXES + 1]), *shape[len(shape) - MOST_AXES + 1 :])
