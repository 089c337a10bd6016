"""Slurm: one job array for the slices of a kind of nodes. Asks squeue alone, so that no accounting database is needed."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from porting.errors import EnvironmentMissing, InfrastructureError
from porting.launch.cluster import (
    ENDED,
    MEMORY_SHARE,
    RUNNING,
    WAITING,
    WARNING,
    Door,
    Kind,
    Setup,
    State,
    Unreachable,
    script,
    setup_of,
)

ARRAY = 1000
"""Tasks of one array: Slurm allows 1001 unless it is told otherwise."""
_DOWN = ("down", "drain", "fail", "maint", "unk", "reboot", "power")
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_RUNNING = frozenset({"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})
_AWAY = ("contact slurm controller", "socket timed out", "connection refused", "communication", "try again", "timed out")
_EXCEEDED = b"error: Exceeded job memory limit"
"""slurmstepd's words with JobAcctGatherParams=OverMemoryKill: the job is then called FAILED, for JobLaunchFailure (22.05)."""
_TAIL = 4096
"""Bytes at the end of a log in which they are."""
_GRES = re.compile(r"(?P<name>[\w.-]+?)(:(?P<type>[A-Za-z_][\w.-]*))?:(?P<count>\d+)(\([^)]*\))?$")


@dataclass
class Slurm:
    """The jobs of one run."""

    folder: Path
    """Depot of the run."""
    run: str
    partition: str = ""
    options: tuple[str, ...] = ()
    """Words for sbatch besides."""
    cores: int = 1
    """Of each job."""
    memory: int = 0
    """Bytes that the cells of a job may use together; 0 leaves it to the cluster."""

    setups: Mapping[str, Setup] = field(default_factory=dict)
    """By feature, what is said of the nodes that have it."""
    door: Door | None = None
    """How nodes reach the depot, where it is no folder that they share."""

    def __post_init__(self) -> None:
        self._arrays: dict[str, tuple[str, int]] = {}
        """Array job to the prefix of its slices and the number of its first."""
        self._kinds: list[Kind] = []

    @property
    def _job_name(self) -> str:
        return f"porting-{self.run}"

    def kinds(self) -> list[Kind]:
        if not self._kinds:
            where = ["-p", self.partition] if self.partition else []
            said = _call(["sinfo", "-h", "-e", "-o", "%f|%G|%T|%c|%D|%N", *where])
            self._kinds = kinds_of(said.splitlines(), self.cores)
        if not self._kinds:
            where_not = f"of partition {self.partition} " if self.partition else ""
            raise InfrastructureError(f"no node {where_not}is up.", "sinfo shows the nodes, their partitions and states.")
        return self._kinds

    def submit(self, kind: Kind, prefix: str, count: int, device: bool) -> None:
        for first in range(0, count, ARRAY):
            last = min(first + ARRAY, count) - first - 1
            job = _call(
                ["sbatch", "--parsable", f"--array=0-{last}", *self._request(kind, device)], self._script(kind, prefix, first)
            )
            self._arrays[job.strip().split(";")[0]] = prefix, first

    def _request(self, kind: Kind, device: bool) -> list[str]:
        words = [
            f"--job-name={self._job_name}",
            "--output=/dev/null" if self.door else f"--output={self.folder}/logs/%A_%a.txt",
            "--chdir=/tmp" if self.door else f"--chdir={Path.cwd()}",
            "--no-requeue",
        ]
        words += [f"--cpus-per-task={self.cores}", f"--signal=B:TERM@{WARNING}"]
        words += [f"--partition={self.partition}"] if self.partition else []
        words += [f"--constraint={'&'.join(kind.features)}"] if kind.features else []
        words += [f"--exclude={others}"] if (others := self._others(kind)) else []
        words += [f"--mem={int(self.memory / MEMORY_SHARE) >> 20}M"] if self.memory else []
        words += [f"--gres={kind.device}:1"] if device else []
        return [*words, *self.options, *setup_of(kind, self.setups).scheduler]

    def _others(self, kind: Kind) -> str:
        """Nodes of other kinds that have the features of this one."""
        return ",".join(o.names for o in self._kinds if o != kind and set(kind.features) <= set(o.features))

    def _script(self, kind: Kind, prefix: str, first: int) -> str:
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        door = self.door or Door(str(self.folder))
        return script(door, f"{prefix}-$((SLURM_ARRAY_TASK_ID + {first}))", setup_of(kind, self.setups))

    def states(self) -> Mapping[str, State]:
        if not self._arrays:
            return {}
        said = _call(["squeue", "-h", "-r", "-t", "all", f"--name={self._job_name}", "-o", "%F|%K|%T|%N|%r", *_mine()])
        found: dict[str, State] = {}
        for line in said.splitlines():
            job, number, word, node, reason = line.split("|", 4)
            if job in self._arrays and number.isdigit():
                prefix, first = self._arrays[job]
                name = f"{prefix}-{first + int(number)}"
                word = "OUT_OF_MEMORY" if word == "FAILED" and self._took_too_much(name) else word
                found[name] = State(_phase(word), word, node, reason, clean=word == "COMPLETED")
        return found

    def _took_too_much(self, name: str) -> bool:
        """Whether a job was ended for its memory: where not the kernel but the node's daemon watches that, only the job's log
        says so."""
        path = self.log(name)
        if path is None:
            return False
        with path.open("rb") as log:
            log.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
            return _EXCEEDED in log.read()

    def cancel(self) -> None:
        _call(["scancel", "--quiet", f"--name={self._job_name}", *_mine()])

    def alive(self) -> bool:
        """Whether a job of this run is not ended yet, whoever queued it."""
        said = _call(["squeue", "-h", f"--name={self._job_name}", "-o", "%T", *_mine()])
        return bool(said.split())

    def log(self, name: str) -> Path | None:
        prefix, _, number = name.rpartition("-")
        for job, (other, first) in self._arrays.items():
            path = self.folder / "logs" / f"{job}_{int(number) - first}.txt"
            if other == prefix and path.is_file():
                return path
        return None


