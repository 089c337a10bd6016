"""Which cells go out together, to which nodes, in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from porting.cells.jobs import Cell
from porting.launch.cluster import Kind
from porting.launch.facts import needs_device
from porting.launch.local import by_model

CELLS = 32
"""Cells of a job at most, but for a model that has more."""
WAVES = 4
"""Jobs for each place that works them, so that one that gets easy cells gets more of them."""

Numbers = Sequence[int]
"""Cells, by their place among those of a run."""


@dataclass
class Slice:
    """Some cells, as one job works them."""

    name: str
    kind: Kind
    device: bool
    """Whether the job gets one of the node's devices."""
    cells: tuple[int, ...]


def by_size(cell: Cell) -> float:
    """Seconds that a cell may take, where no record tells: as measured of small nets, BERT-base and Llama 1B on one core."""
    return 3.0 + (cell.spec.params or 0) / 7e6


def chunks(
    cells: Sequence[Cell],
    routed: Iterable[tuple[int, Kind]],
    wanted: int = 0,
    expected: Callable[[Cell], float] = by_size,
) -> list[tuple[Kind, list[int]]]:
    """Cells by job, in the order in which they are queued. wanted: cells of a job; 0 works it out. expected: seconds of a cell.

    A job has models whole, but for one that would take longer than a job should. Each kind of nodes begins with models of its
    own, so that each bundle is made once while nobody waits for it; then come the others. The longest go first.
    """
    kinds: dict[Kind, list[int]] = defaultdict(list)
    for number, kind in routed:
        kinds[kind].append(number)
    rank: dict[str, int] = {}
    for number in sorted((n for some in kinds.values() for n in some), key=lambda n: -expected(cells[n])):
        rank.setdefault(cells[number].bundle_key, len(rank))
    found: list[tuple[Kind, list[int]]] = []
    for place, (kind, numbers) in enumerate(kinds.items()):
        seconds = {n: expected(cells[n]) for n in numbers}
        share = sum(seconds.values()) / (WAVES * kind.slots)
        own: list[Numbers] = []
        others: list[Numbers] = []
        for group in models(cells, numbers):
            first, *rest = [group] if wanted else list(_split(group, seconds, share))
            (own if rank[cells[first[0]].bundle_key] % len(kinds) == place else others).append(first)
            others += rest
        for parts in (own, others):
            parts.sort(key=lambda part: -sum(seconds[n] for n in part))
            packed = _packed(parts, wanted) if wanted else _packed(parts, CELLS, seconds, share)
            found += [(kind, chunk) for chunk in packed]
    return found


def arrays(cells: Sequence[Cell], parts: Iterable[tuple[Kind, Numbers]]) -> Mapping[tuple[Kind, bool], list[Numbers]]:
    """Parts by what the scheduler is asked for: a kind of nodes, with or without a device. A part that has both is two."""
    found: dict[tuple[Kind, bool], list[Numbers]] = defaultdict(list)
    for kind, numbers in parts:
        for device in (False, True):
            some = [n for n in numbers if needs_device(cells[n].target, kind) is device]
            if some:
                found[kind, device].append(some)
    return found


def models(cells: Sequence[Cell], numbers: Iterable[int]) -> list[list[int]]:
    """Numbers of cells by model."""
    number_of = {(cells[n].spec.id, cells[n].target): n for n in numbers}
    groups = by_model(cells[n] for n in number_of.values())
    return [[number_of[cell.spec.id, cell.target] for cell in group] for group in groups]


def _split(group: Numbers, seconds: Mapping[int, float], share: float) -> Iterator[Numbers]:
    """The cells of a model in parts that take no longer than a job should, but for a cell that does."""
    part: list[int] = []
    for number in group:
        if part and sum(seconds[n] for n in part) + seconds[number] > share:
            yield part
            part = []
        part = [*part, number]
    yield part


def _packed(
    groups: Sequence[Numbers], size: int, seconds: Mapping[int, float] | None = None, share: float = 0.0
) -> Iterator[list[int]]:
    """Groups together: at most `size` numbers and `share` seconds, but for a group that has more."""
    chunk: list[int] = []
    taken = 0.0
    for group in groups:
        takes = sum(seconds[n] for n in group) if seconds else 0.0
        if chunk and (len(chunk) + len(group) > size or taken + takes > share):
            yield chunk
            chunk, taken = [], 0.0
        chunk, taken = [*chunk, *group], taken + takes
    if chunk:
        yield chunk
