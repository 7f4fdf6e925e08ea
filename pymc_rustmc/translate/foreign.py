"""Foreign nodes: Ops without a rule, evaluated and differentiated by functions that PyTensor compiles.

A foreign node covers one Op, or several where the values between them are none that the op graph can hold:
complex or sparse arrays, and arrays whose length depends on parameters (the output of a while loop).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor import function
from pytensor.compile.builders import OpFromGraph, infer_shape
from pytensor.compile.mode import get_default_mode
from pytensor.compile.ops import FromFunctionOp
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.gradient import grad
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.null_type import NullType
from pytensor.graph.traversal import ancestors, io_toposort
from pytensor.scalar.basic import ScalarType
from pytensor.scan.op import Scan
from pytensor.tensor.basic import scalar_from_tensor, tensor_from_scalar
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.shape import Shape_i

from pymc_rustmc.errors import NoGradientError, UnsupportedOpError
from pymc_rustmc.interpreted import PYTHON_MODE, no_compiler
from pymc_rustmc.translate.dtypes import kind_dtype

if TYPE_CHECKING:
    from pymc_rustmc.translate.walker import Walker

_turn = RLock()
"""Held while PyTensor compiles or user code runs: neither is made for several threads."""


class ForeignFunction:
    """A PyTensor graph as a function of arrays, and its derivatives as more such functions.

    Made at its first call: of PyTensor's Python implementations, which takes milliseconds, or compiled in
    PyTensor's default mode, which takes seconds to minutes and pays only for loops and whole densities.

    Parameters
    ----------
    name
        What a user calls it.
    inputs
        Tensor variables that the graph is a function of.
    outputs
        Tensor variables; the results.
    node
        The node of the model's graph that it stands for, for error texts.
    compiles
        Whether to compile it.

    Attributes
    ----------
    results : list of tuple of str and int
        The op graph's dtype and the rank of each result.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        node: Apply[Any] | None,
        compiles: bool,
    ):
        self.name = name
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.node = node
        self.compiles = compiles
        self.results = [(kind_dtype(output.type.dtype), output.type.ndim) for output in outputs]
        self._dtypes = [np.dtype(variable.type.dtype) for variable in inputs]
        self._function: Any = None

    def evaluate(self, arrays: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Results, as float64, at the values of all inputs; these are converted to the declared dtypes."""
        arguments = [
            array.astype(dtype, copy=False) for array, dtype in zip(arrays, self._dtypes, strict=True)
        ]
        with _turn, np.errstate(all="ignore"):
            if self._function is None:
                return self._first_call(arguments)
            return _as_float64(self._function(*arguments))

    def pullback(self, wanted: Sequence[int], connected: Sequence[int]) -> ForeignFunction:
        """Map all inputs and the adjoints of the outputs `connected` to the adjoints of the inputs `wanted`.

        Raises
        ------
        NoGradientError
            If PyTensor has no gradient.
        """
        cotangents = {self.outputs[k]: self.outputs[k].type() for k in connected}
        with _turn:
            adjoints = self._adjoints(cotangents, wanted)
        return ForeignFunction(
            self.name, [*self.inputs, *cotangents.values()], adjoints, self.node, self.compiles
        )

    def with_gradient(self, wanted: Sequence[int]) -> ForeignFunction:
        """Return the only output, a real scalar, and its gradient with respect to the inputs `wanted`.

        Raises
        ------
        NoGradientError
            If PyTensor has no gradient.
        """
        (output,) = self.outputs
        with _turn:
            adjoints = self._adjoints({output: pt.constant(1.0, dtype=output.type.dtype)}, wanted)
        return ForeignFunction(self.name, self.inputs, [output, *adjoints], self.node, self.compiles)

    def _adjoints(self, cotangents: dict[Variable, Variable], wanted: Sequence[int]) -> list[Variable]:
        try:
            adjoints = grad(
                None,
                [self.inputs[k] for k in wanted],
                known_grads=cotangents,
                disconnected_inputs="ignore",
                null_gradients="return",
            )
        except Exception as error:
            raise self._no_gradient(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        for adjoint in adjoints:
            if isinstance(adjoint.type, NullType):
                raise self._no_gradient(adjoint.type.why_null)
        return list(adjoints)

    def _no_gradient(self, reason: str) -> NoGradientError:
        error = NoGradientError(self.name, reason)
        error.node = self.node
        return error

    def _first_call(self, arguments: list[NDArray[Any]]) -> list[NDArray[np.float64]]:
        """Compile and call; Ops compile their inner graphs at the first call."""
        if self.compiles:
            # Not every Op can be compiled by every linker.
            with suppress(Exception), warnings.catch_warnings(action="ignore"):
                return self._called(arguments, get_default_mode(), nullcontext())
        return self._called(arguments, PYTHON_MODE, no_compiler())

    def _called(
        self, arguments: list[NDArray[Any]], mode: Any, flags: AbstractContextManager[None]
    ) -> list[NDArray[np.float64]]:
        with flags:
            # A parameter out of its bounds is no error of the model, but a point without density.
            mode = mode.including("local_check_parameter_to_ninf_switch")
            compiled = function(self.inputs, self.outputs, mode=mode, on_unused_input="ignore")
            compiled.trust_input = True
            results = _as_float64(compiled(*arguments))
        self._function = compiled
        return results


def translate_foreign(node: Apply[Any], walker: Walker, is_result: bool = False) -> list[int]:
    """Append a foreign node for `node`, with the values that only it can read.

    Parameters
    ----------
    node
        A PyTensor node without a rule, or that reads a value of one which the op graph cannot hold.
    walker
        The translation in progress.
    is_result
        Whether the outputs are wanted even if their lengths depend on parameters.

    Returns
    -------
    list of int
        Node id of each output; `Walker.LATER` for one that the op graph cannot hold, which is computed again
        in the foreign nodes of the nodes that read it.
    """
    region = _Region(walker)
    copies = [_as_tensor(region.copy(output)) for output in node.outputs]
    kept = [
        k for k, variable in enumerate(node.outputs) if walker.is_read(variable) and walker.holds(variable)
    ]
    ids = [walker.LATER] * len(copies)
    if not kept:
        return ids
    loops = [inner for inner in region.nodes if _has_loop(inner.op)]
    made = ForeignFunction(
        " and ".join(
            dict.fromkeys(op_name(inner.op) for inner in region.nodes if inner in walker.without_rule)
        ),
        region.inputs,
        [copies[k] for k in kept],
        node,
        compiles=bool(loops),
    )
    lengths = _lengths(made, region.sources, walker)
    is_open = lengths is None and any(_is_while(loop.op) for loop in loops)
    if is_result or not is_open:
        for k, part in zip(kept, _append(made, region.sources, lengths, walker), strict=True):
            ids[k] = part
    return ids


def translate_whole(name: str, output: Variable, walker: Walker) -> int:
    """Append one foreign node for an output of a model; returns its id.

    Parameters
    ----------
    name
        What the output is called.
    output
        The output, in canonical form.
    walker
        The translation in progress.
    """
    region = _Region(walker)
    result = _as_tensor(region.copy(output))
    made = ForeignFunction(name, region.inputs, [result], None, compiles=True)
    (node,) = _append(made, region.sources, _lengths(made, region.sources, walker), walker)
    return node


def _append(
    made: ForeignFunction, sources: Sequence[Variable], lengths: list[int] | None, walker: Walker
) -> list[int]:
    """Append the foreign node that applies a function to variables; returns the ids of its results."""
    inputs = [walker.id(source) for source in sources]
    node = walker.graph.foreign(made, [*inputs, *(lengths or ())], lengths is not None)
    return [walker.op("part", node, index=k) for k in range(len(made.outputs))]


def op_name(op: Any) -> str:
    """Name of an Op for the user, without its parameters."""
    if isinstance(op, Blockwise):
        return op_name(op.core_op)
    if isinstance(op, Elemwise):
        return op_name(op.scalar_op)
    if isinstance(op, FromFunctionOp):
        return str(op)
    if isinstance(op, Scan):
        return "Scan (while loop)" if op.info.as_while else "Scan"
    return (op.name if isinstance(op, OpFromGraph) else None) or type(op).__name__


class _Region:
    """The copy of a part of a PyTensor graph, cut off at the variables that the op graph holds."""

    def __init__(self, walker: Walker):
        self.walker = walker
        self.sources: list[Variable] = []
        self.inputs: list[Variable] = []
        self.nodes: list[Apply[Any]] = []
        self._copies: dict[Variable, Variable] = {}

    def copy(self, variable: Variable) -> Variable:
        """Return the copy of a variable, which is an input or computed as the variable is."""
        if variable not in self._copies:
            self._copies[variable] = self._copy(variable)
        return self._copies[variable]

    def _copy(self, variable: Variable) -> Variable:
        if isinstance(variable, Constant):
            return variable
        if self.walker.is_known(variable):
            given, copy = _input_like(variable)
            self.sources.append(variable)
            self.inputs.append(given)
            return copy
        node = variable.owner
        if node is None:
            if isinstance(variable, SharedVariable):
                return variable
            raise UnsupportedOpError(f"input {variable} of type {variable.type}")
        self.nodes.append(node)
        # Not `make_node`: the types of the outputs, and with them what follows, must stay.
        copies = [output.type() for output in node.outputs]
        Apply(node.op, [self.copy(source) for source in node.inputs], copies)
        self._copies.update(zip(node.outputs, copies, strict=True))
        return self._copies[variable]


def _input_like(variable: Variable) -> tuple[Variable, Variable]:
    """Return a new tensor, and what stands for `variable` as computed from it."""
    kind = variable.type
    if isinstance(kind, ScalarType):
        tensor = pt.tensor(dtype=kind.dtype, shape=())
        return tensor, scalar_from_tensor(tensor)
    if hasattr(kind, "dims"):
        from pytensor.xtensor.basic import xtensor_from_tensor

        tensor = pt.tensor(dtype=kind.dtype, shape=kind.shape)
        return tensor, xtensor_from_tensor(tensor, dims=kind.dims)
    tensor = kind()
    return tensor, tensor


def _as_tensor(variable: Variable) -> Variable:
    if isinstance(variable.type, ScalarType):
        return tensor_from_scalar(variable)
    return variable.values if hasattr(variable.type, "dims") else variable


def _has_loop(op: Any) -> bool:
    """Whether an Op evaluates a graph in a loop, by itself or further inside."""
    if isinstance(op, Blockwise):
        return _has_loop(op.core_op)
    if isinstance(op, Scan):
        return True
    return isinstance(op, OpFromGraph) and any(_has_loop(node.op) for node in op.fgraph.apply_nodes)


def _is_while(op: Any) -> bool:
    """Whether the lengths of an Op's outputs depend on the values that it computes."""
    return isinstance(op, Scan) and op.info.as_while


def _lengths(made: ForeignFunction, sources: Sequence[Variable], walker: Walker) -> list[int] | None:
    """Node ids of the lengths of all axes of all results; None if the Op does not tell them."""
    shapes: Iterable[Sequence[Any]] = [output.type.shape for output in made.outputs]
    if any(None in output.type.shape for output in made.outputs):
        inputs = [tuple(Shape_i(axis)(x) for axis in range(x.type.ndim)) for x in made.inputs]
        try:
            with no_compiler():
                shapes = infer_shape(made.outputs, made.inputs, inputs)
        except Exception:  # a mistake in somebody's `infer_shape`; the shape is found by a trial
            return None
    lengths = [pt.as_tensor(length) for shape in shapes for length in shape]
    computed = {node.op for node in io_toposort(made.inputs, made.outputs)}
    owners = (variable.owner for variable in ancestors(lengths, blockers=made.inputs))
    if any(owner is not None and owner.op in computed for owner in owners):
        return None  # no more than that it has the length that it has
    fgraph = FunctionGraph(inputs=made.inputs, outputs=lengths, clone=True)
    return [walker.cast(length, "int64") for length in walker.inline(fgraph, sources)]


def _as_float64(results: Sequence[Any]) -> list[NDArray[np.float64]]:
    return [np.array(result, dtype=np.float64) for result in results]  # a copy: buffers are used again
