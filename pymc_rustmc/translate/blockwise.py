"""Blockwise: an Op on each array of a stack, by rules that treat leading axes as those of the stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.blockwise import Blockwise

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.registry import Rule, register, rust_funcify
from pymc_rustmc.translate.walker import Walker

_ON_STACKS: set[type] = set()


def on_stacks(*classes: type) -> Callable[[Rule], Rule]:
    """Register a rule for Op classes that also serves them under Blockwise: see `batch_ndim`."""
    _ON_STACKS.update(classes)
    return register(*classes)


def batch_ndim(node: Any) -> int:
    """Count the leading axes of all inputs and outputs that number the arrays of a stack."""
    return int(node.op.batch_ndim(node)) if isinstance(node.op, Blockwise) else 0


def shared_by_stack(variable: Variable, node: Any, walker: Walker) -> int:
    """Node id of an input that is one for the whole stack, without the axes of the stack."""
    lead = batch_ndim(node)
    if any(length != 1 for length in variable.type.shape[:lead]):
        raise UnsupportedOpError(node.op)
    order = list(range(lead, variable.type.ndim))
    return walker.op("dimshuffle", walker.id(variable), order=order) if lead else walker.id(variable)


def batch_lengths(node: Any, walker: Walker) -> list[int]:
    """Node ids of the lengths of the stack's axes, along which inputs broadcast."""
    inputs = walker.inputs(node)
    return [
        walker.op("maximum", *(walker.op("shape_i", x, axis=axis) for x in inputs))
        for axis in range(batch_ndim(node))
    ]


def spread(x: int, node: Any, walker: Walker) -> int:
    """Node `x`, an input, once for each array of the stack."""
    lead = batch_ndim(node)
    own = [walker.op("shape_i", x, axis=axis) for axis in range(lead, walker.ndim(x))]
    return walker.op("broadcast_to", x, *batch_lengths(node, walker), *own) if lead else x


def aligned(x: int, lead: int, ndim: int, walker: Walker) -> int:
    """Node `x` with new axes behind its first `lead`, so that it has rank `ndim`."""
    missing = ndim - walker.ndim(x)
    order = [*range(lead), *[-1] * missing, *range(lead, walker.ndim(x))]
    return walker.op("dimshuffle", x, order=order) if missing > 0 else x


@register(Blockwise)
def _blockwise(op: Blockwise, node: Any, walker: Walker) -> Any:
    core_op = op.core_op
    if op.batch_ndim(node) == 0 or isinstance(core_op, tuple(_ON_STACKS)):
        return rust_funcify(core_op, node, walker)
    if isinstance(core_op, OpFromGraph):
        return inlined(core_op, node, walker)
    raise UnsupportedOpError(op)


def inlined(op: OpFromGraph, node: Any, walker: Walker) -> list[int]:
    """Node ids of the outputs of the graph inside an Op; on stacks, each Op in it must know how."""
    if batch_ndim(node) == 0:
        return walker.inline(op.fgraph, node.inputs)
    # PyTensor 3 freezes inner graphs.
    inner = op.fgraph.unfreeze() if hasattr(op.fgraph, "unfreeze") else op.fgraph
    stacks = [variable.type() for variable in node.inputs]
    outputs = vectorize_graph(inner.outputs, dict(zip(inner.inputs, stacks, strict=True)))
    if any(a.type.ndim != b.type.ndim for a, b in zip(outputs, node.outputs, strict=True)):
        raise UnsupportedOpError(node.op)
    return walker.inline(FunctionGraph(stacks, outputs, clone=False), node.inputs)
