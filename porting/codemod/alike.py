"""Whether two runs came to the same: how they ended, their numbers, their words, and on CUDA what they asked of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from porting.codemod.runs import Run

ON_CPU = 1e-6
"""Relative difference between two runs of the same arithmetic on the CPU."""
ON_STAND_IN = 1e-3
"""Sums in another order, in float32."""
NARROW = {"float16": 1e-2, "bfloat16": 5e-2}
"""Where one of the runs computes in such a dtype, as under autocast, and the other does not."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def allowed(one: Run, other: Run) -> float:
    """The relative difference that rounding explains between a run on the CPU and one on a stand-in."""
    return max([ON_STAND_IN, *(NARROW[dtype] for dtype in {*one.narrow} ^ {*other.narrow})])


def compare(one: Run, other: Run, allowed: float, same_device: bool = True) -> list[str]:
    """What differs between two runs: how they ended, the numbers that were noted, and on the same device the words that were
    printed, numbers in them apart, which may be times. On two devices what comes after a step that one of both skipped, since its
    float16 overflowed, cannot be the same."""
    until = None if same_device else first_skip(one, other)
    found = []
    if other.status != one.status:
        found.append(f"ended with {other.status} instead of {one.status}{f', {other.error}' if other.error else ''}")
    for number, (mine, theirs) in enumerate(zip(one.events[:until], other.events[:until], strict=False)):
        if mine[0] != theirs[0] or not _alike(mine[1], theirs[1], allowed):
            found.append(f"{number + 1}. {mine[0]}: {_short(theirs)} instead of {_short(mine)}")
            break
    if until is None and len(one.events) != len(other.events) and other.status == one.status:
        found.append(f"{len(other.events)} losses, outputs and steps instead of {len(one.events)}")
    if same_device and other.status == one.status:
        skeletons = [[_skeleton(line) for line in run.output] for run in (one, other)]
        if skeletons[0] != skeletons[1]:
            line = next((pair for pair in zip(*skeletons, strict=False) if pair[0] != pair[1]), ("", "more or fewer lines"))
            found.append(f"printed {line[1]!r} instead of {line[0]!r}")
    return found


def _skeleton(line: str) -> str:
    """The words of a line. Numbers may be times, and wider or narrower than others in the same place."""
    return " ".join(_NUMBER.sub("N", line).split())


def first_skip(one: Run, other: Run) -> int | None:
    """Events before the first step that a GradScaler skipped in one of two runs alone."""
    return min({*one.skips} ^ {*other.skips}, default=None)


def compare_calls(one: Run, other: Run) -> list[str]:
    """What differs between what two runs asked of the same device: operators, and calls besides, by how often."""
    found = []
    for what, key in (("operators", "operators"), ("calls", "calls")):
        mine, theirs = (_counts(run.accelerator.get(key, {})) for run in (one, other))
        parted = [name for name in sorted(mine | theirs) if mine.get(name, 0) != theirs.get(name, 0)]
        found += [f"{what}: {name} {theirs.get(name, 0)} times instead of {mine.get(name, 0)}" for name in parted]
    return found


def _counts(told: Any) -> dict[str, int]:
    """Counts by name, of a mapping or of a list of uses."""
    return {use["name"]: use["count"] for use in told} if isinstance(told, list) else dict(told)


def _alike(one: Sequence[float], other: Sequence[float], allowed: float) -> bool:
    """Pairs of a sum and a sum of magnitudes, which the difference is measured by."""
    if len(one) != len(other):
        return False
    pairs = zip(one[::2], one[1::2], other[::2], other[1::2], strict=True)
    return all(_near(a, b, size, allowed) and _near(size, other_size, size, allowed) for a, size, b, other_size in pairs)


def _near(one: float, other: float, size: float, allowed: float) -> bool:
    return one == other or abs(one - other) <= allowed * max(size, 1e-12) or (one != one and other != other)


def _short(event: tuple[str, list[float]]) -> str:
    return f"{event[0]} " + " ".join(f"{n:.8g}" for n in event[1][:4])
