"""What stands between one recorded cell and a pass: operators, dtypes, shapes, bugs, limits; read from the record alone.

A cell may have several, and passes when all of them are gone. What messages say in which words is data, below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from porting.report.counts import first_line
from porting.signature import normalise
from porting.types import Cause, Outcome, Precision, Result, Stage, Target

OPERATOR, DTYPE, SHAPE, CONTROL, BUG, NUMBERS, LIMIT, FORM, PLACEMENT = (
    "operator", "dtype", "shape", "control flow", "bug", "wrong numbers", "limit", "form", "placement",
)  # fmt: skip
OWN = (BUG, NUMBERS, PLACEMENT)
"""Kinds that are one target's, or the export's, alone."""
COUNTED = (Outcome.MISMATCH, Outcome.FAIL, Outcome.UNSUPPORTED, Outcome.DEGRADED)
"""Other outcomes are passes, or say nothing about the target."""
CLOSE = 2.0
"""Times what is allowed, up to which an answer may be a matter of rounding."""
TEXT = 100
"""Characters of a message that name a bug."""


@dataclass(frozen=True, order=True)
class Blocker:
    """One thing that has to be mended."""

    kind: str
    name: str
    """The operator, the dtype, or the message without names and numbers."""
    where: str = ""
    """Whose it is, of what can only be mended there: the adapter and device, or `export`. An operator, a dtype or a shape can
    also be kept out of the model, for every target at once."""


_LISTED = re.compile(r"^(?P<name>\S+) \((?:left to [^()]+|not in the list|not PyTorch's own)\)$")
"""A count of a placement that names an operator that the target did not take; others are of what it took: `Add (ND)`."""
_LACKS = re.compile(r"(?P<operator>aten::[\w.]+)(?: on \w+)?: [^;:]*?lacks (?P<dtype>\w+)")

# How stacks name operators that they do not have. Each match is one operator or a list of them.
_OPERATORS = tuple(
    re.compile(pattern)
    for pattern in (
        r"Could not find an implementation for (\w+)\(\d+\)",
        r"Lowering not found: ([\w.:]+)",
        r"Unsupported function types \[([^\]]*)\]",
        r"Op Not Support: ([\w:, |]+)",
        r"Op not support:\{([^}]*)\}",
        r"has no layer for ([\w.:, ]+?)(?:;|$)",
        r"Bad node spec for node\. Name: ?\S* OpType: (\w+)",
        r"<\{name = \"(onnx\.\w+)\"",
        r"failed to legalize operation '([\w.]+)'",
        r"No ONNX function found for <OpOverload\(op='([\w.]+)'",
        r"(?:[Uu]nsupported|not supported|not implemented)[^:\n]{0,40}: '?([A-Z]\w+|aten[.:]+[\w.]+)'?",
        r"\b(aten::[\w.]+)",
    )
)
# Words by which a message tells of a dtype or a shape that is not taken, whatever cause was recorded.
_DTYPES = (
    (re.compile(r"complex"), "complex"),
    (re.compile(r"float64|\bdouble\b"), "float64"),
    (re.compile(r"bfloat16"), "bfloat16"),
    (re.compile(r"\bint64\b"), "int64"),
)
_SHAPES = (
    (re.compile(r"data-dependent"), "sizes that depend on data"),
    (re.compile(r"\brank (\d)"), "more dimensions than the stack takes"),
    (
        re.compile(r"known shape|ndim is required|kUnknownNDim|ShapeExpr|static value"),
        "a shape that the compiler does not work out",
    ),
)


def blockers(result: Result) -> frozenset[Blocker]:
    """What stands in a cell's way; nothing where it passes, or its record says nothing about the target."""
    if result.outcome not in COUNTED:
        return frozenset()
    where = _where(result)
    found = {Blocker(kind, name, where if kind in OWN else "") for kind, name in _found(result)}
    return frozenset(found or {Blocker(BUG, _short(result.message) or _cause(result), where)})


def _where(result: Result) -> str:
    if result.stage in (Stage.EXPORT, Stage.BUILD, Stage.REFERENCE):
        return "export"
    target = Target.parse(result.target)
    precision = "" if target.precision is Precision.FP32 else f":{target.precision.value}"
    return f"{target.adapter}:{target.device}{precision}"


