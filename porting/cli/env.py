"""`porting env create|list|remove`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from porting import registry
from porting.api import Setting
from porting.cells import keys
from porting.cli._progress import steps
from porting.cli._shared import console, format_option, print_json, print_table
from porting.environments import recipe, venvs
from porting.environments.environment import command_of
from porting.errors import EnvironmentMissing, PortingError, UnknownName, UsageError

if TYPE_CHECKING:
    from porting.adapter import Probe
    from porting.environments.venvs import Venv


@click.group("env")
def command() -> None:
    """Give backends interpreters of their own, and tell which runs where."""


@command.command("create")
@click.argument("names", metavar="ADAPTER...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every adapter whose packages are not here, and those that have one.")
@click.option("--rebuild", is_flag=True, help="Make anew what is there already.")
def create(names: Sequence[str], everything: bool, rebuild: bool) -> int:
    """Make an environment for an adapter, beside this one, from its requirements.txt and what lies beside that.

    From then on the backend runs there. It is made once, and anew when the requirements change. A version of Python may be asked
    for in porting.toml; it is looked for on PATH and under pyenv:

    \b
    [environments.openvino]
    python = "3.10"
    """
    setting = Setting.find()
    chosen = names or _all(everything, _worth_making(setting))
    if not chosen:
        click.echo("nothing to make: every adapter has its packages here")
    failed = 0
    for name in chosen:
        try:
            click.echo(_create(setting, name, rebuild))
        except PortingError as error:
            if len(chosen) == 1:
                raise
            failed = error.exit_code
            click.echo(f"Error: {name}: {error}", err=True)
    return failed


@command.command("remove")
@click.argument("names", metavar="ADAPTER...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every environment that was made here.")
def remove(names: Sequence[str], everything: bool) -> None:
    """Remove environments that `create` made. The backend then runs in this one again, where its packages are here."""
    workspace = Setting.find().workspace
    there = venvs.names(workspace)
    chosen = names or _all(everything, there)
    for name in chosen:
        if name not in there:
            raise UnknownName("environment", name, there, "`porting env list` shows them.")
    for name in chosen:
        venvs.remove(workspace, name)
        click.echo(f"{name}: removed")


@command.command("list")
@format_option()
def list_(form: str) -> None:
    """List the interpreter of every adapter and the packages it needs there.

    Besides the environments that `create` makes, another interpreter or a container command can be named in porting.toml:

    \b
    [environments.openvino]
    python = "/opt/venvs/openvino/bin/python"
    """
    rows = list(_rows(Setting.find()))
    if form == "json":
        print_json(rows)
        return
    print_table(
        ("adapter", "environment", "command", "packages"),
        [(r["adapter"], r["environment"], " ".join(r["command"]), r["problem"] or _packages(r["installed"])) for r in rows],
    )


def _all(everything: bool, names: Sequence[str]) -> Sequence[str]:
    if not everything:
        raise UsageError("name an adapter, or give --all.", "`porting env list` shows them.")
    return names


# ---- create ---------------------------------------------------------------------------------------------------------


def _worth_making(setting: Setting) -> list[str]:
    """Adapters that lack a package here, or whose environment was made already; without those that say not what they need."""
    there = venvs.names(setting.workspace)
    known = [name for name in registry.names() if name not in registry.broken() and _has_requirements(name)]
    lacking = [name for name in known if not all(keys.version(d) for d in registry.adapter(name).distributions)]
    return sorted({*lacking, *(name for name in there if name in known)})


def _has_requirements(name: str) -> bool:
    try:
        registry.recipe(name)
    except UsageError:
        return False
    return True


def _create(setting: Setting, name: str, rebuild: bool) -> str:
    wanted = registry.recipe(name)
    entry = setting.environments.get(name, {})
    python = entry.get("python", "")
    if entry.get("command") or (python and not recipe.is_version(python)):
        hint = f'Take [environments.{name}] out of it, or give it a version: python = "3.10".'
        raise UsageError(f"porting.toml names an interpreter for {name!r} already.", hint)
    venv = venvs.find(setting.workspace, name)
    if venv and venvs.is_current(venv, wanted, python) and not rebuild:
        return f"{name}: there already, {_contents(venv)}"
    start = time.monotonic()
    with steps(console(stderr=True), name) as tell:
        venv = venvs.create(setting.workspace, name, wanted, python, tell)
    return f"{name}: made in {time.monotonic() - start:.0f} s, {_contents(venv)}; {_devices(setting, name)}"


def _contents(venv: Venv) -> str:
    return f"Python {venv.python} with {len(venv.packages)} packages, {venv.interpreter}"


def _devices(setting: Setting, name: str) -> str:
    """What the backend finds there."""
    with setting.pipeline() as pipeline:
        devices = pipeline.jobs.prober.probe(name).devices
    here = [device for device, state in devices.items() if state.available]
    compiled = [device for device in here if not registry.adapter(name).evidence_of(device).ran]
    run = [device for device in here if device not in compiled]
    said = [f"runs on {', '.join(run)}"] * bool(run) + [f"compiles for {', '.join(compiled)}"] * bool(compiled)
    return "; ".join(said) or next(iter(devices.values())).reason


# ---- test -----------------------------------------------------------------------------------------------------------


@command.command("test", context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="[ADAPTER]", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST-OPTION]...")
@click.option("--all", "every", is_flag=True, help="Every adapter that has an environment of its own.")
def test(name: str | None, arguments: tuple[str, ...], every: bool) -> int:
    """Run the conformance suite over ADAPTER in the interpreter that it has: are its declarations true here?

    What follows is for pytest: `porting env test iree -k dynamic`.
    """
    from porting.conformance import inside

    if bool(name) == every:
        raise UsageError("which adapter?", "Name one, or give --all for every one that has an environment of its own.")
    setting = Setting.find()
    chosen = [name] if name else venvs.names(setting.workspace)
    if not chosen:
        raise EnvironmentMissing("no adapter has an environment of its own.", "Make them with `porting env create --all`.")
    failed = []
    with setting.pipeline() as pipeline:
        for adapter in chosen:
            click.echo(f"== {adapter}")
            states = pipeline.jobs.prober.probe(adapter).devices.values()
            if not any(state.available for state in states):  # every test would be skipped, and nothing shown
                click.echo(f"no device of {adapter} is here: {next(iter(states)).reason}", err=True)
                failed.append(adapter)
            elif inside.run(adapter, pipeline.jobs.interpreter(adapter), setting.workspace, arguments):
                failed.append(adapter)
    if failed:
        click.echo(f"not shown to be as declared: {', '.join(failed)}", err=True)
    return 1 if failed else 0


# ---- list -----------------------------------------------------------------------------------------------------------


def _rows(setting: Setting) -> Iterator[dict[str, Any]]:
    """An object an adapter; what another interpreter has is asked there."""
    with setting.pipeline() as pipeline:
        for name in registry.names():
            problem = registry.broken().get(name, "")
            try:
                command = command_of(name, setting.environments.get(name, {}), setting.workspace)
            except EnvironmentMissing as error:
                command, problem = (), problem or str(error)
            row: dict[str, Any] = {"adapter": name, "environment": "base" if command is None else name}
            row |= {"command": [sys.executable] if command is None else list(command), "installed": {}, "problem": problem}
            if not problem:
                row |= _here(name) if command is None else _elsewhere(setting, name, command, pipeline.jobs.prober.probe(name))
            yield row


def _here(name: str) -> dict[str, Any]:
    return {"installed": {d: keys.version(d) or None for d in registry.adapter(name).distributions}}


def _elsewhere(setting: Setting, name: str, command: Sequence[str], probe: Probe) -> dict[str, Any]:
    states = probe.devices.values()
    problem = "" if any(s.available for s in states) else next(s.reason for s in states)
    if not problem and _outdated(setting, name, command):
        problem = f"made from other requirements than today's: porting env create {name}"
    return {"installed": {k: v for k, v in probe.versions.items() if k != "interpreter"}, "problem": problem}


def _outdated(setting: Setting, name: str, command: Sequence[str]) -> bool:
    venv = venvs.find(setting.workspace, name)
    return bool(venv and list(command) == [venv.interpreter] and not venvs.is_current(venv, registry.recipe(name)))


def _packages(installed: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version or 'missing'}" for name, version in installed.items())
