"""A cluster whose time is simulated, for the coordinator that real ones have: porting.launch.work drives it as it is.

Nodes start jobs in the order in which they were queued, work their cells one after the other, wait for bundles that another node
makes, go down and come back, are preempted, and have broken devices. Results are real files of real records.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from porting.launch import depot as depots
from porting.launch.cluster import ENDED, RUNNING, WAITING, Kind, State
from porting.types import Outcome, Result, Stage

START_SECONDS, CANARY_SECONDS = 8.0, 3.0
"""Of a job: until its first cell; of a canary."""
FAILING_SECONDS = 5.0
"""How long a cell takes on a broken device."""


@dataclass
class Rates:
    """What goes wrong."""

    node_hours: float = 150.0
    """Mean time between two failures of a node."""
    down_seconds: float = 1800.0
    preempted_hours: float = 100.0
    """Mean time between two preemptions on a node."""
    broken_share: float = 0.01
    """Devices that fail whatever they are given."""


@dataclass(eq=False)
class Node:
    name: str
    kind: Kind
    broken: bool
    up: bool = True
    job: Job | None = None


@dataclass(eq=False)
class Job:
    """A slice that waits or is worked."""

    name: str
    kind: Kind
    numbers: list[int]
    canary: bool
    node: Node | None = None
    state: State = field(default_factory=lambda: State(WAITING))
    begun: int | None = None


@dataclass
class Work:
    """What the cells of a run take, in seconds."""

    models: list[str]
    """By cell."""
    targets: list[str]
    cell: list[float]
    build: dict[str, float]
    """By model."""


@dataclass
class Times:
    """Node seconds, by what came of them."""

    useful: float = 0.0
    lost: float = 0.0
    """Of cells whose job ended before they did."""
    waiting: float = 0.0
    """For bundles that other nodes made."""
    starting: float = 0.0
    down: float = 0.0


@dataclass
class SimulatedCluster:
    """See porting.launch.cluster.Cluster."""

    groups: list[Kind]
    work: Work
    rates: Rates
    folder: Path
    seed: int = 1
    now: float = 0.0
    times: Times = field(default_factory=Times)
    jobs: dict[str, Job] = field(default_factory=dict)
    failures: int = 0
    finish: Callable[[Job, int, bool], None] | None = None
    """Told of a cell that is done, with whether its device is broken; a result file is written without it."""

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._queues: dict[Kind, deque[Job]] = defaultdict(deque)
        self._bundles: dict[str, float] = {}
        """By model: when it is there."""
        self.nodes = [
            Node(f"{kind.label}-{n}", kind, self._draw.random() < self.rates.broken_share)
            for kind in self.groups
            for n in range(kind.nodes)
        ]
        self._free: dict[Kind, deque[Node]] = defaultdict(deque)
        for node in self.nodes:
            self._free[node.kind].append(node)
            self._later(self._draw.expovariate(1 / (self.rates.node_hours * 3600)), lambda node=node: self._fail(node))  # type: ignore[misc]
            self._later(self._draw.expovariate(1 / (self.rates.preempted_hours * 3600)), lambda node=node: self._preempt(node))  # type: ignore[misc]

    # ---- as the coordinator sees it

    def kinds(self) -> list[Kind]:
        return self.groups

    def submit(self, kind: Kind, prefix: str, count: int, device: bool) -> None:  # noqa: ARG002 -- every node is one device
        for number in range(count):
            name = f"{prefix}-{number}"
            said = json.loads((self.folder / depots.slice_name(name)).read_bytes())
            self.queue(Job(name, kind, [cell[0] for cell in said["cells"]], said["canary"]))

    def queue(self, job: Job) -> None:
        self.jobs[job.name] = job
        self._queues[job.kind].append(job)
        self._dispatch(job.kind)

    def states(self) -> Mapping[str, State]:
        return {name: job.state for name, job in self.jobs.items()}

    def cancel(self) -> None:
        for queue in self._queues.values():
            queue.clear()

    def alive(self) -> bool:
        return False

    def log(self, _: str) -> Path | None:
        return None

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, call = heapq.heappop(self._events)
            call()
        self.now = until

    # ---- nodes

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._count), call))

    def _dispatch(self, kind: Kind) -> None:
        queue, free = self._queues[kind], self._free[kind]
        while queue and free:
            node, job = free.popleft(), queue.popleft()
            node.job, job.node, job.state = job, node, State(RUNNING, "RUNNING", node.name)
            self._step(job, self._program(job))

    def _step(self, job: Job, program: Iterator[float]) -> None:
        """Go on with a job until it has to wait again, or has ended."""
        if job.state.phase != RUNNING:
            return
        wait = next(program, None)
        if wait is not None:
            self._later(wait, lambda: self._step(job, program))
        else:
            self._end(job, State(ENDED, "COMPLETED", job.state.node, clean=True))

    def _program(self, job: Job) -> Iterator[float]:
        node = job.node
        assert node
        self.times.starting += START_SECONDS
        yield START_SECONDS
        if job.canary:
            self.times.starting += CANARY_SECONDS
            yield CANARY_SECONDS
            if node.broken:
                said = {"node": node.name, "devices": "0", "why": "the device does not answer", "suspects": []}
                self._put(depots.broken_name(job.name), json.dumps(said).encode())
                yield 1e9
        for number in job.numbers:
            job.begun = number
            self._say(job)
            yield from self._bundle(self.work.models[number])
            seconds = FAILING_SECONDS if node.broken else self.work.cell[number]
            begun = self.now
            yield seconds
            self.times.useful += 0.0 if node.broken else self.now - begun
            job.begun = None
            if self.finish:
                self.finish(job, number, node.broken)
            else:
                self._put(depots.result_name(number, job.name), self._result(number))

    def _bundle(self, model: str) -> Iterator[float]:
        there = self._bundles.get(model)
        if there is None:
            self._bundles[model] = self.now + self.work.build[model]
            self.times.useful += self.work.build[model]
            yield self.work.build[model]
        elif there > self.now:
            self.times.waiting += there - self.now
            yield there - self.now

    def _result(self, number: int) -> bytes:
        found = Result(
            self.work.models[number],
            self.work.targets[number],
            Stage.COMPARE,
            Outcome.PASS,
            key=str(number),
            started="2026-01-01T00:00:00.000000Z",
        )
        return depots.result_lines(found, b"")

    def _say(self, job: Job) -> None:
        """What a job is at, for the coordinator; only read when the job is lost."""
        if not self.finish:
            begun = {} if job.begun is None else {str(job.begun): 0}
            self._put(depots.status_name(job.name), json.dumps({"node": job.state.node, "begun": begun, "ended": None}).encode())

    def _put(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    def _end(self, job: Job, state: State) -> None:
        node = job.node
        assert node
        job.state, node.job = state, None
        if node.up:
            self._free[node.kind].append(node)
            self._dispatch(node.kind)

    # ---- what goes wrong

    def _fail(self, node: Node) -> None:
        self.failures += 1
        node.up = False
        if node in self._free[node.kind]:
            self._free[node.kind].remove(node)
        self._lose(node, "NODE_FAIL")
        self.times.down += self.rates.down_seconds
        self._later(self.rates.down_seconds, lambda: self._back(node))

    def _back(self, node: Node) -> None:
        node.up = True
        self._free[node.kind].append(node)
        self._dispatch(node.kind)
        self._later(self._draw.expovariate(1 / (self.rates.node_hours * 3600)), lambda: self._fail(node))

    def _preempt(self, node: Node) -> None:
        if node.job:
            self.failures += 1
        self._lose(node, "PREEMPTED")
        self._later(self._draw.expovariate(1 / (self.rates.preempted_hours * 3600)), lambda: self._preempt(node))

    def _lose(self, node: Node, word: str) -> None:
        job = node.job
        if not job:
            return
        if job.begun is not None and not node.broken:
            self.times.lost += self.work.cell[job.begun] / 2
        self._say(job)
        self._end(job, State(ENDED, word, node.name))
