"""What a maker's published list of operators says of one: native, by composition, left to the CPU, or nothing.

A list has names alone. It says nothing of dtypes, shapes or layouts, so the best that it can say is "there is a kernel".
"""

from __future__ import annotations

import enum
import functools
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, Set, Tuple


class Support(str, enum.Enum):
    """What becomes of an operator."""

    NATIVE = "native"  # it, or the kernel that PyTorch makes it from (its out= variant), is in the list
    COMPOSITE = "composite"  # PyTorch puts it together from others
    FALLBACK = "fallback"  # neither: the plugin hands it to the CPU, or refuses it
    UNKNOWN = "unknown"  # not one of PyTorch's own operators, and not in the list


def read_list(path: Path) -> FrozenSet[str]:
    """The names in a list: one a line, without `aten::`; lines that start with # say where it is from."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def onnx_nodes(graph: Any, constant: Set[str]) -> Iterator[Tuple[str, Any]]:
    """The nodes of an ONNX graph that depend on an input, those of inner graphs among them, each after its operator's name, which
    has its domain before it where that is not ONNX's own. constant: names of values that are known beforehand; what is worked out
    from them alone is added."""
    for node in graph.node:
        inner = tuple(g for a in node.attribute for g in (*([a.g] if a.HasField("g") else []), *a.graphs))
        if all(name in constant for name in node.input if name) and not inner:
            constant.update(node.output)
            continue
        yield (node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"), node
        for part in inner:
            yield from onnx_nodes(part, constant | {tensor.name for tensor in part.initializer})


class OperatorList:
    """A list of PyTorch operators, asked about one after the other."""

    def __init__(self, names: FrozenSet[str]) -> None:
        self._names = names
        self._known: Dict[str, Support] = {}

    def support(self, name: str) -> Support:
        """What the list says of an operator, `aten::add.Tensor`."""
        if name not in self._known:
            self._known[name] = self._support(name)
        return self._known[name]

    def _support(self, name: str) -> Support:
        namespace, _, short = name.partition("::")
        if (short if namespace == "aten" else name) in self._names or short in self._names:
            return Support.NATIVE
        if namespace not in ("aten", "prims"):
            return Support.UNKNOWN
        if short.split(".")[0].endswith("_overrideable"):  # its composite kernel only says that a backend has to bring one
            return Support.FALLBACK
        if _has(name, "CompositeExplicitAutograd") or _has(name, "CompositeImplicitAutograd"):
            return Support.COMPOSITE
        if _has(name, "CompositeExplicitAutogradNonFunctional"):  # generated from an out= variant, or put together after all
            outs = [out for out in _out_variants(name) if not _has(f"aten::{out}", "CompositeExplicitAutograd")]
            return Support.COMPOSITE if not outs else Support.NATIVE if self._names & set(outs) else Support.FALLBACK
        return Support.FALLBACK


def _has(name: str, key: str) -> bool:
    import torch

    found: bool = torch._C._dispatch_has_kernel_for_dispatch_key(name, key)  # the public registry has no question like this
    return found


def _out_variants(name: str) -> Tuple[str, ...]:
    """Names of the operators with an `out=` that a functional or in-place one is generated from, without `aten::`."""
    base, _, overload = name.partition("::")[2].partition(".")
    base = base[:-1] if base.endswith("_") and not base.endswith("__") else base
    kin = overloads().get(base, ())
    outs = [kin_name for kin_name, out in kin if out]
    # Of several, those of the same signature: add.Tensor is made from add.out, max.dim from max.dim_max.
    wanted = [out for out in outs if overload and out.split(".")[-1].startswith(overload)]
    return tuple(wanted or outs)


@functools.lru_cache(maxsize=1)
def overloads() -> Dict[str, Tuple[Tuple[str, bool], ...]]:
    """Overloads of every ATen operator by its base name, and whether each writes to an argument named as an output."""
    import torch

    found: Dict[str, Any] = {}
    for schema in torch._C._jit_get_all_schemas():
        if schema.name.startswith("aten::"):
            base = schema.name[len("aten::") :]
            out = any(argument.is_out for argument in schema.arguments)
            found.setdefault(base, []).append((f"{base}.{schema.overload_name}" if schema.overload_name else base, out))
    return {base: tuple(kin) for base, kin in found.items()}
