"""Whether a target generated the tokens that eager does, and by how little it missed where it did not.

Runs in the parent; numpy only. The loop over calls is in porting.bundles.generation, the rule for one call's numbers
in porting.numerics.compare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from porting.numerics.compare import INT8_SQNR_DB, RULES, Noise, allowed
from porting.numerics.metrics import measure
from porting.types import GenerationNumbers, Precision

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

INT8_SPREAD = 4.0
"""Standard deviations of the error that int8 may have; see compare.INT8_SQNR_DB."""


@dataclass(frozen=True)
class Said:
    """What generation came to on a target."""

    numbers: tuple[GenerationNumbers, ...] = ()
    complaint: str = ""
    """Why it is wrong; empty when it is right."""
    notes: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What is right about it, in a few words; empty when nothing was generated."""
        if not self.numbers:
            return ""
        total = sum(n.rows * n.tokens for n in self.numbers)
        ties = sum(n.tie for n in self.numbers)
        tied = f", {ties} of {len(self.numbers)} prompts up to a tie" if ties else ""
        return f"{total} greedy tokens equal eager's{tied}"


def judge(actual: Mapping[str, Arrays], truth: Mapping[str, Arrays], noise: Noise, precision: Precision) -> Said:
    """Hold what a target generated against the truth, prompt by prompt.

    actual, truth: `tokens` [batch, n] and `logits` [batch, n, vocabulary] by prompt. noise: of eager's logits along the same
    tokens. A token that differs is a tie where the truth itself prefers its own by no more than two scores may be off
    together; what a row does after its first difference is not held against it.
    """
    share = _share(noise, precision)
    complaints = [(name, wrong) for name in truth if (wrong := _structure(actual.get(name), truth[name]))]
    if complaints:
        return Said(complaint="prompt {}: {}".format(*complaints[0]))
    numbers = [_prompt(name, actual[name], truth[name], share) for name in truth]
    apart = [n for n in numbers if n.row is not None and not n.tie]
    notes = [f"prompt {n.name}: {_difference(n)}, a tie" for n in numbers if n.tie]
    notes += [f"prompt {n.name}: all tokens are the same, which proves little" for n in numbers if n.distinct == 1]
    return Said(tuple(numbers), f"prompt {apart[0].name}: {_difference(apart[0])}" if apart else "", tuple(notes))


def logits_noise(eager: Mapping[str, Arrays], truth: Mapping[str, Arrays]) -> Noise:
    """Noise of eager's scores along the truth's tokens, the largest of all prompts."""
    errors = [measure(eager[name]["logits"], truth[name]["logits"]) for name in truth]
    return Noise(*(max(getattr(e, metric) for e in errors) for metric in ("rel", "row", "peak")))


def _share(noise: Noise, precision: Precision) -> float:
    """How far one score may be off, over the rms of the scores."""
    if precision in RULES:
        return allowed(noise, RULES[precision])["peak"]
    return INT8_SPREAD * math.pow(10, -INT8_SQNR_DB / 20)


def _structure(got: Arrays | None, expected: Arrays) -> str:
    if got is None or not expected.keys() <= got.keys():
        return "nothing came back"
    for name, r in expected.items():
        if got[name].shape != r.shape:
            return f"{name} have the shape {list(got[name].shape)}, expected {list(r.shape)}"
    return ""


def _prompt(name: str, got: Arrays, expected: Arrays, share: float) -> GenerationNumbers:
    import numpy as np

    tokens, right, scores = got["tokens"], expected["tokens"], expected["logits"]
    rows, count = right.shape
    rms = float(np.sqrt(np.mean(np.square(scores))))
    firsts = [_first(tokens[row], right[row]) for row in range(rows)]
    apart = [(row, step) for row, step in enumerate(firsts) if step < count]
    found = [(_gap(scores[row, step], right[row, step], tokens[row, step]), row, step) for row, step in apart]
    plain = GenerationNumbers(
        name, rows, count, min(firsts), len(np.unique(right)), _finite(_logits_error(got["logits"], scores, firsts))
    )
    if not found:
        return plain
    gap, row, step = max(found)
    limit = 2 * share * rms
    return GenerationNumbers(
        **{
            **vars(plain),
            "row": row,
            "step": step,
            "expected": int(right[row, step]),
            "got": int(tokens[row, step]),
            "gap": _finite(gap),
            "allowed_gap": limit,
            "tie": gap <= limit,  # written so that NaN is none
        }
    )


def _first(tokens: Array, right: Array) -> int:
    """How many tokens are equal before the first that is not."""
    differ = (tokens != right).nonzero()[0]
    return int(differ[0]) if differ.size else len(right)


def _gap(scores: Array, right: int, token: int) -> float:
    """By how much the truth prefers its own token; infinite for a token that there is none of."""
    return float(scores[right] - scores[token]) if 0 <= token < len(scores) else math.inf


def _logits_error(got: Array, scores: Array, firsts: Sequence[int]) -> float:
    """Largest error of a score, where all tokens before were equal."""
    import numpy as np

    kept = [np.abs(np.asarray(got[row, : n + 1], np.float64) - scores[row, : n + 1]).max() for row, n in enumerate(firsts)]
    return float(max(kept))


def _difference(n: GenerationNumbers) -> str:
    gap = "without end" if n.gap is None else f"{n.gap:.1e}"
    where = f"token {(n.step or 0) + 1} of {n.tokens} in row {n.row} is {n.got}, eager's {n.expected}"
    return f"{where}, which leads by {gap} where {n.allowed_gap:.1e} can be lost"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
