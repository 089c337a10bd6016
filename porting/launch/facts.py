"""What the nodes of a cluster have: each kind is asked once, by a job there; a target is routed to a kind that has it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from porting import registry
from porting.adapter import DeviceState, Probe
from porting.cells import keys
from porting.environments.probing import ABSENT_SECONDS, device_state
from porting.launch.cluster import Kind
from porting.launch.depot import read_json
from porting.serialization import from_json, to_json
from porting.types import Cause, Evidence, Target
from porting.workspace import atomic_write

Ask = Callable[[Mapping[Kind, Sequence[str]]], Mapping[Kind, Mapping[str, Probe]]]
"""Asks nodes of several kinds for several adapters each, all at once."""


class Facts:
    """Stands in for the prober of this machine."""

    def __init__(self, kinds: Sequence[Kind], ask: Ask, notes: Path, adapters: Sequence[str]) -> None:
        """notes: folder where answers are kept for the next runs. adapters: those that are wanted, asked for together."""
        self._kinds, self._ask, self._notes, self._wanted = kinds, ask, notes, list(adapters)
        self._known: dict[str, dict[Kind, Probe]] = {}

    def probe(self, name: str) -> Probe:
        """What an adapter found on all nodes together. Versions are those of one kind: of a target, `about` has its own."""
        found = self._of(name)
        devices: dict[str, DeviceState] = {}
        for probe in found.values():
            for device, state in probe.devices.items():
                if device not in devices or _rank(state) > _rank(devices[device]):
                    devices[device] = state
        return Probe(devices, next((probe.versions for probe in found.values()), {}))

    def about(self, target: Target) -> Probe:
        """What the adapter of a target found on the nodes that it is routed to."""
        kind = self.route(target)
        return self._of(target.adapter)[kind] if kind else self.probe(target.adapter)

    def route(self, target: Target) -> Kind | None:
        """The kind of nodes that works a target: of those that have it, the most nodes, and none with accelerators for what
        runs on the host. One kind, so that a target's results come from one stack."""
        adapter = registry.adapter(target.adapter)
        having = [k for k, probe in self._of(target.adapter).items() if device_state(adapter, target, probe).available]
        return max(having, key=lambda kind: (needs_device(target, kind) or not kind.device, kind.nodes), default=None)

    def _of(self, name: str) -> Mapping[Kind, Probe]:
        if name not in self._known:
            self._learn([name, *(other for other in self._wanted if other not in self._known and other != name)])
        return self._known[name]

    def _learn(self, names: Sequence[str]) -> None:
        for name in names:
            self._known[name] = {kind: probe for kind in self._kinds if (probe := self._noted(kind, name))}
        open_questions = {k: [n for n in names if k not in self._known[n]] for k in self._kinds}
        open_questions = {kind: rest for kind, rest in open_questions.items() if rest}
        answers = self._ask(open_questions) if open_questions else {}
        for kind, found in answers.items():
            for name, probe in found.items():
                self._known[name][kind] = probe
                if any(state.cause is Cause.HARNESS for state in probe.devices.values()):
                    continue  # the next run asks anew
                note = {"at": time.time(), "probe": to_json(probe)}
                atomic_write(self._note(kind, name), json.dumps(note).encode())

    def _noted(self, kind: Kind, name: str) -> Probe | None:
        note = read_json(self._note(kind, name))
        fresh = note and 0 <= time.time() - note["at"] < ABSENT_SECONDS
        return from_json(Probe, note["probe"]) if fresh else None

    def _note(self, kind: Kind, name: str) -> Path:
        # not by the number of nodes: one that is down now is no other kind
        what = keys.digest([kind.label, kind.device, list(kind.features), registry.fingerprint(name)])
        return self._notes / f"{name}-{what[:24]}.json"


def needs_device(target: Target, kind: Kind) -> bool:
    """Whether a cell has to be given one of the devices of a node."""
    return bool(kind.device) and registry.adapter(target.adapter).evidence_of(target.device) is Evidence.HARDWARE


def _rank(state: DeviceState) -> int:
    """Which state speaks for all nodes: that some have the device, else that some could not be asked."""
    return 2 if state.available else int(state.cause is Cause.HARNESS)


def nowhere(name: str, reason: str) -> Probe:
    """What is known of an adapter where its question was not answered."""
    state = DeviceState(False, reason, Cause.HARNESS)
    return Probe(dict.fromkeys(registry.adapter(name).devices, state))
