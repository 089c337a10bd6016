"""A model to rewrite, its export along a route, what is in the form then, and what it answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from porting.bundles.bundle import FormKey
from porting.bundles.eager import EagerModel
from porting.bundles.export import Exporter
from porting.types import Precision, TensorSpec

WIDTH = 8


class Model(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Calls a function of one tensor, (batch, length, WIDTH) in and anything out, with a layer to hold weights."""

    def __init__(self, function: Any, **more: Any) -> None:
        super().__init__()
        self.line, self.function = nn.Linear(WIDTH, WIDTH), function
        for name, value in more.items():
            setattr(self, name, value)

    def forward(self, x: Any, **more: Any) -> Any:
        return self.function(self, self.line(x), **more)


def normal(model: Any, x: Any) -> Any:
    return nn.functional.gelu(nn.functional.layer_norm(x, (WIDTH,)))


def draw(batch: int = 2, length: int = 5) -> Any:
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(3))


def exporter(folder: Path, flat: nn.Module) -> Exporter:
    with torch.no_grad():
        answers = flat(draw())
    shape = ("batch", "length", WIDTH)
    outputs = [TensorSpec(f"y{i}", str(a.dtype).removeprefix("torch."), tuple(a.shape)) for i, a in enumerate(answers)]
    return Exporter(flat, [TensorSpec("x", "float32", shape)], outputs, [draw()], frozenset({"batch", "length"}), folder)


def flat_of(model: nn.Module, **constants: Any) -> nn.Module:
    return EagerModel(model.eval(), ["x"], constants).flat()


def export(folder: Path, flat: nn.Module, kind: str, *route: str, precision: Precision = Precision.FP32) -> Any:
    return exporter(folder, flat).export(FormKey(kind, precision, "dynamic", None, route))


def words_in(folder: Path, record: Any) -> Counter[str]:
    """What a form has in it: operators and dtypes."""
    if record.path.endswith(".onnx"):
        return Counter(node.op_type for node in onnx.load(folder / record.path).graph.node)
    program = torch.export.load(folder / record.path)
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    dtypes = [str(v.dtype).removeprefix("torch.") for n in nodes if isinstance(v := n.meta.get("val"), torch.Tensor)]
    made = [
        f"{node.target} {str(v.dtype).removeprefix('torch.')}" for node in nodes if hasattr(v := node.meta.get("val"), "dtype")
    ]
    return Counter([*(str(node.target) for node in nodes), *dtypes, *made])


def answers(folder: Path, record: Any, x: Any) -> list[Any]:
    if record.path.endswith(".onnx"):
        session = onnxruntime.InferenceSession(str(folder / record.path), providers=["CPUExecutionProvider"])
        return list(session.run(None, {"x": x.numpy()}))
    with torch.no_grad():
        return [tensor.numpy() for tensor in torch.export.load(folder / record.path).module()(x)]


def same(found: list[Any], wanted: Any) -> bool:
    return all(np.allclose(one, other.numpy(), atol=2e-5, rtol=1e-4) for one, other in zip(found, wanted, strict=True))
