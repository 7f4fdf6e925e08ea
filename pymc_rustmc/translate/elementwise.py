"""Elementwise Ops: the table from PyTensor's scalar Ops to ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Add, Composite, Exp, ScalarOp
from pytensor.tensor.basic import ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Sum

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.reductions import all_axes
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
    "BetaInc": "betainc",
    "Ceil": "ceil",
    "Clip": "clip",
    "Cos": "cos",
    "Cosh": "cosh",
    "EQ": "eq",
    "Erf": "erf",
    "Erfc": "erfc",
    "Erfcinv": "erfcinv",
    "Erfcx": "erfcx",
    "Erfinv": "erfinv",
    "Exp": "exp",
    "Exp2": "exp2",
    "Expm1": "expm1",
    "Floor": "floor",
    "GE": "ge",
    "GT": "gt",
    "Gamma": "gamma",
    "GammaInc": "gammainc",
    "GammaIncC": "gammaincc",
    "GammaLn": "lgamma",
    "Hyp2F1": "hyp2f1",
    "I0": "i0",
    "I0e": "i0e",
    "I1": "i1",
    "I1e": "i1e",
    "IntDiv": "int_div",
    "IsInf": "isinf",
    "IsNan": "isnan",
    "Ive": "ive",
    "J0": "j0",
    "J1": "j1",
    "Jv": "jv",
    "Kve": "kve",
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
    "NdtriExp": "ndtri_exp",
    "Neg": "neg",
    "Owens_t": "owens_t",
    "PolyGamma": "polygamma",
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

# PyTensor's bitwise Ops: ours on bool, and on integers.
_BITWISE = {
    "AND": ("and", "bit_and"),
    "OR": ("or", "bit_or"),
    "XOR": ("xor", "bit_xor"),
    "Invert": ("not", "bit_not"),
}

# Scalar Ops whose result may exceed integers of the dtype of their inputs.
_MAY_OVERFLOW = {"Abs", "Add", "Cast", "Invert", "Mul", "Neg", "Pow", "Sqr", "Sub"}

# The walker casts every result to the declared dtype, so a Cast is an identity here; all inputs are real.
_IDENTITY = {"Cast", "Conj", "Identity", "Real"}

# Scalar Ops that are a product of their input and a constant.
_FACTORS = {"Deg2Rad": np.pi / 180, "Rad2Deg": 180 / np.pi}


@register(Elemwise)
def _elemwise(op: Elemwise, node: Any, walker: Walker) -> int | Sequence[int]:
    if isinstance(op.scalar_op, Composite):
        return _inlined(op.scalar_op, node, walker)
    return _apply(op.scalar_op, node, walker)


@register(ScalarOp)
def _scalar(op: ScalarOp, node: Any, walker: Walker) -> int:
    return _apply(op, node, walker)


@register(Composite)
def _inlined(op: Composite, node: Any, walker: Walker) -> list[int]:
    """Apply the inner scalar graph to arrays; an output that ignores an input has its shape all the same."""
    results = walker.inline(op.fgraph, node.inputs)
    for k, output in enumerate(op.fgraph.outputs):
        used = set(ancestors([output]))
        for inner, variable in zip(op.fgraph.inputs, node.inputs, strict=True):
            if inner not in used:
                results[k] = walker.op("broadcast_like", results[k], walker.id(variable))
    return results


@register(ScalarFromTensor, TensorFromScalar)
def _rank_cast(op: Any, node: Any, walker: Walker) -> int:
    return walker.id(node.inputs[0])


def _apply(scalar_op: ScalarOp, node: Any, walker: Walker) -> int:
    result = _result(scalar_op, node, walker)
    if type(scalar_op).__name__ in _MAY_OVERFLOW:
        return _wrapped(result, np.dtype(node.outputs[0].type.dtype), walker)
    return result


def _log_of_exponentials(node: Any, walker: Walker) -> int | None:
    """log(sum(exp(x))) and log(exp(x) + exp(y)), each as the op that cannot overflow."""
    total, order = node.inputs[0], None
    if isinstance(_op_of(total), DimShuffle):  # as `keepdims` makes it
        total, order = total.owner.inputs[0], list(total.owner.op.new_order)
    op = _op_of(total)
    is_sum = isinstance(op, Sum)
    if not is_sum and not _is_elementwise(total, Add):
        return None
    terms = total.owner.inputs
    if not all(_is_elementwise(term, Exp) and walker.is_known(term.owner.inputs[0]) for term in terms):
        return None
    exponents = [walker.cast(walker.id(term.owner.inputs[0]), "float64") for term in terms]
    if is_sum:
        value = walker.op("logsumexp", *exponents, axes=all_axes(op.axis, walker.ndim(exponents[0])))
    else:
        value = reduce(partial(walker.op, "logaddexp"), exponents)
    if order is None:
        return value
    return walker.op("dimshuffle", value, order=[-1 if axis == "x" else axis for axis in order])


def _op_of(variable: Any) -> Any:
    return variable.owner and variable.owner.op


def _is_elementwise(variable: Any, scalar_op: type[ScalarOp]) -> bool:
    op = _op_of(variable)
    return isinstance(op, Elemwise) and isinstance(op.scalar_op, scalar_op)


def _result(scalar_op: ScalarOp, node: Any, walker: Walker) -> int:
    """Value of the Op on unbounded integers."""
    name = type(scalar_op).__name__
    inputs = walker.inputs(node)
    if name == "Log" and (stable := _log_of_exponentials(node, walker)) is not None:
        return stable
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
    if name in _FACTORS:
        return walker.op("mul", inputs[0], walker.constant(_FACTORS[name]))
    if name == "Iv":
        growth = walker.op("exp", walker.op("abs", inputs[1]))
        return walker.op("mul", walker.op("ive", *inputs), growth)
    if name in ("GammaL", "GammaU"):
        share = walker.op({"GammaL": "gammainc", "GammaU": "gammaincc"}[name], *inputs)
        return walker.op("mul", share, walker.op("gamma", inputs[0]))
    if name == "MulWithoutZeros":
        x, y = inputs
        zero = walker.constant(0)
        product = walker.op("where", walker.op("eq", y, zero), x, walker.op("mul", x, y))
        return walker.op("where", walker.op("eq", x, zero), y, product)
    if name in _BITWISE:
        on_bool, on_integers = _BITWISE[name]
        return walker.op(on_bool if node.outputs[0].type.dtype == "bool" else on_integers, *inputs)
    raise UnsupportedOpError(scalar_op)


def _wrapped(result: int, dtype: np.dtype[Any], walker: Walker) -> int:
    """Take `result` modulo the range of an integer `dtype` narrower than ours, as its arithmetic does."""
    if dtype.kind not in "iu" or dtype.itemsize == 8 or walker.graph.dtype(result) == "bool":
        return result
    lowest, count = walker.constant(np.iinfo(dtype).min), walker.constant(2 ** (8 * dtype.itemsize))
    offset = walker.op("sub", walker.cast(result, "int64"), lowest)
    return walker.op("add", walker.op("mod", offset, count), lowest)
