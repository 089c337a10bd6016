"""Routes: what is changed about a model or its export where the usual form does not come to a pass, as data.

A route is a list of changes, in words that are part of a form's key: `onnx-fp32-dynamic+attention=eager`. Each change says which
endings it answers; what it does is in porting.rewrites, by the same words. Pure data and string work: no torch, no numpy.
"""

from __future__ import annotations

import enum
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from porting.bundle import BATCH, DYNAMIC, STATIC, FormKey, FormRecord
from porting.diagnose.blockers import blockers
from porting.errors import UsageError
from porting.types import Cause, Outcome, Placement, Precision, Result, Stage, Target

if TYPE_CHECKING:
    from porting.verdict import Finding

USUAL = "usual"
"""The route without any change, by name."""
MOST = 8
"""Routes that one cell tries along one kind of form."""


class Level(str, enum.Enum):
    """What a change is made to."""

    EXPORT = "export"  # the same model, captured or exported in another way
    MODEL = "model"  # the module, before it is captured
    PROGRAM = "program"  # the captured program, operator by operator
    GRAPH = "graph"  # the ONNX graph
    PRECISION = "precision"  # what of the model is lowered to the target's precision


@dataclass(frozen=True)
class When:
    """An ending that a change answers; what is left out may be anything."""

    blocker: str = ""
    """Pattern over what stands in the way, in the words of `porting unlock`: `operator: Gelu`, `dtype: complex`."""
    message: str = ""
    """Pattern over the error, and over those of exports that were tried on the way."""
    outcomes: tuple[Outcome, ...] = ()
    stages: tuple[Stage, ...] = ()
    precisions: tuple[Precision, ...] = ()
    targets: str = "*"
    """Glob over the target."""

    @property
    def specific(self) -> bool:
        """Whether it looks for something by name."""
        return bool(self.blocker or self.message)


@dataclass(frozen=True)
class Change:
    """One way to make a model easier to take."""

    word: str
    """`name=how`; with an operator in the place of `*` where there is one for each."""
    level: Level
    kinds: tuple[str, ...]
    """Forms it works for."""
    what: str
    answers: tuple[When, ...]
    axes: str = ""
    """Of an export that leaves fewer axes dynamic: which."""

    @property
    def specific(self) -> bool:
        """Whether it is taken as soon as what it answers is seen, along with others; the rest is tried one by one."""
        return all(when.specific for when in self.answers)


_ALL = ("onnx", "pt2", "aten")
_PROGRAMS = ("pt2", "aten")
_FAULTS = (Outcome.FAIL, Outcome.UNSUPPORTED, Outcome.MISMATCH)
_REFUSED = (Outcome.FAIL, Outcome.UNSUPPORTED)
_FLOATS = (Precision.FP32, Precision.FP16, Precision.BF16)
_BEFORE_RUN = (Stage.EXPORT, Stage.CONVERT, Stage.LOAD)

EXPANDABLE = (
    "Attention", "Celu", "Clip", "Elu", "Gelu", "GreaterOrEqual", "GroupNormalization", "HardSigmoid", "HardSwish",
    "LayerNormalization", "LeakyRelu", "LessOrEqual", "LogSoftmax", "MeanVarianceNormalization", "Mish", "PRelu",
    "RMSNormalization", "Range", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "RotaryEmbedding",
    "Selu", "Shrink", "Softplus", "Softsign", "SwiGLU", "Swish", "ThresholdedRelu",
)  # fmt: skip
"""Operators that the ONNX standard defines by others."""

