"""Operators that work on every element by itself, in ncnn's layers: numbers, and flags as the numbers 1 and 0."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple

from .._network import UnsupportedError
from . import emitter as e
from .emitter import Emitter, Operand, Value, Way


def table() -> Dict[str, Way]:
    """By the name of an operator, without its overload, how it is emitted."""
    return {**_NUMBERS, **_FLAGS}


# ---- numbers ------------------------------------------------------------------------------------------------------


def _binary(operation: int) -> Way:
    def way(to: Emitter, left: Operand, right: Operand, alpha: float = 1, **_: Any) -> Value:
        return to.binary(operation, left, to.mul(right, alpha) if alpha != 1 else right)

    return way


def _unary(operation: int) -> Way:
    return lambda to, value, *_, **__: to.unary(operation, value)


def _layer(kind: str, **settings: float) -> Way:
    return lambda to, value, *_, **__: to.same(kind, value, {int(key[1:]): number for key, number in settings.items()})


def _div(to: Emitter, left: Operand, right: Operand, rounding_mode: Optional[str] = None) -> Value:
    if rounding_mode is None:
        return to.binary(e.DIV, left, right)
    return _whole(to, left, right, down=rounding_mode == "floor")


def _whole(to: Emitter, left: Operand, right: Operand, down: bool) -> Value:
    """How often right goes into left, rounded down or to zero. ncnn divides by the product with a reciprocal, which is short of 1
    where both are alike; of integers a half more is taken, which no quotient is as near to the next as that."""
    if to.dtype.is_floating_point:
        return to.unary(e.FLOOR if down else TRUNC, to.binary(e.DIV, left, right))
    sign = math.copysign(1.0, right) if not isinstance(right, Value) else to.unary(SIGN, right)
    signed = to.mul(left, sign)
    if down:
        return to.unary(e.FLOOR, to.binary(e.DIV, to.add(signed, 0.5), _size(to, right)))
    quotient = to.binary(e.DIV, to.add(to.unary(e.ABS, signed), 0.5), _size(to, right))
    return to.mul(to.unary(e.FLOOR, quotient), to.unary(SIGN, signed))


def _size(to: Emitter, value: Operand) -> Operand:
    return to.unary(e.ABS, value) if isinstance(value, Value) else abs(value)


def _remainder(to: Emitter, left: Operand, right: Operand) -> Value:
    return to.sub(left, to.mul(_whole(to, left, right, down=True), right))


def _fmod(to: Emitter, left: Operand, right: Operand) -> Value:
    return to.sub(left, to.mul(_whole(to, left, right, down=False), right))


def _pow(to: Emitter, base: Operand, exponent: Operand) -> Value:
    """Whole powers as products, since ncnn's own is by a logarithm, which a negative base has none of."""
    if not isinstance(exponent, Value) and float(exponent) in (1.0, 2.0, 3.0, 4.0):
        assert isinstance(base, Value)
        square = base if exponent == 1 else to.mul(base, base)
        return square if exponent <= 2 else to.mul(square, base if exponent == 3 else square)
    if exponent in (0.5, -0.5) and isinstance(base, Value):
        root = to.unary(SQRT, base)
        return root if exponent == 0.5 else to.binary(e.DIV, 1.0, root)
    return to.binary(e.POW, base, exponent)


def _rsqrt(to: Emitter, value: Value) -> Value:
    return to.binary(e.DIV, 1.0, to.unary(SQRT, value))


def _reciprocal(to: Emitter, value: Value) -> Value:
    return to.binary(e.DIV, 1.0, value)


def _log(base: float) -> Way:
    return lambda to, value: to.mul(to.unary(LOG, value), 1 / math.log(base))


def _clamp(to: Emitter, value: Value, low: Any = None, high: Any = None) -> Value:
    if isinstance(low, Value) or isinstance(high, Value):
        value = value if low is None else to.binary(e.MAX, value, low)
        return value if high is None else to.binary(e.MIN, value, high)
    return to.clip(value, low, high)


def _leaky(to: Emitter, value: Value, slope: float = 0.01) -> Value:
    return to.same("ReLU", value, {0: float(slope)})


