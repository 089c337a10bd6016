"""What tpu-mlir made of a model, read from the MLIR that it leaves: operators, what they compute in, and who runs them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from porting.types import Placement

from .. import _work
from .._work import product

OPERATION = re.compile(r'= "tpu\.(?P<kind>\w+)"\(.* : \((?P<taken>.*)\) -> (?P<made>.*?) loc\(')
TENSOR = re.compile(r"tensor<(?P<sizes>(?:\d+x)*)(?P<element>[^\s,>x]+)[^>]*>")
ON_HOST = re.compile(r"Cpu$")
"""Operators that are left to the host's CPU: GenericCpu, CustomCpu."""

Tensor = Tuple[Tuple[int, ...], str]


@dataclass(frozen=True)
class Operator:
    """An operation of the chip's dialect."""

    kind: str
    taken: Sequence[Tensor]
    """Shape and element type, `f16`, of its operands."""
    made: Sequence[Tensor]

    @property
    def on_host(self) -> bool:
        """Whether the chip leaves it to the host."""
        return ON_HOST.search(self.kind) is not None

    @property
    def work(self) -> int:
        """Multiply-adds of a convolution or a matrix product."""
        if len(self.taken) < 2 or not self.made:
            return 0
        (left, _), (right, _) = self.taken[:2]
        made = product(self.made[0][0])
        if self.kind.startswith("Conv"):
            return made * product(right[1:])
        if self.kind.startswith("Deconv"):
            return product(left) * product(right[1:])
        return made * left[-1] if "MatMul" in self.kind and left else 0


def operators(text: str) -> Sequence[Operator]:
    """The operations of an MLIR file in the dialect of the chip."""
    found: List[Operator] = []
    for line in text.splitlines():
        match = OPERATION.search(line)
        if match:
            found.append(Operator(match["kind"], _tensors(match["taken"]), _tensors(match["made"])))
    return found


def _tensors(types: str) -> Sequence[Tensor]:
    return [
        (tuple(int(size) for size in match["sizes"].split("x") if size), match["element"]) for match in TENSOR.finditer(types)
    ]


def placement(found: Sequence[Operator], chip: str) -> Placement:
    """Who runs them, and how much of the multiplying that is."""
    units = (("host" if operator.on_host else "TPU", operator.work) for operator in found)
    return _work.placement(units, "TPU", f"{chip} TPU")


def element(found: Sequence[Operator]) -> Optional[str]:
    """What most of the multiplying takes; of floating elements at all where none multiplies; None without any."""
    kinds = ((_element_of(operator), operator.work) for operator in found if operator.kind != "Cast")
    return _work.commonest((kind, work) for kind, work in kinds if kind)


def _element_of(operator: Operator) -> str:
    """The first element type among its operands that is computed in, not counted with; empty where there is none."""
    return next((kind for _, kind in operator.taken if kind in ("f32", "f16", "bf16") or kind.endswith("i8")), "")
