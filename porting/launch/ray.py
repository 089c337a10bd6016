"""Ray: one task for each slice, on the nodes of its kind. Results travel as files; how a task ended is all that it says.

Needs the extra `ray`, and a cluster that RAY_ADDRESS names or that runs on this machine.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porting.errors import EnvironmentMissing, InfrastructureError
from porting.launch import depot as depots
from porting.launch.cluster import ENDED, KEY_VARIABLE, RUNNING, WAITING, Door, Kind, Setup, State, script, setup_of
from porting.launch.devices import CLAIM_VARIABLE

_ORDINARY = ("CPU", "memory", "object_store_memory")
_CLEAN = "exit status 0"
_NO_DEVICE = ("node:", "accelerator_type:", "bundle_group")


@dataclass
class Ray:
    """The tasks of one run."""

    folder: Path
    """Depot of the run."""
    cores: int = 1
    """Of each task."""
    memory: int = 0
    """Bytes that the cells of a task may use together; 0 leaves it to the cluster."""
    setups: Mapping[str, Setup] = field(default_factory=dict)
    """By resource, what is said of the nodes that have it."""
    door: Door | None = None
    """How nodes reach the depot, where it is no folder that they share."""
    _tasks: dict[str, tuple[Kind, Any]] = field(default_factory=dict)
    _ended: dict[str, State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ray = _connect()

    def kinds(self) -> list[Kind]:
        found = kinds_of([node for node in self._ray.nodes() if node["Alive"]], self.cores)
        if not found:
            raise InfrastructureError("no node of the Ray cluster is alive.", "`ray status` shows the nodes.")
        return found

    def submit(self, kind: Kind, prefix: str, count: int, device: bool) -> None:
        own = {"num_cpus": self.cores, "max_retries": 0, "label_selector": {"ray.io/node-id": f"in({kind.names})"}}
        own |= {"memory": self.memory} if self.memory else {}
        if device:
            own |= {"num_gpus": 1} if kind.device == "GPU" else {"resources": {kind.device: 1}}
        task = self._ray.remote(**own)(_task())
        (self.folder / "logs").mkdir(exist_ok=True)
        claim = f"{kind.device}:{kind.slots // kind.nodes}" if device else ""
        variables = {
            CLAIM_VARIABLE: claim,
            KEY_VARIABLE: self.door.key if self.door else "",  # not among the words of a command, which others see
            **{k: v for k, v in os.environ.items() if k.startswith("PORTING_")},
        }
        names = {node["NodeID"]: node["NodeName"] for node in self._ray.nodes()}
        for number in range(count):
            name = f"{prefix}-{number}"
            door = Door(self.door.place if self.door else str(self.folder))
            command = [
                "/bin/bash",
                "-c",
                script(door, name, setup_of(kind, self.setups)),
            ]
            self._tasks[name] = kind, task.remote(command, variables, names, str(Path.cwd()), self._log(name))

    def _log(self, name: str) -> str:
        return os.devnull if self.door else str(self.folder / "logs" / f"{name}.txt")

    def states(self) -> Mapping[str, State]:
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        found = dict(self._ended)
        for name, (kind, task) in self._tasks.items():
            if name in self._ended:
                continue
            if self._ray.wait([task], timeout=0)[0]:
                word = self._word(task)
                found[name] = self._ended[name] = State(ENDED, word, clean=word == _CLEAN)
            elif (self.folder / depots.status_name(name)).exists():
                found[name] = State(RUNNING)
            elif alive.isdisjoint(kind.names.split(",")):  # Ray would wait for ever
                found[name] = State(ENDED, f"no node of {kind.label} is alive any more")
            else:
                found[name] = State(WAITING)
        return found

    def _word(self, task: Any) -> str:
        """How a task ended, in a word."""
        try:
            code = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return type(error).__name__
        return f"exit status {code}" if code >= 0 else f"signal {-code}"

    def cancel(self) -> None:
        for name, (_, task) in self._tasks.items():
            if name not in self._ended:
                self._ray.cancel(task, force=True)

    def alive(self) -> bool:
        """Those of a coordinator that is gone have ended: Ray ends the tasks of a driver with it."""
        return any(state.phase == RUNNING for state in self.states().values())

    def log(self, name: str) -> Path | None:
        path = Path(self._log(name))
        return path if path.is_file() else None


def kinds_of(nodes: list[dict[str, Any]], cores: int) -> list[Kind]:
    """Nodes with the same resources, but for their numbers, are of one kind. cores: of a task."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for node in nodes:
        groups[tuple(sorted(n for n in node["Resources"] if n not in _ORDINARY and not n.startswith(_NO_DEVICE)))].append(node)
    found = []
    for names, alike in groups.items():
        device = "GPU" if "GPU" in names else next(iter(names), "")
        slots = sum(max(1, int(n["Resources"][device] if device else n["Resources"].get("CPU", 1) // cores)) for n in alike)
        identifiers = ",".join(sorted(node["NodeID"] for node in alike))
        found.append(Kind("+".join(names) or "cpu", len(alike), slots, device, names, identifiers))
    return found


def _connect() -> Any:
    """The ray module, connected to its cluster. Raises EnvironmentMissing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise EnvironmentMissing("ray is not installed.", "pip install 'porting[ray]'") from None
    if not ray.is_initialized():
        request_to_end = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
        except ConnectionError as error:
            hint = "Start one with `ray start --head`, or name one in RAY_ADDRESS."
            raise EnvironmentMissing(
                f"there is no Ray cluster to connect to: {' '.join(str(error).split())[:200]}.", hint
            ) from None
        # Ray (2.60) prints to stdout that a node is gone, where a program reads our JSON, and has no switch for it
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, request_to_end)  # ray.init (2.60) puts a handler of its own there
    return ray


def _task() -> Callable[..., int]:
    """What runs in a worker of Ray's: it starts our program, which goes down with the worker. Defined within a function, it is
    sent by value: the worker needs nothing of ours."""

    def work(command: list[str], variables: dict[str, str], names: dict[str, str], folder: str, log: str) -> int:
        import ctypes
        import os
        import signal
        import subprocess

        import ray

        def follow() -> None:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

        node = names.get(ray.get_runtime_context().get_node_id(), "")
        environment = {**os.environ, **variables, **({"PORTING_NODE": node} if node else {})}
        cwd = folder if os.path.isdir(folder) else None
        with open(log, "wb") as out:
            return subprocess.call(command, env=environment, cwd=cwd, stdout=out, stderr=out, preexec_fn=follow)

    return work
