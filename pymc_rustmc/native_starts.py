"""Starting points as op graphs of data and jitters, where they are then bit for bit what NumPy makes of them.

That holds for sums, products, comparisons and whatever moves values about; not for quotients, which the
extension makes products, nor for functions such as log, of which it may round the last bit otherwise than
NumPy. These may be applied to what depends on neither data nor jitters, which is evaluated here, by NumPy,
once; and where only the shape of their result is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from pymc.pytensorf import find_rng_nodes
from pytensor import scalar
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import toposort
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import Alloc, MakeVector, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.random.basic import UniformRV
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor

from pymc_rustmc._core import Graph, GraphError
from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.interpreted import interpreted, no_compiler
from pymc_rustmc.translate import Walker
from pymc_rustmc.translate.dtypes import kind_dtype_of

POSITION = "position"
"""Name of the output of value variable number i: "position i"."""

JITTER = "jitter of value variable"
"""Name of the input that is the jitter of value variable number i."""

_EXACT_FUNCTIONS = (
    *(scalar.Add, scalar.Sub, scalar.Mul, scalar.Neg, scalar.Abs, scalar.Cast, scalar.Second),
    *(scalar.Switch, scalar.EQ, scalar.NEQ, scalar.LT, scalar.LE, scalar.GT, scalar.GE, scalar.Identity),
)
_EXACT_OPS = (
    *(Alloc, MakeVector, ScalarFromTensor, TensorFromScalar, DimShuffle, Reshape, SpecifyShape),
    *(CheckAndRaise, Subtensor, AdvancedSubtensor, Shape, Shape_i),
)


def jitters_of(expressions: Sequence[Variable]) -> list[int | None] | None:
    """Find which generator jitters each value variable; None if that is not all the randomness."""
    generators = find_rng_nodes(expressions)
    children: list[int | None] = []
    for expression in expressions:
        jitter = _jitter(expression)
        children.append(None if jitter is None else generators.index(jitter.owner.inputs[0]))
    used = [child for child in children if child is not None]
    return children if len(set(used)) == len(used) == len(generators) else None


def native_start(expressions: Sequence[Variable], data_name: Callable[[SharedVariable], str]) -> Graph | None:
    """Translate starting points, an output for each value variable; None if it could differ from NumPy's.

    Parameters
    ----------
    expressions
        Starting values of the value variables, as `start_expressions` gives them.
    data_name
        Gives the name of a shared variable; raises `UnsupportedOpError` if it has none.
    """
    graph = Graph()
    jitters = {jitter: i for i, jitter in enumerate(map(_jitter, expressions)) if jitter is not None}
    nodes = list(toposort(expressions, blockers=set(jitters)))
    changing: set[Variable] = set(jitters)
    for node in nodes:
        if any(variable in changing or isinstance(variable, SharedVariable) for variable in node.inputs):
            changing.update(node.outputs)
    if not _is_exact(expressions, changing, jitters):
        return None
    again = [node for node in nodes if any(variable in changing for variable in node.outputs)]
    read = {variable for node in again for variable in node.inputs} | set(expressions)
    given = [v for v in read if v.owner is not None and v not in changing]
    if any(kind_dtype_of(variable) is None for variable in given):
        return None
    try:
        leaves = {
            jitter: graph.data(f"{JITTER} {i}", "float64", jitter.type.ndim) for jitter, i in jitters.items()
        }
        values = interpreted(given)({})([])
        leaves |= {v: graph.constant(value) for v, value in zip(given, values, strict=True)}
        walker = Walker(graph, leaves, data_name)
        with no_compiler():
            ids = walker.translate_nodes(expressions, again)
    except (GraphError, UnsupportedOpError):
        return None
    if walker.without_rule:
        return None
    for i, node in enumerate(ids):
        graph.output(f"{POSITION} {i}", node)
    return graph


def _jitter(expression: Variable) -> Variable | None:
    """Return the jitter that an expression is the sum with."""
    node = expression.owner
    if node is None or not isinstance(node.op, Elemwise) or not isinstance(node.op.scalar_op, scalar.Add):
        return None
    jitter = node.inputs[-1]
    is_jitter = (
        jitter.owner is not None
        and isinstance(jitter.owner.op, UniformRV)
        and jitter.name is not None
        and jitter.name.endswith("_jitter")
        and find_rng_nodes([jitter.owner.inputs[0]]) == [jitter.owner.inputs[0]]
    )
    return jitter if is_jitter else None


def _is_exact(
    expressions: Sequence[Variable], changing: set[Variable], jitters: Collection[Variable]
) -> bool:
    """Whether the values of expressions come from what changes by exact operations alone."""
    if any(expression.type.dtype != "float64" for expression in expressions):
        return False
    stack, seen = list(expressions), {*expressions, *jitters}
    while stack:
        node = stack.pop().owner
        if node is None or not any(variable in changing for variable in node.outputs):
            continue
        if not _is_exact_node(node):
            return False
        more = [variable for variable in _read(node) if variable not in seen]
        seen.update(more)
        stack += more
    return True


def _is_exact_node(node: Apply[Any]) -> bool:
    if any(getattr(v.type, "dtype", "float32") in ("float16", "float32", "complex128") for v in node.outputs):
        return False  # the extension computes in float64
    if isinstance(node.op, Elemwise):
        function = node.op.scalar_op
        is_long = isinstance(function, scalar.Add | scalar.Mul) and len(node.inputs) > 2
        return isinstance(function, _EXACT_FUNCTIONS) and not is_long
    return isinstance(node.op, _EXACT_OPS)


def _read(node: Apply[Any]) -> list[Variable]:
    """List the inputs of which a node reads the values, not the shapes alone."""
    if isinstance(node.op, Shape | Shape_i):
        return []
    if isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, scalar.Second):
        return [node.inputs[1]]
    return list(node.inputs)
