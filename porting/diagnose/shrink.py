"""Smaller shapes, fewer attributes and plainer values, as long as a case fails in the same way; every try is in a journal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.cells.jobs import Jobs
from porting.diagnose.case import SIZES, Case
from porting.diagnose.measure import EPSILON, FACTOR, distance, is_nonfinite
from porting.diagnose.probe import Ending, Lab, own_errors
from porting.diagnose.trial import MISMATCH, NONFINITE, STRUCTURE, Journal
from porting.types import Precision

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

AXES_TRIED = 64
SECONDS = 60.0
NUMERIC = (MISMATCH, NONFINITE, STRUCTURE)


@dataclass(frozen=True)
class Wanted:
    """What a smaller case has to show."""

    kind: str
    """`mismatch`, `nonfinite`, `structure`, or as an Ending's."""
    sign: str
    """Of the ending; the kind again where there are numbers."""


class Court:
    """Says whether a case fails in the same way, while the clean runtime takes it."""

    def __init__(
        self, lab: Lab, clean: Lab, jobs: Jobs, wanted: Wanted, precision: Precision, journal: Journal, work: Path
    ) -> None:
        self._lab, self._clean, self._jobs, self._journal = lab, clean, jobs, journal
        self.wanted, self._precision, self._work = wanted, precision, work
        self.tried = 0

    def first_alike(self, cases: Sequence[Case]) -> Case | None:
        """The first of some cases that still shows what is wanted."""
        for number, case in enumerate(cases):
            if self._known(case) is None:
                self._try([each for each in cases[number:] if self._known(each) is None])
            if self._known(case):
                return case
        return None

    def _key(self, case: Case) -> str:
        return f"case {case.digest} {self.wanted.kind} {self.wanted.sign}"

    def _known(self, case: Case) -> bool | None:
        found: bool | None = self._journal.get(self._key(case))
        return found

    def _try(self, cases: Sequence[Case]) -> None:
        """Try cases in order until one is alike; the clean runtime has to take a case first."""
        expected = self.expected(cases)
        fit = [(case, right) for case, right in zip(cases, expected, strict=True) if right is not None]
        for case, right in zip(cases, expected, strict=True):
            if right is None:
                self._journal[self._key(case)] = False
        while fit:
            works = [self._lab.piece(case.piece(right)) for case, right in fit]
            endings = self._lab.run(works)
            for (case, right), ending in zip(fit, endings, strict=False):
                self.tried += 1
                alike = self._alike(case, right, ending)
                self._journal[self._key(case)] = alike
                if alike:
                    return
            fit = fit[len(endings) :]

    def expected(self, cases: Sequence[Case]) -> list[dict[str, Array] | None]:
        """What the clean runtime gives, None where it does not take a case."""
        found: list[dict[str, Array] | None] = []
        while len(found) < len(cases):
            endings = self._clean.run([self._clean.piece(case.piece()) for case in cases[len(found) :]], patient=True)
            found += [ending.read() if ending.ok else None for ending in endings]
        return found

    def _alike(self, case: Case, right: Mapping[str, Array], ending: Ending) -> bool:
        if self.wanted.kind not in NUMERIC:
            return ending.sign == self.wanted.sign
        got = ending.read()
        if not ending.ok or got is None:
            return False
        return any(self._wrong(case, name, got.get(name), array) for name, array in right.items())

    def _wrong(self, case: Case, name: str, actual: Array | None, right: Array) -> bool:
        if actual is None or actual.shape != right.shape:
            return self.wanted.kind == STRUCTURE
        far = distance(actual, right)
        if not math.isfinite(far) and is_nonfinite(actual, right):
            return self.wanted.kind == NONFINITE
        if self.wanted.kind != MISMATCH or far <= FACTOR * EPSILON[self._precision]:
            return False
        (own,) = own_errors(self._jobs, [case.piece()], self._precision, self._work, SECONDS)
        return not far <= FACTOR * (own.get(name) or 0.0)


def shrink(case: Case, court: Court, tell: Callable[[str], None]) -> Case:
    """Make a case that fails smaller, step by step."""
    again = ("shapes", _smaller)  # plain values may show at once what the first elements of the real ones did not
    for what, step in (again, ("axes", _shorter), ("attributes", _plainer_nodes), ("values", _plainer_values), again):
        tell(f"{what}: {case.bytes:,} bytes of data, {court.tried} tries so far")
        case = step(case, court)
    return case


def _smaller(case: Case, court: Court) -> Case:
    """Axes of one size together, the largest size first."""
    done: set[int] = set()
    while sizes := [size for size in case.sizes() if size not in done]:
        size = sizes[0]
        done.add(size)
        cases = [smaller for to in SIZES if to < size for smaller in (case.at_size(size, to), case.scaled(size, to))]
        case = court.first_alike(cases) or case
    return case


def _shorter(case: Case, court: Court) -> Case:
    """Single axes, for those whose size means different things."""
    for name, axis, size in list(case.axes())[:AXES_TRIED]:
        case = court.first_alike([case.at_axis(name, axis, to) for to in SIZES[:2] if to < size]) or case
    return case


def _plainer_nodes(case: Case, court: Court) -> Case:
    while smaller := court.first_alike(list(case.less_said())):
        case = smaller
    return case


def _plainer_values(case: Case, court: Court) -> Case:
    for name in (*case.feeds, *case.weights):
        case = court.first_alike(list(case.plainer(name))) or case
    return case
