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


def all_axes(axis: int | tuple[int, ...] | None, ndim: int) -> list[int]:
    """List the axes that PyTensor's `axis` (None, one or several, maybe negative) means for rank `ndim`."""
    if axis is None:
        return list(range(ndim))
    return [int(a) % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,))]


@register(CAReduce)
def _reduce(op: CAReduce, node: Any, walker: Walker) -> int:
    name = _REDUCTIONS.get(type(op.scalar_op).__name__)
    if name is None:
        raise UnsupportedOpError(op)
    (x,) = walker.inputs(node)
    if name in ("all", "any") and node.inputs[0].type.dtype != "bool":
        raise UnsupportedOpError(f"{op} on integers (bitwise)")
    axes = all_axes(op.axis, walker.ndim(x))
    return walker.op(name, x, axes=axes) if axes else x


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
