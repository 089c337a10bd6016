"""The nouns of the gate: what was accepted, what a cell comes to beside it, what a run comes to as a whole."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase

from porting.expect.versions import holds
from porting.types import Cause, Evidence, Outcome, Result, Stage

OWNERS = {
    "ours": "to be mended here: in the model, in its entry or in this toolkit",
    "upstream": "to be mended by whoever makes the backend or the library",
    "never": "will not be mended: the target cannot, or nobody wants it to",
}


class Judgement(str, enum.Enum):
    """What a cell comes to beside what was accepted of it."""

    REGRESSION = "regression"  # worse than what was accepted
    NEW_CELL = "new cell"  # nobody has accepted anything of it
    MISSING = "missing"  # planned, or expected, and there is no record
    NO_ANSWER = "no answer"  # the target is not here, or the rig failed: says nothing about the model
    FLAKY = "flaky"  # it failed, and passed when it was run again
    FAILURE_CHANGED = "failure changed"  # no better and no worse, but another failure than was accepted
    EXPIRED = "expired"  # the accepted failure, after the day until which it was accepted
    NEW_PASS = "new pass"  # better than what was accepted
    AS_EXPECTED = "as expected"


@dataclass(frozen=True)
class Observed:
    """How often a flaky cell was seen to fail."""

    failed: int
    of: int

    def __str__(self) -> str:
        return f"{self.failed} of {self.of}"


@dataclass(frozen=True)
class Expectation:
    """One entry of an expectation file: what was accepted, of which models on a target."""

    target: str
    models: tuple[str, ...]
    """Ids or globs."""
    outcome: Outcome
    stage: Stage | None = None
    cause: Cause | None = None
    signature: str | None = None
    """Of the accepted failure; stage, cause and signature each bind only where they are given."""
    evidence: Evidence | None = None
    """Of an accepted pass: one of weaker evidence is none."""
    reason: str = ""
    owner: str = ""
    """A key of OWNERS."""
    link: str = ""
    since: date | None = None
    expires: date | None = None
    """The last day on which it counts as accepted."""
    flaky: Observed | None = None
    when: Mapping[str, str] = field(default_factory=dict)
    """Conditions on the result's environment, by its key: `{openvino = ">=2026.3,<2027"}`; all must hold."""
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def names(self, model: str) -> bool:
        """Whether it has the model by its id."""
        return model in self.models

    def covers(self, model: str) -> bool:
        return self.names(model) or any(fnmatchcase(model, pattern) for pattern in self.models)

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Whether its conditions hold. A package that the result does not name holds none."""
        return all(key in environment and holds(condition, environment[key]) for key, condition in self.when.items())


@dataclass(frozen=True)
class Judged:
    """A cell beside what was accepted of it."""

    result: Result
    judgement: Judgement
    detail: str
    """In a sentence: what was accepted and what came."""
    expected: Expectation | None = None
    again: tuple[Outcome, ...] = ()
    """What came when it was run again."""
    accepted: bool = True
    """False for a finding that nobody has accepted yet; it fails a strict gate."""

    @property
    def breaks(self) -> bool:
        """Whether it fails any gate: something is worse, or fails and nobody has accepted that."""
        works = self.result.outcome in (Outcome.PASS, Outcome.DEGRADED)
        return self.judgement is Judgement.REGRESSION or (self.judgement is Judgement.NEW_CELL and not works)

    @property
    def unanswered(self) -> bool:
        return self.judgement in (Judgement.MISSING, Judgement.NO_ANSWER)


@dataclass(frozen=True)
class Stale:
    """Models of an entry that nothing is known of."""

    expected: Expectation
    models: tuple[str, ...]


@dataclass(frozen=True)
class Gate:
    """A run beside what was accepted."""

    cells: Mapping[tuple[str, str], Judged]
    """By model and target, in the order of the plan."""
    stale: tuple[Stale, ...] = ()
    strict: bool = False
    """Whether findings fail it, too, not only what is worse."""

    def __iter__(self) -> Iterator[Judged]:
        """What a person has to look at first comes first."""
        order = list(Judgement)
        return iter(sorted(self.cells.values(), key=lambda judged: order.index(judged.judgement)))

    @property
    def counts(self) -> dict[Judgement, int]:
        """Cells by judgement, in the order of urgency; none that does not occur."""
        found = Counter(judged.judgement for judged in self.cells.values())
        return {judgement: found[judgement] for judgement in Judgement if found[judgement]}

    @property
    def exit_code(self) -> int:
        """0 as expected, 1 something is worse (strict: anything else than expected), 3 a cell has no answer."""
        cells = self.cells.values()
        finding = self.stale or not all(judged.accepted for judged in cells)
        if any(judged.breaks for judged in cells) or (self.strict and finding):
            return 1
        return 3 if any(judged.unanswered for judged in cells) or not cells else 0

    @property
    def word(self) -> str:
        return {0: "as expected", 1: "fails", 3: "incomplete"}[self.exit_code]

    @property
    def headline(self) -> str:
        """What the run comes to, in a line."""
        parts = [f"{number} {judgement.value}" for judgement, number in self.counts.items()]
        parts += [f"{len(self.stale)} matching nothing"] if self.stale else []
        return f"gate {self.word}: {' · '.join(parts) or 'nothing was planned'}"
