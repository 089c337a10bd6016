"""The options that say where cells are worked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from porting.launch.start import Place

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--launcher", type=click.Choice(["local", "slurm", "ray"]), default="local", help="Where cells are worked."),
    click.option("--partition", metavar="NAME", default="", help="Of the cluster: only nodes of it."),
    click.option("--shared", type=click.Path(path_type=Path), help="Folder that all nodes see; by default in the state folder."),
    click.option("--serve", metavar="HOST", default="", help="This machine's name on the nodes, where no folder is shared."),
    click.option("--scheduler", metavar="WORD", multiple=True, help="For the scheduler, such as --time=30; may be repeated."),
    click.option("--requeue", type=click.IntRange(min=0), default=2, help="How often what a lost node job left goes out again."),
    click.option("--job-cells", type=click.IntRange(min=0), default=0, help="Cells of a node job; 0 works it out."),
    click.option("--canary/--no-canary", default=True, help="Ask nodes' accelerators by a known model; tells broken ones."),
)  # fmt: skip


def fleet_options(command: F) -> F:
    """`--launcher` and what it needs."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def place_of(given: dict[str, Any]) -> Place | None:
    """What these options mean; None for this machine. Raises click.UsageError for options that then mean nothing."""
    if given["launcher"] == "local":
        named = [name for name in ("partition", "shared", "serve", "scheduler") if given[name]]
        if named:
            raise click.UsageError(f"--{named[0]} is for a cluster: name one with --launcher.")
        return None
    named = [name for name in ("partition", "scheduler") if given[name]]
    if given["launcher"] == "ray" and named:
        raise click.UsageError(f"--{named[0]} is for Slurm; Ray has no such thing.")
    from porting.launch.start import Place
    from porting.launch.work import Wishes

    wishes = Wishes(given["requeue"], given["job_cells"], given["canary"])
    words = tuple(given["scheduler"])
    return Place(given["launcher"], given["shared"], given["serve"], given["partition"], words, wishes=wishes)
