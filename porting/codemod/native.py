"""C++ and CUDA of a tree, as far as it says who calls whom: kernels, functions that launch them, and their names in Python."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from porting.codemod import kernels

_FUNCTION = re.compile(r"\b(?P<name>[A-Za-z_]\w*)\s*\((?P<arguments>[^;{}]*?)\)\s*(?:const\s*)?(?:noexcept\s*)?\{", re.DOTALL)
_DECLARED = re.compile(r"\b(?P<name>[A-Za-z_]\w*)\s*\((?P<arguments>[^;{}()]*)\)\s*;", re.DOTALL)
_NAME = re.compile(r"\b[A-Za-z_]\w*")
_BOUND = re.compile(
    r"""\b\w+\.(?:def|impl)\s*\(\s*(?:TORCH_SELECTIVE_SCHEMA\s*\()?\s*"(?:\w+::)?(?P<name>\w+)(?P<schema>\([^"]*)?"\s*\)?"""
    r"""(?:\s*,\s*(?:TORCH_FN\s*\(|torch::dispatch\s*\([^,]*,)?\s*&?\s*(?:\w+::)*(?P<function>[A-Za-z_]\w*))?"""
)
_LAUNCH = re.compile(r"\b(?P<name>[A-Za-z_]\w*)\s*(?:<[^;{}]*?>)?\s*<<<|\(\s*void\s*\*\s*\)\s*&?\s*(?P<pointer>[A-Za-z_]\w*)")
"""A kernel with its grid, or what is given to cudaLaunchKernel."""
_WORDS = frozenset(("if", "for", "while", "switch", "catch", "return", "sizeof", "defined"))


@dataclass
class Operator:
    """A name under which Python finds a function in C++."""

    name: str
    function: str
    signature: str = ""
    calls: list[str] = field(default_factory=list)


@dataclass
class Native:
    """All C++ of a tree, as far as it says who calls whom."""

    called: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Names that stand in functions of a name: what they call, or hand on as a pointer, is among them."""
    signatures: dict[str, str] = field(default_factory=dict)
    launches: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Places where kernels of a name are launched."""
    operators: dict[str, Operator] = field(default_factory=dict)

    def add(self, path: str, text: str, first: int = 1) -> None:
        """Take up the text of a file, or of a string that starts in its line `first`."""
        plain = kernels.without_comments(text)
        for match in _FUNCTION.finditer(plain):
            if match["name"] not in _WORDS:
                self.called[match["name"]].update(_NAME.findall(kernels.body(plain, match.end() - 1)))
                self.signatures[match["name"]] = " ".join(match["arguments"].split())
        for match in _DECLARED.finditer(plain):
            self.signatures.setdefault(match["name"], " ".join(match["arguments"].split()))
        for match in _LAUNCH.finditer(plain):
            self.launches[match["name"] or match["pointer"]].append(f"{path}:{kernels.line(plain, match.start()) + first - 1}")
        for match in _BOUND.finditer(plain):
            self.bind(match["name"], match["function"] or "", match["schema"] or "")

    def bind(self, name: str, function: str, signature: str = "") -> None:
        """Take up that Python knows a function by a name."""
        known = self.operators.setdefault(name, Operator(name, function))
        known.function, known.signature = function or known.function, signature or known.signature

    def reaching(self) -> Mapping[str, list[Operator]]:
        """The operators that lead to each function or kernel."""
        found: dict[str, list[Operator]] = defaultdict(list)
        for operator in self.operators.values():
            waiting, seen = [operator.function], set[str]()
            while waiting:
                name = waiting.pop()
                if name not in seen:
                    seen.add(name)
                    found[name].append(operator)
                    waiting.extend(self.called.get(name, ()))
        return found
