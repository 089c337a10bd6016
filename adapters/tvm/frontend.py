"""TVM's importers of exported programs and of ONNX, and the operators that the first is helped with. Nothing is compiled here."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Dict, Tuple

from .._torch_program import read_program, view_as_reshape

SLICE_DEFAULTS: Tuple[Any, ...] = (0, 0, None, 1)
"""dim, start, end and step of aten.slice.Tensor where a node does not name them."""


def import_program(path: Path) -> Any:
    """Read a saved program as a Relax module, its weights as constants. Raises what torch and TVM's importer raise."""
    import torch
    from tvm.relax.frontend.torch import from_exported_program

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 warns of its own trees of arguments
        program = read_program(path)
        view_as_reshape(program)
        return count_from_the_end(from_exported_program(program, custom_convert_map={"slice.Tensor": slice_rows}))


def import_onnx(path: Path) -> Any:
    """Read an ONNX model as a Relax module, its weights as constants. Raises what onnx and TVM's importer raise."""
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    return count_from_the_end(from_onnx(onnx.load(str(path))))


def slice_rows(node: Any, importer: Any) -> Any:
    """Import x[:s] with a dynamic s out of a fixed number of rows as a gather.

    TVM 0.27 calls such a slice of 256 rows min(s, 256) long, and of a sum with it knows only the rank: it then cannot lower the
    position embeddings of transformers' encoders. Said in a cast, FuseTIR ends the process (SIGSEGV).
    """
    from tvm import relax, tirx

    axis, start, _, step = tuple(node.args[1:]) + SLICE_DEFAULTS[len(node.args) - 1 :]
    data = importer.env[node.args[0]]
    size = node.meta["val"].shape[axis]
    rows = size_variables(importer).get(str(size))
    fixed = isinstance(data.ty.shape, relax.ShapeExpr) and isinstance(data.ty.shape.values[axis], tirx.IntImm)
    if rows is None or not fixed or start or step != 1:
        return importer._slice(node)
    numbers = importer.block_builder.emit(relax.op.arange(0, rows, 1, "int64"))
    return importer.block_builder.emit(relax.op.take(data, numbers, axis=axis, mode="clip"))


def size_variables(importer: Any) -> Dict[str, Any]:
    """The dynamic sizes that inputs of the function have as such, by the name that torch gave them."""
    from tvm import relax, tirx

    shapes = [value.ty.shape for node, value in importer.env.items() if node.op == "placeholder"]
    dims = [dim for shape in shapes if isinstance(shape, relax.ShapeExpr) for dim in shape.values]
    return {dim.name: dim for dim in dims if isinstance(dim, tirx.Var)}


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
