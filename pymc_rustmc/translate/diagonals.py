"""Diagonals: read, written, and laid out as matrices."""

from __future__ import annotations

from typing import Any

from pymc.math import BatchedDiag
from pytensor.tensor.basic import ExtractDiag
from pytensor.tensor.extra_ops import FillDiagonal, FillDiagonalOffset

from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.walker import Walker


@register(ExtractDiag)
def _extract_diag(op: ExtractDiag, node: Any, walker: Walker) -> int:
    x = walker.id(node.inputs[0])
    return walker.op("extract_diag", x, offset=op.offset, axis1=op.axis1, axis2=op.axis2)


@register(FillDiagonal)
def _fill_diagonal(op: FillDiagonal, node: Any, walker: Walker) -> int:
    x, value = walker.inputs(node)
    ndim = walker.ndim(x)
    count = walker.op("minimum", *(walker.op("shape_i", x, axis=axis) for axis in range(ndim)))
    places = _range(count, walker)
    return walker.op("set_index", x, value, *[places] * ndim, spec=["a"] * ndim)


@register(FillDiagonalOffset)
def _fill_diagonal_offset(op: FillDiagonalOffset, node: Any, walker: Walker) -> int:
    x, value, offset = walker.inputs(node)
    zero = walker.constant(0)
    below = walker.op("maximum", walker.op("neg", offset), zero)
    right = walker.op("maximum", offset, zero)
    rows = walker.op("sub", walker.op("shape_i", x, axis=0), below)
    columns = walker.op("sub", walker.op("shape_i", x, axis=1), right)
    places = _range(walker.op("minimum", rows, columns), walker)
    leaves = [walker.op("add", places, below), walker.op("add", places, right)]
    return walker.op("set_index", x, value, *leaves, spec=["a", "a"])


@register(BatchedDiag)
def _batched_diag(op: BatchedDiag, node: Any, walker: Walker) -> int:
    (diagonals,) = walker.inputs(node)
    count, length = (walker.op("shape_i", diagonals, axis=axis) for axis in (0, 1))
    zeros = walker.op("broadcast_to", walker.constant(0.0), count, length, length)
    places = _range(length, walker)
    return walker.op("set_index", zeros, diagonals, places, places, spec=[":", "a", "a"])


def _range(count: int, walker: Walker) -> int:
    return walker.op("arange", walker.constant(0), count, walker.constant(1))
