"""Starts a fleet for a run: which scheduler, which shared folder, what is wanted of the nodes."""

from __future__ import annotations

import contextlib
import fnmatch
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from porting import registry
from porting.cells.jobs import Options
from porting.errors import UsageError
from porting.launch import Tell
from porting.launch.cluster import Cluster, Door, Setup
from porting.launch.fleet import Fleet
from porting.launch.work import Wishes
from porting.store import Store
from porting.workspace import Workspace, disk_errors

LAUNCHERS = ("local", "slurm", "ray")


@dataclass(frozen=True)
class Place:
    """Which cluster, and how to ask for its nodes."""

    launcher: str
    """One of LAUNCHERS, not `local`."""
    shared: Path | None = None
    """A folder that every node sees; `fleet` in the state folder without one."""
    serve: str = ""
    """`HOST` or `HOST:PORT` by which nodes reach this machine, where they share no folder with it."""
    partition: str = ""
    scheduler: tuple[str, ...] = ()
    """Words for the scheduler's own command."""
    setups: Mapping[str, Setup] = field(default_factory=dict)
    """By feature, what is said of the nodes that have it."""
    wishes: Wishes = field(default_factory=Wishes)


@contextlib.contextmanager
def start_fleet(
    place: Place,
    run: str,
    workspace: Workspace,
    environments: Mapping[str, Mapping[str, Any]],
    store: Store,
    options: Options,
    targets: Sequence[str],
    tell: Tell,
) -> Iterator[Fleet]:
    """A fleet for one run; what earlier coordinators left is recorded first. targets: names or globs that will be asked for."""
    shared = place.shared.absolute() if place.shared else workspace.prepare().state / "fleet"
    if place.serve and options.given:
        raise UsageError("--inputs are a folder here, which nodes do not see with --serve.", "Use a shared folder: --shared.")
    options = replace(options, given=_shared_inputs(options.given, shared), workers=options.workers or 1)

    def cluster(folder: Path, name: str) -> Cluster:
        cores, memory = options.workers * options.threads, options.limits.memory_bytes * options.workers
        if place.launcher == "ray":
            from porting.launch.ray import Ray

            return Ray(folder, cores, memory, place.setups, door.get(folder))
        from porting.launch.slurm import Slurm

        return Slurm(folder, name, place.partition, place.scheduler, cores, memory, place.setups, door.get(folder))

    with _doors(place, shared / "runs" / run, workspace) as door:
        fleet = Fleet(
            shared, run, store.name, cluster, environments, options, _adapters(targets), place.wishes, place.setups, tell
        )
        try:
            fleet.recover(store)
            fleet.learn(store)
            yield fleet
        finally:
            fleet.close()


@contextlib.contextmanager
def _doors(place: Place, folder: Path, workspace: Workspace) -> Iterator[Mapping[Path, Door]]:
    """How nodes reach the depot in a folder, where they do not see it."""
    if not place.serve:
        yield {}
        return
    from porting.launch.serve import Served, served

    key = secrets.token_hex(32)
    with served(place.serve, Served(folder, workspace.bundles, key)) as url:
        yield {folder: Door(url, key)}


def _adapters(targets: Sequence[str]) -> list[str]:
    """Adapters that names or globs of targets speak of; all of them without any."""
    usable = [name for name in registry.names() if name not in registry.broken()]
    heads = ["*" if pattern == "all" else pattern.partition(":")[0] for pattern in targets] or ["*"]
    return [name for name in usable if any(fnmatch.fnmatchcase(name, head) for head in heads)]


def _shared_inputs(given: Path | None, shared: Path) -> Path | None:
    """A person's own inputs, where the nodes see them."""
    if given is None:
        return None
    folder = shared / "given" / given.name  # it is named by its contents
    if not folder.is_dir():
        part = folder.with_name(f".{given.name}.part")
        with disk_errors(folder):
            shutil.copytree(given, part, dirs_exist_ok=True)
            part.rename(folder)
    return folder
