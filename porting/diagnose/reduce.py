"""From what was located to the smallest case: one fault or one group of nodes, cut out, made smaller, written as a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from porting.diagnose import kinds, repro
from porting.diagnose.case import Case
from porting.diagnose.locate import Located, Locator
from porting.diagnose.measure import EPSILON, FACTOR
from porting.diagnose.probe import own_errors
from porting.diagnose.shrink import NUMERIC, SECONDS, Court, Wanted, shrink
from porting.diagnose.trial import MISMATCH, STRUCTURE
from porting.errors import PortingError
from porting.signature import signature
from porting.types import Cause, Precision, Stage

if TYPE_CHECKING:
    from porting.diagnose.isolate import Fault


@dataclass(frozen=True)
class Reduced:
    """The smallest case that was found."""

    located: Located
    folder: str
    kind: str
    signature: str
    operators: tuple[str, ...]
    shapes: dict[str, str]
    """Dtype and shape by input and constant."""
    bytes: int
    """Of the model file."""
    before: int
    """Bytes of data before it was made smaller."""
    tries: int
    """Of this run; those of an earlier one that was ended are not made again."""
    seconds: float


class Reducer:
    """Reduces what a Locator found."""

    def __init__(self, locator: Locator, located: Located, tell: Callable[[str], None]) -> None:
        self._locator, self._located, self._tell = locator, located, tell
        self._subject, self._jobs = locator.subject, locator.pipeline.jobs

    def run(self, folder: Path) -> Reduced:
        """Write the smallest case into a folder. Raises PortingError where nothing fails by itself."""
        start = time.monotonic()
        nodes, wanted, message = self._seed()
        locator = self._locator
        assert locator.cutter
        assert locator.bench
        cutter = locator.context.cutter if locator.context and not locator.isolated.wrong else locator.cutter
        piece = cutter.alone(nodes) if len(nodes) == 1 else cutter.together(nodes)
        case, precision = kinds.case_of(piece), locator.bench.precision
        before = case.bytes
        court = self._court_of(case, self._kinds(wanted), precision)
        if court is None:
            raise PortingError(
                f"the failure of {self._located.model} does not show in a case of its own, or the clean runtime fails, too.",
                "porting locate tells what was seen.",
            )
        case = shrink(case, court, self._tell)
        return self._write(folder, case, court, nodes, court.wanted, message, before, start)

    def _kinds(self, wanted: Wanted) -> list[Wanted]:
        """What a case may show, the likeliest first. Of wrong numbers behind a group a wrong shape inside it can be the cause."""
        alone = bool(self._locator.isolated.wrong)
        return [wanted] if alone or wanted.kind != MISMATCH else [wanted, Wanted(STRUCTURE, STRUCTURE)]

    def _court_of(self, case: Case, wanted: list[Wanted], precision: Precision) -> Court | None:
        """A court for the first kind of failure that a case shows; none where it shows none."""
        locator, scratch = self._locator, self._jobs.cells / "reduce"
        for each in wanted:
            court = Court(locator.lab, locator.clean, self._jobs, each, precision, locator.journal, scratch)
            if court.first_alike([case]) is not None:
                return court
        return None

    def _seed(self) -> tuple[list[int], Wanted, str]:
        """The nodes to begin with, what they have to show, and in which words the target said so."""
        found = self._located
        wrong = [fault for _, fault in sorted(self._locator.isolated.wrong.items()) if fault.same_as is None]
        if wrong:
            fault = next((each for each in wrong if each.sign == found.sign), wrong[0])
            return [fault.node], Wanted(fault.kind, fault.sign), _words(fault)
        if not found.group or found.verdict != "wrong_together":
            raise PortingError(f"there is nothing to reduce: {found.said}.", f"The whole model on {found.target}: {found.whole}.")
        first = found.group[0]
        kind = first.kind
        sign = found.sign if kind not in NUMERIC else kind
        return [each.node for each in found.group], Wanted(kind, sign), first.message

    def _write(
        self, folder: Path, case: Case, court: Court, nodes: list[int], wanted: Wanted, message: str, before: int, start: float
    ) -> Reduced:
        locator, cell = self._locator, self._subject.cell
        assert locator.bench
        (expected,) = court.expected([case])
        assert expected is not None, "it was judged by it"
        allowed = self._allowed(case, locator.bench.precision) if wanted.kind in NUMERIC else {}
        probed = self._jobs.prober.probe(cell.target.adapter).versions
        versions = {name: version for name, version in probed.items() if name != "interpreter"}  # a path of this machine
        mark = _signature(cell.target.adapter, wanted, case)
        story = repro.Story(
            self._located.model,
            cell.target,
            wanted.kind,
            mark,
            message,
            [locator.graph.source(node) for node in nodes],
            versions,
            locator.lab.compile_only,
            allowed,
        )
        repro.write(folder, case, expected, story, self._jobs.workspace)
        arrays = {**case.feeds, **case.weights}
        return Reduced(
            self._located,
            str(folder),
            wanted.kind,
            mark,
            tuple(node.op_type for node in case.nodes),
            {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()},
            (folder / repro.model_file(case)).stat().st_size,
            before,
            court.tried,
            round(time.monotonic() - start, 2),
        )

    def _allowed(self, case: Case, precision: Precision) -> dict[str, float]:
        (own,) = own_errors(self._jobs, [case.piece()], precision, self._jobs.cells / "reduce", SECONDS)
        return {name: FACTOR * max(own.get(name) or 0.0, EPSILON[precision]) for name in case.outputs}


def _words(fault: Fault) -> str:
    if fault.message:
        return fault.message
    if fault.distance is None or fault.allowed is None:
        return {"nonfinite": "values are not finite where they should be"}.get(fault.kind, "")
    return f"off by {fault.distance:.1e}, allowed {fault.allowed:.1e}, in the model it was found in"


def _signature(adapter: str, wanted: Wanted, case: Case) -> str:
    """Equal for the same failure of the same operators."""
    operators = "+".join(node.op_type for node in case.nodes)
    return signature(adapter, Stage.RUN, Cause.EXCEPTION, f"{operators} {wanted.kind} {wanted.sign}")
