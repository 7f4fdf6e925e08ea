"""Padding by mirrored elements; all other modes are translated as the graph inside the Op."""

from __future__ import annotations

from typing import Any

from pytensor.tensor.pad import Pad

from pymc_rustmc.translate.blockwise import batch_ndim, inlined, on_stacks, shared_by_stack
from pymc_rustmc.translate.walker import Walker


@on_stacks(Pad)
def _pad(op: Pad, node: Any, walker: Walker) -> int | list[int]:
    # The graph inside PyTensor 2's mirrors axis by axis in a loop.
    if op.pad_mode not in ("reflect", "symmetric"):
        return inlined(op, node, walker)
    x, lead = walker.id(node.inputs[0]), batch_ndim(node)
    widths = shared_by_stack(node.inputs[1], node, walker)
    ndim = walker.ndim(x) - lead
    widths = walker.op("broadcast_to", widths, walker.constant(ndim), walker.constant(2))
    for axis in range(ndim):
        before, after = (
            walker.op("index", widths, walker.constant(axis), walker.constant(side), spec=["i", "i"])
            for side in (0, 1)
        )
        size = walker.op("shape_i", x, axis=lead + axis)
        positions = _mirrored(op.pad_mode, size, before, after, walker)
        x = walker.op("index", x, positions, spec=[":"] * (lead + axis) + ["a"])
    return x


def _mirrored(mode: str, size: int, before: int, after: int, walker: Walker) -> int:
    """Positions along one axis of length `size` that the padded axis shows."""
    zero, one = walker.constant(0), walker.constant(1)
    end = walker.op("add", size, after)
    places = walker.op("arange", walker.op("neg", before), end, one)
    # There and back again: the last element is met twice in a row ("symmetric"), or once.
    last = walker.op("sub", walker.op("add", size, size), one)
    if mode == "reflect":
        last = walker.op("maximum", walker.op("sub", last, one), zero)
    period = walker.op("add", last, one) if mode == "symmetric" else walker.op("maximum", last, one)
    place = walker.op("mod", places, period)
    return walker.op("minimum", place, walker.op("sub", last, place))
