"""Sizes that vary, told to TVM's importer of exported programs as expressions of TIR.

TVM 0.27 makes a tensor of a size that is fixed, and does arithmetic with sizes as with tensors: the smaller of two it lacks, and
true division; a tensor that it then takes for a number fails somewhere later, and what was made with it has no shape. Here a
size is a number of Python where it is fixed and an expression where it varies; one that TVM does not know, it has from torch.
"""

from __future__ import annotations

import math
import operator
from functools import reduce
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple

Convert = Callable[[Any, Any], Any]
"""A node of the program and TVM's importer, to what stands for the node's value."""


def is_size(node: Any) -> bool:
    """Whether this is a function of a program that answers with a size, or a number made of sizes."""
    import torch

    if not isinstance(node, torch.fx.Node) or node.op != "call_function":
        return False
    return isinstance(node.meta.get("val"), (int, float, torch.SymInt, torch.SymFloat, torch.SymBool))


def is_expression(value: Any) -> bool:
    """Whether what stands for a node's value is an expression of TIR."""
    from tvm import ir

    return isinstance(value, ir.Expr) and bool(ir.is_prim_expr(value))


def are_fixed(dims: Sequence[Any]) -> bool:
    """Whether all of these sizes are numbers."""
    from tvm import tirx

    return all(isinstance(dim, (int, tirx.IntImm)) for dim in dims)


def convert(node: Any, importer: Any) -> Any:
    """What stands for a size: as TVM has it where it is an axis of something, else by the arithmetic of the program, else by
    torch's own expression. Raises ValueError for one that TIR has no expression for."""
    value, name = node.meta["val"], node.target.__name__
    if isinstance(value, (int, float)):
        return value
    if name == "sym_size.int" and (dims := known_dims(importer.env[node.args[0]])):
        return dims[node.args[1]]
    parts = importer.retrieve_args(node)
    if name in _arithmetic() and all(isinstance(part, int) or is_expression(part) for part in parts):
        return _arithmetic()[name](*parts)
    return expression(value.node.expr, variables(importer))


def known_dims(tensor: Any) -> Sequence[Any]:
    """The sizes of a Relax tensor as TVM has them; empty where it knows none."""
    from tvm import relax, tirx

    if not isinstance(tensor.ty.shape, relax.ShapeExpr):
        return ()
    return [int(dim) if isinstance(dim, tirx.IntImm) else dim for dim in tensor.ty.shape.values]


def of_node(node: Any, importer: Any) -> Sequence[Any]:
    """The sizes of a node's tensor as torch knows them; empty where TIR has no expression for one."""
    return of_tensor(node.meta["val"], importer)


def of_tensor(tensor: Any, importer: Any) -> Sequence[Any]:
    """The sizes of a tensor of torch; empty where TIR has no expression for one."""
    known = variables(importer)
    try:
        return [dim if isinstance(dim, int) else expression(dim.node.expr, known) for dim in tensor.shape]
    except ValueError:
        return ()


def as_tensor(value: Any, dtype: str, importer: Any) -> Any:
    """A number made of sizes as a Relax tensor of rank 0."""
    from tvm import te, tirx

    return importer.block_builder.emit_te(lambda number: te.compute((), lambda: tirx.Cast(dtype, number), name="size"), value)


def variables(importer: Any) -> Mapping[str, Any]:
    """The dynamic sizes that inputs of the function have as such, by the name that torch gave them."""
    from tvm import relax, tirx

    shapes = [value.ty.shape for node, value in importer.env.items() if node.op == "placeholder"]
    dims = [dim for shape in shapes if isinstance(shape, relax.ShapeExpr) for dim in shape.values]
    return {dim.name: dim for dim in dims if isinstance(dim, tirx.Var)}


def expression(size: Any, variables: Mapping[str, Any]) -> Any:
    """torch's (sympy's) expression of a size in TIR, sizes being no less than 0. Raises ValueError where there is none."""
    kind, parts = type(size).__name__, size.args
    if size.is_Integer:
        return int(size)
    if size.is_Symbol and str(size) in variables:
        return variables[str(size)]
    if kind in _ROUNDED and (whole := _whole_and_rest(parts[0])):
        return expression(whole[0], variables) + _ROUNDING[kind](whole[1])
    if kind in _ROUNDED and type(parts[0]).__name__ == "IntTrueDiv":
        kind, parts = _ROUNDED[kind], parts[0].args
    if size.is_Float or kind in ("ToFloat", "IntTrueDiv", "FloatTrueDiv"):
        return reduce(operator.truediv, [_as_float(expression(part, variables)) for part in parts] or [_as_float(float(size))])
    if kind not in _WRITTEN:
        raise ValueError(f"TIR has no expression for the size {size}")
    return reduce(_arithmetic()[_WRITTEN[kind]], [expression(part, variables) for part in parts])


def _whole_and_rest(number: Any) -> Optional[Tuple[Any, float]]:
    """A whole number and the rest, of which something is the sum; None where it is none."""
    if type(number).__name__ == "FloatTrueDiv" and number.args[1].is_Float and float(number.args[1]) == 1:
        number = number.args[0]
    whole = [part.args[0] for part in number.args if type(part).__name__ == "ToFloat"]
    rest = [float(part) for part in number.args if part.is_Float]
    return (whole[0], rest[0]) if number.is_Add and (len(whole), len(rest), len(number.args)) == (1, 1, 2) else None


def _as_float(number: Any) -> Any:
    """A number as Python's float is."""
    from tvm import tirx

    return tirx.const(float(number), "float64") if isinstance(number, (int, float)) else tirx.Cast("float64", number)


_WRITTEN = {
    "Add": "add", "Mul": "mul", "FloorDiv": "floordiv", "CleanDiv": "floordiv", "Mod": "mod", "PythonMod": "mod",
    "Min": "sym_min", "Max": "sym_max", "CeilDiv": "ceildiv",
}  # fmt: skip
"""Functions of sympy, by the names that Python's operators have."""
_ROUNDED = {"FloorToInt": "floordiv", "TruncToInt": "floordiv", "CeilToInt": "ceildiv"}
"""What a rounded quotient is as whole numbers."""
_ROUNDING = {"FloorToInt": math.floor, "TruncToInt": math.floor, "CeilToInt": math.ceil}
"""What is done to the rest."""


def _arithmetic() -> Mapping[str, Callable[..., Any]]:
    """What a function of sizes does, by its name in a program."""
    from tvm import tirx

    return {
        "add": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg, "floordiv": tirx.floordiv,
        "mod": tirx.floormod, "ceildiv": tirx.ceildiv, "sym_min": tirx.min, "sym_max": tirx.max,
    }  # fmt: skip
