"""How far each value of a graph may be off on a target: so many times its operator's own error, where it matters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from porting.cells.jobs import Jobs
from porting.diagnose.cut import Cutter
from porting.diagnose.measure import EPSILON, FACTOR
from porting.diagnose.probe import own_errors
from porting.types import Precision

AT_ONCE = 64
"""Operators whose own error is found out one by one; of more, those that are the same kernel share one."""
SECONDS = 120.0


class Noise:
    """Knows what is allowed. precision: the one that the target is judged at."""

    def __init__(self, cutter: Cutter, jobs: Jobs, precision: Precision, work: Path) -> None:
        self._cutter, self._jobs, self._precision, self._work = cutter, jobs, precision, work
        self._own: dict[str, float] = {}
        """By value."""
        self._of_kernel: dict[object, float] = {}
        self.floor = FACTOR * EPSILON[precision]
        """Allowed in any case."""

    def allowed(self, value: str) -> float:
        """Largest distance of a value that is right, as far as is known by now."""
        return max(FACTOR * self._own.get(value, 0.0), self.floor)

    def learn(self, values: Iterable[str]) -> None:
        """Find out about the operators that make these values."""
        graph = self._cutter.graph
        nodes = sorted({graph.maker[value] for value in values if value in graph.maker and value not in self._own})
        if not nodes:
            return
        chosen = nodes[:AT_ONCE]
        pieces = [self._cutter.alone([node]) for node in chosen]
        found = own_errors(self._jobs, pieces, self._precision, self._work, SECONDS)
        for node, piece, own in zip(chosen, pieces, found, strict=True):
            for output, value in piece.outputs.items():
                self._own[value] = own.get(output) or 0.0
            kernel = graph.kernel(node, self._cutter.values)
            self._of_kernel[kernel] = max(self._of_kernel.get(kernel, 0.0), *(self._own[v] for v in piece.outputs.values()))
        for node in nodes[AT_ONCE:]:
            for value in graph.used(node):
                self._own[value] = self._of_kernel.get(graph.kernel(node, self._cutter.values), 0.0)

    def over(self, off: Collection[tuple[str, float]], slack: float = 1.0) -> list[str]:
        """Those values whose distance is more than is allowed. off: distances by value. slack: times what is allowed."""
        suspects = [(value, far) for value, far in off if not far <= slack * self.floor]
        self.learn(value for value, _ in suspects)
        return [value for value, far in suspects if not far <= slack * self.allowed(value)]
