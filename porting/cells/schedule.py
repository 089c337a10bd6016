"""What a run does next: an order that leaves no worker with a long piece of work when the others have none."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from porting.bundles.bundler import Made
from porting.cells.jobs import Cell

BUNDLE = "bundle"
WAITING = 16
"""Cells a worker that may wait. Enough to fill the time of the longest compilation at the end, few enough that a run which is
stopped half-way has results of every target."""


@dataclass(frozen=True)
class Work:
    """One piece of it: to make the bundle of a model for `cells`, or to work the one cell."""

    kind: str
    """BUNDLE, or the cell's adapter; empty for a cell whose target is not here. Pieces of a kind take about as long."""
    cells: Sequence[Cell]
    made: Made | None = None


@dataclass
class Schedule:
    """The longest first, by what pieces of its kind have taken in this run; a kind not seen yet goes before all.

    Short cells so become the filling of the end. Models go by size, the largest first.
    """

    workers: int
    _models: deque[Sequence[Cell]] = field(default_factory=deque)
    _cells: list[Work] = field(default_factory=list)
    _running: list[Work] = field(default_factory=list)
    _seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add_models(self, groups: Iterable[Sequence[Cell]]) -> None:
        """Models whose bundles are to be made, by the cells that need them."""
        self._models.extend(sorted(groups, key=lambda cells: -(cells[0].spec.params or 0)))

    def add_cells(self, cells: Iterable[Cell], made: Made | None) -> None:
        """Cells that can be worked. made: None where the target is not here."""
        self._cells += [Work(cell.target.adapter if made else "", [cell], made) for cell in cells]

    def took(self, work: Work, seconds: float) -> None:
        """Note that a piece is done, and how long it took."""
        self._running.remove(work)
        if work.kind:
            self._seconds[work.kind].append(seconds)

    def next(self) -> Work | None:
        """Begin the next piece; None when nothing can be begun now."""
        work = self._next()
        if work is not None:
            self._running.append(work)
        return work

    def left(self) -> float:
        """Seconds until everything is done, if the rest goes as what was like it; of what runs, half is taken as done."""
        bundles = [*self._models, *(work.cells for work in self._running if work.kind == BUNDLE)]
        kinds = [work.kind for work in self._cells] + [cell.target.adapter for cells in bundles for cell in cells]
        kinds += [BUNDLE] * len(self._models)
        running = sum(self._usual(work.kind) for work in self._running) / 2
        return (running + sum(map(self._usual, kinds))) / self.workers

    def _next(self) -> Work | None:
        if len(self._cells) > WAITING * self.workers:
            return self._cells.pop(0)
        longest = max(self._cells, key=lambda work: self._expected(work.kind), default=None)
        if self._models and (longest is None or self._expected(longest.kind) < self._expected(BUNDLE)):
            return Work(BUNDLE, self._models.popleft())
        if longest is not None:
            self._cells.remove(longest)
        return longest

    def _expected(self, kind: str) -> float:
        seen = self._seconds.get(kind)
        return sum(seen) / len(seen) if seen else math.inf

    def _usual(self, kind: str) -> float:
        """As expected; what was not seen yet is taken for a piece like any other."""
        if kind in self._seconds:
            return self._expected(kind)
        every = [one for seen in self._seconds.values() for one in seen] if kind else []
        return sum(every) / len(every) if every else 0.0