CHANGES: tuple[Change, ...] = (
    Change(
        "constants=folded", Level.MODEL, _ALL,
        "what follows from constant arguments alone (the patch grid of an image) is computed while the model is captured",
        (When(message="GuardOnDataDependent|data-dependent"), When(blocker="shape: sizes that depend on data")),
    ),
    Change(
        "experts=batched_mm", Level.MODEL, _ALL,
        "experts are computed as one batched product, instead of by a grouped kernel or a loop over those that are hit",
        (When(message=r"grouped_mm|nonzero|GuardOnDataDependent"),),
    ),
    Change(
        "attention=composed", Level.PROGRAM, _ALL,
        "attention is written as products and a softmax that needs no test for infinity",
        (When(blocker=r"operator: aten::(isneginf|_safe_softmax|scaled_dot_product_attention|_scaled_dot_product\w*)$"),),
    ),
    Change(
        "complex=pairs", Level.PROGRAM, _ALL,
        "complex numbers are pairs of real ones along a last axis",
        (When(blocker="dtype: complex"), When(message=r"[Cc]omplex|view_as_(complex|real)|aten[.:]+polar")),
    ),
    Change(
        "masked_scatter=gathered", Level.PROGRAM, _ALL,
        "the positions of a masked_scatter are counted, and its values gathered",
        (When(blocker=r"operator: aten::masked_scatter$"), When(message=r"masked_scatter|must be concrete; got bool")),
    ),
    Change(
        "float64=float32", Level.PROGRAM, _ALL,
        "what the model computes in float64 is computed in float32",
        (When(blocker="dtype: float64"),),
    ),
    Change(
        "view=reshape", Level.PROGRAM, _ALL,
        "views are reshapes, which also take a tensor whose memory is not in order",
        (When(message=r"view size is not compatible|aten\.view\.default"),),
    ),
    Change(
        "is_all_true=all", Level.PROGRAM, _ALL,
        "the test that all is true is the public operator",
        (When(message="_is_all_true"),),
    ),
    Change(
        "einsum=products", Level.PROGRAM, _ALL,
        "an Einsum is written as transpositions and matrix products",
        (When(blocker=r"operator: (Einsum|aten::einsum)$"),),
    ),
    Change(
        "triangle=compared", Level.PROGRAM, _ALL,
        "a triangle of a matrix is chosen by comparing its indices",
        (When(blocker=r"operator: (Trilu|aten::(tril|triu))$"),),
    ),
    Change(
        "where=selected", Level.GRAPH, ("onnx",),
        "Where is taken apart for dtypes that it has no kernel for: by logic for bool, by float32 for the other floats",
        (When(blocker=r"(operator|dtype): (of )?Where$"), When(message=r"implementation for Where\(")),
    ),
    Change(
        "isnan=compared", Level.GRAPH, ("onnx",),
        "IsNaN is a comparison of the value with itself",
        (When(blocker="operator: IsNaN$"),),
    ),
    Change(
        "batch_norm=folded", Level.GRAPH, ("onnx",),
        "BatchNormalization goes into the weights of the convolution before it, else becomes a product and a sum",
        (When(blocker="operator: BatchNormalization$"),),
    ),
    Change(
        "expand=*", Level.GRAPH, ("onnx",),
        "the operator is written by others, as the ONNX standard defines it",
        (When(blocker=rf"operator: ({'|'.join(EXPANDABLE)})$"),),
    ),
    Change(
        "capture=torchscript", Level.EXPORT, ("onnx",),
        "exported by the TorchScript exporter",
        (When(outcomes=_FAULTS, precisions=_FLOATS),),
    ),
    Change(
        "capture=strict", Level.EXPORT, _ALL,
        "captured by torch.export in strict mode",
        (When(outcomes=_REFUSED, stages=(Stage.EXPORT,)),),
    ),
    Change(
        "attention=eager", Level.MODEL, _ALL,
        "the model's own implementation of attention by single operators is chosen",
        (When(outcomes=_FAULTS, precisions=_FLOATS),),
    ),
    Change(
        "decompose=core", Level.PROGRAM, _PROGRAMS,
        "operators are decomposed to the core ATen set",
        (When(outcomes=_FAULTS, precisions=_FLOATS),),
    ),
    Change(
        "axes=batch", Level.EXPORT, _ALL, "only the batch stays dynamic", (When(outcomes=_REFUSED, stages=_BEFORE_RUN),), BATCH
    ),
    Change(
        "keep=*", Level.PRECISION, ("onnx",),
        "the layers that the lower precision costs most, by measurement, stay in fp32: 5, 10, 25, 50 percent of them",
        (When(outcomes=(Outcome.MISMATCH,), precisions=(Precision.INT8, Precision.FP16)),),
    ),
    Change("axes=static", Level.EXPORT, _ALL, "no axis is dynamic", (When(outcomes=_REFUSED, stages=_BEFORE_RUN),), STATIC),
)  # fmt: skip

KEPT = (5, 10, 25, 50)
"""Percent of the layers that are kept in fp32, one after the other."""

_NOT_OURS = frozenset(
    (
        Cause.TIMEOUT, Cause.HANG, Cause.HOST_OOM, Cause.DEVICE_OOM, Cause.NOTHING_EXECUTED, Cause.NO_ARTIFACT, Cause.PRECISION,
        Cause.MISSING_DEPENDENCY, Cause.UNTRUSTED, Cause.USAGE,
    )
)  # fmt: skip
"""Endings that another export of the same model does not mend."""


class Tried(Protocol):
    """What is known of an attempt."""

    key: FormKey
    finding: Finding
    placement: Placement | None
    form: FormRecord | None


# ---- the next route -----------------------------------------------------------------------------------------------


