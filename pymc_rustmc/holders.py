"""Finds the variables of a model whose graphs hold an Op, for error texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymc as pm
from pymc.pytensorf import rewrite_pregrad
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise

from pymc_rustmc.errors import UnsupportedOpError


def named(error: UnsupportedOpError, model: pm.Model) -> UnsupportedOpError:
    """Return the error with the names of the model's variables whose graphs hold the Op that it is about."""
    if error.node is not None:
        error.name_variables(_holders(model, error.node))
    return error


def _holders(model: pm.Model, node: Apply[Any]) -> list[str]:
    factors = {
        variable.name: rewrite_pregrad(_copy(model.logp([variable], sum=False)))
        for variable in (*model.free_RVs, *model.observed_RVs, *model.potentials)
    }
    values = model.replace_rvs_by_values(model.deterministics)
    deterministics = {
        variable.name: _copy([value]) for variable, value in zip(model.deterministics, values, strict=True)
    }
    return [
        name
        for name, graph in (*factors.items(), *deterministics.items())
        if any(_kind(other.op) == _kind(node.op) for other in _nodes(graph))
    ]


def _copy(outputs: list[Variable]) -> FunctionGraph:
    return FunctionGraph(outputs=outputs, clone=True, copy_inputs=False)


def _kind(op: Any) -> tuple[type, ...]:
    inner = op.scalar_op if isinstance(op, Elemwise) else op.core_op if isinstance(op, Blockwise) else None
    return type(op), type(inner)


def _nodes(fgraph: FunctionGraph) -> Iterator[Apply[Any]]:
    """All nodes of a graph and of the graphs inside them."""
    for node in fgraph.apply_nodes:
        yield node
        if isinstance(node.op, OpFromGraph):
            yield from _nodes(node.op.fgraph)
