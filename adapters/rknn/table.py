"""What RKNN's compiler says of the network it made: the table of its operators, where each runs, how many cycles that takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from porting.types import Placement

from .. import _work
from .._work import product

TITLE = "Network Layer Information Table"
ROW = re.compile(
    r"D RKNN: \[[\d:.]+\] (?P<number>\d+)\s+(?P<kind>\S+)\s+(?P<dtype>\S+)\s+(?P<unit>[A-Z]+)\s+"
    r"(?P<taken>\\|\S+)\s+(?P<made>\\|\S+)\s+(?P<cycles>\d+/\d+/\d+)\s"
)
NUMBERED = re.compile(r"D RKNN: \[[\d:.]+\] \d+\s")
ENDS = ("InputOperator", "OutputOperator")
"""Rows for what goes in and comes out: no operators."""


class TableError(RuntimeError):
    """The compiler's table is not there, or not of the form that is known."""


@dataclass(frozen=True)
class Layer:
    """A row of the table."""

    kind: str
    dtype: str
    """`FLOAT16`, `INT8` and so on, of what it makes."""
    unit: str
    """`NPU` or `CPU`."""
    taken: Tuple[Tuple[int, ...], ...]
    """Shapes of its inputs, weights among them: the first few, for the compiler cuts off what is too long for its column."""
    made: Tuple[int, ...]
    """Shape of its first output; empty where even that is too long."""
    cycles: int

    @property
    def work(self) -> int:
        """Multiply-adds of a convolution, which fully connected layers and means become too, or of a matrix product."""
        if "Conv" in self.kind and len(self.taken) > 1:
            kernel = product(self.taken[1][1:])
            return kernel * product(self.taken[0] if "Transpose" in self.kind else self.made)
        if "SDPA" in self.kind and len(self.taken) > 2:  # rows of the query with columns of the key, then with those of the value
            query, key, value = self.taken[:3]
            return product(query[:-1]) * key[-2] * (query[-1] + value[-1])
        return product(self.made) * self.taken[0][-1] if "MatMul" in self.kind and self.taken and self.taken[0] else 0


def layers(printed: str) -> Sequence[Layer]:
    """The rows of the last table that the compiler printed. Raises TableError."""
    before, found, table = printed.rpartition(TITLE)
    del before
    if not found:
        raise TableError("RKNN printed no table of operators")
    rows: List[Layer] = []
    rules = 0
    for line in table.splitlines()[1:]:
        rules += "] -----" in line
        if rules == 3:  # one above the header, one below it, one below the rows
            break
        row = ROW.match(line)
        if row:
            rows.append(_layer(row))
        elif NUMBERED.match(line):
            raise TableError(f"RKNN's table of operators has a row of another form: {line[:200]}")
    return [row for row in rows if row.kind not in ENDS]


def _layer(row: re.Match[str]) -> Layer:
    taken = tuple(_shape(shape) for shape in re.findall(r"\(([\d,]*)\)", row["taken"]))
    made = re.findall(r"\(([\d,]*)\)", row["made"])
    return Layer(row["kind"], row["dtype"], row["unit"], taken, _shape(made[0] if made else ""), int(row["cycles"].split("/")[2]))


def _shape(written: str) -> Tuple[int, ...]:
    return tuple(int(size) for size in written.split(",") if size)


def placement(rows: Sequence[Layer], chip: str) -> Placement:
    """Who runs the operators, and how much of the multiplying that is."""
    return _work.placement(((row.unit, row.work) for row in rows), "NPU", f"{chip} NPU", sum(row.cycles for row in rows))


def dtype(rows: Sequence[Layer]) -> Optional[str]:
    """What most of the multiplying is done in, on the NPU; of all its operators where none multiplies; None without any."""
    return _work.commonest((row.dtype, row.work) for row in rows if row.unit == "NPU")
