"""How many multiply-adds of an edge program lie within delegates, and in which precision."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

PRODUCTS = {"mm": 0, "bmm": 0, "linear": 0, "matmul": 0, "addmm": 1, "baddbmm": 1}
"""Operators that multiply matrices, and which argument is the first matrix."""
CONVOLUTION = re.compile(r"convolution|conv(_transpose)?[123]d")
ATTENTION = "scaled_dot_product_attention"
"""Like `conv2d` and `linear`, left whole where a delegate asks for it."""


@dataclass
class Work:
    """Multiply-adds of matrix products and convolutions at the sizes that the program was traced with."""

    delegated: Counter[str] = field(default_factory=Counter)
    """By the precision of what is multiplied: `float32`, `float16`, `int8`."""
    other: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    """Calls of operators that the others are of: `aten::mm`."""
    operators: int = 0
    """Operators within delegates, before a delegate joins or drops some."""

    @property
    def share(self) -> Optional[float]:
        """Share of them within delegates; None where there are none."""
        delegated, other = sum(self.delegated.values()), sum(self.other.values())
        return delegated / (delegated + other) if delegated + other else None

    @property
    def dtype(self) -> str:
        """The precision of most of them; empty where there are none."""
        (commonest,) = (self.delegated + self.other).most_common(1) or [("", 0)]
        return commonest[0]


def work_of(program: Any) -> Work:
    """Count the work of a lowered torch.export.ExportedProgram."""
    work = Work()
    for node in program.graph.nodes:
        lowered = delegate_of(program.graph_module, node)
        if lowered is None:
            work.left.update([f"aten::{operator(node)}"] * add(work.other, node))
        else:
            for inner in lowered.original_module.graph.nodes:
                work.operators += bool(operator(inner))
                add(work.delegated, inner)
    return work


def delegate_of(module: Any, node: Any) -> Any:
    """What a node calls, a LoweredBackendModule; None where it calls an operator."""
    from executorch.exir.delegate import executorch_call_delegate

    return getattr(module, node.args[0].target) if node.target is executorch_call_delegate else None


def add(counts: Counter[str], node: Any) -> bool:
    """Add what one node of a graph multiplies; whether it is an operator that does."""
    name = operator(node) if node.op == "call_function" else ""
    if name in PRODUCTS:
        left = node.args[PRODUCTS[name]]
        counts[precision(left)] += product(sizes(node)) * sizes(left)[-1]
    elif CONVOLUTION.fullmatch(name):
        image, kernel = node.args[:2]
        backwards = "transpose" in name or (name == "convolution" and node.args[6])
        counts[precision(image)] += product(sizes(image if backwards else node)) * product(sizes(kernel)[1:])
    elif name == ATTENTION:
        query, key, value = node.args[:3]
        rows = product(sizes(query)[:-1]) * sizes(key)[-2]
        counts[precision(query)] += rows * (sizes(query)[-1] + sizes(value)[-1])
    else:
        return False
    return True


def operator(node: Any) -> str:
    """The operator's name without namespace and overload, `addmm`; empty for what is no operator of PyTorch's."""
    return str(getattr(node.target, "_name", "")).split("::")[-1].split(".")[0]


def precision(node: Any) -> str:
    """The dtype of a tensor; of the integers that it was quantised to, where a node only gives them back their scale."""
    while operator(node) in PASS_ON:
        node = node.args[0]
    source = node.args[0] if operator(node).startswith("dequantize") else node
    return str(value_of(source).dtype).replace("torch.", "")


PASS_ON = ("view_copy", "permute_copy", "transpose_copy", "expand_copy", "unsqueeze_copy", "squeeze_copy", "clone")


def value_of(node: Any) -> Any:
    """The fake tensor that stands for a node's result; the first of several."""
    value = node.meta["val"]
    return value[0] if isinstance(value, (tuple, list)) else value


def sizes(node: Any) -> Sequence[int]:
    """The shape of a node's result, a dynamic axis at the size of the example."""
    import torch

    return [size.node.hint if isinstance(size, torch.SymInt) else int(size) for size in value_of(node).shape]


def product(values: Sequence[int]) -> int:
    result = 1
    for value in values:
        result *= value
    return result
