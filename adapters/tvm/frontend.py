"""TVM's importer of exported programs, and the one operator that it is helped with. Nothing is compiled here."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional


def import_program(path: Path) -> Any:
    """Read a saved program as a Relax module, its weights as constants. Raises what torch and TVM's importer raise."""
    import torch
    from tvm.relax.frontend.torch import from_exported_program

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 warns of its own trees of arguments
        program = torch.export.load(str(path))
        return from_exported_program(program, custom_convert_map={"index.Tensor": _index_of_known_shape})


def _index_of_known_shape(node: Any, importer: Any) -> Any:
    """Import x[i, j], and say what shape it has: 0.27 forgets it where indices of dynamic sizes broadcast, as in the attention
    masks of transformers, and then cannot lower what follows. The exported program knows."""
    from tvm import relax

    value = importer._index_tensor(node)
    if isinstance(value.ty.shape, relax.ShapeExpr):
        return value
    shape = _relax_shape(node.meta["val"].shape, importer)
    return value if shape is None else importer.block_builder.match_cast(value, relax.TensorType(shape, value.ty.dtype))


def _relax_shape(sizes: Any, importer: Any) -> Optional[List[Any]]:
    """A traced tensor's shape in the variables of the Relax function; None when one of them is not in its inputs."""
    variables = _size_variables(importer)
    shape: List[Any] = []
    for size in sizes:
        if isinstance(size, int):
            shape.append(size)
            continue
        name, derived = importer._process_derived_symbol(size.node.expr, variables)
        if derived is None and name not in variables:
            return None
        shape.append(variables[name] if derived is None else derived)
    return shape


def _size_variables(importer: Any) -> Dict[str, Any]:
    """The sizes that inputs of the function have as such, by name."""
    from tvm import relax, tirx

    shapes = [value.ty.shape for node, value in importer.env.items() if node.op == "placeholder"]
    dims = [dim for shape in shapes if isinstance(shape, relax.ShapeExpr) for dim in shape.values]
    return {dim.name: dim for dim in dims if isinstance(dim, tirx.Var)}
