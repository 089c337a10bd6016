"""Input cases: the values that a model is run on, drawn from InputSpecs and seeded by what they are for.

The cases differ in structure, not only in seed, since two draws of plain noise look alike to a pooled network. The recipe
for images and its effect are measured in docs/verdicts.md. Which axes really vary is the reference's finding, not made here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from porting.bundles import shapes
from porting.errors import ModelError
from porting.types import InputSpec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Generator = np.random.Generator

STRUCTURES = ("nominal", "contrast", "padded", "edge")

# Axes that most nets let vary only in steps: images shrink by powers of two.
STEPS: Mapping[str, int] = {"height": 32, "width": 32}

PAST = "past_sequence"


@dataclass(frozen=True)
class CaseInputs:
    """One input case."""

    name: str
    sizes: Mapping[str, int]
    """By axis name."""
    arrays: Mapping[str, Array]
    """By input name, host memory, dtype and shape as the spec says."""
    nominal: bool
    """Whether all sizes are the nominal ones."""


def cases(
    inputs: Sequence[InputSpec],
    sizes: Mapping[str, int],
    varying: frozenset[str],
    seed_text: str,
    steps: Mapping[str, int] | None = None,
) -> list[CaseInputs]:
    """Draw every case of a model. sizes: nominal, by axis name. varying: the axes that eager runs at another size.
    seed_text: the model's id. steps: other sizes are the nominal one plus multiples of this, by axis name.

    Every varying axis is seen at two more sizes. Raises ModelError when a shape cannot be worked out.
    """
    made = []
    for name, structure, case_sizes in _plan(inputs, sizes, varying, steps or {}):
        arrays = draw(inputs, case_sizes, structure, f"{seed_text}/{name}")
        made.append(CaseInputs(name, case_sizes, arrays, dict(case_sizes) == dict(sizes)))
    return made


def draw(inputs: Sequence[InputSpec], sizes: Mapping[str, int], structure: str, seed_text: str) -> dict[str, Array]:
    """Draw one array an input: the same for the same arguments in every process. structure: one of STRUCTURES.
    Raises ModelError for a kind nobody knows or a shape that cannot be worked out."""
    least = _least_sizes(inputs)
    drawn = {}
    for spec in inputs:
        if spec.kind not in _DRAW:
            raise ModelError(f"input {spec.name!r} is of unknown kind {spec.kind!r}.", f"Known kinds: {', '.join(KINDS)}.")
        seed = hashlib.sha256(f"{seed_text}\0{structure}\0{spec.name}".encode()).digest()
        request = _Request(spec, shapes.resolve(spec.shape, sizes), structure, _generator(seed), sizes, _floor(spec, least))
        drawn[spec.name] = _typed(_DRAW[spec.kind](request), request)
    return drawn


def other_size(axis: str, nominal: int, steps: Mapping[str, int] | None = None, least: int = 1) -> tuple[int, int]:
    """Return two more sizes to try for an axis. least: the smallest one that makes sense."""
    step = (steps or {}).get(axis, STEPS.get(axis, 0))
    if axis == PAST:
        return 0, (nominal * 3 // 2 + 1) | 1  # nothing in the cache: prefill
    if step:
        return nominal + step, nominal + 2 * step
    if axis == "batch":
        return (1 if nominal > 1 else 2), nominal + 3
    smaller, larger = (nominal * 2 // 3) | 1, (nominal * 3 // 2) | 1
    if smaller < max(least, 3) or smaller >= nominal:
        smaller = (nominal + 2) | 1
    return smaller, larger if larger not in (nominal, smaller) else max(larger, smaller) + 2


# ---- which cases --------------------------------------------------------------------------------------------------


def _plan(
    inputs: Sequence[InputSpec], sizes: Mapping[str, int], varying: frozenset[str], steps: Mapping[str, int]
) -> list[tuple[str, str, Mapping[str, int]]]:
    """Name, structure and sizes of every case."""
    plan: list[tuple[str, str, Mapping[str, int]]] = [("nominal", "nominal", sizes), ("contrast", "contrast", sizes)]
    if any(spec.kind in ("mask", "left_mask") for spec in inputs):
        plan.append(("padded", "padded", sizes))
    plan.append(("edge", "edge", sizes))
    axes = sorted(varying & sizes.keys())
    least = _least_sizes(inputs)
    others = {axis: other_size(axis, sizes[axis], steps, least.get(axis, 1)) for axis in axes}
    if "batch" in others:
        plan.append(("batch", "nominal", {**sizes, "batch": sizes["batch"] + 1 + (sizes["batch"] == 1)}))
    if PAST in others and "sequence" in others:
        plan.append(("decode", "nominal", {**sizes, "sequence": 1}))
    if others:
        plan.append(("odd", "nominal", {**sizes, **{axis: pair[0] for axis, pair in others.items()}}))
    if others.keys() - {"batch"}:
        plan.append(("far", "padded", {**sizes, **{axis: pair[1] for axis, pair in others.items()}}))
    return plan


def _least_sizes(inputs: Iterable[InputSpec]) -> dict[str, int]:
    """Smallest size of the axes that literal ids take up: one more, so that something is drawn."""
    return {str(spec.shape[-1]): len(spec.prefix) + 1 for spec in inputs if spec.prefix and spec.shape}


def _floor(spec: InputSpec, least: Mapping[str, int]) -> int:
    return least.get(str(spec.shape[-1]), 1) if spec.shape else 1


# ---- values -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Request:
    spec: InputSpec
    shape: tuple[int, ...]
    structure: str
    rng: Generator
    sizes: Mapping[str, int]
    least: int
    """A padded row keeps this many positions."""

    @property
    def integers(self) -> bool:
        return self.spec.dtype.startswith(("int", "uint"))


def _ids(r: _Request) -> Array:
    low, high = r.spec.low, max(r.spec.high, r.spec.low + 1)
    values = _ends(r, low, high - 1) if r.structure == "edge" else r.rng.integers(_lowest(r), high, r.shape)
    if r.spec.prefix and values.ndim:
        room = min(len(r.spec.prefix), values.shape[-1])
        values[..., :room] = r.spec.prefix[:room]
    return values


def _lowest(r: _Request) -> int:
    """The contrasting case draws from the upper half of the range."""
    middle = (r.spec.low + max(r.spec.high, r.spec.low + 1)) // 2
    return middle if r.structure == "contrast" else r.spec.low


def _ends(r: _Request, low: float, high: float) -> Array:
    """Both ends of a range, mixed."""
    import numpy as np

    pick = r.rng.random(r.shape) < 0.5
    if pick.size > 1:
        pick.flat[0], pick.flat[-1] = True, False
    return np.where(pick, low, high).astype(np.int64 if r.integers else np.float64)


def _mask(r: _Request) -> Array:
    import numpy as np

    values = np.ones(r.shape)
    if r.structure != "padded" or not r.shape or not values.size:
        return values
    length = r.shape[-1]
    rows = r.shape[0] if len(r.shape) > 1 else 1
    if rows == 1:
        kept = [max(length * 2 // 3, r.least)]
    else:
        kept = [max(length - row * max(length // (2 * rows), 1), r.least) for row in range(rows)]
    for row, keep in zip(values if len(r.shape) > 1 else [values], kept, strict=True):
        row[..., keep:] = 0
    return values


def _left_mask(r: _Request) -> Array:
    """Padding before a text, as batches are generated; at most `start` positions, so that every token of the call counts."""
    import numpy as np

    values = np.ones(r.shape)
    if r.structure == "padded" and len(r.shape) == 2:
        rows, length = r.shape
        for row, masked in enumerate(values):
            padding = length // 3 if rows == 1 else row * max(length // (2 * rows), 1)
            masked[: min(padding, _start(r))] = 0
    return values


def _image(r: _Request) -> Array:
    """Channel offset, a coarse pattern, a little noise: see docs/verdicts.md."""
    import numpy as np

    *outer, height, width = (1, 1, *r.shape)[-max(len(r.shape), 2) :]
    grid = 2 if r.structure == "contrast" else 4
    offset = 0.5 * r.rng.standard_normal((*outer, 1, 1))
    pattern = _upsample(r.rng.standard_normal((*outer, grid, grid)), height, width)
    noise = 0.3 * r.rng.standard_normal((*outer, height, width))
    gain = (0.4 if r.structure == "contrast" else 1.0) * r.rng.uniform(0.8, 1.2)
    values = gain * (offset + pattern + noise)
    if (
        r.structure == "edge"
    ):  # a flat half, and stripes: constant everywhere would leave normalisation nothing but rounding errors
        stripes = np.where(np.arange(width) // 4 % 2, 2.0, -2.0)
        values = np.where(np.arange(width) < width // 2, 0.0, stripes + 0.25 * noise) + 0.1 * pattern + offset
    if r.integers:
        values = np.clip(128 + 50 * values, 0, 255)
    shaped: Array = values.reshape(r.shape)
    return shaped


def _upsample(values: Array, height: int, width: int) -> Array:
    return _stretch(_stretch(values, height, -2), width, -1)


def _stretch(values: Array, size: int, axis: int) -> Array:
    """Linear interpolation along one axis."""
    import numpy as np

    at = np.linspace(0, values.shape[axis] - 1, size)
    left = np.minimum(at.astype(int), values.shape[axis] - 2)
    weight = (at - left).reshape([-1] + [1] * (-axis - 1))
    stretched: Array = np.take(values, left, axis) * (1 - weight) + np.take(values, left + 1, axis) * weight
    return stretched


def _audio(r: _Request) -> Array:
    """Three tones and a little noise; the tones of the contrasting case are low and faint. Unit: full scale is 1."""
    import numpy as np

    *outer, samples = r.shape or (1,)
    slow = r.structure == "contrast"
    at = np.arange(samples)
    tones = r.rng.uniform(0.002, 0.02, (*outer, 3, 1)) if slow else r.rng.uniform(0.02, 0.2, (*outer, 3, 1))
    wave = np.sin(2 * np.pi * (tones * at + r.rng.random((*outer, 3, 1)))).sum(-2)
    values = (0.08 if slow else 0.25) * wave + 0.03 * r.rng.standard_normal((*outer, samples))
    if r.structure == "edge":
        values = np.where(at < samples // 3, 0.0, np.clip(3 * values, -0.95, 0.95))
    shaped: Array = values.reshape(r.shape)
    return shaped


def _normal(r: _Request) -> Array:
    values: Array = r.rng.standard_normal(r.shape)
    if r.structure == "contrast":
        values = 0.5 * values + r.rng.standard_normal(r.shape[-1:])
    elif r.structure == "edge":
        values = _ends(r, -2.0, 2.0) * (r.rng.random(r.shape) < 0.7)
    return values


def _positions(r: _Request) -> Array:
    """Consecutive from `start`; the contrasting case leaves a gap where the range allows: a uniform shift may mean nothing."""
    import numpy as np

    start = _start(r) if r.spec.start else r.spec.low
    length = r.shape[-1] if r.shape else 1
    row = start + np.arange(length)
    gap = min(3, r.spec.high - (start + length)) if r.spec.high > 2 else 0
    if r.structure == "contrast" and gap > 0:
        row = row + np.where(np.arange(length) >= length // 2, gap, 0)
    return np.broadcast_to(row if r.shape else row[0], r.shape)


def _start(r: _Request) -> int:
    return int(r.spec.start) if r.spec.start.isdigit() else shapes.evaluate(r.spec.start, r.sizes)


def _timestep(r: _Request) -> Array:
    if r.structure == "edge":
        return _ends(r, r.spec.low, max(r.spec.high - 1, r.spec.low))
    return r.rng.integers(_lowest(r), max(r.spec.high, r.spec.low + 1), r.shape) + (0.0 if r.integers else 0.5)


def _constant(r: _Request) -> Array:
    import numpy as np

    if r.spec.value is None and not r.spec.start:
        raise ModelError(f"input {r.spec.name!r} is a constant without a value.", "Give it `value`.")
    return np.full(r.shape, _start(r) if r.spec.value is None else r.spec.value)


def _boxes(r: _Request) -> Array:
    """Corners x0, y0, x1, y1 in their order where the last axis is 4, else points."""
    import numpy as np

    low, high = r.spec.low, r.spec.high
    span = 0.5 if r.structure == "contrast" else 1.0
    values = r.rng.random(r.shape) * span
    if r.structure == "edge":
        values = np.round(values)
    if r.shape and r.shape[-1] == 4:
        pairs = np.sort(values.reshape(*r.shape[:-1], 2, 2), axis=-2)
        values = pairs.reshape(r.shape)
    scaled = low + values * (high - low)
    return np.clip(np.floor(scaled), low, max(high - 1, low)) if r.integers else scaled


def _bool(r: _Request) -> Array:
    share = {"contrast": 0.8, "edge": 0.2}.get(r.structure, 0.5)
    return r.rng.random(r.shape) < share


_DRAW: Mapping[str, Callable[[_Request], Any]] = {
    "ids": _ids,
    "mask": _mask,
    "left_mask": _left_mask,
    "image": _image,
    "audio": _audio,
    "normal": _normal,
    "positions": _positions,
    "timestep": _timestep,
    "constant": _constant,
    "boxes": _boxes,
    "bool": _bool,
}

KINDS = tuple(_DRAW)


def _typed(values: Any, request: _Request) -> Array:
    import numpy as np

    dtype: Any = request.spec.dtype
    if dtype == "bfloat16":
        import ml_dtypes

        dtype = ml_dtypes.bfloat16
    return np.ascontiguousarray(values).astype(dtype).reshape(request.shape)


def _generator(seed: bytes) -> Generator:
    import numpy as np

    return np.random.default_rng(int.from_bytes(seed, "big"))
