"""Over many recorded cells: which remedy would turn most of them to passes, alone, and together with which others.

Models of one family count as one model, split among those that are recorded: a family of twenty must not outvote nineteen others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from porting.diagnose.blockers import OPERATOR, Blocker, blockers
from porting.diagnose.notes import Smallest
from porting.routes import answers_to
from porting.types import Evidence, Outcome, Result

WIDEST = 8
"""Remedies that one step of a plan may take together."""


@dataclass(frozen=True)
class Blocked:
    """A cell that does not pass, and why."""

    model: str
    target: str
    family: str
    evidence: Evidence | None
    outcome: Outcome
    blockers: frozenset[Blocker]
    size: int
    """Parameters of the model; 0 where nobody knows."""
    case: Smallest | None = None
    """What it was reduced to."""


@dataclass(frozen=True)
class Remedy:
    """What mending one thing would bring."""

    kind: str
    name: str
    where: str
    turns: int
    """Cells that would pass by this alone."""
    blocks: int
    """Cells that have it among their reasons."""
    models: int
    targets: int
    families: int
    weight: float
    """Cells that would pass by this alone, families counting as one."""
    evidence: Mapping[str, int]
    """Cells by what their record rests on."""
    model: str
    """Where to look first: a cell with the fewest other reasons, of the smallest model."""
    target: str
    others: int
    """Reasons that this cell has besides."""
    known: tuple[str, ...] = ()
    """Changes of a route that answer it (`porting routes`); records from before they were known show it all the same."""
    case: Smallest | None = None
    """The smallest that any of the cells was reduced to (`porting reduce`)."""


@dataclass(frozen=True)
class Step:
    """Remedies that are taken together, and what they bring after those before."""

    remedies: tuple[str, ...]
    cells: int
    """That pass after this step and those before."""


@dataclass(frozen=True)
class Plan:
    """A target, and the shortest way up that a greedy search finds."""

    target: str
    evidence: str
    passing: int
    blocked: int
    steps: tuple[Step, ...]


def blocked_cells(
    results: Iterable[Result], sizes: Mapping[str, int], cases: Mapping[tuple[str, str], Smallest] | None = None
) -> list[Blocked]:
    """The cells that do not pass for a reason of the target or the export. sizes: parameters by model; cases: what cells were
    reduced to, by model and target."""
    found = []
    for result in results:
        reasons = blockers(result)
        if reasons:
            size = sizes.get(result.model, 0)
            case = (cases or {}).get((result.model, result.target))
            found.append(
                Blocked(result.model, result.target, result.family, result.evidence, result.outcome, reasons, size, case)
            )
    return found


def weights(cells: Iterable[Result | Blocked]) -> dict[str, float]:
    """What a model counts: one over the recorded models of its family."""
    families = {cell.model: cell.family or cell.model for cell in cells}
    counts = Counter(families.values())
    return {model: 1 / counts[family] for model, family in families.items()}


def remedies(cells: Sequence[Blocked], weight: Mapping[str, float]) -> list[Remedy]:
    """Every remedy, the one that turns most cells by itself first; among equals the one that blocks most."""
    by_blocker: dict[Blocker, list[Blocked]] = {}
    for cell in cells:
        for blocker in cell.blockers:
            by_blocker.setdefault(blocker, []).append(cell)
    found = [_remedy(blocker, group, weight) for blocker, group in by_blocker.items()]
    return sorted(found, key=lambda r: (-r.weight, -r.blocks, r.kind, r.name, r.where))


def _remedy(blocker: Blocker, cells: Sequence[Blocked], weight: Mapping[str, float]) -> Remedy:
    alone = [cell for cell in cells if len(cell.blockers) == 1]
    least = min(cells, key=lambda cell: (len(cell.blockers), cell.size or float("inf"), cell.model, cell.target))
    evidence = Counter(cell.evidence.value for cell in cells if cell.evidence)
    return Remedy(
        blocker.kind,
        blocker.name,
        blocker.where,
        len(alone),
        len(cells),
        len({cell.model for cell in cells}),
        len({cell.target for cell in cells}),
        len({cell.family or cell.model for cell in cells}),
        round(sum(weight[cell.model] for cell in alone), 2),
        dict(evidence.most_common()),
        least.model,
        least.target,
        len(least.blockers) - 1,
        tuple(answers_to(f"{blocker.kind}: {blocker.name}")),
        min((c.case for c in cells if c.case and shows(c.case, blocker, c.blockers)), key=lambda case: case.bytes, default=None),
    )


def shows(case: Smallest, blocker: Blocker, blockers: Collection[Blocker]) -> bool:
    """Whether what a cell was reduced to is of this reason: it has the operator, or the cell has no other reason."""
    if blocker.kind == OPERATOR:
        return blocker.name.rpartition("::")[2] in (name.rpartition("::")[2] for name in case.operators)
    return len(blockers) == 1


def plan(target: str, results: Sequence[Result], cells: Sequence[Blocked], weight: Mapping[str, float], steps: int) -> Plan:
    """What to mend first for one target: at each step the remedies that bring most for each of them.

    results, cells: of any targets. Taken together are at most WIDEST.
    """
    own = [result for result in results if result.target == target]
    blocked = [cell for cell in cells if cell.target == target]
    evidence = Counter(result.evidence.value for result in own if result.evidence)
    passing = sum(result.outcome is Outcome.PASS for result in own)
    taken = tuple(_steps(blocked, weight, steps))
    return Plan(target, evidence.most_common(1)[0][0] if evidence else "", passing, len(blocked), taken)


def _steps(cells: Sequence[Blocked], weight: Mapping[str, float], steps: int) -> Iterator[Step]:
    mended: frozenset[Blocker] = frozenset()
    left = list(cells)
    for _ in range(steps):
        gains: dict[frozenset[Blocker], float] = {}
        for cell in left:
            missing = cell.blockers - mended
            if len(missing) <= WIDEST:
                gains[missing] = gains.get(missing, 0.0) + weight[cell.model]
        if not gains:
            return
        best = max(gains, key=lambda each: (_gain(each, gains) / len(each), -len(each), sorted(each)))
        mended |= best
        left = [cell for cell in left if not cell.blockers <= mended]
        yield Step(tuple(f"{each.kind}: {each.name}" for each in sorted(best)), len(cells) - len(left))


def _gain(taken: frozenset[Blocker], gains: Mapping[frozenset[Blocker], float]) -> float:
    """What it brings to mend all of a set: also the cells that lack only a part of it."""
    return sum(gain for missing, gain in gains.items() if missing <= taken)
