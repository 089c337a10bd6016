"""TVM's importers of exported programs and of ONNX. Nothing is compiled here."""

from __future__ import annotations

import warnings
from typing import Any

from porting.adapter import ExportedForm

from .._core_program import captured
from .._torch_program import read_program, view_as_reshape
from . import operators


def import_program(form: ExportedForm) -> Any:
    """Read a saved program, of either form, as a Relax module, its weights as constants. Raises what torch and TVM's importer
    raise."""
    import torch
    from tvm.relax.frontend.torch.exported_program_translator import ExportedProgramImporter

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 warns of its own trees of arguments
        program = captured(form) if form.kind == "aten" else read_program(form.path)
        view_as_reshape(program)
        program = program.run_decompositions()
        importer = ExportedProgramImporter()
        helped = operators.conversions(program, importer)
        return count_from_the_end(importer.from_exported_program(program, False, False, False, helped))


def import_onnx(form: ExportedForm) -> Any:
    """Read an ONNX model as a Relax module, its weights as constants. Raises what onnx and TVM's importer raise."""
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    return count_from_the_end(from_onnx(onnx.load(str(form.path))))


def count_from_the_end(module: Any) -> Any:
    """Let every `take` of a Relax module read the index -1 as PyTorch does, as the last.

    TVM 0.27 imports x[:, -1], x[index] and embeddings with mode "fast": it then reads in front of the tensor, or past it, and
    whatever lies there becomes the answer.
    """
    from tvm import ir, relax
    from tvm.relax.expr_functor import PyExprMutator, mutator

    @mutator
    class Wrap(PyExprMutator):  # type: ignore[misc]  # tvm is not followed
        def visit_call_(self, call: Any) -> Any:
            call = super().visit_call_(call)
            if call.op != ir.Op.get("relax.take") or call.attrs.mode != "fast":
                return call
            return relax.op.take(call.args[0], call.args[1], call.attrs.axis, "wrap")

    wrapped = Wrap(module)
    for name, function in module.functions_items():
        if isinstance(function, relax.Function):
            wrapped.builder_.update_func(name, wrapped.visit_expr(function))
    return wrapped.builder_.get()
