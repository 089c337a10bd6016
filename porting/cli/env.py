"""`porting env list`."""

from __future__ import annotations

import sys
from typing import Any

import click

from porting.cli._shared import format_option, print_json, print_table


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
    from porting import keys, registry
    from porting.api import Setting

    environments = Setting.find().environments
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        if name in registry.broken():
            continue
        adapter, entry = registry.adapter(name), environments.get(name)
        command_line = list(entry.get("command") or [entry["python"]]) if entry else [sys.executable]
        installed = {} if entry else {d: keys.version(d) or None for d in adapter.distributions}
        rows.append({"adapter": name, "environment": name if entry else "base", "command": command_line, "installed": installed})
    if form == "json":
        print_json(rows)
        return
    print_table(
        ("adapter", "environment", "command", "packages"),
        [(r["adapter"], r["environment"], " ".join(r["command"]), _packages(r["installed"])) for r in rows],
    )


def _packages(installed: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version or 'missing'}" for name, version in installed.items())
