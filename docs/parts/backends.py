"""The adapters: what each takes, where it runs, and what is wrong with its backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parts.markdown import code, table


def backends() -> str:
    """The built-in adapters, one after the other: what they declare, what they are made of, what was seen of them."""
    return "\n".join(map(_adapter, built_in()))


def built_in() -> list[Any]:
    """The adapters that come with the toolkit."""
    from porting import registry

    return [registry.adapter(name) for name in registry.names() if registry.is_built_in(name)]


def _adapter(adapter: Any) -> str:
    facts = [
        ("vendor", adapter.vendor),
        ("execution", adapter.family.value),
        ("takes", "; where that does not lead to right numbers, ".join(map(_takes, adapter.needs()))),
        ("versions", code(_pinned(adapter))),
        ("install", adapter.install_hint if "," in adapter.install_hint else f"`{adapter.install_hint}`"),
    ]
    head = ("device", "precisions", "evidence", "what it needs, or whose it is")
    devices = list(_devices(adapter))
    columns = len(head) if any(row[-1] for row in devices) else len(head) - 1
    shown = table(head[:columns], (row[:columns] for row in devices))
    return f"## {adapter.name}\n\n{table(('declared', ''), facts)}\n{shown}{_quirks(adapter.name)}"


def _takes(need: Any) -> str:
    precision = "the target's precision" if need.at_target_precision else "fp32"
    return f"`{need.kind}`, exported in {precision}, with {'dynamic' if need.dynamic else 'static'} axes"


def _pinned(adapter: Any) -> Iterator[str]:
    """The backend's own packages as its environment pins them, `iree-base-compiler 3.13.0`."""
    from porting import registry

    pins = registry.recipe(adapter.name).pins
    for distribution in adapter.distributions:
        yield f"{distribution} {pins[distribution]}" if distribution in pins else distribution


def _devices(adapter: Any) -> Iterator[tuple[str, str, str, str]]:
    """A row a device; the chips of a kind that have all else in common share one."""
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for device, precisions in adapter.devices.items():
        kind, _, chip = device.partition("-")
        same = adapter.evidence_of(device).value == "compiled" and chip
        key = (f"{kind}-" if same else device, code(p.value for p in precisions), adapter.evidence_of(device).value)
        rows.setdefault((*key, _whose(adapter, device)), []).append(chip)
    for (device, *rest, whose), chips in rows.items():
        names = [f"{device}{chip}" for chip in chips] if device.endswith("-") else [device]
        yield code(f"{adapter.name}:{name}" for name in names), rest[0], rest[1], whose


def _quirks(name: str) -> str:
    from porting.registry.quirks import quirks

    rows = [(quirk.seen, quirk.where, quirk.symptom, quirk.answer) for quirk in quirks(name)]
    return f"\n{table(('seen with', 'where', 'symptom', 'what comes of it'), rows)}" if rows else ""


def _whose(adapter: Any, device: str) -> str:
    """What brings a device, where the adapter's family says so for each."""
    providers = getattr(adapter, "providers", {})
    if device in providers:
        return str(providers[device].package)
    if adapter.name != "torch":
        return ""
    from porting.adapters._torch_device import DEVICES

    entry = DEVICES[device]
    return f"{entry.vendor}; `{entry.plugin}`" if entry.plugin else entry.vendor
