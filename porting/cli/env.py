"""`porting env list`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import format_option, print_json, print_table

if TYPE_CHECKING:
    from porting.api import Setting


@click.group("env")
def command() -> None:
    """Tell which interpreter each backend runs in."""


@command.command("list")
@format_option()
def list_(form: str) -> None:
    """List the interpreter of every adapter and the packages it needs there.

    Another interpreter or a container command is named in porting.toml:

    \b
    [environments.openvino]
    python = "/opt/venvs/openvino/bin/python"
    """
    from porting.api import Setting

    rows = list(_rows(Setting.find()))
    if form == "json":
        print_json(rows)
        return
    print_table(
        ("adapter", "environment", "command", "packages"),
        [(r["adapter"], r["environment"], " ".join(r["command"]), r["problem"] or _packages(r["installed"])) for r in rows],
    )


def _rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """An object an adapter; what another interpreter has is asked there."""
    from porting import keys, registry
    from porting.environment import command_of

    environments, broken = setting.environments, registry.broken()
    with setting.pipeline() as pipeline:
        for name in registry.names():
            entry = environments.get(name)
            row = {"adapter": name, "environment": name if entry else "base", "installed": {}, "problem": broken.get(name, "")}
            row["command"] = list(command_of(entry)) if entry else [sys.executable]
            if entry and not row["problem"]:
                probe = pipeline.jobs.prober.probe(name)
                row["installed"] = {k: v for k, v in probe.versions.items() if k != "interpreter"}
                states = probe.devices.values()
                row["problem"] = "" if any(s.available for s in states) else next(s.reason for s in states)
            elif not row["problem"]:
                row["installed"] = {d: keys.version(d) or None for d in registry.adapter(name).distributions}
            yield row


def _packages(installed: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version or 'missing'}" for name, version in installed.items())
