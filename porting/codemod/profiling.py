"""Rules about PyTorch's profiler, which names CUDA among its activities and, in older code, among its columns."""

from __future__ import annotations

import ast
from typing import Any

from porting.codemod.collect import Collector
from porting.codemod.finding import ACCEL, Edit, Safety

_COLUMNS = ("cuda_time", "cuda_time_total", "self_cuda_time_total", "cuda_memory_usage", "self_cuda_memory_usage")
_WHY = "it is not proven that this is a column of the profiler's"


def find(c: Collector) -> None:
    """Put down what a file asks of the profiler about CUDA."""
    if b"rofil" not in c.source.data:
        return
    for node in c.source.all(ast.Attribute):
        if node.attr == "CUDA" and c.names.resolve(node).endswith("profiler.ProfilerActivity.CUDA"):
            c.add("PRT118", node, [c.replace(node, f"{ACCEL}.profiler_activity")])
        elif node.attr in _COLUMNS and not c.names.resolve(node):
            _column(c, node, c.source.end(node) - len(node.attr), node.attr)
    for constant in c.source.all(ast.Constant):
        up = c.source.up(constant)
        if constant.value in _COLUMNS and isinstance(up, ast.keyword) and up.arg in ("sort_by", "metric"):
            start = c.source.start(constant)
            _column(c, constant, start + c.source.text(constant).find(constant.value), constant.value)


def _column(c: Collector, node: Any, start: int, name: str) -> None:
    """A column by the name that it has for all devices since PyTorch 2.4."""
    edit = Edit(start, start + len(name), name.replace("cuda", "device"))
    c.add("PRT118", node, [edit], Safety.CARE, _WHY, imports_itself=True)
