"""What is here: asks each adapter, in its interpreter, which of its devices can be used, and remembers the answer.

An answer is reused on the same machine while the adapter's code and the versions of its packages stay the same; "not here" only
for minutes, since a person may install something or plug it in. `porting doctor` asks afresh.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from porting.adapter import Adapter, DeviceState, Probe
from porting.cells import keys
from porting.environments.environment import Interpreter
from porting.errors import EnvironmentMissing
from porting.serialization import from_json, to_json
from porting.types import Cause, Evidence, Target
from porting.verdict import of_end
from porting.workers.runner import JobEnd, Limits, Runner
from porting.workspace import Workspace, atomic_write

PROBE_LIMITS = Limits(seconds=120.0, silent_seconds=60.0)
ABSENT_SECONDS = 600.0
"""How long "not here" is believed."""
DRIVERS = {
    "driver of NVIDIA": "sys/module/nvidia/version",
    "driver of AMD": "sys/module/amdgpu/version",
    "driver of Habana": "sys/module/habanalabs/version",
    "driver of Ascend": "usr/local/Ascend/driver/version.info",
}
"""Files in which a card's driver tells its version: alone, or as `Version=` of several lines."""
MACHINE_VARIABLE = "PORTING_MACHINE"
"""Set in the jobs of a cluster, which may see only a part of a node's devices."""


class Probes(Protocol):
    """What is known of what is here."""

    def probe(self, name: str) -> Probe:
        """What adapter `name` found. Never raises: what went wrong is every device's reason."""

    def about(self, target: Target) -> Probe:
        """The same, where this target would be worked."""


class Prober:
    """Probes adapters, each at most once a run."""

    def __init__(
        self, workspace: Workspace, runner: Runner, interpreter: Callable[[str], Interpreter | None], fresh: bool = False
    ) -> None:
        self._workspace = workspace
        self._folder = workspace.cache / "probes"
        self._runner = runner
        self._interpreter = interpreter
        self._fresh = fresh
        self._known: dict[str, Probe] = {}
        self._lock = threading.Lock()

    def afresh(self) -> Prober:
        """A prober that believes nothing it was told before."""
        return Prober(self._workspace, self._runner, self._interpreter, fresh=True)

    def probe(self, name: str) -> Probe:
        """What adapter `name` found. Never raises: what went wrong is every device's reason."""
        with self._lock:
            if name not in self._known:
                self._known[name] = self._cached(name)
            return self._known[name]

    def about(self, target: Target) -> Probe:
        """What the adapter of a target found."""
        return self.probe(target.adapter)

    def _cached(self, name: str) -> Probe:
        from porting import registry

        try:
            interpreter = self._interpreter(name)
        except EnvironmentMissing as error:
            return _nowhere(name, str(error), Cause.MISSING_DEPENDENCY)
        adapter = registry.adapter(name)
        installed = {d: keys.version(d) for d in adapter.distributions} if interpreter is None else {}
        key = keys.digest(
            [registry.fingerprint(name), installed, interpreter.command if interpreter else None, machine(), drivers()]
        )
        path = self._folder / f"{name}-{key[:24]}.json"
        return (None if self._fresh or interpreter else _read(path)) or self._ask(name, interpreter, path)

    def _ask(self, name: str, interpreter: Interpreter | None, path: Any) -> Probe:
        from porting import registry

        end = self._runner.run({"kind": "probe", "adapter": registry.module_of(name)}, interpreter, PROBE_LIMITS)
        if end.ending != "ok":
            return _nowhere(name, _ending(end), Cause.HARNESS if end.ending == "lost" else Cause.MISSING_DEPENDENCY)
        probe = from_json(Probe, end.value["probe"])
        if interpreter:  # what the base environment has is in every record anyway
            where = {"interpreter": " ".join(interpreter.command), **end.value["packages"]}
            probe = replace(probe, versions={**where, **probe.versions})
        if any(state.available for state in _cards(name, probe)):
            probe = replace(probe, versions={**drivers(), **probe.versions})
        atomic_write(path, json.dumps({"at": time.time(), "probe": to_json(probe)}).encode())
        return probe


def machine() -> str:
    """What tells machines that share a cache folder apart, and two parts of one that have other devices."""
    return os.environ.get(MACHINE_VARIABLE) or platform.node()


def drivers(root: Path = Path("/")) -> dict[str, str]:
    """Versions of the drivers of cards on this machine, by name."""
    found = {}
    for name, place in DRIVERS.items():
        try:
            text = (root / place).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # no such card, or a container that does not show it
            continue
        lines = dict(line.partition("=")[::2] for line in text.splitlines())
        found[name] = lines.get("Version", text.splitlines()[0] if text else "").strip()
    return {name: version for name, version in found.items() if version}


def _cards(name: str, probe: Probe) -> list[DeviceState]:
    """What was found of the devices that are hardware of their own."""
    from porting import registry

    adapter = registry.adapter(name)
    return [
        s for device, s in probe.devices.items() if device in adapter.devices and adapter.evidence_of(device) is Evidence.HARDWARE
    ]


def device_state(adapter: type[Adapter], target: Target, probe: Probe) -> DeviceState:
    """What a probe says of a target, its precision included. A chip that nobody declared is not supported where its kind is."""
    state = probe.devices.get(adapter.relative(target.device))
    if state is None:
        return DeviceState(False, f"{target.adapter} said nothing about {target.device}", Cause.HARNESS)
    if state.available and target.device not in adapter.devices:
        known = ", ".join(adapter.chips(target.device))
        return DeviceState(False, f"{target.adapter} does not know {target.device}; it knows {known}", Cause.UNSUPPORTED_TARGET)
    if state.available and state.precisions and target.precision not in state.precisions:
        known = ", ".join(p.value for p in state.precisions)
        return DeviceState(False, f"this device computes in {known}", Cause.UNSUPPORTED_DTYPE)
    return state


def _read(path: Any) -> Probe | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):  # not asked yet, or damaged: ask
        return None
    probe = from_json(Probe, data["probe"])
    young = time.time() - data["at"] < ABSENT_SECONDS
    return probe if young or all(state.available for state in probe.devices.values()) else _only_available(probe)


def _only_available(probe: Probe) -> Probe | None:
    """Old "not here" answers are asked again only where nothing at all was here."""
    return probe if any(state.available for state in probe.devices.values()) else None


def _nowhere(name: str, reason: str, cause: Cause) -> Probe:
    from porting import registry

    return Probe({device: DeviceState(False, reason, cause) for device in registry.adapter(name).devices})


def _ending(end: JobEnd) -> str:
    finding = of_end(end)
    said = end.log.decode("utf-8", "replace").strip().splitlines() if end.ending in ("exit", "lost") else []
    return f"the probe failed: {finding.message if finding else end.ending}{f': {said[-1][:300]}' if said else ''}"
