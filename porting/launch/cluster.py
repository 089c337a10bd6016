"""What a fleet asks of a scheduler, whichever it is: kinds of nodes, jobs, their states. Results never come this way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from porting.errors import InfrastructureError

WAITING, RUNNING, ENDED = "waiting", "running", "ended"
MEMORY_SHARE = 0.9
"""Of a job's memory, what its cells may use together: they are to hit our limit, which says so, before the scheduler's."""


@dataclass(frozen=True)
class Kind:
    """Nodes that are alike as far as the scheduler tells."""

    label: str
    """What people call them: their features, else their devices."""
    nodes: int
    slots: int
    """Jobs that fit at a time."""
    device: str = ""
    """How the scheduler is asked for one of their devices; empty where there is none."""
    features: tuple[str, ...] = ()
    names: str = ""
    """Of the nodes, as the scheduler writes them."""


@dataclass(frozen=True)
class State:
    """What the scheduler says of a job."""

    phase: str
    """WAITING, RUNNING or ENDED."""
    word: str = ""
    """In its own words; empty for a job that it knows nothing of any more."""
    node: str = ""
    reason: str = ""
    """Why it waits."""


class Unreachable(InfrastructureError):
    """The scheduler does not answer now; it may again."""


class Cluster(Protocol):
    """A scheduler, for one run."""

    def kinds(self) -> list[Kind]:
        """The kinds of nodes of which at least one is up. Raises InfrastructureError, UsageError."""

    def submit(self, kind: Kind, prefix: str, count: int, device: bool) -> None:
        """Queue jobs for the slices `PREFIX-0` to `PREFIX-(count-1)`. device: whether each gets one of the node's. Raises
        InfrastructureError with the scheduler's words, Unreachable when it may be tried again."""

    def states(self) -> Mapping[str, State]:
        """States by slice; one that is not there is not known any more. Raises Unreachable."""

    def cancel(self) -> None:
        """End all jobs of this run. Raises Unreachable."""

    def alive(self) -> bool:
        """Whether a job of this run has not ended yet, whoever queued it. Raises Unreachable."""

    def log(self, name: str) -> Path | None:
        """What a slice's job printed, where that can be read here."""