def next_key(tried: Sequence[Tried], target: Target, bare: bool = False, keeps: bool = False) -> FormKey | None:
    """The form to try after these, all of one need of the adapter, the last one first looked at; None where nothing is left.

    All changes that answer something that was seen are made together. Then the others, one by one. bare: the model is an ONNX
    file, and cannot be captured. keeps: the adapter can keep some layers in fp32.
    """
    if len(tried) >= MOST or tried[-1].finding.cause in _NOT_OURS:
        return None
    known = {each.key for each in tried}
    start = replace(tried[0].key, route=())
    fitting = [change for change in CHANGES if _fits(change, start, bare) and (keeps or change.level is not Level.PRECISION)]
    specific = _ordered(word for change in fitting if change.specific for word in _answers(change, tried, target))
    sets = [specific]
    if any(each.key.route == specific and _failed_itself(each) for each in tried):
        sets = [*((word,) for word in specific), ()]
    axes = _axes_tried(tried)
    keys = [replace(start, route=words, axes=which) for words in sets for which in axes if words]
    base = next((words for words in sets if not any(each.key.route == words and _failed_itself(each) for each in tried)), ())
    helpful = [change for change in fitting if not change.specific and _helps(change, tried, target)]
    keys += [key for change in helpful for key in _changed(start, base, change, target)]
    return next((key for key in keys if key not in known), None)


def _failed_itself(tried: Tried) -> bool:
    """Whether the rewritten model never came to the target."""
    return bool(tried.key.route) and tried.finding.stage is Stage.EXPORT


def _fits(change: Change, start: FormKey, bare: bool) -> bool:
    if change.axes and (start.axes == STATIC or (change.axes == BATCH and start.axes == BATCH)):
        return False
    bare_too = change.level in (Level.GRAPH, Level.PRECISION) or change.axes == STATIC
    return start.kind in change.kinds and (not bare or bare_too)


def _axes_tried(tried: Sequence[Tried]) -> list[str]:
    """Which axes were left dynamic, most first: a model that is rewritten may do with more of them than before."""
    return list(dict.fromkeys(each.key.axes for each in tried))


def _changed(start: FormKey, specific: tuple[str, ...], change: Change, target: Target) -> Iterator[FormKey]:
    if change.axes:
        yield replace(start, route=specific, axes=change.axes)
        return
    if change.level is Level.PRECISION:
        words = [f"keep={target.precision.value}_{percent}" for percent in KEPT]
        yield from (replace(start, route=_ordered({*specific, word})) for word in words)
        return
    if change.word == "capture=torchscript":  # it traces the module itself, and knows no captured program
        specific = tuple(word for word in specific if level_of(word) is not Level.PROGRAM)
    yield replace(start, route=_ordered({*specific, change.word}))


def _answers(change: Change, tried: Sequence[Tried], target: Target) -> Iterator[str]:
    """The words by which a change answers what was seen of any attempt."""
    for each in tried:
        named = [str(blocker) for blocker in _blockers(each, target)]
        for when in change.answers:
            if not _meets(when, each, target):
                continue
            found = [name for name in named if when.blocker and re.search(when.blocker, name)]
            if when.blocker and not found:
                continue
            if when.message and not re.search(when.message, _said(each)):
                continue
            operators = [name.rpartition(" ")[2] for name in found]
            yield from (change.word.replace("*", name) for name in operators) if "*" in change.word else [change.word]


def _helps(change: Change, tried: Sequence[Tried], target: Target) -> bool:
    last = tried[-1]
    return any(_meets(when, last, target) for when in change.answers) and last.finding.outcome is not Outcome.DEGRADED


def _meets(when: When, tried: Tried, target: Target) -> bool:
    finding = tried.finding
    return (
        (not when.outcomes or finding.outcome in when.outcomes)
        and (not when.stages or finding.stage in when.stages)
        and (not when.precisions or target.precision in when.precisions)
        and fnmatchcase(str(target), when.targets)
    )


def _said(tried: Tried) -> str:
    """Every error on the way: of the attempt, and of exports that were tried for its form."""
    return "\n".join((tried.finding.message, *(tried.form.attempts if tried.form else ())))


def _blockers(tried: Tried, target: Target) -> Iterator[str]:
    f = tried.finding
    result = Result("", str(target), f.stage, f.outcome, f.cause, message=f.message, placement=tried.placement)
    for blocker in blockers(result):
        yield f"{blocker.kind}: {blocker.name}"


def answers_to(blocker: str) -> list[str]:
    """The changes that answer what stands in the way, in the words of `porting unlock`: `operator: Gelu`."""
    found = [c for c in CHANGES if any(when.blocker and re.search(when.blocker, blocker) for when in c.answers)]
    return [change.word.replace("*", blocker.rpartition(" ")[2]) for change in found]


# ---- words --------------------------------------------------------------------------------------------------------


def change_of(word: str) -> Change | None:
    """The change that a word of a route means."""
    return next((c for c in CHANGES if c.word == word or (c.word.endswith("=*") and _means(c, word))), None)


