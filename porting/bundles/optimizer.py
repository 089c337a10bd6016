"""The exporter's optimisations of an ONNX graph: the same as it makes by itself, in less time, and a kind that reads no weights.

onnxscript tries each of its rules at each node, and for a rule that ends in several nodes walks the whole graph each time: the
time grows with the square of a model's operators, to a third of an export. A rule can only match where a node is of the kind that
its pattern ends in, which is seen at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir


@contextlib.contextmanager
def rooted_rules() -> Iterator[int]:
    """While this is open, onnxscript's rules are tried only where they can match. Gives how many are so; none where another
    version of onnxscript keeps them elsewhere."""
    from onnxscript import rewriter

    rules = getattr(rewriter, "_DEFAULT_REWRITE_RULES", ())
    rooted = tuple(_rooted(rule) for rule in rules)
    if rules:
        rewriter._DEFAULT_REWRITE_RULES = rooted
    try:
        yield sum(isinstance(rule, _Rooted) for rule in rooted)
    finally:
        if rules:
            rewriter._DEFAULT_REWRITE_RULES = rules


def optimize_unread(model: onnx_ir.Model, above: int) -> None:
    """The exporter's optimisations without any that follows from what a weight holds: none is copied, transposed or cast.
    above: how many bytes make a weight."""
    from onnxscript import optimizer

    def reads(node: onnx_ir.Node) -> bool | None:
        held = [value.const_value for value in node.inputs if value is not None and value.is_initializer()]
        return False if any(tensor is not None and tensor.nbytes > above for tensor in held) else None

    with rooted_rules():
        optimizer.optimize_ir(model, should_fold=reads)


class _Rooted:
    """A rule that is tried only at nodes of the kind that its pattern ends in."""

    def __init__(self, rule: Any, root: Any) -> None:
        self._rule, self._root = rule, root

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rule, name)

    def try_rewrite(self, model: Any, graph: Any, node: Any, **how: Any) -> Any:
        here = self._root.op.matches(node.op_type) and self._root.domain.matches(node.domain)
        return self._rule.try_rewrite(model, graph, node, **how) if here else None


def _rooted(rule: Any) -> Any:
    """The rule as it is where its pattern, whose first end a match begins with, is not to be seen."""
    from onnxscript.rewriter import _matcher

    ends = getattr(getattr(rule, "_target_pattern", None), "output_nodes", ())
    simple = isinstance(getattr(rule, "_matcher", None), _matcher.SimplePatternMatcher)
    return _Rooted(rule, ends[0]) if simple and ends and hasattr(ends[0], "op") else rule
