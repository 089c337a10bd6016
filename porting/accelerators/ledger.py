"""What a run on a stand-in was seen to do: operators and what became of them, refusals, waits of the host. Plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Tuple

from porting.accelerators.operators import Support

PLACES = 5
"""Places that are kept of one operator."""


class Refused(RuntimeError):
    """What the card would refuse: an operator or a dtype that it lacks, tensors of two devices in one call."""


class Unavailable(RuntimeError):
    """A stand-in cannot be had in this process; the message says why."""


class NoValue(RuntimeError):
    """The program asks for a value, and nothing is computed."""


@dataclass
class Use:
    """One operator, as often as it was called."""

    support: Support
    count: int = 0
    dtypes: Counter = field(default_factory=Counter)  # type: ignore[type-arg]  # Python 3.9
    places: Counter = field(default_factory=Counter)  # type: ignore[type-arg]

    def note(self, dtypes: Tuple[str, ...], place: str) -> None:
        self.count += 1
        self.dtypes.update(dtypes)
        if place and (place in self.places or len(self.places) < PLACES):
            self.places[place] += 1


@dataclass(frozen=True)
class Refusal:
    """A call that the card would have refused."""

    kind: str
    """`operator`, `dtype` or `device`."""
    operator: str
    why: str
    place: str


@dataclass
class Ledger:
    """Grows while a stand-in runs."""

    operators: Dict[str, Use] = field(default_factory=dict)
    refusals: List[Refusal] = field(default_factory=list)
    waits: Dict[Tuple[str, str], int] = field(default_factory=dict)
    """Host synchronisations by what waited and where."""
    casts: Dict[Tuple[str, str], int] = field(default_factory=dict)
    """Tensors that the device holds in half the width, by dtype and place."""
    calls: Dict[str, int] = field(default_factory=dict)
    """What was asked of the device besides operators, where a stand-in counts that."""
    largest: Tuple[int, str, str] = (0, "", "")
    """Bytes of the largest tensor that an operator gave, the operator, and the place."""

    def use(self, name: str, support: Support, dtypes: Tuple[str, ...], place: str) -> None:
        self.operators.setdefault(name, Use(support)).note(dtypes, place)

    def made(self, name: str, result: Any, place: Callable[[], str]) -> None:
        """Note what an operator gave, where nothing as large was given before."""
        size = getattr(result, "nbytes", 0)
        if size > self.largest[0]:
            self.largest = (size, name, place())

    def wait(self, what: str, place: str) -> None:
        self.waits[what, place] = self.waits.get((what, place), 0) + 1

    def call(self, what: str) -> None:
        self.calls[what] = self.calls.get(what, 0) + 1

    def cast(self, dtype: str, place: str) -> None:
        self.casts[dtype, place] = self.casts.get((dtype, place), 0) + 1

    def count(self, *supports: Support) -> int:
        """Calls of operators with one of these fates."""
        return sum(use.count for use in self.operators.values() if use.support in supports)

    def names(self, support: Support) -> List[str]:
        """Operators with a fate, the most called first."""
        found = [(use.count, name) for name, use in self.operators.items() if use.support is support]
        return [name for _, name in sorted(found, key=lambda pair: (-pair[0], pair[1]))]

    def as_json(self) -> Dict[str, Any]:
        """As plain data: `operators` by name with support, count, dtypes and places, `refusals`, `waits`,
        `casts`, `calls`, and `largest`, the largest tensor that was made."""
        return {
            "operators": [
                {
                    "name": name,
                    "support": use.support.value,
                    "count": use.count,
                    "dtypes": dict(use.dtypes),
                    "places": dict(use.places),
                }
                for name, use in sorted(self.operators.items(), key=lambda pair: (-pair[1].count, pair[0]))
            ],
            "refusals": [vars(refusal) for refusal in self.refusals],
            "waits": _by_count("what", self.waits),
            "casts": _by_count("dtype", self.casts),
            "calls": dict(sorted(self.calls.items())),
            "largest": dict(zip(("bytes", "operator", "place"), self.largest)),  # noqa: B905 -- Python 3.9
        }


def _by_count(key: str, counts: Dict[Tuple[str, str], int]) -> List[Dict[str, Any]]:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{key: what, "place": place, "count": count} for (what, place), count in ordered]
