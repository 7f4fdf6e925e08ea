"""The walk over a PyTensor graph: each variable becomes one node id of the op graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph

from pymc_rustmc._core import Graph
from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.registry import register, rust_funcify

_KIND_DTYPES = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}


def kind_dtype(dtype: str | np.dtype[Any]) -> str | None:
    """Our dtype for a NumPy dtype: "float64", "int64" or "bool"; None where there is none (complex, ...)."""
    return _KIND_DTYPES.get(np.dtype(dtype).kind)


class Walker:
    """Translates PyTensor graphs into one op graph.

    Parameters
    ----------
    graph
        The op graph under construction.
    parameters
        Node ids of the value variables.
    data_name
        Gives the unique name under which a shared variable becomes a data input.
    check_bounds
        Whether `CheckParameterValue` nodes are kept.

    Attributes
    ----------
    data : dict of str to SharedVariable
        The data inputs met so far.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[Variable, int],
        data_name: Callable[[SharedVariable], str],
        check_bounds: bool = True,
    ):
        self.graph = graph
        self.check_bounds = check_bounds
        self.data: dict[str, SharedVariable] = {}
        self._data_name = data_name
        self._leaves = {variable: self._with_ones(node, variable) for variable, node in parameters.items()}
        self._ids: dict[Variable, int] = {}

    def translate(self, fgraph: FunctionGraph) -> list[int]:
        """Translate every node of `fgraph` in topological order; returns the ids of its outputs."""
        for node in fgraph.toposort():
            self._translate_node(node)
        return [self.id(output) for output in fgraph.outputs]

    def child(self, graph: Graph, leaves: Mapping[Variable, int]) -> Walker:
        """Walker for a graph inside this one, such as the body of a loop, which sees only `leaves`."""
        return Walker(graph, leaves, self._data_name, self.check_bounds)

    def inline(self, fgraph: FunctionGraph, inputs: Sequence[Variable]) -> list[int]:
        """Translate an inner graph on outer variables; returns the ids of its outputs."""
        outer, self._ids = (
            self._ids,
            {
                inner: self.id(variable)
                for inner, variable in zip(fgraph.inputs, inputs, strict=True)
                if kind_dtype_of(variable) is not None
            },
        )
        try:
            return self.translate(fgraph)
        finally:
            self._ids = outer

    def id(self, variable: Variable) -> int:
        """Node id of a variable: already translated, or a constant, shared or value variable."""
        found = self._ids.get(variable)
        if found is None:
            found = self._leaves.get(variable)
        if found is None:
            found = self._leaves[variable] = self._leaf(variable)
        return found

    def inputs(self, node: Apply[Any]) -> list[int]:
        """Node ids of all inputs of a PyTensor node."""
        return [self.id(variable) for variable in node.inputs]

    def op(self, name: str, *inputs: int, **attributes: Any) -> int:
        """Append an op; returns its node id."""
        return self.graph.op(name, list(inputs), **attributes)

    def constant(self, value: Any) -> int:
        """Append a constant, its dtype widened to float64, int64 or bool."""
        array = np.asarray(value)
        dtype = kind_dtype(array.dtype)
        if dtype is None:
            raise UnsupportedOpError(f"a constant of dtype {array.dtype}")
        return self.graph.constant(np.asarray(array, dtype=dtype))

    def cast(self, node: int, dtype: str) -> int:
        """Return `node`, cast to `dtype` if it has another."""
        return node if self.graph.dtype(node) == dtype else self.op("cast", node, dtype=dtype)

    def ndim(self, node: int) -> int:
        """Rank of a node."""
        return self.graph.ndim(node)

    def _translate_node(self, node: Apply[Any]) -> None:
        try:
            outputs = rust_funcify(node.op, node, self)
        except UnsupportedOpError as error:
            error.node = error.node or node
            raise
        ids = [outputs] if isinstance(outputs, int) else outputs
        for variable, node_id in zip(node.outputs, ids, strict=True):
            dtype = kind_dtype_of(variable)
            self._ids[variable] = node_id if dtype is None else self.cast(node_id, dtype)

    def _leaf(self, variable: Variable) -> int:
        if isinstance(variable, Constant):
            return self.constant(variable.data)
        if isinstance(variable, SharedVariable):
            dtype = kind_dtype_of(variable)
            if dtype is not None:
                name = self._data_name(variable)
                self.data[name] = variable
                return self._with_ones(self.graph.data(name, dtype, variable.type.ndim), variable)
        raise UnsupportedOpError(f"input {variable} of type {variable.type}")

    def _with_ones(self, leaf: int, variable: Variable) -> int:
        """Let the axes of static length 1 broadcast; bind refuses to broadcast any other axis of a leaf."""
        order = [-1 if length == 1 else axis for axis, length in enumerate(variable.type.shape)]
        return self.op("dimshuffle", leaf, order=order) if -1 in order else leaf


def kind_dtype_of(variable: Variable) -> str | None:
    """Our dtype for a PyTensor variable; None if it holds no real numbers (slice, RNG, ...)."""
    dtype = getattr(variable.type, "dtype", None)
    return None if dtype is None else kind_dtype(dtype)


@register(OpFromGraph)
def _inner_graph(op: OpFromGraph, node: Apply[Any], walker: Walker) -> list[int]:
    return walker.inline(op.fgraph, node.inputs)
