"""The smallest group of nodes that is wrong together, where each is right by itself: prefixes halved, the start trimmed, then any
node left out that can be.

What "wrong" means is the caller's. No monotonicity is assumed: the invariant is that one prefix is right and a longer one wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Wrong = Callable[[Sequence[int]], bool]
"""Whether a set of nodes, fed with reference tensors, is wrong at a value that leaves it."""


def smallest(nodes: Sequence[int], wrong: Wrong) -> list[int]:
    """The group, of which no node can be left out. nodes: in order; together they have to be wrong."""
    return minimal(window(nodes, wrong), wrong)


def window(nodes: Sequence[int], wrong: Wrong) -> list[int]:
    """The shortest run of nodes that ends where a prefix first turns wrong, and starts as late as it still is."""
    right, end = 0, len(nodes)
    while end - right > 1:
        middle = (right + end) // 2
        if wrong(nodes[:middle]):
            end = middle
        else:
            right = middle
    start, step = end - 1, 1  # the cause is mostly near: look back by doubling, then halve
    late = end
    while start > 0 and not wrong(nodes[start:end]):
        late, start, step = start, max(0, start - step), step * 2
    while late - start > 1:
        middle = (start + late) // 2
        if wrong(nodes[middle:end]):
            start = middle
        else:
            late = middle
    return list(nodes[start:end])


def minimal(nodes: Sequence[int], wrong: Wrong) -> list[int]:
    """Leave out parts, ever smaller, until no single node can go."""
    current, parts = list(nodes), 2
    while len(current) > 1:
        size = -(-len(current) // parts)
        for at in range(0, len(current), size):
            shorter = current[:at] + current[at + size :]
            if shorter and wrong(shorter):
                current, parts = shorter, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(len(current), parts * 2)
    return current
