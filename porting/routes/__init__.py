"""Routes: which changes of a model or its export are tried where the usual form does not come to a pass, and in which order.

A route is a list of changes, in words that are part of a form's key: `onnx-fp32-dynamic+attention=eager`. The changes are data
(porting.routes.table); what they do is in porting.rewrites, by the same words. No torch, no numpy.
"""

from __future__ import annotations

import operator
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from porting.bundles.bundle import BATCH, DYNAMIC, STATIC, FormKey, FormRecord
from porting.diagnose.blockers import blockers, operators
from porting.errors import UsageError
from porting.routes.table import CHANGES, EXPANDABLE, KEPT, OTHER_SIZES, PARTED, Change, Level, When
from porting.types import Cause, Outcome, Placement, Precision, Result, Stage, Target

if TYPE_CHECKING:
    from porting.verdict import Finding

USUAL = "usual"
"""The route without any change, by name."""
MOST = 9
"""Routes that one cell tries along one kind of form; not counted are those that find nothing to change."""
NOTHING = "NothingToChange"
"""In the message of a form that is not there because none of its changes found anything."""
OPENING = ("capture=strict", "data=replayed")
"""Changes of how a model is captured, without which nothing can be changed in some."""
_NOT_OURS = frozenset(
    (
        Cause.TIMEOUT, Cause.HANG, Cause.DEVICE_OOM, Cause.NOTHING_EXECUTED, Cause.NO_ARTIFACT, Cause.PRECISION,
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

    @property
    def dynamic_axes(self) -> Sequence[str]: ...

    @property
    def versions(self) -> Mapping[str, str]: ...


# ---- the next route -----------------------------------------------------------------------------------------------


def next_key(
    tried: Sequence[Tried], target: Target, bare: bool = False, keeps: bool = False, named: bool = False
) -> FormKey | None:
    """The form to try after these, all of one need of the adapter, the last one first looked at; None where nothing is left.

    All changes that answer something that was seen are made together. Then the others, one by one. bare: the model is an ONNX
    file, and cannot be captured. keeps: the adapter can keep some layers in fp32. named: none but changes that answer something.
    """
    known = {each.key for each in tried}
    start = replace(tried[0].key, route=())
    if tried[-1].finding.cause is Cause.HOST_OOM:
        blind = replace(start, route=("weights=unread",))
        exporting = start.kind == "onnx" and not bare and tried[-1].finding.stage is Stage.EXPORT
        return blind if exporting and blind not in known else None
    made = [each for each in tried if NOTHING not in each.finding.message]
    if len(made) >= MOST or tried[-1].finding.cause in _NOT_OURS:
        return None
    fitting = [change for change in CHANGES if _fits(change, start, bare) and (keeps or change.level is not Level.PRECISION)]
    opening = _opening(tried)
    answers = _ordered(word for change in fitting if change.specific for word in _answers(change, tried, target))
    specific = _ordered({*answers, *opening})
    sets = [specific]
    failed = [each for each in tried if each.key.route == specific and _failed_itself(each)]
    if failed:  # where none of them found anything, or all together come no further, none does alone
        vain = NOTHING in failed[0].finding.message or failed[0].finding.message == tried[0].finding.message
        sets = [*([] if vain else [_ordered({word, *opening}) for word in answers]), opening]
    axes = _axes_tried(tried)
    keys = [replace(start, route=words, axes=which) for words in sets for which in axes if words]
    base = next((words for words in sets if not any(each.key.route == words and _failed_itself(each) for each in tried)), opening)
    helpful = [change for change in fitting if not named and not change.specific and _helps(change, tried, target)]
    helpful.sort(key=lambda change: not _reads_of_it(change, tried, target))
    keys += [key for change in helpful for key in _changed(start, base, change, target, tried[0].dynamic_axes)]
    keys += [] if named else _rewritten_at_one_size(tried)
    return next((key for key in keys if key not in known), None)


def _opening(tried: Sequence[Tried]) -> tuple[str, ...]:
    """The change without which a model does not even come to the target: whatever else is changed, is changed besides."""
    if tried[0].finding.stage is not Stage.EXPORT:
        return ()
    opened = next((each.key.route for each in tried if each.finding.stage is not Stage.EXPORT), ())
    return opened if len(opened) == 1 and opened[0] in OPENING else ()


def _rewritten_at_one_size(tried: Sequence[Tried]) -> list[FormKey]:
    """Where the usual form's answer is wrong: the rewritten forms that give none, with every axis fixed."""
    if tried[0].finding.outcome is not Outcome.MISMATCH or is_wrong_elsewhere(tried):
        return []
    silent = [each.key for each in tried if each.finding.outcome is not Outcome.MISMATCH and not _failed_itself(each)]
    return [
        replace(key, axes=STATIC) for key in silent if key.axes != STATIC and rewrites_of(key.route) and not fixed_of(key.route)
    ]


def fewer(key: FormKey, dynamic: Sequence[str]) -> list[FormKey]:
    """The same form with fewer axes dynamic: the others fixed one after the other until the batch alone is left, then the batch
    alone fixed, then all. dynamic: axes that it has dynamic."""
    others = [axis for axis in dynamic if axis != BATCH]
    keys = [replace(key, route=_ordered((*key.route, *map("fix={}".format, others[: n + 1])))) for n in range(len(others) - 1)]
    if others and BATCH in dynamic:
        keys += [replace(key, axes=BATCH), replace(key, route=_ordered((*key.route, f"fix={BATCH}")))]
    return [*keys, replace(key, axes=STATIC)]


def with_host(tried: Tried) -> FormKey | None:
    """The same form with the operators left to the host that a stack says it does not take; None where it names no others."""
    finding, key = tried.finding, tried.key
    if key.kind != "onnx" or finding.outcome not in (Outcome.FAIL, Outcome.UNSUPPORTED) or finding.stage not in PARTED:
        return None
    route = _ordered({*key.route, *(f"host={name}" for name in operators(finding.message) if name.isidentifier())})
    return replace(key, route=route) if route != key.route else None


def _failed_itself(tried: Tried) -> bool:
    """Whether the rewritten model never came to the target."""
    return bool(tried.key.route) and tried.finding.stage is Stage.EXPORT


def _fits(change: Change, start: FormKey, bare: bool) -> bool:
    if change.level is Level.PLACE or (change.files and not bare):  # the former is for what is left after all: see with_host
        return False
    if change.axes and (start.axes == STATIC or (change.axes == BATCH and start.axes == BATCH)):
        return False
    bare_too = change.level in (Level.GRAPH, Level.PRECISION) or change.axes == STATIC
    return start.kind in change.kinds and (not bare or bare_too)


def _axes_tried(tried: Sequence[Tried]) -> list[str]:
    """Which axes were left dynamic, most first: a model that is rewritten may do with more of them than before."""
    return list(dict.fromkeys(each.key.axes for each in tried))


def _changed(
    start: FormKey, specific: tuple[str, ...], change: Change, target: Target, dynamic: Sequence[str]
) -> Iterator[FormKey]:
    if change.axes:
        yield replace(start, route=specific, axes=change.axes)
        return
    if change.word == "fix=*":
        yield from (key for key in fewer(replace(start, route=specific), dynamic) if key.axes == start.axes)
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
            if not _reads(when, each):
                continue
            operators = [name.rpartition(" ")[2] for name in found]
            yield from (change.word.replace("*", name) for name in operators) if "*" in change.word else [change.word]


def _helps(change: Change, tried: Sequence[Tried], target: Target) -> bool:
    last = next((each for each in reversed(tried) if NOTHING not in each.finding.message), tried[0])
    if last.finding.outcome is Outcome.DEGRADED:
        return False
    if (change.axes or change.word == "fix=*") and is_wrong(tried):
        return False
    wrong = [tried[0]] if tried[0].finding.outcome is Outcome.MISMATCH else []  # and stays so, whatever was refused since
    seen = [(when, each) for when in change.answers for each in (tried if when.message else [*wrong, last])]
    return any(_meets(when, each, target) and _reads(when, each) and _names(when, each, target) for when, each in seen)


def is_wrong_elsewhere(tried: Sequence[Tried]) -> bool:
    """Whether numbers were off at other sizes than the nominal ones alone: a form of fixed sizes would be right, and hide it."""
    off = [each.finding.message for each in _plain(tried) if _numbers_are_off(each)]
    return any(re.search(r"\bcase (batch|decode|odd|far)\b", message) for message in off)


def is_wrong(tried: Sequence[Tried]) -> bool:
    """Whether the model as it was written, or as it was tried first, came to numbers that are off: fewer axes would hide it,
    whatever became of the attempts since."""
    return any(map(_numbers_are_off, _plain(tried)))


def _plain(tried: Sequence[Tried]) -> list[Tried]:
    return [each for each in tried if each is tried[0] or not each.key.route]


def _numbers_are_off(tried: Tried) -> bool:
    return tried.finding.outcome is Outcome.MISMATCH and not _reads(OTHER_SIZES, tried)


def _reads_of_it(change: Change, tried: Sequence[Tried], target: Target) -> bool:
    """Whether an error said something that a change is for, though it did not name it."""
    return any(when.message and _meets(when, each, target) and _reads(when, each) for when in change.answers for each in tried)


def _reads(when: When, tried: Tried) -> bool:
    """Whether an error says what is looked for."""
    return not when.message or bool(re.search(when.message, _said(tried)))


def _names(when: When, tried: Tried, target: Target) -> bool:
    """Whether what is looked for stands in the way."""
    return not when.blocker or any(re.search(when.blocker, str(blocker)) for blocker in _blockers(tried, target))


def _meets(when: When, tried: Tried, target: Target) -> bool:
    finding = tried.finding
    return (
        (not when.outcomes or finding.outcome in when.outcomes)
        and (not when.stages or finding.stage in when.stages)
        and (not when.precisions or target.precision in when.precisions)
        and fnmatchcase(str(target), when.targets)
        and (not when.versions or in_range(when.versions, tried.versions))
    )


_COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}


def in_range(text: str, versions: Mapping[str, str]) -> bool:
    """Whether versions, by package, are in a range: `onnxruntime>=1.30,<1.33`. Numbers alone count, not `rc1` or `+cpu`."""
    name, limits = re.match(r"([\w.-]*\w)(.*)", text).groups()  # type: ignore[union-attr]  # the table's own texts
    have = versions.get(name, "")
    pairs = re.findall(r"([<>=]=|[<>])([\d.]+)", limits)
    return bool(have) and all(_COMPARE[how](_numbers(have), _numbers(limit)) for how, limit in pairs)


def _numbers(version: str) -> tuple[int, ...]:
    found = [int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", version)[0])]
    return tuple(found + [0] * (4 - len(found)))


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
    if name in ("fix", "host"):
        return f"{name}=*" == change.word and how.isidentifier()
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
    return tuple(word for word in route if level_of(word) not in (Level.EXPORT, Level.PRECISION, Level.PLACE))


def fixed_of(route: Iterable[str]) -> frozenset[str]:
    """The axes that a route fixes by name."""
    return frozenset(word.removeprefix("fix=") for word in route if word.startswith("fix="))


def hosted_of(route: Iterable[str]) -> tuple[str, ...]:
    """The operators that a route leaves to the host."""
    return tuple(word.removeprefix("host=") for word in route if word.startswith("host="))


def exported(key: FormKey) -> FormKey:
    """The form to export for a key: what runs where is no matter of the export."""
    return replace(key, route=tuple(word for word in key.route if not word.startswith("host=")))


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
    parts += [when.versions, when.targets if when.targets != "*" else ""]
    return "; ".join(filter(None, parts))


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
