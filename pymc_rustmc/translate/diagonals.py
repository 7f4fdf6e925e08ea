"""Diagonals: read, written, and laid out as matrices."""

from __future__ import annotations

from typing import Any

from pymc.math import BatchedDiag
from pytensor.tensor.basic import ExtractDiag
from pytensor.tensor.extra_ops import FillDiagonal, FillDiagonalOffset

from pymc_rustmc.translate.blockwise import batch_ndim, on_stacks, shared_by_stack, spread
from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.walker import Walker


@register(ExtractDiag)
def _extract_diag(op: ExtractDiag, node: Any, walker: Walker) -> int:
    x = walker.id(node.inputs[0])
    return walker.op("extract_diag", x, offset=op.offset, axis1=op.axis1, axis2=op.axis2)


@on_stacks(FillDiagonal)
def _fill_diagonal(op: FillDiagonal, node: Any, walker: Walker) -> int:
    x, value = walker.inputs(node)
    lead = batch_ndim(node)
    ndim = walker.ndim(x) - lead
    count = walker.op("minimum", *(walker.op("shape_i", x, axis=lead + axis) for axis in range(ndim)))
    return _filled(node, x, value, [_range(count, walker)] * ndim, walker)


@on_stacks(FillDiagonalOffset)
def _fill_diagonal_offset(op: FillDiagonalOffset, node: Any, walker: Walker) -> int:
    x, value = walker.inputs(node)[:2]
    offset, zero = shared_by_stack(node.inputs[2], node, walker), walker.constant(0)
    below = walker.op("maximum", walker.op("neg", offset), zero)
    right = walker.op("maximum", offset, zero)
    rows = walker.op("sub", walker.op("shape_i", x, axis=walker.ndim(x) - 2), below)
    columns = walker.op("sub", walker.op("shape_i", x, axis=walker.ndim(x) - 1), right)
    places = _range(walker.op("minimum", rows, columns), walker)
    return _filled(node, x, value, [walker.op("add", places, below), walker.op("add", places, right)], walker)


def _filled(node: Any, x: int, value: int, places: list[int], walker: Walker) -> int:
    """`x` with `value`, one for each array of a stack, at places along its last axes."""
    lead = batch_ndim(node)
    value = walker.op("dimshuffle", value, order=[*range(lead), -1])
    spec = [":"] * lead + ["a"] * len(places)
    return walker.op("set_index", spread(x, node, walker), value, *places, spec=spec)


@register(BatchedDiag)
def _batched_diag(op: BatchedDiag, node: Any, walker: Walker) -> int:
    (diagonals,) = walker.inputs(node)
    count, length = (walker.op("shape_i", diagonals, axis=axis) for axis in (0, 1))
    zeros = walker.op("broadcast_to", walker.constant(0.0), count, length, length)
    places = _range(length, walker)
    return walker.op("set_index", zeros, diagonals, places, places, spec=[":", "a", "a"])


def _range(count: int, walker: Walker) -> int:
    return walker.op("arange", walker.constant(0), count, walker.constant(1))
