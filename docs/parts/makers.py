"""The makers of accelerators: what is known of each, by what source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parts.markdown import code, table


def accelerators() -> str:
    """Every maker: how it is reached, what can be had of it here and by what evidence, what is published, and from where."""
    from porting.accelerators.profile import load

    known = list(load().values())
    rows = [(p.vendor, _reached(p), code(_targets(p)), _published(p), _lacking(p), _cards(p)) for p in known]
    heads = ("maker", "PyTorch device", "targets here", "list of operators", "lacks", "cards, GiB")
    sources = [(p.vendor, name, t.source, t.date) for p in known for name, t in _tables(p)]
    return f"{table(heads, rows)}\nSources:\n\n{table(('maker', 'of', 'source', 'date'), sources)}"


def _reached(profile: Any) -> str:
    if not profile.torch:
        return "none here"
    return f"`{profile.torch.device}`" + (f", by `{profile.torch.plugin}`" if profile.torch.plugin else "")


def _targets(profile: Any) -> Iterator[str]:
    """Where a model can be held against it, with the evidence, strongest first."""
    if profile.torch:
        yield f"torch:{profile.torch.device} (hardware)"
    for name in profile.stack.adapters if profile.stack else ():
        yield f"{name} (simulator)"
    if profile.listed:
        yield f"virtual:{profile.torch.device}"
        yield f"static:{profile.torch.device}"
    if profile.onnx:
        yield f"static_onnx:{profile.torch.device}"


def _published(profile: Any) -> str:
    operators = profile.operators
    if not operators:
        return "does not apply"
    if not operators.list:
        return f"none: {operators.none}"
    fate = "the rest falls back to the CPU" if operators.otherwise == "cpu" else "the rest is refused"
    forbid = f", unless `{operators.forbid}`" if operators.forbid else ""
    return f"{operators.plugin_version}; {fate}{forbid}"


def _lacking(profile: Any) -> str:
    if not profile.dtypes:
        return "not known"
    return (code(profile.dtypes.lacks) or "nothing") + (", held in half the width" if profile.dtypes.casts else "")


def _cards(profile: Any) -> str:
    return ", ".join(f"{card.name} {card.memory_gib:g}" for card in profile.cards) or "not known"


def _tables(profile: Any) -> Iterator[tuple[str, Any]]:
    for name in ("torch", "recognise", "tool", "dtypes", "operators", "onnx", "stack"):
        if getattr(profile, name):
            yield name, getattr(profile, name)
    yield from ((card.name, card) for card in profile.cards)