def kinds_of(lines: Sequence[str], cores: int) -> list[Kind]:
    """Kinds out of what sinfo says: features|resources|state|cores|nodes|names. Nodes that are down are left out, but for a kind
    without any other nodes there is then no kind at all. cores: of a job."""
    found: dict[tuple[str, str], Kind] = {}
    for line in lines:
        features, resources, state, node_cores, nodes, names = (word.strip() for word in line.split("|", 5))
        if any(word in state.lower() for word in _DOWN):
            continue
        device, devices = _device(resources)
        fit = devices if device else int(node_cores.rstrip("+")) // cores
        tags = () if features in ("", "(null)") else tuple(features.split(","))
        before = found.get((features, device))
        # sinfo tells nodes of other states apart, which are one kind all the same
        count, all_names = (before.nodes, f"{before.names},{names}") if before else (0, names)
        slots = (before.slots if before else 0) + max(1, fit) * int(nodes)
        label = "+".join(tags) or device or "nodes"
        found[features, device] = Kind(label, count + int(nodes), slots, device, tags, all_names)
    return list(found.values())


def _device(resources: str) -> tuple[str, int]:
    """The first accelerator among generic resources, as sbatch is asked for one, and how many a node has."""
    parts = [m for part in re.split(r",(?![^(]*\))", resources) if (m := _GRES.match(part.strip()))]
    parts = [m for m in parts if m["name"] not in ("craynetwork", "nic", "bandwidth", "mps", "shard", "tmpfs", "localtmp")]
    if not parts:
        return "", 0
    chosen = next((m for m in parts if m["name"] == "gpu"), parts[0])
    return ":".join(filter(None, (chosen["name"], chosen["type"]))), int(chosen["count"])


def _phase(word: str) -> str:
    return WAITING if word in _WAITING else RUNNING if word in _RUNNING else ENDED


def _mine() -> list[str]:
    return [f"--user={getpass.getuser()}"]


def _call(command: Sequence[str], script: str = "") -> str:
    """Run a command of Slurm's. Raises EnvironmentMissing, Unreachable, and InfrastructureError with what it says."""
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=120, check=False)
    except FileNotFoundError:
        raise EnvironmentMissing(f"{command[0]} is not here.", "Run where Slurm's commands are, on a login node.") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]} did not answer for two minutes.") from None
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.split())[:500]
    if any(sign in said.lower() for sign in _AWAY):
        raise Unreachable(f"Slurm does not answer: {said}.", "Run again when it does: the same command goes on from there.")
    raise InfrastructureError(f"{command[0]} says: {said}.", "Correct the options for the scheduler.")
