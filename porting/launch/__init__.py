"""Where cells are worked: on this machine (local), or on the nodes of a cluster (fleet, over slurm or ray).

A launcher is given planned cells and hands back a result each; planning and recording are porting.cells.pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from porting.cells.jobs import Cell
    from porting.types import Result

Done = Callable[["Sequence[tuple[Cell, Result, Any]]", float], None]
"""Told of cells that have their results, with the log of each (bytes, or packed), and of the seconds that are left."""


class Launcher(Protocol):
    """Works cells."""

    def work(self, cells: Sequence[Cell], done: Done) -> None:
        """Work every cell to its result. Where it gives up on one, that cell is left out, and so reported as missing."""


class Tell(Protocol):
    """Told in words what the nodes are at (`fleet`), or what befell one of them (`news`)."""

    def __call__(self, text: str, kind: str = "fleet") -> None: ...
