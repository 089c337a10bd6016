"""Which cells go out together, to which nodes, in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from porting.jobs import Cell
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


def chunks(cells: Sequence[Cell], routed: Iterable[tuple[int, Kind]], wanted: int = 0) -> list[tuple[Kind, list[int]]]:
    """Cells by job: models whole, the largest first; every kind begins at another one, so that few wait for each other's bundles.
    wanted: cells of a job; 0 works it out."""
    kinds: dict[Kind, list[int]] = defaultdict(list)
    for number, kind in routed:
        kinds[kind].append(number)
    found: list[tuple[Kind, list[int]]] = []
    for place, (kind, numbers) in enumerate(kinds.items()):
        size = wanted or min(CELLS, max(1, -(-len(numbers) // (WAVES * kind.slots))))
        groups = sorted(models(cells, numbers), key=lambda group: -(cells[group[0]].spec.params or 0))
        turn = place * len(groups) // len(kinds)
        found += [(kind, chunk) for chunk in _packed([*groups[turn:], *groups[:turn]], size)]
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


def _packed(groups: Sequence[Numbers], size: int) -> Iterator[list[int]]:
    """Whole groups together, at most `size` numbers each but for a group that has more."""
    chunk: list[int] = []
    for group in groups:
        if chunk and len(chunk) + len(group) > size:
            yield chunk
            chunk = []
        chunk = [*chunk, *group]
    if chunk:
        yield chunk
