"""What a run would do, why, how long it would take, and in which order it tells most: by what is recorded, nothing is run."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from porting.cells import keys
from porting.cells.jobs import Cell
from porting.errors import UsageError
from porting.types import INFRASTRUCTURE, Outcome, Result, Stage

if TYPE_CHECKING:
    from porting.cells.pipeline import Pipeline
    from porting.store import Row, Store

_ONCE = frozenset({Stage.BUILD, Stage.REFERENCE, Stage.EXPORT})
"""Stages that a model goes through once, for all of its cells."""
_SPAN = re.compile(r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class Planned:
    """One cell of a plan."""

    model: str
    target: str
    state: str
    """`known` (a result for the same contents is there), `new`, `stale` (something it depends on has changed) or `open` (its last
    result speaks of the rig, or of something that was missing)."""
    why: str = ""
    seconds: float | None = None
    """What it will take by past results, its share of what its model is built for once; None where nothing is known."""
    basis: str = ""
    """What the estimate goes by: `cell`, `target`, `model`, or `all` results."""
    bits: float = 0.0
    """How much its result is expected to tell: the entropy of what it may be, by how others on its target came out."""

    @property
    def bits_per_minute(self) -> float:
        """What the order goes by."""
        return self.bits * 60.0 / max(self.seconds or 0.0, 1.0)


def plan(pipeline: Pipeline, store: Store, cells: Sequence[Cell]) -> list[tuple[Cell, Planned]]:
    """Cells with what is known of each: what has to be worked first, by information per minute, then what is known."""
    models, targets = {cell.spec.id for cell in cells}, {str(cell.target) for cell in cells}
    latest = {(r.model, r.target): r for r in store.latest(models, targets)}
    known = pipeline.known(cells)
    costs, chances = _Costs(latest.values()), _Chances(store.matrix())
    made: set[str] = set()
    found = []
    for cell in cells:
        if cell.key in known:
            found.append((cell, Planned(cell.spec.id, str(cell.target), "known")))
            continue
        before = latest.get((cell.spec.id, str(cell.target)))
        state, why = _reason(cell, before, pipeline)
        there = cell.bundle_key in made or (pipeline.jobs.workspace.bundles / cell.bundle_key[:40]).is_dir()
        made.add(cell.bundle_key)
        seconds, basis = costs.of(cell, built=there)
        bits = chances.bits(str(cell.target), fresh=state != "stale")
        found.append((cell, Planned(cell.spec.id, str(cell.target), state, why, seconds, basis, bits)))
    return sorted(found, key=lambda pair: (pair[1].state == "known", -pair[1].bits_per_minute))


def within(planned: Iterable[tuple[Cell, Planned]], seconds: float) -> list[tuple[Cell, Planned]]:
    """Those that fit into so much work, in their order; what is known is in, and costs nothing. Where nothing is known of a
    cell's cost it is taken to be the dearest of the others."""
    pairs = list(planned)
    dearest = max((p.seconds for _, p in pairs if p.seconds is not None), default=0.0)
    chosen, spent = [], 0.0
    for cell, entry in pairs:
        cost = 0.0 if entry.state == "known" else dearest if entry.seconds is None else entry.seconds
        if spent + cost <= seconds:
            spent += cost
            chosen.append((cell, entry))
    return chosen


def span(text: str) -> float:
    """Seconds of `90s`, `30m`, `2h` or `1h30m`. Raises UsageError."""
    found = _SPAN.fullmatch(text.strip())
    if not text.strip() or not found:
        raise UsageError(f"{text!r} is no length of time.", "Write 30m, 2h, 90s or 1h30m.")
    return float(found["h"] or 0) * 3600 + float(found["m"] or 0) * 60 + float(found["s"] or 0)


def workers(given: int) -> int:
    """Jobs at a time: as given, else one a core."""
    return given or len(os.sched_getaffinity(0))


# ---- why ----------------------------------------------------------------------------------------------------------


def _reason(cell: Cell, before: Result | None, pipeline: Pipeline) -> tuple[str, str]:
    """State of a cell that has to be worked, and which version moved."""
    if before is None:
        return "new", "never worked"
    if before.key == cell.key:
        spoke = before.cause.value if before.cause else before.outcome.value
        if before.outcome is Outcome.UNAVAILABLE or before.cause in INFRASTRUCTURE:
            return "open", f"its last result says nothing of it: {before.outcome.value} ({spoke})"
        return "stale", "asked for again"
    if before.outcome is Outcome.UNAVAILABLE and before.bundle == "":
        return "open", f"it was not here: {before.message[:80]}"
    now = _versions(cell, pipeline)
    moved = [
        f"{name} {old or 'none'} -> {now[name] or 'none'}" for name, old in _common(before.environment, now) if old != now[name]
    ]
    return "stale", ", ".join(moved) or "the model's entry or source, the adapter, or porting's own code has changed"


def _versions(cell: Cell, pipeline: Pipeline) -> dict[str, str]:
    """Versions that the cell's key depends on."""
    built = {name: keys.version(name) for name in keys.BUNDLE_DISTRIBUTIONS}
    return {**built, **pipeline.jobs.prober.about(cell.target).versions}


def _common(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, before.get(name, "")) for name in sorted(now) if name in before or name not in keys.BUNDLE_DISTRIBUTIONS]


# ---- how long -----------------------------------------------------------------------------------------------------


class _Costs:
    """Seconds by what cells have taken."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._cell: dict[tuple[str, str], float] = {}
        self._target: dict[str, list[float]] = defaultdict(list)
        self._model: dict[str, list[float]] = defaultdict(list)
        self._once: dict[str, float] = {}
        for result in results:
            once = sum(stage.seconds for stage in result.stages if stage.name in _ONCE)
            own = max(0.0, result.seconds - once)
            self._once[result.model] = max(once, self._once.get(result.model, 0.0))
            if result.outcome is not Outcome.UNAVAILABLE:
                self._cell[result.model, result.target] = own
                self._target[result.target].append(own)
                self._model[result.model].append(own)

    def of(self, cell: Cell, built: bool) -> tuple[float | None, str]:
        """What a cell will take, and by what. built: whether its bundle is there by then."""
        model, target = cell.spec.id, str(cell.target)
        every = [own for some in self._target.values() for own in some]
        if (model, target) in self._cell:
            own, basis = self._cell[model, target], "cell"
        elif target in self._target:
            own, basis = statistics.median(self._target[target]), "target"
        elif model in self._model:
            own, basis = statistics.median(self._model[model]), "model"
        elif every:
            own, basis = statistics.median(every), "all"
        else:
            return None, ""
        usual = statistics.median(self._once.values()) if self._once else 0.0
        return own + (0.0 if built else self._once.get(model, usual)), basis


# ---- how much it tells --------------------------------------------------------------------------------------------


class _Chances:
    """How uncertain results are, by those of the same target; one each way is added, so that nothing is ever certain."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for row in rows:
            counts = self._counts[row.target]
            counts[0] += 1
            counts[1] += row.outcome in (Outcome.PASS, Outcome.DEGRADED)
            counts[2] += row.previous is not None

    def bits(self, target: str, fresh: bool) -> float:
        """Entropy of whether a cell passes, of a fresh one, or of whether its outcome is another one, where it has one."""
        cells, passes, changes = self._counts[target]
        p = ((passes if fresh else changes) + 1) / (cells + 2)
        return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
