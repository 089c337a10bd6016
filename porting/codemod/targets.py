"""Rules that a named target brings: dtypes that its maker is published to lack."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from porting.accelerators.profile import Profile
from porting.codemod.collect import Collector

_NAMES: Mapping[str, tuple[str, ...]] = {
    "float64": ("float64", "double", "DoubleTensor"),
    "complex128": ("complex128", "cdouble"),
    "complex64": ("complex64", "cfloat"),
    "bfloat16": ("bfloat16", "BFloat16Tensor"),
    "float16": ("float16", "half", "HalfTensor"),
    "int64": ("int64", "long", "LongTensor"),
}


def find(c: Collector, targets: Iterable[Profile]) -> None:
    """Put down where a file asks for a dtype that a target lacks."""
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
