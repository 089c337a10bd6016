"""`porting targets list|show`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from porting.cli._shared import format_option, print_json, print_table

if TYPE_CHECKING:
    from porting.api import TargetState


@click.group("targets")
def command() -> None:
    """List and show targets."""


@command.command("list")
@click.option("--available", is_flag=True, help="Only those that can be used here.")
@format_option()
def list_(available: bool, form: str) -> None:
    """List every target, whether it can be used here, and by what evidence a result would be had."""
    from porting import registry
    from porting.api import targets

    states = [s for s in targets() if s.available or not available]
    if form == "json":
        print_json(_object(s) for s in states)
        return
    print_table(("device", "precisions", "here", "evidence", "why not"), _rows(states))
    for name, reason in registry.broken().items():
        click.echo(f"{name}: {reason}", err=True)


@command.command("show")
@click.argument("target")
@format_option()
def show(target: str, form: str) -> None:
    """Show one target: its adapter's declarations, what was found here, and what was seen of the backend."""
    from porting import registry
    from porting.api import Setting, target_state
    from porting.registry.quirks import quirks

    parsed = registry.target(target)
    seen = quirks(parsed.adapter)
    adapter = registry.adapter(parsed.adapter)
    with Setting.find().pipeline() as pipeline:
        probe = pipeline.jobs.prober.probe(parsed.adapter)
        state = target_state(parsed, probe)
    need = adapter.need
    data = _object(state) | {
        "vendor": adapter.vendor,
        "execution": adapter.family.value,
        "takes": ", then ".join(need.kind for need in adapter.needs()),
        "dynamic shapes": need.dynamic,
        "opset limit": need.opset,
        "packages": list(adapter.distributions),
        "install": adapter.install_hint,
        "versions": dict(probe.versions),
        "quirks": [asdict(quirk) for quirk in seen],
    }
    if form == "json":
        print_json([data])
        return
    rows = [(key, str(value)) for key, value in data.items() if key != "quirks" and value not in ("", None)]
    print_table(("field", "value"), rows + [("seen", f"{q.where}: {q.symptom} ({q.seen}); {q.answer}") for q in seen])


def _object(state: TargetState) -> dict[str, Any]:
    return {
        "id": str(state.target),
        "adapter": state.target.adapter,
        "available": state.available,
        "evidence": state.evidence.value,
        "reason": state.reason,
        "hint": state.hint,
    }


def _rows(states: list[TargetState]) -> list[tuple[str, ...]]:
    """One line a device and reason, with all its precisions."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for s in states:
        key = (f"{s.target.adapter}:{s.target.device}", "yes" if s.available else "no", s.evidence.value, _short(s))
        lines.setdefault(key, []).append(s.target.precision.value)
    return [(device, " ".join(precisions), *rest) for (device, *rest), precisions in lines.items()]


def _short(state: TargetState) -> str:
    return state.reason.splitlines()[0][:120] if state.reason else ""
