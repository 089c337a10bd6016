"""Rules about the words 'cuda' and 'nccl' in a program: what each is there for follows from where it stands."""

from __future__ import annotations

import ast
import re
from typing import Any

from porting.codemod import collectives, devices
from porting.codemod.collect import Collector
from porting.codemod.devices import COLLECTIONS, Place, last_name
from porting.codemod.finding import ACCEL, Edit, Safety

CUDA = re.compile(r"cuda(?::(?P<index>\d*))?")
_BUILT = re.compile(r"cuda:(?:%[ds]|\{\w*\})")
_LITERAL = re.compile(r"""[rRuU]?(?P<quote>"{3}|'{3}|"|')(?P<text>[^\\]*)(?P=quote)""", re.DOTALL)
_FORMATTED = re.compile(r"""(?:[rR]?[fF]|[fF][rR])(?:"{3}|'{3}|"|')(?=cuda:)""")
_BRANDS = re.compile(
    r"(?:xpu|npu|hpu|mlu|xla|musa|gcu|sdaa|txda|hip|rocm|neuron|mtia|hccl|cncl|mccl|xccl)(?::\d+)?", re.IGNORECASE
)
_SCALERS = ("torch.amp.GradScaler", "torch.amp.grad_scaler.GradScaler")
_TEXTS = ("join", "joinpath", "print", "skip", "warn", "glob", "dist_backend")


def find(c: Collector) -> None:
    """Put down the device strings of a file."""
    for node in c.source.all(ast.Constant):
        value = node.value
        if not isinstance(value, str) or len(value) > 60 or not ("cuda" in value or value == "nccl"):
            continue
        if isinstance(c.source.up(node), (ast.JoinedStr, ast.Expr)) or _means_something_else(c, node):
            continue
        if value == "nccl":
            _put(c, node, collectives.place_of(c, node))
        elif CUDA.fullmatch(value):
            _put(c, node, devices.place_of(c, node))
        elif _BUILT.fullmatch(value):
            _put(c, node, Place("PRT212", "type", Safety.SAFE))
        elif "cuda:nccl" in value.split(","):
            c.add(
                "PRT220",
                node,
                safety=Safety.REPORT,
                why="a backend for each device: without an accelerator the host would have two",
            )
        elif value.startswith("torch.cuda."):
            c.add("PRT302" if value.endswith(("Tensor", "Storage")) else "PRT320", node)
    for formatted in c.source.all(ast.JoinedStr):
        first = formatted.values[0] if formatted.values else None
        if isinstance(first, ast.Constant) and first.value == "cuda:" and len(formatted.values) == 2:
            _formatted(c, formatted)


def _means_something_else(c: Collector, node: ast.AST) -> bool:
    """Whether a string is part of a path, the name of an option, or text for people."""
    parent = c.source.up(node)
    if isinstance(parent, ast.keyword):
        return parent.arg in ("dest", "help", "metavar", "name", "description", "title", "label", "extras_require")
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.Div)
    if isinstance(parent, ast.Call):
        dotted, last = c.names.resolve(parent.func), last_name(parent)
        return dotted.startswith(("os.path.", "pathlib.", "glob.")) or last in _TEXTS
    return False


def _put(c: Collector, node: Any, place: Place) -> None:
    edits = _edits(c, node, place.put) if place.put else []
    why = place.why
    listed = place.rule == "PRT320" or (place.safety is Safety.CARE and isinstance(c.source.up(node), ast.Dict))
    if listed and (c.brand_branch(node) or _beside_brands(c, node)):
        c.add(place.rule, node, safety=Safety.KEEP, why="stands beside those for other brands")
        return
    if place.put and not edits:
        why = "the string is written in a way that cannot be edited"
    c.add(place.rule, node, edits, place.safety, why)


def _beside_brands(c: Collector, node: ast.AST) -> bool:
    """Whether a string is an entry of a list, a table or an enumeration that has other brands' names, too."""
    around = c.source.up(node)
    entries: list[ast.expr | None] = []
    if isinstance(around, (ast.Assign, ast.AnnAssign)):
        body = getattr(c.source.up(around), "body", ())
        entries += [s.value for s in body if isinstance(s, (ast.Assign, ast.AnnAssign))]
    elif isinstance(around, ast.Dict):
        entries += [*around.keys, *around.values]
    elif isinstance(around, COLLECTIONS):
        entries += around.elts
    words = [e.value for e in entries if isinstance(e, ast.Constant) and isinstance(e.value, str)]
    return any(map(_BRANDS.fullmatch, words))


def _edits(c: Collector, node: Any, put: str) -> list[Edit]:
    written = _LITERAL.fullmatch(c.source.text(node))
    if written is None or c.source.inside(node, ast.JoinedStr):
        return []
    quote, text = written["quote"], written["text"]
    if text == "cuda" and (scaler := _scaler(c, node)):
        return scaler
    if put == "dist":
        return [c.replace(node, f"{ACCEL}.dist_backend()")]
    if put == "dist name":
        return [c.replace(node, f"{ACCEL}.dist_backend({quote}nccl{quote})")]
    if text == "cuda":
        return [c.replace(node, f"{ACCEL}.{put}")]
    rest = text.removeprefix("cuda")
    if _BUILT.fullmatch(text) or rest == ":":
        return [c.replace(node, f"({ACCEL}.{put} + {quote}{rest}{quote})")]
    return [c.replace(node, f"f{quote}{{{ACCEL}.{put}}}{rest}{quote}")]


def _scaler(c: Collector, node: Any) -> list[Edit]:
    """torch.amp.GradScaler('cuda', ...) as accel.GradScaler(...): makers have scalers of their own."""
    up = c.source.up(node)
    call = c.source.up(up) if isinstance(up, ast.keyword) else up
    if not isinstance(call, ast.Call) or c.names.resolve(call.func) not in _SCALERS:
        return []
    named = isinstance(up, ast.keyword) and up.arg == "device"
    if not named and (not call.args or call.args[0] is not node):
        return []
    argument = up if named else node
    start, end = c.source.start(argument), c.source.end(argument)
    comma = re.compile(rb"\s*,[ \t]*").match(c.source.data, end)
    return [c.replace(call.func, f"{ACCEL}.GradScaler"), Edit(start, comma.end() if comma else end, "")]


def _formatted(c: Collector, node: Any) -> None:
    """f'cuda:{rank}': its first part."""
    written = _FORMATTED.match(c.source.text(node))
    compared = isinstance(c.source.up(node), ast.Compare)
    edits = []
    if written:
        start = c.source.start(node) + len(written[0].encode())
        edits = [Edit(start, start + len(b"cuda"), f"{{{ACCEL}.{'name' if compared else 'type'}}}")]
    c.add("PRT212", node, edits, why="" if edits else "the string is written in a way that cannot be edited")