def _means(change: Change, word: str) -> bool:
    name, _, how = word.partition("=")
    known = EXPANDABLE if name == "expand" else [f"{p.value}_{n}" for p in (Precision.INT8, Precision.FP16) for n in KEPT]
    return f"{name}=*" == change.word and how in known


def level_of(word: str) -> Level:
    """What a word of a route changes. Raises KeyError for one that nobody knows."""
    change = change_of(word)
    if change is None:
        raise KeyError(word)
    return change.level


def _ordered(words: Iterable[str]) -> tuple[str, ...]:
    """In the order of the table."""
    place = {change.word: number for number, change in enumerate(CHANGES)}
    return tuple(sorted(set(words), key=lambda word: (place.get(word, place.get(f"{word.partition('=')[0]}=*", 0)), word)))


def names_its_cause(route: Iterable[str]) -> bool:
    """Whether a route answers something by name, rather than being tried for want of anything better."""
    return any((change := change_of(word)) is not None and change.specific for word in route)


def rewrites_of(route: Iterable[str]) -> tuple[str, ...]:
    """The words of a route that change what is computed, and therefore have to be proven."""
    return tuple(word for word in route if level_of(word) not in (Level.EXPORT, Level.PRECISION))


def kept_of(route: Iterable[str]) -> tuple[Precision, int] | None:
    """The lower precision, and the percentage of layers that a route keeps out of it."""
    for word in route:
        name, _, how = word.partition("=")
        if name == "keep":
            precision, _, percent = how.partition("_")
            return Precision(precision), int(percent)
    return None


def pinned(key: FormKey, text: str) -> FormKey:
    """The form along the route that a person named: changes with `+` between them, or `usual`. Raises UsageError."""
    words = check(text)
    axes = next((c.axes for word in words if (c := change_of(word)) and c.axes and key.axes != STATIC), key.axes)
    return replace(key, axes=axes, route=_ordered(word for word in words if not word.startswith("axes=")))


def check(text: str) -> list[str]:
    """The changes of a route that a person wrote; none of `usual`. Raises UsageError for one that nobody knows."""
    words = [word for word in text.split("+") if word and word != USUAL]
    for word in words:
        if change_of(word) is None:
            raise UsageError(f"there is no change {word!r} of a route.", "porting routes shows what there is.")
    return words


def is_for(words: Iterable[str], kind: str) -> bool:
    """Whether every change of a route can be made to a kind of form."""
    return all((change := change_of(word)) is None or kind in change.kinds for word in words)


def shown(key: FormKey, usual: FormKey) -> tuple[str, ...]:
    """A route in the words that pin it: the changes, and the axes where they are fewer than usual."""
    axes = {BATCH: ("axes=batch",), STATIC: ("axes=static",), DYNAMIC: ()}[key.axes] if key.axes != usual.axes else ()
    return (*key.route, *axes)


# ---- what is known to be good -------------------------------------------------------------------------------------


def known_good(results: Iterable[Result]) -> dict[str, str]:
    """By `family target`: the form to begin with, the cheapest of those that models of the family pass with there.

    results: the latest of every cell. Where a model of the family passes along the usual route, that one stays the first. What a
    person pinned says nothing of the usual one, and does not count.
    """
    seconds: dict[str, dict[str, list[float]]] = {}
    for result in results:
        if result.family and result.form and result.outcome is Outcome.PASS and " --route " not in result.reproduce:
            own = sum(s.seconds for s in result.stages if s.name in (Stage.EXPORT, Stage.CONVERT, Stage.LOAD, Stage.RUN))
            seconds.setdefault(place(result.family, result.target), {}).setdefault(
                result.form if result.passes_with else "", []
            ).append(own)
    found = {}
    for where, forms in seconds.items():
        if "" not in forms:
            found[where] = min(forms, key=lambda form: (statistics.median(forms[form]), form))
    return found


def words_of(when: When) -> str:
    """What a change answers, for a person."""
    parts = [when.blocker, f"message {when.message}" if when.message else ""]
    parts += [", ".join(each.value for each in group) for group in (when.outcomes, when.stages, when.precisions)]
    return "; ".join([part for part in parts if part] + ([when.targets] if when.targets != "*" else []))


def place(family: str, target: str) -> str:
    """What a remembered route is found by."""
    return f"{family} {target}"


def remembered(first: Mapping[str, str], family: str, target: Target) -> FormKey | None:
    """The form to begin with, if one is remembered that is still understood."""
    text = first.get(place(family, str(target)), "")
    try:
        key = FormKey.parse(text) if text else None
    except ValueError:
        return None
    return key if key and all(change_of(word) for word in key.route) else None
