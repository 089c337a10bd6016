"""What is wrong only in company: the smallest group of nodes, and whether it is a fault or an error that the model amplifies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from porting.diagnose import window
from porting.diagnose.cut import Cutter
from porting.diagnose.graph import Values
from porting.diagnose.measure import distance
from porting.diagnose.noise import Noise
from porting.diagnose.probe import Lab
from porting.diagnose.trial import Bench

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

SLACKS = (64.0, 8.0, 1.0)
"""Times what its last operator may be off, that a value of several operators may: the largest at which the whole is wrong."""


DATA = 4.0
"""Times what an operator may be off on the reference's values, that it may be on the target's."""


class _Over:
    """Values, some of them replaced."""

    def __init__(self, own: Mapping[str, Array], others: Values) -> None:
        self._own, self._others = own, others

    def __getitem__(self, name: str) -> Array:
        return self._own[name] if name in self._own else self._others[name]


class Context:
    """Looks for a group. wanted: sign of the whole model's failure; empty where it ran, and its numbers are wrong."""

    def __init__(self, cutter: Cutter, bench: Bench, noise: Noise, wanted: str, clean: Lab, tell: Callable[[str], None]) -> None:
        self._bench, self._noise, self._wanted = bench, noise, wanted
        self.cutter = cutter
        """Cuts the parts in which the group shows."""
        self._clean, self._tell = clean, tell
        self._slack = SLACKS[0]
        self._tries = 0
        self.group: list[int] = []
        self.amplified = False
        """Whether each node of the group is right on what the target itself feeds it."""

    def find(self, nodes: Sequence[int], free: bool) -> None:
        """Find the smallest group among nodes; none where they are right together. free: look with axes of any size as well,
        where nothing is wrong at fixed ones."""
        free = free and self.cutter.can_be_free
        if not nodes or not (self._wrong_at_all(nodes) or (free and self._wrong_with_free_axes(nodes))):
            return
        self.group = window.smallest(nodes, self.wrong)
        if len(self.group) > 1 and not self._wanted:
            self._tell("each of the group on what the target itself feeds it")
            self.amplified = self._is_amplified()

    @property
    def free(self) -> bool:
        """Whether it shows only where axes may have any size."""
        return self.cutter.free

    def _wrong_with_free_axes(self, nodes: Sequence[int]) -> bool:
        self.cutter = self.cutter.again(free=True)
        return self._wrong_at_all(nodes)

    def adds_up(self, nodes: Sequence[int], off: float) -> bool:
        """Whether the model cut out as a whole, at fixed sizes, is about as far off as `off`: then each operator's own error adds
        up to it, and nothing is wrong."""
        cutter = self.cutter.again()
        trial = self._bench.try_one(cutter.together(nodes))
        return trial.ok and max(map(trial.distance, trial.off), default=0.0) >= off / 2

    def _wrong_at_all(self, nodes: Sequence[int]) -> bool:
        for slack in SLACKS:
            self._slack = slack
            if self.wrong(nodes):
                return True
            if self._wanted:
                break
        return False

    def wrong(self, nodes: Sequence[int]) -> bool:
        """Whether a set of nodes fails as the whole does, or is off at a value that leaves it."""
        piece = self.cutter.together(nodes)
        if not piece.outputs:
            return False
        self._tries += 1
        self._tell(f"a part of {len(nodes)} operators (try {self._tries})")
        trial = self._bench.try_one(piece)
        if self._wanted:
            return trial.sign == self._wanted
        return trial.ok and bool(self._noise.over([(value, trial.distance(value)) for value in trial.off], self._slack))

    def _is_amplified(self) -> bool:
        """Run the group with every value inside as an output, and its nodes one by one on those values.

        A fault of operators that are joined goes away when their values are looked at; one that stays although each node is
        right on what it is fed is no fault.
        """
        graph, cutter = self.cutter.graph, self.cutter
        marks = [value for node in self.group for value in graph.used(node)]
        piece = cutter.together(self.group, marks)
        (ending,) = self._bench.lab.run([self._bench.lab.piece(piece)], patient=True)
        got = ending.read()
        if not ending.ok or got is None:
            return False
        trial = self._bench.judged(piece, ending)
        leaving = cutter.together(self.group).outputs.values()
        if not self._noise.over([(value, trial.distance(value)) for value in leaving], self._slack):
            return False
        return self._all_right_on(got)

    def _all_right_on(self, got: Mapping[str, Array]) -> bool:
        """Whether each node of the group gives what the clean runtime does, on the inputs that it had on the target."""
        fed = self.cutter.again(_Over(got, self.cutter.values))
        pieces = [fed.alone([node]) for node in self.group]
        endings = self._clean.run([self._clean.piece(piece) for piece in pieces], patient=True)
        self._noise.learn(got)
        for piece, ending in zip(pieces, endings, strict=True):
            right = ending.read() or {}
            for output, value in piece.outputs.items():
                if output not in right or not distance(got[value], right[output]) <= DATA * self._noise.allowed(value):
                    return False
        return True
