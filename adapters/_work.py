"""Who does how much of a model's arithmetic, from what a compiler says of each operator."""

from __future__ import annotations

from collections import Counter
from typing import Iterable, Optional, Sequence, Tuple

from porting.types import Placement


def placement(operators: Iterable[Tuple[str, int]], target: str, device: str, cycles: Optional[int] = None) -> Placement:
    """Counts and shares. operators: the unit that runs each, and its multiply-adds. target: the unit that was asked for."""
    units: Counter[str] = Counter()
    work: Counter[str] = Counter()
    for unit, amount in operators:
        units[unit] += 1
        work[unit] += amount
    share = work[target] / sum(work.values()) if sum(work.values()) else None
    return Placement(units[target], sum(units.values()) - units[target], device, dict(units), share, cycles)


def commonest(kinds: Iterable[Tuple[str, int]]) -> Optional[str]:
    """The kind that does most of the work, each operator without any counting as one; None where there is none."""
    counts: Counter[str] = Counter()
    for kind, amount in kinds:
        counts[kind] += amount or 1
    return counts.most_common(1)[0][0] if counts else None


def product(sizes: Sequence[int]) -> int:
    """How many elements a tensor of these sizes has."""
    result = 1
    for size in sizes:
        result *= size
    return result
