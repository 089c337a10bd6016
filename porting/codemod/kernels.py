"""CUDA C++: kernels with their signatures, what PyTorch sees of them, inline PTX, and what a port of each will take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from porting.codemod.finding import Finding, Safety

SUFFIXES = (".cu", ".cuh", ".cpp", ".cc", ".cxx", ".h", ".hpp", ".hip")
_GLOBAL = re.compile(
    r"__global__\s+(?:(?:__launch_bounds__\s*\([^)]*\)|static|inline)\s+)*(?:void|auto)\s+"
    r"(?:__launch_bounds__\s*\([^)]*\)\s+)?(?P<name>\w+)\s*\((?P<arguments>[^{;]*?)\)\s*\{",
    re.DOTALL,
)
_BOUND = re.compile(
    r"""(?:\bm\.def|\bm\.impl|\bTORCH_LIBRARY_IMPL)\s*\(\s*(?:TORCH_SELECTIVE_SCHEMA\s*\(\s*)?"?(?P<name>[^",)]+)"""
)
_PTX = re.compile(r"""\basm\s*(?:volatile|__volatile__)?\s*\(\s*(?P<text>"[^"]*")""")
_LAUNCH = re.compile(r"\b(?P<name>\w+)\s*(?:<[^;{}<>]*>)?\s*<<<")
_HARD = re.compile(
    r"\b(?:wmma|mma_sync|__shfl\w*|cooperative_groups|cp_async|cub::|cutlass|__ldg|tcgen05|ldmatrix|atomicCAS|cudaGraph\w*)\b"
)
_SHARED = re.compile(r"\b(?:__shared__|__syncthreads|atomicAdd|atomicMax)\b")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

# Parts of Triton that a plain kernel does without.
_TRITON_HARD = (
    "inline_asm_elementwise",
    "extra",
    "libdevice",
    "atomic_cas",
    "make_block_ptr",
    "experimental_descriptor_load",
    "make_tensor_descriptor",
)
_TRITON_MEDIUM = ("dot", "associative_scan", "atomic_add", "sort", "cumsum", "reduce")


def find(path: str, text: str) -> list[Finding]:
    """Kernels, bindings and PTX of one file of C++ or CUDA."""
    plain = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    found = [_kernel(path, plain, match) for match in _GLOBAL.finditer(plain)]
    found += [
        Finding("PRT406", path, _line(plain, m.start()), 1, " ".join(m[0].split())[:160], Safety.REPORT)
        for m in _PTX.finditer(plain)
    ]
    if found or path.endswith((".cu", ".cuh")):
        bound = [m["name"].strip() for m in _BOUND.finditer(plain)]
        if not found:
            found.append(
                Finding(
                    "PRT401",
                    path,
                    1,
                    1,
                    path,
                    Safety.REPORT,
                    "CUDA source without a kernel of its own: included, or calls libraries",
                )
            )
        if bound:
            first = found[0]
            found[0] = Finding(**{**vars(first), "details": {**(first.details or {}), "operators": bound}})
    return found


def _kernel(path: str, text: str, match: re.Match[str]) -> Finding:
    body = _body(text, match.end() - 1)
    sites = [_line(text, m.start()) for m in _LAUNCH.finditer(text) if m["name"] == match["name"]]
    arguments = " ".join(match["arguments"].split())
    lines = body.count("\n") + 1
    effort = "large" if _HARD.search(body) or lines > 120 else "medium" if _SHARED.search(body) or lines > 30 else "small"
    details = {"kernel": match["name"], "signature": arguments, "lines": lines, "effort": effort, "calls": sites}
    why = f"{effort}: {lines} lines, launched at {lines_of(sites)}"
    return Finding(
        "PRT401", path, _line(text, match.start()), 1, f"{match['name']}({arguments})"[:160], Safety.REPORT, why, details=details
    )


def _body(text: str, opening: int) -> str:
    depth = 0
    for index in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[opening : index + 1]
    return text[opening:]


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def described(name: str, signature: str, lines: int, parts: Sequence[str], sites: Sequence[int]) -> dict[str, Any]:
    """A Triton kernel as details of a finding."""
    hard, medium = (any(p in parts for p in words) for words in (_TRITON_HARD, _TRITON_MEDIUM))
    effort = "large" if hard or lines > 200 else "medium" if medium or lines > 60 else "small"
    return {"kernel": name, "signature": signature, "lines": lines, "effort": effort, "calls": list(sites)}


def lines_of(sites: Sequence[int]) -> str:
    if not sites:
        return "no line of this file"
    return ("line " if len(sites) == 1 else "lines ") + ", ".join(map(str, sites[:5])) + (" ..." if len(sites) > 5 else "")
