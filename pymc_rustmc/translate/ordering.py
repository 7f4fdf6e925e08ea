"""Sorting and searching, distinct elements, and elements picked by computed positions."""

from __future__ import annotations

from typing import Any

from pytensor.graph.basic import Variable
from pytensor.tensor.basic import Choose, PermuteRowElements
from pytensor.tensor.extra_ops import RavelMultiIndex, Repeat, SearchsortedOp, Unique, UnravelIndex
from pytensor.tensor.sort import ArgSortOp, SortOp

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.blockwise import batch_ndim, on_stacks, shared_by_stack
from pymc_rustmc.translate.indexing import grids
from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.shape import constant_axis
from pymc_rustmc.translate.walker import Walker


@on_stacks(SortOp, ArgSortOp)
def _sort(op: Any, node: Any, walker: Walker) -> int:
    x = node.inputs[0]
    axis = getattr(op, "axis", None)
    if axis is None:  # PyTensor 2: the axis is the second input
        axis = constant_axis(node.inputs[1], op)
    lead = batch_ndim(node)
    name = "sort" if isinstance(op, SortOp) else "argsort"
    return walker.op(name, walker.id(x), axis=lead + int(axis) % (x.type.ndim - lead))


@on_stacks(SearchsortedOp)
def _searchsorted(op: SearchsortedOp, node: Any, walker: Walker) -> int:
    x, v, *sorter = node.inputs
    vector = shared_by_stack(x, node, walker)
    if sorter:
        vector = walker.op("index", vector, shared_by_stack(sorter[0], node, walker), spec=["a"])
    return walker.op("searchsorted", vector, walker.id(v), right=op.side == "right")


@register(Unique)
def _unique(op: Unique, node: Any, walker: Walker) -> list[int]:
    (x,) = walker.inputs(node)
    asked = {"index": op.return_index, "inverse": op.return_inverse, "counts": op.return_counts}
    parts = ["values", *(part for part, wanted in asked.items() if wanted)]
    return [walker.op("unique", x, axis=op.axis, part=part) for part in parts]


@on_stacks(Repeat)
def _repeat(op: Repeat, node: Any, walker: Walker) -> int:
    x, axis = walker.id(node.inputs[0]), batch_ndim(node) + op.axis
    repeats = shared_by_stack(node.inputs[1], node, walker)
    repeats = walker.op("broadcast_to", repeats, walker.op("shape_i", x, axis=axis))
    # Result i comes from the first element whose repetitions reach beyond i.
    ends = walker.op("cumsum", repeats, axis=0)
    count = walker.op("sum", repeats, axes=[0])
    places = walker.op("arange", walker.constant(0), count, walker.constant(1))
    positions = walker.op("searchsorted", ends, places, right=True)
    return walker.op("index", x, positions, spec=[":"] * axis + ["a"])


@on_stacks(PermuteRowElements)
def _permute_rows(op: PermuteRowElements, node: Any, walker: Walker) -> int:
    x, order = walker.inputs(node)
    x, order = walker.op("broadcast_like", x, order), walker.op("broadcast_like", order, x)
    last = walker.ndim(x) - 1
    if op.inverse:
        order = walker.op("argsort", order, axis=last)
    return walker.op("index", x, *grids(order, walker)[:last], order, spec=["a"] * (last + 1))


@register(Choose)
def _choose(op: Choose, node: Any, walker: Walker) -> int:
    a, choices = node.inputs
    if not isinstance(getattr(choices.type, "ndim", None), int):
        raise UnsupportedOpError(f"{op} of a list", "Stack the choices, or use pt.switch.")
    a, choices = walker.id(a), walker.id(choices)
    count = walker.op("shape_i", choices, axis=0)
    if op.mode == "wrap":
        a = walker.op("mod", a, count)
    elif op.mode == "clip":
        a = walker.op("clip", a, walker.constant(0), walker.op("sub", count, walker.constant(1)))
    else:
        a = _out_of_bounds_below_zero(a, count, walker)
    missing = max(0, walker.ndim(a) - (walker.ndim(choices) - 1))
    order = [0, *[-1] * missing, *range(1, walker.ndim(choices))]
    choices = walker.op("dimshuffle", choices, order=order)
    first = walker.op("index", choices, walker.constant(0), spec=["i"])
    a = walker.op("broadcast_like", a, first)
    choices = walker.op("broadcast_like", choices, a)
    return walker.op("index", choices, a, *grids(a, walker), spec=["a"] * walker.ndim(choices))


def _out_of_bounds_below_zero(index: int, length: int, walker: Walker) -> int:
    """`index`, moved past the end if negative: where NumPy does not count from the end, it is an error."""
    return walker.op("where", walker.op("lt", index, walker.constant(0)), length, index)


def _lengths(dims: Variable, count: int, walker: Walker) -> list[int]:
    """Take apart a vector of lengths."""
    vector = walker.id(dims)
    return [walker.op("index", vector, walker.constant(axis), spec=["i"]) for axis in range(count)]


@register(UnravelIndex)
def _unravel_index(op: UnravelIndex, node: Any, walker: Walker) -> list[int]:
    indices, dims = node.inputs
    lengths = _lengths(dims, len(node.outputs), walker)
    fastest_last = lengths if op.order == "C" else lengths[::-1]
    rest, found = walker.id(indices), []
    for length in reversed(fastest_last[1:]):
        found.append(walker.op("mod", rest, length))
        rest = walker.op("int_div", rest, length)
    found.append(_out_of_bounds_below_zero(rest, fastest_last[0], walker))
    return found[::-1] if op.order == "C" else found


@register(RavelMultiIndex)
def _ravel_multi_index(op: RavelMultiIndex, node: Any, walker: Walker) -> int:
    *indices, dims = node.inputs
    lengths = _lengths(dims, len(indices), walker)
    pairs = list(zip(map(walker.id, indices), lengths, strict=True))
    zero, one = walker.constant(0), walker.constant(1)
    flat, inside = zero, walker.constant(True)
    for index, length in pairs if op.order == "C" else pairs[::-1]:
        if op.mode == "wrap":
            index = walker.op("mod", index, length)
        elif op.mode == "clip":
            index = walker.op("clip", index, zero, walker.op("sub", length, one))
        fits = walker.op("and", walker.op("ge", index, zero), walker.op("lt", index, length))
        inside = walker.op("and", inside, fits)
        flat = walker.op("add", walker.op("mul", flat, length), index)
    # Any index out of bounds puts the flat one past the end, where it is an error.
    size = walker.op("mul", *lengths) if len(lengths) > 1 else lengths[0]
    return walker.op("where", inside, flat, size)
