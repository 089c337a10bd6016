"""CUDA C++: kernels with their signatures, what PyTorch sees of them, inline PTX, and what a port of each will take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from porting.codemod.finding import Finding, Safety

SUFFIXES = (".cu", ".cuh", ".cpp", ".cc", ".cxx", ".h", ".hpp", ".hip")
_GLOBAL = re.compile(
    r"__global__\s+(?:(?:__launch_bounds__\s*\([^)]*\)|static|inline)\s+)*(?:void|auto)\s+"
    r"(?:__launch_bounds__\s*\([^)]*\)\s+)?(?P<name>\w+)\s*\((?P<arguments>[^{;]*?)\)\s*\{",
    re.DOTALL,
)
_PTX = re.compile(r"""\basm\s*(?:volatile|__volatile__)?\s*\(\s*(?P<text>"[^"]*")""")
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
    """Kernels and PTX of one file of C++ or CUDA."""
    plain = without_comments(text)
    found = [_kernel(path, plain, match) for match in _GLOBAL.finditer(plain)]
    for match in _PTX.finditer(plain):
        shown = " ".join(match[0].split())[:160]
        found.append(Finding("PRT406", path, line(plain, match.start()), 1, shown, Safety.REPORT))
    if not found and path.endswith((".cu", ".cuh")):
        why = "CUDA source without a kernel of its own: included, or calls libraries"
        found.append(Finding("PRT401", path, 1, 1, path, Safety.REPORT, why))
    return found


def without_comments(text: str) -> str:
    """C++ with its comments blanked, so that lines stay where they are."""
    return _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def _kernel(path: str, text: str, match: re.Match[str]) -> Finding:
    whole = body(text, match.end() - 1)
    arguments = " ".join(match["arguments"].split())
    lines = whole.count("\n") + 1
    effort = "large" if _HARD.search(whole) or lines > 120 else "medium" if _SHARED.search(whole) or lines > 30 else "small"
    details: dict[str, Any] = {"kernel": match["name"], "signature": arguments, "lines": lines, "effort": effort, "calls": []}
    shown = f"{match['name']}({arguments})"[:160]
    return Finding("PRT401", path, line(text, match.start()), 1, shown, Safety.REPORT, told(details), details=details)


def body(text: str, opening: int) -> str:
    """From a brace to the one that closes it."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, opening):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return text[opening : match.end()]
    return text[opening:]


def line(text: str, index: int) -> int:
    """The line, from 1, of a place in a text."""
    return text.count("\n", 0, index) + 1


def described(name: str, signature: str, lines: int, parts: Sequence[str], sites: Sequence[str]) -> dict[str, Any]:
    """A Triton kernel as details of a finding."""
    hard, medium = (any(p in parts for p in words) for words in (_TRITON_HARD, _TRITON_MEDIUM))
    effort = "large" if hard or lines > 200 else "medium" if medium or lines > 60 else "small"
    return {"kernel": name, "signature": signature, "lines": lines, "effort": effort, "calls": list(sites)}


def told(details: Mapping[str, Any]) -> str:
    """What is known of a kernel, in words."""
    said = f"{details['effort']}: {details['lines']} lines, launched at {_places(details['calls'])}"
    for operator in details.get("operators", ())[:2]:
        said += f"; as {operator['name']}{operator['signature'][:100]}, called at {_places(operator['calls'])}"
    more = len(details.get("operators", ())) - 2
    return said + (f"; and {more} operators more" if more > 0 else "")


def _places(places: Sequence[str]) -> str:
    return (", ".join(places[:3]) + (" ..." if len(places) > 3 else "")) or "no place in this tree"
