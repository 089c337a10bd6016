"""Custom kernels across the files of a tree: which operators bring them to Python, with what signature, and who calls those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from porting.codemod import kernels
from porting.codemod.finding import Finding
from porting.codemod.native import Native, Operator
from porting.codemod.prefilter import GRID, Word
from porting.codemod.project import Project, module_parts


class Kernels:
    """The custom kernels that were found in a tree, and what the rest of it says of them."""

    def __init__(self, findings: Iterable[Finding], project: Project) -> None:
        rules = {f.rule for f in findings if _is_kernel(f)}
        self._project = project
        self._triton = "PRT402" in rules
        self._reaching = project.native.reaching() if rules else {}
        self._operators = {operator.name: operator for operators in self._reaching.values() for operator in operators}
        # Most of the text that has an operator's name and parentheses is a definition: forward is defined all over.
        self._calls = [Word.of(rf"{name}(?<!\w{name})(?<!def {name})[\s\\)]*\(") for name in self._operators]

    def concern(self, data: bytes) -> bool:
        """Whether a Python file may call an operator, or launch a Triton kernel."""
        return (self._triton and GRID in data) or any(word.stands_in(data) for word in self._calls)

    def join(self, findings: list[Finding], paths: Iterable[str]) -> list[Finding]:
        """Findings with what was found of their kernels. paths: in the order that calls are told in."""
        if not any(map(_is_kernel, findings)):
            return findings
        for operator in self._operators.values():
            operator.signature = operator.signature or f"({self._project.native.signatures.get(operator.function, '')})"
        for path in paths:
            for name, line in self._project.called.get(path, ()):
                if name in self._operators:
                    self._operators[name].calls.append(f"{path}:{line}")
        launched = _launched(self._project)
        return [_joined(f, self._project.native, self._reaching, launched) if _is_kernel(f) else f for f in findings]


def _is_kernel(finding: Finding) -> bool:
    return bool(finding.details) and "kernel" in (finding.details or {})


def _joined(
    finding: Finding, native: Native, reaching: Mapping[str, list[Operator]], launched: Mapping[tuple[str, str], list[str]]
) -> Finding:
    details = dict(finding.details or {})
    name = details["kernel"]
    if finding.rule == "PRT402":
        details["calls"] = sorted({*details["calls"], *launched.get((".".join(module_parts(finding.path)), name), ())})
    else:
        details["calls"] = native.launches.get(name, [])
        details["operators"] = [{"name": o.name, "signature": o.signature, "calls": o.calls} for o in reaching.get(name, ())]
    return replace(finding, details=details, why=kernels.told(details))


def _launched(project: Project) -> Mapping[tuple[str, str], list[str]]:
    """Places where functions of other files are called with a grid, by module and name."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for dotted, places in project.launches.items():
        there = project.find(dotted)
        if there:
            path = project.path(there[0].name)
            found[".".join(module_parts(path)), there[1]] += places
    return found
