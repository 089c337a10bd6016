"""Rules that a named target brings: dtypes that its maker is published to lack, and operators that are not in its list.

An operator is told only where each of its overloads is neither in the list nor put together by PyTorch from others. What a
composite one is made of is seen when it is run: by porting ops and porting verify.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from porting.accelerators.operators import OperatorList, Support, overloads, read_list
from porting.accelerators.profile import Profile
from porting.codemod.classes import Kind
from porting.codemod.collect import Collector
from porting.errors import EnvironmentMissing

_NAMES: Mapping[str, tuple[str, ...]] = {
    "float64": ("float64", "double", "DoubleTensor"),
    "complex128": ("complex128", "cdouble"),
    "complex64": ("complex64", "cfloat"),
    "bfloat16": ("bfloat16", "BFloat16Tensor"),
    "float16": ("float16", "half", "HalfTensor"),
    "int64": ("int64", "long", "LongTensor"),
}
_SPACES = {"torch": "", "torch.nn.functional": "", "torch.Tensor": "", "torch.linalg": "linalg_", "torch.fft": "fft_",
           "torch.special": "special_"}  # fmt: skip
"""Where PyTorch's functions are, and what their operators' names begin with."""


def find(c: Collector, targets: Sequence[Profile]) -> None:
    """Put down where a file asks for a dtype or an operator that a target lacks."""
    _dtypes(c, targets)
    listed = [profile for profile in targets if profile.listed]
    for call in c.source.all(ast.Call) if listed else ():
        name = _operator(c, call)
        lacking = [p for p in listed if name and p.operators and _lacks(p.folder / p.operators.list, name)]
        if lacking:
            said = [f"{profile.vendor} has no aten::{name}, {_otherwise(profile)}" for profile in lacking]
            c.add("PRT411", call, why="; ".join(said), details={"operator": f"aten::{name}", "targets": said})


def _dtypes(c: Collector, targets: Iterable[Profile]) -> None:
    lacking: dict[str, list[str]] = {}
    for profile in targets:
        for dtype in profile.dtypes.lacks if profile.dtypes else ():
            for name in _NAMES.get(dtype, (dtype,)):
                lacking.setdefault(name, []).append(f"{profile.vendor} lacks {dtype}" + (", casts it" if _casts(profile) else ""))
    for node in c.source.all(ast.Attribute):
        if node.attr not in lacking:
            continue
        called = isinstance(up := c.source.up(node), ast.Call) and up.func is node and not up.args and not up.keywords
        if c.names.resolve(node) == f"torch.{node.attr}" or (called and not c.names.resolve(node)):
            c.add("PRT410", node, why="; ".join(lacking[node.attr]), details={"targets": lacking[node.attr]})


def _casts(profile: Profile) -> bool:
    return bool(profile.dtypes and profile.dtypes.casts)


def _operator(c: Collector, call: ast.Call) -> str:
    """The base name of the operator that a call is of: a function or a module of PyTorch's, or a method of what is known
    to be a tensor."""
    dotted = c.names.resolve(call.func)
    space, _, last = dotted.rpartition(".")
    if space in _SPACES:
        return _SPACES[space] + last
    if space == "torch.nn" and last[:1].isupper():  # HuberLoss is huber_loss's module
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()
    if not dotted and isinstance(call.func, ast.Attribute) and c.infer.kind(call.func.value) is Kind.TENSOR:
        return call.func.attr
    return ""


@functools.lru_cache(maxsize=4096)
def _lacks(listed: Path, name: str) -> bool:
    """Whether a list has no overload of an operator, and PyTorch makes none from others."""
    kin = _overloads().get(name, ())
    known = _list(listed)
    return bool(kin) and all(known.support(one) is Support.FALLBACK for one in kin)


@functools.lru_cache(maxsize=8)
def _list(path: Path) -> OperatorList:
    return OperatorList(read_list(path))


@functools.lru_cache(maxsize=1)
def _overloads() -> Mapping[str, Sequence[str]]:
    """What PyTorch dispatches by each operator's base name; variants that write to an argument named as an output left out."""
    try:
        import torch
    except ImportError:
        raise EnvironmentMissing("PyTorch, which knows what operators are made of, is not here.", "pip install torch") from None
    found: dict[str, list[str]] = {}
    dispatched = frozenset(torch._C._dispatch_get_all_op_names())
    for base, kin in overloads().items():
        for name, out in kin:
            if not out and f"aten::{name}" in dispatched:
                found.setdefault(base, []).append(f"aten::{name}")
    return found


def _otherwise(profile: Profile) -> str:
    falls = profile.operators is not None and profile.operators.otherwise == "cpu"
    return "which falls back to the CPU" if falls else "which is refused"
