"""The walk over a PyTensor graph: each variable becomes one node id of the op graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import toposort

from pymc_rustmc._core import Graph
from pymc_rustmc.errors import RefusedOpError, UnsupportedOpError
from pymc_rustmc.translate.dtypes import kind_dtype, kind_dtype_of
from pymc_rustmc.translate.foreign import translate_foreign
from pymc_rustmc.translate.registry import register, rust_funcify

_OVERRIDES = ("pullback_overrides", "lop_overrides", "grad_overrides")
"""Attributes of an OpFromGraph with a gradient of its own; PyTensor 3 has the first, 2 the others."""


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
    without_rule : set of Apply
        The PyTensor nodes met so far that no rule covers.
    constant_elements : int
        Elements of all constants so far.
    """

    LATER: ClassVar[int] = -1
    """For the node id of a value that the op graph cannot hold: it is computed by the nodes that read it."""

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
        self.without_rule: set[Apply[Any]] = set()
        self._read: set[Variable] = set()
        self.constant_elements = 0

    def translate(self, fgraph: FunctionGraph) -> list[int]:
        """Translate every node of `fgraph` in topological order; returns the ids of its outputs."""
        return self.translate_nodes(fgraph.outputs, list(fgraph.toposort()))

    def translate_some(self, outputs: Sequence[Variable]) -> list[int]:
        """Translate expressions that may share a graph with others; returns their ids."""
        return self.translate_nodes(outputs, list(toposort(outputs)))

    def translate_nodes(self, outputs: Sequence[Variable], nodes: Sequence[Apply[Any]]) -> list[int]:
        """Translate nodes, in topological order; returns the ids of `outputs`."""
        self._read.update(outputs, *(node.inputs for node in nodes))
        for node in nodes:
            self._translate_node(node)
        return [self._result(output) for output in outputs]

    def instances(
        self, output: Variable, slots: Sequence[Variable], values: Sequence[Sequence[Variable]]
    ) -> list[int]:
        """Translate an expression of `slots` once for each list of what stands in their places.

        Every value is a leaf, or computed from leaves by one node.
        """
        nodes = list(toposort([output]))
        self._read.update([output], *(node.inputs for node in nodes))
        changing = set(slots)
        repeated = []
        for node in nodes:
            if any(variable in changing for variable in node.inputs):
                changing.update(node.outputs)
                repeated.append(node)
            else:
                self._translate_node(node)
        found = []
        for instance in values:
            self._leaves.update(zip(slots, map(self._leaf_or_element, instance), strict=True))
            for variable in changing:
                self._ids.pop(variable, None)  # what has an id is not computed again in foreign nodes
            for node in repeated:
                self._translate_node(node)
            found.append(self._result(output))
        return found

    def _leaf_or_element(self, variable: Variable) -> int:
        if variable.owner is not None and variable not in self._ids:
            self._translate_node(variable.owner)
        return self.id(variable)

    def child(self, graph: Graph, leaves: Mapping[Variable, int]) -> Walker:
        """Walker for a graph inside this one, such as the body of a loop, which sees only `leaves`."""
        child = Walker(graph, leaves, self._data_name, self.check_bounds)
        child.without_rule = self.without_rule
        return child

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
        self.constant_elements += array.size
        return self.graph.constant(np.asarray(array, dtype=dtype))

    def cast(self, node: int, dtype: str) -> int:
        """Return `node`, cast to `dtype` if it has another."""
        return node if self.graph.dtype(node) == dtype else self.op("cast", node, dtype=dtype)

    def ndim(self, node: int) -> int:
        """Rank of a node."""
        return self.graph.ndim(node)

    def holds(self, variable: Variable) -> bool:
        """Whether the op graph can hold the values of a variable: dense arrays of real numbers."""
        return kind_dtype_of(variable) is not None

    def is_known(self, variable: Variable) -> bool:
        """Whether a variable has, or gets, a node in the op graph."""
        found = self._ids.get(variable, self._leaves.get(variable))
        if found is None:
            return isinstance(variable, SharedVariable) and self.holds(variable)
        return found != self.LATER and self.holds(variable)

    def is_read(self, variable: Variable) -> bool:
        """Whether a node of the graphs translated so far, or their outputs, need a variable."""
        return variable in self._read

    def _translate_node(self, node: Apply[Any]) -> None:
        try:
            outputs = self._outputs(node)
        except UnsupportedOpError as error:
            error.node = error.node or node
            raise
        ids = [outputs] if isinstance(outputs, int) else outputs
        for variable, node_id in zip(node.outputs, ids, strict=True):
            dtype = None if node_id == self.LATER else kind_dtype_of(variable)
            self._ids[variable] = node_id if dtype is None else self.cast(node_id, dtype)

    def _outputs(self, node: Apply[Any]) -> int | Sequence[int]:
        """Ids of a node's outputs: by the rule of its Op, or a foreign node, so too if an input has no id."""
        if any(_is_array(variable) and not self._is_input(variable) for variable in node.inputs):
            return translate_foreign(node, self)
        try:
            return rust_funcify(node.op, node, self)
        except RefusedOpError:
            raise
        except UnsupportedOpError:
            self.without_rule.add(node)
            return translate_foreign(node, self)

    def _is_input(self, variable: Variable) -> bool:
        return self.is_known(variable) or (isinstance(variable, Constant) and self.holds(variable))

    def _result(self, variable: Variable) -> int:
        """Node id of an output, even if its length may depend on parameters."""
        if self._ids.get(variable) == self.LATER and self.holds(variable):
            found: int = translate_foreign(variable.owner, self, is_result=True)[variable.index]
            return found
        return self.id(variable)

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


def _is_array(variable: Variable) -> bool:
    """Whether a variable holds numbers, of whatever kind."""
    return hasattr(variable.type, "dtype")


@register(OpFromGraph)
def _inner_graph(op: OpFromGraph, node: Apply[Any], walker: Walker) -> list[int]:
    if any(getattr(op, name, None) is not None for name in _OVERRIDES):
        raise UnsupportedOpError(op)  # its gradient may be meant to differ from that of the inner graph
    return walker.inline(op.fgraph, node.inputs)
