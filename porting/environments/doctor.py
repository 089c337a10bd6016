"""What this machine has and what is missing, as findings. Repairs nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from porting import registry
from porting.accelerators.profile import load
from porting.cells import keys
from porting.errors import PortingError
from porting.workspace import free_bytes

if TYPE_CHECKING:
    from porting.api import Setting

LITTLE_DISK = 2 << 30
"""Bytes free below which a run is likely to end on a full disk."""
_OPTIONAL = {"transformers": "transformers", "timm": "timm", "diffusers": "diffusers", "psycopg": "postgresql"}
"""Distribution to the extra that brings it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: str
    """`ok`, `missing` (something else works without it) or `broken`."""
    detail: str = ""
    hint: str = ""


def findings(setting: Setting) -> list[Finding]:
    """Look at everything; backends are probed afresh."""
    return [*_machine(), *_accelerators(), *_places(setting), *_packages(), *_backends(setting)]


def _machine() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory().total >> 30
    detail = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory} GiB, Python {platform.python_version()}"
    yield Finding("machine", "ok", detail)
    compiler = shutil.which("g++") or shutil.which("clang++")
    hint = "" if compiler else "Install g++; inductor needs one."
    yield Finding("C++ compiler", "ok" if compiler else "missing", compiler or "none found", hint)


def _accelerators() -> Iterator[Finding]:
    """Makers whose tool is on PATH: a card may be here although nothing that runs on it is installed."""
    for profile in load().values():
        command = profile.tool.command if profile.tool else ""
        path = shutil.which(command.split()[0]) if command else None
        if path is None:
            continue
        reached = f"PyTorch reaches it as {profile.torch.device}" if profile.torch else "no way through PyTorch is known"
        plugin = f", by {profile.torch.plugin}" if profile.torch and profile.torch.plugin else ""
        yield Finding(
            "accelerator", "ok", f"{profile.vendor}: {path} is here; {reached}{plugin}", f"`{command}` lists its devices."
        )


def _places(setting: Setting) -> Iterator[Finding]:
    for what, path in (("state folder", setting.workspace.state), ("cache folder", setting.workspace.cache)):
        free = free_bytes(path)
        state = "ok" if free > LITTLE_DISK else "broken"
        yield Finding(what, state, f"{path}, {free >> 30} GiB free", "" if state == "ok" else "Free some space.")
    project = setting.project.file if setting.project else None
    yield Finding("porting.toml", "ok" if project else "missing", str(project or "none: the built-in catalog only"))
    yield Finding("catalog", "ok", f"{len(setting.catalog)} models")
    try:
        with setting.open_store() as store:
            yield Finding("result store", "ok", store.name)
    except PortingError as error:
        yield Finding("result store", "broken", error.message, error.hint)


def _packages() -> Iterator[Finding]:
    for name in ("torch", "onnx", "onnxscript"):
        yield Finding(name, "ok" if keys.version(name) else "broken", keys.version(name) or "not installed")
    for name, extra in _OPTIONAL.items():
        hint = "" if keys.version(name) else f"pip install 'porting[{extra}]'"
        yield Finding(name, "ok" if keys.version(name) else "missing", keys.version(name) or "not installed", hint)
    for owners in _owned_twice():
        yield Finding("onnxruntime", "broken", f"several packages own this import name: {', '.join(owners)}", "Keep one of them.")


def _owned_twice() -> Iterator[list[str]]:
    """pip check does not notice that onnxruntime and its variants overwrite each other's files."""
    owners = sorted(set(importlib.metadata.packages_distributions().get("onnxruntime", ())))
    if len(owners) > 1:
        yield owners


def _backends(setting: Setting) -> Iterator[Finding]:
    broken = registry.broken()
    with setting.pipeline() as pipeline:
        prober = pipeline.jobs.here.afresh()
        for name in registry.names():
            if name in broken:
                yield Finding(name, "broken", broken[name])
                continue
            probe = prober.probe(name)
            versions = ", ".join(f"{k} {v}" for k, v in probe.versions.items())
            for device, state in probe.devices.items():
                what = f"{name}:{device}"
                yield Finding(what, "ok" if state.available else "missing", versions if state.available else state.reason)