def _found(result: Result) -> Iterator[tuple[str, str]]:
    """What can be named: as a kind and a name."""
    message, cause = result.message, result.cause
    if result.outcome is Outcome.DEGRADED:
        yield from _left_out(result)
    elif result.outcome is Outcome.MISMATCH:
        yield NUMBERS, _how_far(result)
    elif cause in (Cause.TIMEOUT, Cause.HANG, Cause.HOST_OOM, Cause.DEVICE_OOM):
        yield LIMIT, cause.value.replace("_", " ")
    elif cause is Cause.NO_FORM:
        yield FORM, "the model is a file, of another form than the stack takes"
    elif cause is Cause.CONTROL_FLOW:
        yield CONTROL, next(iter(operators(message)), "control flow that depends on data")
    else:
        yield from _named(result)


def _left_out(result: Result) -> Iterator[tuple[str, str]]:
    """Operators that ran elsewhere, by the placement."""
    named = False
    for key in result.placement.detail if result.placement else ():
        match = _LISTED.match(key)
        if match:
            named = True
            yield OPERATOR, _operator(match["name"])
    if not named:
        yield (
            (PLACEMENT, "operators that the stack does not name") if result.cause is Cause.FALLBACK else (PLACEMENT, "precision")
        )


def _named(result: Result) -> Iterator[tuple[str, str]]:
    message, cause = result.message, result.cause
    lacking = [(match["operator"], match["dtype"]) for match in _LACKS.finditer(message)]
    if lacking:
        yield from ((DTYPE, dtype) for _, dtype in lacking)
        return
    dtype = next((name for pattern, name in _DTYPES if pattern.search(message)), "")
    shape = next((name for pattern, name in _SHAPES if pattern.search(message)), "")
    if cause is Cause.UNSUPPORTED_DTYPE or (dtype == "complex" and result.stage is Stage.EXPORT):
        names = list(operators(message))
        yield DTYPE, dtype or (f"of {names[0]}" if names else "a dtype that the stack does not take")
    elif cause is Cause.UNSUPPORTED_OP and any(operators(message)):
        yield from ((OPERATOR, name) for name in operators(message))
    elif cause in (Cause.DYNAMIC_SHAPE, Cause.SHAPE_INFERENCE) or shape:
        yield SHAPE, shape or ("other sizes than the nominal ones" if cause is Cause.DYNAMIC_SHAPE else _short(message))


def operators(message: str) -> Iterable[str]:
    """The operators that a message says a stack does not have, each once."""
    for pattern in _OPERATORS:
        found = [name for match in pattern.finditer(message) for name in re.split(r"[,|\s]+", match[1])]
        names = [_operator(name.strip("'\" .")) for name in found]
        if any(names):
            return list(dict.fromkeys(filter(None, names)))
    return []


def _operator(name: str) -> str:
    """An operator by one name, however a stack writes it: `aten.add.Tensor`, `add.default` and `aten::add` are one."""
    bare = name.removeprefix("ONNX::").removeprefix("onnx.")
    if bare.startswith(("aten.", "aten::")) or bare.endswith(".default"):
        return "aten::" + bare.removeprefix("aten").lstrip(".:").split(".")[0]
    return bare


def _how_far(result: Result) -> str:
    """In which way an answer is wrong."""
    if result.cause in (Cause.OUTPUT_STRUCTURE, Cause.NONFINITE):
        return "shape or dtype of an output" if result.cause is Cause.OUTPUT_STRUCTURE else "values that are not finite"
    numbers = [output for case in result.cases for output in case.outputs]
    used = [
        value / limit
        for o in numbers
        for value, limit in ((o.rel_norm, o.allowed_rel_norm), (o.row, o.allowed_row), (o.peak, o.allowed_peak))
        if value is not None and limit
    ]
    return "off by up to twice what is allowed" if used and max(used) <= CLOSE else "off by more than twice what is allowed"


def _cause(result: Result) -> str:
    return result.cause.value if result.cause else result.outcome.value


def _short(message: str) -> str:
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "...", first_line(message))
    return normalise(text)[:TEXT]
