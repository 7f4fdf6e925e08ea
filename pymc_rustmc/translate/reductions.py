"""Reductions over axes and cumulative sums and products."""

from __future__ import annotations

from typing import Any

from pytensor.tensor.elemwise import CAReduce
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Argmax

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.walker import Walker

_REDUCTIONS = {
    "Add": "sum",
    "Mul": "prod",
    "Maximum": "max",
    "Minimum": "min",
    "AND": "all",
    "OR": "any",
}

# Reductions of integers bit by bit.
_BITWISE = {"AND": "bit_and", "OR": "bit_or", "XOR": "bit_xor"}


def all_axes(axis: int | tuple[int, ...] | None, ndim: int) -> list[int]:
    """List the axes that PyTensor's `axis` (None, one or several, maybe negative) means for rank `ndim`."""
    if axis is None:
        return list(range(ndim))
    return [int(a) % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))]


@register(CAReduce)
def _reduce(op: CAReduce, node: Any, walker: Walker) -> int:
    kind = type(op.scalar_op).__name__
    (x,) = walker.inputs(node)
    axes = all_axes(op.axis, walker.ndim(x))
    if not axes:
        return x
    if kind == "MulWithoutZeros":
        return _product_without_zeros(x, axes, walker)
    if kind in _BITWISE and (kind == "XOR" or walker.graph.dtype(x) != "bool"):
        return walker.op("bitwise", x, function=_BITWISE[kind], axes=axes)
    if kind not in _REDUCTIONS:
        raise UnsupportedOpError(op)
    return walker.op(_REDUCTIONS[kind], x, axes=axes)


def _product_without_zeros(x: int, axes: list[int], walker: Walker) -> int:
    """Product of the factors that are not 0; 0 where all are."""
    is_zero = walker.op("eq", x, walker.constant(0))
    product = walker.op("prod", walker.op("where", is_zero, walker.constant(1), x), axes=axes)
    lengths = [walker.op("shape_i", x, axis=axis) for axis in axes]
    some = [walker.op("gt", length, walker.constant(0)) for length in lengths]
    none_left = walker.op("and", walker.op("all", is_zero, axes=axes), *some)
    return walker.op("where", none_left, walker.constant(0), product)


@register(Argmax)
def _argmax(op: Argmax, node: Any, walker: Walker) -> int:
    (x,) = walker.inputs(node)
    return walker.op("argmax", x, axes=all_axes(op.axis, walker.ndim(x)))


@register(CumOp)
def _cumulative(op: CumOp, node: Any, walker: Walker) -> int:
    (x,) = walker.inputs(node)
    axis = op.axis
    if axis is None:
        x = walker.op("reshape", x, walker.constant([-1]), ndim=1)
        axis = 0
    name = {"add": "cumsum", "mul": "cumprod"}[op.mode]
    return walker.op(name, x, axis=int(axis) % walker.ndim(x))
