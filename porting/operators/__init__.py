"""Operators one by one: the node cases of the ONNX package on a target, as results beside those of models.

A case is a model of one operator with inputs and expected outputs (`onnx.backend.test`). Its results lie in the same store,
under model ids of their own, so that they are exported, merged and explained like any other; a report of models leaves
them out. The modules: suite (the cases), job (runs them, in a backend's interpreter), judge (is an answer right), chunk (what
became of each case in a process), record (its result), run (all of it), known (what is known about wrong ones), coverage
(counts), filing (a case as a folder).
"""

PREFIX = "onnx/node/"
"""How the model ids of node cases begin."""


def is_case(model: str) -> bool:
    """Whether a model id or glob of ids means node cases."""
    return model.startswith(PREFIX)
