"""Ops that arrange elements: views, broadcasts, shapes, joins, and arrays made from lengths."""

from __future__ import annotations

from typing import Any

from pytensor.graph.basic import Constant
from pytensor.tensor.basic import (
    Alloc,
    AllocEmpty,
    ARange,
    Eye,
    Join,
    MakeVector,
    Nonzero,
    Split,
    get_underlying_scalar_constant_value,
)
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.exceptions import NotScalarConstantError
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.blockwise import aligned, batch_lengths, batch_ndim, on_stacks, spread
from pymc_rustmc.translate.dtypes import kind_dtype
from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.walker import Walker


@register(DimShuffle)
def _dimshuffle(op: DimShuffle, node: Any, walker: Walker) -> int:
    order = [-1 if axis == "x" else int(axis) for axis in op.new_order]
    return walker.op("dimshuffle", walker.id(node.inputs[0]), order=order)


@on_stacks(Reshape)
def _reshape(op: Reshape, node: Any, walker: Walker) -> int:
    x, shape = walker.inputs(node)
    if lead := batch_ndim(node):
        own = walker.op("common", shape, axes=lead)
        x = spread(x, node, walker)
        shape = walker.op("make_vector", *(walker.op("shape_i", x, axis=axis) for axis in range(lead)))
        shape = walker.op("join", shape, own, axis=0)
    return walker.op("reshape", x, shape, ndim=lead + op.ndim)


@register(JoinDims)
def _join_dims(op: JoinDims, node: Any, walker: Walker) -> int:
    (x,) = walker.inputs(node)
    before, after = op.start_axis, op.start_axis + op.n_axes
    ndim = walker.ndim(x)
    kept = [walker.op("shape_i", x, axis=axis) for axis in (*range(before), *range(after, ndim))]
    # An explicit product, not -1, which NumPy cannot resolve where another axis is empty.
    lengths = [walker.op("shape_i", x, axis=axis) for axis in range(before, after)]
    joined = walker.op("mul", *lengths) if lengths else walker.constant(1)
    shape = walker.op("make_vector", *kept[:before], joined, *kept[before:])
    return walker.op("reshape", x, shape, ndim=ndim - op.n_axes + 1)


@register(SplitDims)
def _split_dims(op: SplitDims, node: Any, walker: Walker) -> int:
    x, lengths = walker.inputs(node)
    ndim = walker.ndim(x)
    parts = [lengths]
    if before := [walker.op("shape_i", x, axis=axis) for axis in range(op.axis)]:
        parts.insert(0, walker.op("make_vector", *before))
    if after := [walker.op("shape_i", x, axis=axis) for axis in range(op.axis + 1, ndim)]:
        parts.append(walker.op("make_vector", *after))
    shape = walker.op("join", *parts, axis=0) if len(parts) > 1 else lengths
    return walker.op("reshape", x, shape, ndim=node.outputs[0].type.ndim)


@on_stacks(Alloc)
def _alloc(op: Alloc, node: Any, walker: Walker) -> int:
    x, *lengths = walker.inputs(node)
    if lead := batch_ndim(node):
        lengths = [walker.op("common", length, axes=lead) for length in lengths]
        lengths = [*batch_lengths(node, walker), *lengths]
        x = aligned(x, lead, len(lengths), walker)
    return walker.op("broadcast_to", x, *lengths)


@register(AllocEmpty)
def _alloc_empty(op: AllocEmpty, node: Any, walker: Walker) -> int:
    # Every element is overwritten before it is read, so any value will do.
    zero = walker.cast(walker.constant(0.0), kind_dtype(op.dtype) or "float64")
    return walker.op("broadcast_to", zero, *walker.inputs(node))


@register(Shape)
def _shape(op: Shape, node: Any, walker: Walker) -> int:
    return walker.op("shape", walker.id(node.inputs[0]))


@register(Shape_i)
def _shape_i(op: Shape_i, node: Any, walker: Walker) -> int:
    return walker.op("shape_i", walker.id(node.inputs[0]), axis=int(op.i))


@register(SpecifyShape)
def _specify_shape(op: SpecifyShape, node: Any, walker: Walker) -> int:
    x, *lengths = node.inputs
    given = [not (isinstance(length, Constant) and length.data is None) for length in lengths]
    ids = [walker.id(length) for length, is_given in zip(lengths, given, strict=True) if is_given]
    return walker.op("specify_shape", walker.id(x), *ids, given=given)


@register(MakeVector)
def _make_vector(op: MakeVector, node: Any, walker: Walker) -> int:
    if not node.inputs:
        return walker.constant([])
    return walker.op("make_vector", *walker.inputs(node))


@register(Join)
def _join(op: Join, node: Any, walker: Walker) -> int:
    tensors = node.inputs
    axis = getattr(op, "axis", None)
    if axis is None:  # PyTensor 2: the axis is the first input
        axis, tensors = constant_axis(node.inputs[0], op), node.inputs[1:]
    return walker.op("join", *map(walker.id, tensors), axis=int(axis) % node.outputs[0].type.ndim)


@on_stacks(Split)
def _split(op: Split, node: Any, walker: Walker) -> list[int]:
    x, *_, sizes = node.inputs
    axis = getattr(op, "axis", None)
    if axis is None:  # PyTensor 2: inputs (x, axis, sizes)
        axis = constant_axis(node.inputs[1], op)
    lead = batch_ndim(node)
    axis = lead + int(axis) % (x.type.ndim - lead)
    ends_vector = walker.op("cumsum", walker.op("common", walker.id(sizes), axes=lead), axis=0)
    ends = [
        walker.op("index", ends_vector, walker.constant(piece), spec=["i"]) for piece in range(op.len_splits)
    ]
    starts = [walker.constant(0), *ends[:-1]]
    spec = [":"] * axis + ["s110"]
    return [
        walker.op("index", walker.id(x), start, end, spec=spec)
        for start, end in zip(starts, ends, strict=True)
    ]


def constant_axis(variable: Any, op: Any) -> int:
    """Value of the axis that PyTensor 2 gives some Ops as an input."""
    try:
        return int(get_underlying_scalar_constant_value(variable))
    except NotScalarConstantError:
        raise UnsupportedOpError(f"{op} along an axis that is not constant") from None


@register(ARange)
def _arange(op: ARange, node: Any, walker: Walker) -> int:
    return walker.op("arange", *walker.inputs(node))


@register(Eye)
def _eye(op: Eye, node: Any, walker: Walker) -> int:
    return walker.op("eye", *walker.inputs(node))


@register(Nonzero)
def _nonzero(op: Nonzero, node: Any, walker: Walker) -> list[int]:
    x = walker.cast(walker.id(node.inputs[0]), "bool")
    return [walker.op("nonzero", x, axis=axis) for axis in range(walker.ndim(x))]
