"""What a fleet asks of a scheduler, whichever it is: kinds of nodes, jobs, their states. Results never come this way."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from porting.errors import InfrastructureError

WAITING, RUNNING, ENDED = "waiting", "running", "ended"
MEMORY_SHARE = 0.9
"""Of a job's memory, what its cells may use together: they are to hit our limit, which says so, before the scheduler's."""

WARNING = 60
"""Seconds before its time limit at which a job is told to end."""
KEY_VARIABLE = "PORTING_DEPOT_KEY"
TOLD_TO_END = "told to end"
"""A job's own last word when the scheduler ends it; why, the scheduler knows."""


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
    clean: bool = False
    """Whether it ended with exit status 0, and so has left all that it was to leave."""


@dataclass(frozen=True)
class Setup:
    """What a person says of nodes of a kind, in `[nodes.FEATURE]` of porting.toml."""

    python: str = ""
    """Interpreter there, in an environment that has porting; the coordinator's own without one."""
    setup: tuple[str, ...] = ()
    """Shell lines before it is started."""
    env: Mapping[str, str] = field(default_factory=dict)
    maker: str = ""
    """Of their accelerators, by the name of its profile."""
    scheduler: tuple[str, ...] = ()
    """Words for the scheduler."""


def setup_of(kind: Kind, said: Mapping[str, Setup]) -> Setup:
    """What is said of a kind: of its label, else of the first of its features."""
    return next((said[name] for name in (kind.label, *kind.features) if name in said), Setup())


@dataclass(frozen=True)
class Door:
    """How nodes reach the depot of a run."""

    place: str
    """A folder, or a URL."""
    key: str = ""
    """Of a URL's."""


def script(door: Door, name: str, setup: Setup) -> str:
    """Shell lines that start our program for a slice. name: as the shell is to read it, within double quotes."""
    paths = os.pathsep.join(path for path in sys.path if path)
    variables = {**({} if setup.python else {"PYTHONPATH": paths}), **({KEY_VARIABLE: door.key} if door.key else {}), **setup.env}
    lines = ["#!/bin/bash", *setup.setup, *(f"export {key}={shlex.quote(value)}" for key, value in variables.items())]
    words = shlex.join([setup.python or sys.executable, "-m", "porting.launch.node", door.place])
    return "\n".join([*lines, f'exec {words} "{name}"', ""])


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
