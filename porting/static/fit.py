"""Whether a model of full size fits on a card: sums of figures that each say how they were had. Nothing is run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from porting.accelerators.profile import Profile, find, load
from porting.cells.jobs import Jobs
from porting.errors import UnknownName, UsageError
from porting.static.survey import Survey, survey
from porting.types import ModelSpec

WEIGHT_BYTES = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}
"""Bytes an element of the weights takes, by what they are stored in. Scales of quantisation are not counted."""
USABLE = 0.9
"""Share of a card's memory that is taken to be free for a model: the plugin, its workspaces and fragments take the rest."""
_NOT_COUNTED = "What splitting a model copies is not counted."
TENSORS = 2
"""Largest tensors that are taken to live at once: an operator's input beside its output."""


@dataclass(frozen=True)
class Figure:
    """A number of bytes, and how it was had."""

    what: str
    bytes: int
    how: str


@dataclass(frozen=True)
class CardNeed:
    """How many of a card it takes, by what the weights are stored in."""

    name: str
    maker: str
    memory_gib: float
    needed: Mapping[str, int]
    source: str


@dataclass(frozen=True)
class Fit:
    """What a model needs, and which cards have it."""

    model: str
    parameters: int
    figures: tuple[Figure, ...]
    weights: Mapping[str, int]
    """Bytes of all weights, by what they are stored in."""
    cards: tuple[CardNeed, ...]
    rule: str


def fit(jobs: Jobs, spec: ModelSpec, makers: Sequence[str], context: int, batch: int, dtype: str) -> Fit:
    """Work it out. makers: whose cards are tried, all that have some without any. context: tokens of a sequence. Raises
    UnknownName, UsageError for makers without a card, ModelError for a model that cannot be walked."""
    profiles = _with_cards(makers)
    listed = next((p for p in profiles.values() if p.listed), None) or next(p for p in load().values() if p.listed)
    sizes = {"batch": batch, "sequence": context}
    found = survey(jobs, spec, [listed.name], sizes, dtype=dtype, all_sizes=False, served=True)
    weights = {name: int(found.parameters * each) for name, each in WEIGHT_BYTES.items()}
    cache, largest = _cache(found, context, batch, dtype), _largest(found, listed)
    rest = found.buffer_bytes + (cache.bytes if cache else 0) + TENSORS * largest.bytes
    figures = [
        Figure(f"weights in {name}", size, "elements counted in the model built without memory") for name, size in weights.items()
    ]
    cards = tuple(_card(profile, number, weights, rest) for profile in profiles.values() for number in range(len(profile.cards)))
    need = f"weights + cache + {TENSORS} x the largest tensor"
    rule = f"cards = ({need}) / {USABLE:.0%} of a card's memory, rounded up. {_NOT_COUNTED}"
    return Fit(spec.id, found.parameters, (*figures, *([cache] if cache else []), largest), weights, cards, rule)


def _with_cards(makers: Sequence[str]) -> dict[str, Profile]:
    known = load()
    chosen = {}
    for name in makers:
        profile = find(name, known)
        if profile is None:
            raise UnknownName("accelerator", name, list(known), "porting profile list shows all.")
        if not profile.cards:
            raise UsageError(f"no card of {profile.vendor} is known with its memory.", f"Cards of: {', '.join(_having(known))}.")
        chosen[profile.name] = profile
    return chosen or {name: known[name] for name in _having(known)}


def _having(known: Mapping[str, Profile]) -> list[str]:
    return [name for name, profile in known.items() if profile.cards]


def _cache(found: Survey, context: int, batch: int, dtype: str) -> Figure | None:
    if not found.cache:
        return None
    layers, heads, width, latent = (found.cache[name] for name in ("layers", "heads", "width", "latent"))
    each, said = (latent, f"one latent vector, {latent}") if latent else (2 * heads * width, f"2 x {heads} heads x {width}")
    size = layers * each * context * batch * {"float32": 4, "float16": 2, "bfloat16": 2}[dtype]
    how = f"config: {layers} layers x {said} wide x {context} tokens x {batch} x the width of {dtype}"
    return Figure("keys and values", size, how)


def _largest(found: Survey, profile: Profile) -> Figure:
    largest = found.ledgers[profile.name]["largest"]
    sizes = ", ".join(f"{axis} {size}" for axis, size in found.sizes.items())
    way = "on meta" if found.weightless else "with its weights"
    how = f"walked {way} with {sizes}: {largest['operator']} at {largest['place']}, composed as for {profile.vendor}"
    return Figure("largest tensor", int(largest["bytes"]), how)


def _card(profile: Profile, number: int, weights: Mapping[str, int], rest: int) -> CardNeed:
    card = profile.cards[number]
    memory = card.memory_gib * (1 << 30) * USABLE
    needed = {name: math.ceil((size + rest) / memory) for name, size in weights.items()}
    return CardNeed(card.name, profile.vendor, card.memory_gib, needed, f"{card.source} ({card.date})")
