"""Elementwise Ops: the table from PyTensor's scalar Ops to ours."""

from __future__ import annotations

from typing import Any

from pytensor.scalar.basic import ScalarOp
from pytensor.tensor.basic import ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import Elemwise

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.walker import Walker

# Scalar Ops whose meaning is exactly that of one op of ours, input for input.
_SAME = {
    "Abs": "abs",
    "Add": "add",
    "ArcCos": "acos",
    "ArcCosh": "acosh",
    "ArcSin": "asin",
    "ArcSinh": "asinh",
    "ArcTan": "atan",
    "ArcTan2": "atan2",
    "ArcTanh": "atanh",
    "Ceil": "ceil",
    "Clip": "clip",
    "Cos": "cos",
    "Cosh": "cosh",
    "EQ": "eq",
    "Erf": "erf",
    "Erfc": "erfc",
    "Erfcx": "erfcx",
    "Exp": "exp",
    "Exp2": "exp2",
    "Expm1": "expm1",
    "Floor": "floor",
    "GE": "ge",
    "GT": "gt",
    "Gamma": "gamma",
    "GammaLn": "lgamma",
    "IntDiv": "int_div",
    "IsInf": "isinf",
    "IsNan": "isnan",
    "LE": "le",
    "LT": "lt",
    "Log": "log",
    "Log10": "log10",
    "Log1mexp": "log1mexp",
    "Log1p": "log1p",
    "Log2": "log2",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Mod": "mod",
    "Mul": "mul",
    "NEQ": "ne",
    "Neg": "neg",
    "Pow": "pow",
    "Psi": "digamma",
    "Reciprocal": "reciprocal",
    "RoundHalfAwayFromZero": "round_half_away",
    "RoundHalfToEven": "round_half_even",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Sqr": "sqr",
    "Sqrt": "sqrt",
    "Sub": "sub",
    "Tan": "tan",
    "Tanh": "tanh",
    "TriGamma": "trigamma",
    "TrueDiv": "div",
    "Trunc": "trunc",
    "XlogY0": "xlogy",
}

# Bitwise in PyTensor: the same as ours on bool only.
_LOGICAL = {"AND": "and", "OR": "or", "XOR": "xor", "Invert": "not"}

# The walker casts every result to the declared dtype, so a Cast is an identity here.
_IDENTITY = {"Cast", "Identity"}


@register(Elemwise)
def _elemwise(op: Elemwise, node: Any, walker: Walker) -> int:
    return _apply(op.scalar_op, node, walker)


@register(ScalarOp)
def _scalar(op: ScalarOp, node: Any, walker: Walker) -> int:
    return _apply(op, node, walker)


@register(ScalarFromTensor, TensorFromScalar)
def _rank_cast(op: Any, node: Any, walker: Walker) -> int:
    return walker.id(node.inputs[0])


def _apply(scalar_op: ScalarOp, node: Any, walker: Walker) -> int:
    name = type(scalar_op).__name__
    inputs = walker.inputs(node)
    if name in _SAME:
        return walker.op(_SAME[name], *inputs)
    if name in _IDENTITY:
        return inputs[0]
    if name == "Switch":
        condition, then, otherwise = inputs
        return walker.op("where", walker.cast(condition, "bool"), then, otherwise)
    if name == "Second":
        like, value = inputs
        return walker.op("broadcast_like", value, like)
    if name == "XlogX":
        return walker.op("xlogy", inputs[0], inputs[0])
    if name in _LOGICAL:
        if any(variable.type.dtype != "bool" for variable in node.inputs):
            raise UnsupportedOpError(f"{scalar_op} on integers (bitwise)")
        return walker.op(_LOGICAL[name], *inputs)
    raise UnsupportedOpError(scalar_op)
