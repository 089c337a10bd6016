"""How patient a fleet is: with schedulers that do not answer, files that are seen late, jobs that take long to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from porting.launch.cluster import ENDED, Cluster, State, Unreachable

POLL_SECONDS = 0.5
"""Between two looks at the files."""
ASK_SECONDS = 2.0
"""Between two questions to the scheduler."""
SETTLE_SECONDS = 5.0
"""How long a file may take to be seen here after its job has ended, where it is not certain that there is one."""
LATE_SECONDS = 120.0
"""The same where the job ended well, so that there is one: NFS lists a folder as it was up to a minute before."""
PATIENCE_SECONDS = 900.0
"""How long a scheduler may be away before the run gives up; results that are there by then are recorded."""
ENDING_SECONDS = 60.0
"""How long is waited for jobs that were told to end."""


@dataclass(frozen=True)
class Clock:
    """The time that a fleet goes by."""

    now: Callable[[], float] = time.monotonic
    """Seconds, of which only differences mean something."""
    wall: Callable[[], float] = time.time
    """Seconds since the epoch."""
    sleep: Callable[[float], None] = time.sleep


CLOCK = Clock()


@dataclass
class Watch:
    """Follows the states of jobs, and says when one has ended for good."""

    cluster: Cluster
    clock: Clock = CLOCK
    states: Mapping[str, State] = field(default_factory=dict)
    _asked: float | None = None
    _heard: float = 0.0
    _over: dict[str, float] = field(default_factory=dict)
    away: str = ""
    """What the scheduler's silence looks like; empty while it answers."""

    def look(self) -> bool:
        """Ask the scheduler unless it was asked a moment ago; whether it was asked. Raises Unreachable when it has been away for
        too long."""
        now = self.clock.now()
        if self._asked is None:
            self._heard = now
        elif now - self._asked < ASK_SECONDS:
            return False
        try:
            self.states, self.away = self.cluster.states(), ""
            self._heard = self._asked = self.clock.now()
        except Unreachable as error:
            self.away = error.message
            self._asked = now
            if now - self._heard > PATIENCE_SECONDS:
                raise
        return True

    def is_over(self, name: str) -> bool:
        """Whether a job has ended, and what it wrote has had its time to be seen here."""
        state = self.states.get(name)
        if self.away or self._asked is None or (state and state.phase != ENDED):
            self._over.pop(name, None)
            return False
        patience = LATE_SECONDS if state and state.clean else SETTLE_SECONDS
        return self.clock.now() - self._over.setdefault(name, self.clock.now()) > patience


def patient(call: Callable[..., None], *arguments: Any) -> None:
    """Call until the scheduler answers. Raises Unreachable when it is away for too long."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call(*arguments)
        except Unreachable:
            if time.monotonic() > until:
                raise
        time.sleep(ASK_SECONDS)


def end_jobs(cluster: Cluster) -> None:
    """End all jobs of a run, and wait until they have: one that goes on would write into a folder that is gone. Raises
    Unreachable."""
    until = time.monotonic() + ENDING_SECONDS
    if cluster.alive():
        cluster.cancel()
    while cluster.alive() and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
