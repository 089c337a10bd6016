"""Every operator by itself: all side by side in one model fed with reference tensors, one node of each kernel first.

So every wrong kernel is found, not the first, and none that only inherits an error. What ends the process, or raises, is split
until it stands alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from porting.diagnose.cut import Cutter
from porting.diagnose.noise import Noise
from porting.diagnose.trial import MISMATCH, Bench, Trial

BUDGET = 128 << 20
"""Bytes of what the operators of one model read and make."""
AT_ONCE = 1 << 30
"""Bytes of the models of one process; they lie on disk at the same time."""
PARTS = 8
"""Of a model that ended its process: they are tried in one process, so each level costs one."""
RERUNS = 32
"""Kernels that are run once more, each in a model of its own."""


@dataclass(frozen=True)
class Fault:
    """What one node does by itself."""

    node: int
    kind: str
    """`mismatch`, `nonfinite`, `structure`, `exception`, `crash`, `hang`, `memory`."""
    sign: str = ""
    message: str = ""
    distance: float | None = None
    """From the reference; None where it is infinite, or there was no answer."""
    allowed: float | None = None
    single: bool = False
    """Whether it was seen in a model of this operator alone."""
    same_as: int | None = None
    """A node of the same kernel, for which this one was not tried."""


@dataclass
class Isolated:
    """What isolation found."""

    wrong: dict[int, Fault] = field(default_factory=dict)
    """By node."""
    refused: dict[int, Fault] = field(default_factory=dict)
    """Nodes that fail by themselves, but not as the whole model does: the stack may take them in company alone."""
    beside: dict[int, Fault] = field(default_factory=dict)
    """Nodes that were wrong beside others, and right in a model of their own."""


class Isolation:
    """Tries the operators of a graph one by one, many at a time."""

    def __init__(
        self, cutter: Cutter, bench: Bench, noise: Noise, wanted: str, tell: Callable[[str], None], budget: int = BUDGET
    ) -> None:
        """wanted: sign of the whole model's failure; empty where it ran."""
        self._cutter, self._bench, self._noise, self._wanted = cutter, bench, noise, wanted
        self._tell, self._budget = tell, budget
        self.found = Isolated()
        graph, values = cutter.graph, cutter.values
        self.kernels: dict[object, list[int]] = {}
        for number in range(len(graph)):
            if graph.reads[number] and graph.used(number) and not graph.is_random(number):
                self.kernels.setdefault(graph.kernel(number, values), []).append(number)

    def run(self) -> Isolated:
        first = [nodes[0] for nodes in self.kernels.values()]
        self._pass(first, "one operator of each kernel")
        faults = {**self.found.wrong, **self.found.refused}
        rest = []
        for leader, *others in self.kernels.values():
            fault = faults.get(leader)
            if fault and fault.kind not in (MISMATCH, "nonfinite", "structure"):
                where = self.found.wrong if leader in self.found.wrong else self.found.refused
                where.update((node, Fault(node, fault.kind, fault.sign, fault.message, same_as=leader)) for node in others)
            else:
                rest += others
        self._pass(sorted(rest), "the other operators")
        self._confirm()
        return self.found

    def _pass(self, nodes: Sequence[int], what: str) -> None:
        """Try nodes until each has been seen in a model that ran, or fails alone."""
        queue, total, done = deque(self._chunks(nodes)), len(nodes), 0
        while queue:
            self._tell(f"{what}: {done} of {total}")
            batch = self._batch(queue)
            trials = self._bench.try_some([self._cutter.alone(group) for group in batch])
            again: list[list[int]] = []
            for group, trial in zip(batch, trials, strict=False):
                queue.popleft()
                if trial.ok or len(group) == 1:
                    self._note(group, trial)
                    done += len(group)
                else:
                    again += _split(group)
            queue.extendleft(reversed(again))

    def _chunks(self, nodes: Iterable[int]) -> list[list[int]]:
        graph, values = self._cutter.graph, self._cutter.values
        chunks: list[list[int]] = []
        room = 0
        for node in nodes:
            size = graph.size(node, values)
            if not chunks or room < size:
                chunks.append([])
                room = self._budget
            chunks[-1].append(node)
            room -= size
        return chunks

    def _batch(self, queue: deque[list[int]]) -> list[list[int]]:
        """The first groups that lie on disk together."""
        graph, values, room = self._cutter.graph, self._cutter.values, AT_ONCE
        batch: list[list[int]] = []
        for group in queue:
            room -= sum(graph.size(node, values) for node in group)
            if batch and room < 0:
                break
            batch.append(group)
        return batch

    def _note(self, group: Sequence[int], trial: Trial) -> None:
        if trial.ok:
            over = set(self._noise.over([(value, trial.distance(value)) for value in trial.off]))
            for node in group:
                values = [value for value in self._cutter.graph.used(node) if value in over]
                if values:
                    self.found.wrong[node] = self._fault(node, values, trial, len(group) == 1)
            return
        (node,) = group
        fault = Fault(node, trial.kind, trial.sign, trial.message, single=True)
        (self.found.wrong if trial.sign == self._wanted else self.found.refused)[node] = fault

    def _fault(self, node: int, values: Sequence[str], trial: Trial, single: bool) -> Fault:
        worst = max(values, key=trial.distance)
        kind = trial.how.get(worst, MISMATCH)
        return Fault(node, kind, kind, "", trial.off[worst], self._noise.allowed(worst), single)

    def _confirm(self) -> None:
        """Run one node of each wrong kernel once more, in a model of its own: side by side, a stack may have joined them."""
        leaders: dict[tuple[object, str], int] = {}
        for node, fault in sorted(self.found.wrong.items()):
            kernel = self._cutter.graph.kernel(node, self._cutter.values)
            if fault.same_as is None:
                leaders.setdefault((kernel, fault.kind), node)
        chosen = [node for node in leaders.values() if not self.found.wrong[node].single][:RERUNS]
        if not chosen:
            return
        self._tell(f"{len(chosen)} wrong kernels, each once more by itself")
        trials = self._bench.try_all([self._cutter.alone([node]) for node in chosen], patient=True)
        names = {node: key for key, node in leaders.items()}
        for node, trial in zip(chosen, trials, strict=True):
            kind = self.found.wrong[node].kind
            del self.found.wrong[node]
            self._note([node], trial)
            if node not in self.found.wrong:
                self._acquit(names[node], kind)

    def _acquit(self, leader: tuple[object, str], kind: str) -> None:
        """Nodes of a kernel that is right by itself."""
        kernel = leader[0]
        for node in self.kernels[kernel]:
            fault = self.found.wrong.get(node)
            if fault and fault.kind == kind:
                self.found.beside[node] = self.found.wrong.pop(node)


def _split(group: Sequence[int]) -> list[list[int]]:
    size = -(-len(group) // PARTS)
    return [list(group[at : at + size]) for at in range(0, len(group), size)]
