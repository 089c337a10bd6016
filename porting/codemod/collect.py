"""What the rules share: the file they look at, and how a finding and its edits are put down."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from porting.codemod.finding import ACCEL, Edit, Finding, Safety, rules
from porting.codemod.infer import Inference
from porting.codemod.names import Names
from porting.codemod.project import Project
from porting.codemod.source import Source

# Words that say a branch is for another brand. `mps` is not among them: a laptop's branch is beside CUDA's everywhere.
BRANDS = re.compile(r"npu|mlu|musa|xpu|hpu|gcu|sdaa|txda|xla|rocm|hip\b|ascend|neuron|mtia|habana", re.IGNORECASE)
# Words of a test that asks for CUDA.
_CUDA = re.compile(r"cuda|(?:^|[^a-z])gpus?(?![a-z])", re.IGNORECASE)
_NO_DEVICE = re.compile(rb"ascend|maca|metax|camb(?:ricon)?|hygon|dcu|kunlun\w*|iluvatar|rocm|hip")
_DEVICE = re.compile(r"device|(?:^|_)dev$", re.IGNORECASE)


class Collector:
    """Grows while the rules look at one file."""

    def __init__(self, source: Source, names: Names, project: Project, module: str) -> None:
        self.source = source
        self.names = names
        self.project = project
        self.infer = Inference(source, names, project, module)
        self.findings: list[Finding] = []
        self.places: list[Any] = []
        """The node of each finding."""
        self._rules = rules()

    def add(
        self,
        rule: str,
        node: Any,
        edits: Sequence[Edit] = (),
        safety: Safety | None = None,
        why: str = "",
        details: Mapping[str, Any] | None = None,
        imports_itself: bool = False,
    ) -> None:
        """Put a finding down. Without edits a person has to decide, unless it may stay as it is."""
        source = self.source
        if safety is None:
            safety = self._rules[rule].safety
        if not edits and safety in (Safety.SAFE, Safety.CARE):
            safety = Safety.REPORT
        text = " ".join(source.text(node).split())
        column = len(source.data[source.line_start(node.lineno) : source.start(node)].decode("utf-8", "replace")) + 1
        found = Finding(rule, source.path, node.lineno, column, text[:160], safety, why, tuple(edits), imports_itself, details)
        if edits:
            found = self._provable(found, node)
        self.findings.append(found)
        self.places.append(node)

    def _provable(self, found: Finding, node: ast.AST) -> Finding:
        if not self.source.editable:
            return found.without_edits("the file is not in UTF-8")
        if self.brand_branch(node):
            return Finding(
                **{**vars(found), "safety": Safety.KEEP, "edits": (), "why": "stands beside branches for other brands"}
            )
        if self._scripted(node):
            return found.without_edits("stands in a function that is compiled from its text by torch.jit.script")
        if sys.version_info < (3, 12) and self.source.inside(node, ast.JoinedStr) and not self._as_written(node):
            return found.without_edits("stands inside a formatted string")
        return found

    def _scripted(self, node: ast.AST) -> bool:
        function = self.source.inside(node, ast.FunctionDef)
        decorators = getattr(function, "decorator_list", ())
        return any(self.names.resolve(d).startswith("torch.jit.script") for d in decorators)

    def _as_written(self, node: Any) -> bool:
        """Whether a node's span holds its text. Before Python 3.12 nodes in formatted strings may be misplaced."""
        try:
            again = ast.parse(self.source.text(node), mode="eval").body
        except (SyntaxError, ValueError):
            return False
        return ast.dump(again) == ast.dump(node)

    def brand_branch(self, node: ast.AST) -> bool:
        """Whether a node belongs to one branch of several, another of which is for another brand."""
        child: ast.AST = node
        for parent in self.source.ancestors(node):
            if isinstance(parent, (ast.If, ast.IfExp)):
                tests = [self.source.text(test) for test in self._ladder(parent)]
                # The test that guards this branch is CUDA's; another one in the ladder is somebody else's.
                mine = [bool(_CUDA.search(test)) for test in tests]
                if any(mine) and any(BRANDS.search(test) and not own for test, own in zip(tests, mine, strict=True)):
                    return True
            if isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and child is not parent:
                return False
            child = parent
        return False

    def _ladder(self, node: ast.If | ast.IfExp) -> list[ast.expr]:
        """The tests of an if/elif chain, from its top."""
        top: ast.AST = node
        while isinstance(up := self.source.up(top), type(node)) and top is not up and self._is_else(up, top):
            top = up
        tests: list[ast.expr] = []
        here: Any = top
        while isinstance(here, (ast.If, ast.IfExp)):
            tests.append(here.test)
            rest: Any = here.orelse
            here = rest if isinstance(rest, ast.expr) else rest[0] if len(rest) == 1 else None
        return tests

    def _is_else(self, parent: Any, child: ast.AST) -> bool:
        return child is parent.orelse if isinstance(parent, ast.IfExp) else parent.orelse == [child]

    @functools.cached_property
    def own_words(self) -> frozenset[str]:
        """Names that the file compares with a brand's name that is no device of PyTorch's: their words are not PyTorch's."""
        found: set[str] = set()
        for compared in self.source.all(ast.Compare) if _NO_DEVICE.search(self.source.data) else ():
            sides = [compared.left, *compared.comparators]
            words = {
                n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant) and isinstance(n.value, str)
            }
            if any(_NO_DEVICE.fullmatch(word.encode()) for word in words):
                found.update(filter(None, map(word_of, sides)))
        return frozenset(found)

    # ---- edits

    def replace(self, node: Any, text: str) -> Edit:
        """An expression by another, kept apart from a word that touches it."""
        start, end = self.source.start(node), self.source.end(node)
        return self.replace_span(start, end, text)

    def replace_span(self, start: int, end: int, text: str) -> Edit:
        data = self.source.data
        before, after = data[start - 1 : start], data[end : end + 1]
        word = re.compile(rb"[\w]")
        first = text[0] == ACCEL or text[0].isalnum()
        return Edit(start, end, f"{' ' if first and word.match(before) else ''}{text}{' ' if word.match(after) else ''}")


def word_of(node: ast.AST) -> str:
    """The last part of a name; empty for other expressions."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def device_like(*nodes: ast.AST | None) -> bool:
    """Whether some name in an expression says that it is about a device."""
    for root in nodes:
        if root is None:
            continue
        for node in ast.walk(root):
            word = (
                node.id if isinstance(node, ast.Name)
                else node.attr if isinstance(node, ast.Attribute)
                else node.value if isinstance(node, ast.Constant) and isinstance(node.value, str)
                else ""
            )  # fmt: skip
            if word and _DEVICE.search(word):
                return True
    return False


def named_device(word: str) -> bool:
    return bool(_DEVICE.search(word))
