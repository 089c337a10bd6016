"""Greedy generation, step by step, with the cache handed from one call to the next: the one loop that eager's reference and a
target's worker share, so that they differ in the model's step and in nothing else.

Runs in a backend's interpreter, so: Python 3.9, numpy only. Whether tokens are right is porting.numerics.tokens' matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]
    Arrays = Mapping[str, Array]
    Step = Callable[[Dict[str, Array]], Arrays]
    """One call of the model: inputs by name to outputs by name."""

IDS, MASK, POSITIONS, LOGITS = "input_ids", "attention_mask", "position_ids", "logits"
TOKENS = 16


@dataclass(frozen=True)
class Prompt:
    """A prompt that is continued greedily."""

    name: str
    length: int
    """Tokens of the prompt, padding included."""
    padding: Tuple[int, ...] = (0,)
    """Padded positions on the left, by row of the batch; the last number stands for the rows that follow."""
    chunk: int = 0
    """Most tokens that a call takes; 0 feeds the prompt at once."""
    axes: Tuple[str, ...] = ()
    """Axes whose size changes from call to call: a form that holds one of them fixed cannot generate."""
    tokens: int = TOKENS
    """Tokens that are generated."""


def greedy(step: Step, start: Arrays, prompt: Prompt, forced: Optional[Array] = None) -> Dict[str, Array]:
    """Continue a prompt by the token of the highest score, time after time.

    start: by name of the model's inputs. `input_ids` and `attention_mask` are those of the whole prompt, `past_*` is what the
    cache holds before it, `position_ids` says only that the model wants them, everything else is given to each call as it is.
    Where `past_key_values.*` is not empty, it is a window of fixed length: what leaves it on the left is forgotten.
    forced: tokens [batch, n] to go on with in place of the model's own.
    Returns `tokens` [batch, n] int64 and `logits` [batch, n, vocabulary], the scores that each token was chosen by.
    """
    import numpy as np

    ids = start[IDS]
    mask = start.get(MASK, np.ones_like(ids))
    cache = {name: array for name, array in start.items() if carried(name)}
    given = {name: array for name, array in start.items() if name not in (IDS, MASK, POSITIONS) and name not in cache}
    window = next((array.shape[-2] for name, array in cache.items() if _grows(name)), 0)
    tokens: List[Array] = []
    scores: List[Array] = []
    at = 0
    while len(tokens) < prompt.tokens:
        end = min(at + (prompt.chunk or ids.shape[1]), ids.shape[1])
        call = {**given, **cache, IDS: ids[:, at:end], MASK: _seen(mask[:, :end], window, end - at)}
        call[POSITIONS] = np.maximum(np.cumsum(mask[:, :end], 1) - 1, 0)[:, at:].astype(ids.dtype)
        answer = step({name: call[name] for name in start})
        cache = {name: _kept(answer[present(name)], window if _grows(name) else 0) for name in cache}
        at = end
        if at < ids.shape[1]:
            continue
        scores.append(answer[LOGITS][:, -1])
        tokens.append(np.argmax(scores[-1].astype(np.float64), -1))
        following = tokens[-1] if forced is None else forced[:, len(tokens) - 1]
        ids = np.concatenate([ids, following[:, None].astype(ids.dtype)], 1)
        mask = np.concatenate([mask, np.ones_like(mask[:, :1])], 1)
    return {"tokens": np.stack(tokens, 1).astype(np.int64), LOGITS: np.stack(scores, 1)}


def present(past: str) -> str:
    """Name of the output that is the input `past` of the next call."""
    return past.replace("past_key_values.", "present.", 1).replace("past_state.", "present_state.", 1)


def carried(name: str) -> bool:
    """Whether the input comes out of the call before; what the encoder made stays as it is."""
    return name.startswith(("past_key_values.", "past_state.")) and ".encoder." not in name


def _grows(name: str) -> bool:
    return name.startswith("past_key_values.")


def _seen(mask: Array, window: int, size: int) -> Array:
    """The mask over what is cached and the `size` tokens of this call; unused places of a window are on the left."""
    import numpy as np

    if not window:
        return mask
    unused = np.zeros((mask.shape[0], window), mask.dtype)
    return np.concatenate([unused, mask], 1)[:, -(window + size) :]


def _kept(array: Array, window: int) -> Array:
    import numpy as np

    return np.ascontiguousarray(array[..., -window:, :]) if window else array