def _elu(to: Emitter, value: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    negative = to.unary(EXPM1, to.mul(to.clip(value, None, 0.0), float(input_scale)))
    return to.add(to.mul(to.clip(value, 0.0, None), float(scale)), to.mul(negative, float(alpha * scale)))


def _gelu(to: Emitter, value: Value, approximate: str = "none") -> Value:
    return to.same("GELU", value, {0: int(approximate == "tanh")})


def _softplus(to: Emitter, value: Value, beta: float = 1, _threshold: float = 20) -> Value:
    scaled = to.mul(value, float(beta))
    small = to.unary(LOG1P, to.unary(EXP, to.unary(e.NEG, to.unary(e.ABS, scaled))))
    return to.mul(to.add(to.clip(scaled, 0.0, None), small), 1 / float(beta))


def _cast(to: Emitter, value: Value, *_: Any, **__: Any) -> Value:
    before, after = to.given, to.dtype
    if after.is_complex or before.is_complex:
        raise UnsupportedError("ncnn has no complex numbers")
    if str(after) == "torch.bool" and str(before) != "torch.bool":
        return to.unequal(value, 0.0)
    if before.is_floating_point and not after.is_floating_point:
        return to.unary(TRUNC, value)
    return value


TRUNC, SIGN, SQRT, EXP, LOG, EXPM1, LOG1P = 19, 20, 5, 7, 8, 21, 27

_NUMBERS: Dict[str, Way] = {
    "add": _binary(e.ADD), "sub": _binary(e.SUB), "mul": _binary(e.MUL), "div": _div,
    "maximum": _binary(e.MAX), "minimum": _binary(e.MIN), "atan2": _binary(10), "remainder": _remainder, "fmod": _fmod,
    "pow": _pow, "rsqrt": _rsqrt, "reciprocal": _reciprocal, "log2": _log(2), "log10": _log(10),
    "abs": _unary(e.ABS), "neg": _unary(e.NEG), "floor": _unary(e.FLOOR), "ceil": _unary(e.CEIL), "sqrt": _unary(SQRT),
    "exp": _unary(EXP), "log": _unary(LOG), "sin": _unary(9), "cos": _unary(10), "tan": _unary(11), "asin": _unary(12),
    "acos": _unary(13), "atan": _unary(14), "round": _unary(18), "trunc": _unary(TRUNC), "sign": _unary(20),
    "expm1": _unary(EXPM1), "sinh": _unary(22), "asinh": _unary(23), "cosh": _unary(24), "acosh": _unary(25),
    "atanh": _unary(26), "log1p": _unary(LOG1P), "erf": _layer("Erf"), "tanh": _layer("TanH"), "sigmoid": _layer("Sigmoid"),
    "relu": _layer("ReLU"), "clamp": _clamp, "hardtanh": _clamp, "leaky_relu": _leaky, "elu": _elu, "gelu": _gelu,
    "silu": _layer("Swish"), "softplus": _softplus, "_to_copy": _cast,
}  # fmt: skip


# ---- flags --------------------------------------------------------------------------------------------------------


def _compare(how: str) -> Way:
    def way(to: Emitter, left: Operand, right: Operand) -> Value:
        edge = next((side for side in (left, right) if not isinstance(side, Value) and math.isinf(side)), None)
        if edge is not None:
            return _at_infinity(to, how, left, right)
        if how == "gt":
            return to.greater(left, right)
        if how == "lt":
            return to.greater(right, left)
        if how == "ge":
            return to.inverse(to.greater(right, left))
        if how == "le":
            return to.inverse(to.greater(left, right))
        return to.equal(left, right) if how == "eq" else to.unequal(left, right)

    return way


def _at_infinity(to: Emitter, how: str, left: Operand, right: Operand) -> Value:
    """Equal to infinity, or not: beyond the largest number that stands for it, nearly."""
    value, edge = (left, right) if isinstance(left, Value) else (right, left)
    assert isinstance(value, Value)
    assert not isinstance(edge, Value)
    near = math.copysign(e.LOWEST / 2, edge)
    there = to.greater(value, near) if edge > 0 else to.greater(near, value)
    if how in ("eq", "ne"):
        return there if how == "eq" else to.inverse(there)
    raise UnsupportedError(f"{how} with infinity")


def _and(to: Emitter, left: Operand, right: Operand) -> Value:
    return to.mul(*_flags(to, left, right))


def _or(to: Emitter, left: Operand, right: Operand) -> Value:
    return to.binary(e.MAX, *_flags(to, left, right))


def _xor(to: Emitter, left: Operand, right: Operand) -> Value:
    return to.unary(e.ABS, to.sub(*_flags(to, left, right)))


def _not(to: Emitter, value: Value) -> Value:
    if str(to.given) == "torch.bool":
        return to.inverse(value)
    return to.equal(value, 0.0) if to.node.target.__name__.startswith("logical") else to.sub(-1.0, value)


def _flags(to: Emitter, left: Operand, right: Operand) -> Tuple[Operand, Operand]:
    if not to.node.target.__name__.startswith("logical") and str(to.dtype) != "torch.bool":
        raise UnsupportedError(f"{to.node.target} of integers: ncnn has no bits")
    made: List[Operand] = []
    for given, value in zip(to.node.args, (left, right)):  # noqa: B905 -- `strict` came with 3.10
        flags = not hasattr(given, "meta") or str(given.meta["val"].dtype) == "torch.bool"
        made.append(float(bool(value)) if not isinstance(value, Value) else value if flags else to.unequal(value, 0.0))
    return made[0], made[1]


def _where(to: Emitter, flags: Value, yes: Operand, no: Operand) -> Value:
    return to.where(flags, yes, no)


def _isinf(to: Emitter, value: Value) -> Value:
    return to.greater(to.unary(e.ABS, value), e.LOWEST / 2)


_FLAGS: Dict[str, Way] = {
    **{how: _compare(how) for how in ("eq", "ne", "gt", "lt", "ge", "le")},
    "logical_and": _and, "bitwise_and": _and, "logical_or": _or, "bitwise_or": _or, "logical_xor": _xor, "bitwise_xor": _xor,
    "logical_not": _not, "bitwise_not": _not, "where": _where, "isinf": _isinf,
}  # fmt: skip
