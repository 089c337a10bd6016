"""Looks over a saved ExportedProgram before torch.export.load reads it, which by itself is no safe reader.

Seen in torch 2.13: pickles inside are loaded without `weights_only` when that fails, or always; opaque constants are unpickled;
compiled libraries are loaded; symbolic expressions are evaluated and guards executed as Python; a node may name any function that
can be reached from the module torch (`torch.os.system`). Each of these is refused here without trust.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from porting.errors import ModelError, UntrustedError
from porting.sources import _files

_HINT = "If you trust its author, allow it with --trust."

# What a node may call: operators, and arithmetic on sizes.
_TARGET = re.compile(r"torch\.ops\.[\w.]+|_operator\.\w+|math\.\w+|torch\._?sym_\w+")

# sympy classes as srepr writes them, torch's own size functions, and what guards call.
_CALLS = re.compile(
    r"Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Abs|floor|ceiling|And|Or|Not|Eq|Ne|Lt|Le|Gt|Ge|Equality|"
    r"Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|FloorDiv|ModularIndexing|Where|PythonMod|Mod|"
    r"CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|"
    r"IsNonOverlappingAndDenseIndicator|TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity|max|min|abs|"
    r"int|float|bool|len"
)
_METHODS = frozenset(("size", "stride", "dim", "numel", "item", "storage_offset", "shape", "floor", "ceil", "trunc", "sqrt"))
_NODES = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Subscript, ast.Attribute, ast.Name,
    ast.Constant, ast.IfExp, ast.Tuple, ast.keyword, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


def check(path: Path, trust: bool = False) -> None:
    """Raises ModelError when the file is no saved ExportedProgram, UntrustedError when loading it could run code of its own and
    trust is false."""
    names = _files.zip_names(path)
    if not _files.is_pt2(names):
        raise ModelError(f"{path} is no exported program.", "Write it with torch.export.save.")
    if trust:
        return
    with zipfile.ZipFile(path) as archive:
        for name in names:
            _check_member(path, archive, name)


def _check_member(path: Path, archive: zipfile.ZipFile, name: str) -> None:
    leaf = name.rpartition("/")[2]
    if "/aotinductor/" in name or name.endswith((".so", ".cubin", ".dylib", ".dll")):
        raise UntrustedError(f"{path} holds compiled code ({leaf}).", _HINT)
    if re.match(r"(opaque_obj|custom_obj)", leaf):
        raise UntrustedError(f"{path} holds an object that is no tensor ({leaf}).", _HINT)
    try:
        with archive.open(name) as member:
            head = member.read(4)
            if name.endswith(".json"):
                _check_json(path, head + member.read())
            elif head[:2] == b"PK" or head[:1] == b"\x80" or leaf.endswith(".pt"):
                _check_pickle(path, leaf, head + member.read())
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ModelError(f"{path} is damaged: {error}.", "Export or copy it again.") from error


def _check_pickle(path: Path, leaf: str, content: bytes) -> None:
    import pickle

    import torch

    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        raise UntrustedError(f"{path} holds a pickle of more than tensors ({leaf}).", _HINT) from error


def _check_json(path: Path, content: bytes) -> None:
    try:
        data = json.loads(content)
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}.", "Export or copy it again.") from error
    for key, value in _strings(data):
        if key == "target" and not _TARGET.fullmatch(value):
            raise UntrustedError(f"{path} calls {value!r}, which is no operator.", _HINT)
        if key in ("expr_str", "guards_code") and not is_arithmetic(value):
            raise UntrustedError(f"{path} holds an expression that is no arithmetic: {value[:80]!r}.", _HINT)
        if key in ("in_spec", "out_spec") and "defaultdict" in value:
            raise UntrustedError(f"{path} holds a structure that names a function to call.", _HINT)


def _strings(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string under the key it belongs to."""
    if isinstance(data, str):
        yield key, data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from _strings(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value, key)


def is_arithmetic(text: str) -> bool:
    """Whether a text is an expression of sizes, harmless to evaluate as Python."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, _NODES) and _harmless(node) for node in ast.walk(tree))


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        return _CALLS.fullmatch(name) is not None or (isinstance(node.func, ast.Attribute) and name in _METHODS)
    if isinstance(node, ast.Attribute):
        return node.attr in _METHODS
    if isinstance(node, ast.Name):
        return "__" not in node.id
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.fullmatch(r"[\w.+-]*", node.value) is not None
    return True
