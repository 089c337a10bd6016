"""Prompts of a language model in its served form: what they start from, and how the reference continues them.

Works in the process of a build job. The loop over calls is in porting.bundles.generation; what a target made of it
is judged in porting.numerics.tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.bundles.bundle import Bundle, prompt_start, prompt_truth
from porting.bundles.cases import draw
from porting.bundles.generation import IDS, MASK, Prompt, carried, greedy
from porting.bundles.tensors import write_tensors
from porting.numerics import tokens
from porting.numerics.compare import Noise
from porting.types import InputSpec, Precision

if TYPE_CHECKING:
    import numpy

    Arrays = dict[str, numpy.ndarray[Any, Any]]

Run = Callable[[Mapping[str, Any], "Precision | None"], "Arrays"]
"""Runs the reference once: inputs by name, and a precision, None for the truth."""


def start(inputs: Sequence[InputSpec], sizes: Mapping[str, int], prompt: Prompt, seed_text: str) -> Arrays:
    """Draw what a generation starts from: the whole prompt, padded on the left, and a cache that holds nothing; what an encoder
    made is drawn as in a case. sizes: nominal, by axis name."""
    import numpy as np

    whole = [replace(i, shape=(i.shape[0], prompt.length)) if i.name == IDS else i for i in inputs]
    arrays = draw(whole, {**sizes, "past_sequence": 0}, "nominal", f"{seed_text}/{prompt.name}")
    for name in filter(carried, arrays):
        arrays[name] = np.zeros_like(arrays[name])
    if MASK in arrays:
        rows = arrays[IDS].shape[0]
        padding = np.array([prompt.padding[min(row, len(prompt.padding) - 1)] for row in range(rows)])
        arrays[MASK] = (np.arange(prompt.length) >= padding[:, None]).astype(arrays[MASK].dtype)
    return arrays


def write(folder: Path, prompts: Sequence[Prompt], starts: Mapping[str, Arrays], run: Run) -> tuple[Noise, list[str]]:
    """Continue every prompt in the truth and at fp32, and write starts and truth below `folder`. Returns the noise of fp32, and
    the files, relative."""
    (folder / "prompts").mkdir(exist_ok=True)
    truth, eager = {}, {}
    files = []
    for prompt in prompts:
        begin = starts[prompt.name]
        truth[prompt.name] = greedy(lambda call: run(call, None), begin, prompt)
        eager[prompt.name] = _along(prompt, begin, truth[prompt.name], run, Precision.FP32)
        write_tensors(folder / prompt_start(prompt.name), begin)
        write_tensors(folder / prompt_truth(prompt.name), truth[prompt.name])
        files += [prompt_start(prompt.name), prompt_truth(prompt.name)]
    return tokens.logits_noise(eager, truth), files


def noise_at(bundle: Bundle, precision: Precision, run: Run) -> Noise:
    """Noise of eager's scores along the truth's tokens, at a precision."""
    truth = {p.name: bundle.read(prompt_truth(p.name)) for p in bundle.prompts}
    starts = {p.name: bundle.read(prompt_start(p.name)) for p in bundle.prompts}
    eager = {p.name: _along(p, starts[p.name], truth[p.name], run, precision) for p in bundle.prompts}
    return tokens.logits_noise(eager, truth)


def _along(prompt: Prompt, begin: Arrays, truth: Arrays, run: Run, precision: Precision) -> Arrays:
    return greedy(lambda call: run(call, precision), begin, prompt, forced=truth["tokens"])
