"""PyTensor without its compilers: small graphs that are evaluated once or a few times in Python."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pytensor import config
from pytensor.compile.mode import FAST_COMPILE, Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import graph_inputs, toposort

# NumPy's functions take at most 32 arguments; these rewrites join long chains of sums or products into one.
_LONG_SUMS = ("local_add_canonizer", "local_mul_canonizer")

SharedValues: TypeAlias = Mapping[SharedVariable, NDArray[Any]]
"""Values that stand in for those that shared variables hold."""

Step: TypeAlias = tuple[Callable[[], Any], list[list[Any]]]
"""What computes the results of one node, and where it puts them."""

PYTHON_MODE = Mode("py", FAST_COMPILE.provided_optimizer.excluding(*_LONG_SUMS))
"""For PyMC's functions that compile by themselves."""

_flags_lock = RLock()


@contextmanager
def no_compiler() -> Iterator[None]:
    """Keep PyTensor from compiling inner graphs (seconds) and from noting a stack trace for every node.

    The flags are those of the whole process, so one thread at a time may be inside.
    """
    with _flags_lock, config.change_flags(cxx="", mode="FAST_COMPILE", traceback__limit=0):
        yield


def xtensor_rewrites() -> tuple[str, ...]:
    """List the rewrites that turn the Ops of ``pymc.dims`` into those on plain arrays, if it is in use."""
    # To query a tag that is not there would create it, and make the import of pytensor.xtensor fail.
    return ("lower_xtensor",) if "pytensor.xtensor.rewriting" in sys.modules else ()


def interpreted(
    outputs: Sequence[Variable], varying: Sequence[Variable] = ()
) -> Callable[[SharedValues], Callable[[Sequence[Any]], list[NDArray[Any]]]]:
    """Make a function that evaluates `outputs` node by node.

    Nothing is simplified: that would take ten times as long as the few evaluations that it could speed up.

    Parameters
    ----------
    outputs
        Expressions of shared variables and of `varying`.
    varying
        Variables whose values change most often.

    Returns
    -------
    callable
        Takes values of shared variables in place of those that they hold now, and evaluates whatever does not
        depend on `varying`. What it returns takes values of `varying`, and returns those of `outputs`.
    """
    with no_compiler():
        if needed := xtensor_rewrites():
            fgraph = FunctionGraph(outputs=list(outputs), clone=True, copy_inputs=False)
            rewrite_graph(fgraph, include=needed)
            outputs = fgraph.outputs
        nodes = list(toposort(outputs))
        cells: dict[Variable, list[Any]] = {variable: [None] for node in nodes for variable in node.outputs}
        for leaf in (*graph_inputs(outputs), *varying):
            cells[leaf] = [leaf.data if isinstance(leaf, Constant) else None]
        known = {variable: [variable.owner is None] for variable in cells}
        late = set(varying)
        steps: tuple[list[Step], list[Step]] = [], []
        for node in nodes:
            is_late = any(variable in late for variable in node.inputs)
            if is_late:
                late.update(node.outputs)
            step = node.op.make_thunk(node, cells, known, [], impl="py")
            steps[is_late].append((step, [cells[variable] for variable in node.outputs]))
    early, again = steps
    shared_variables = [leaf for leaf in cells if isinstance(leaf, SharedVariable) and leaf not in late]
    read = {variable for node in nodes for variable in node.inputs} | set(outputs)
    kept = [cell for variable, cell in cells.items() if variable in read and variable not in late]

    def under(values: SharedValues) -> Callable[[Sequence[Any]], list[NDArray[Any]]]:
        given = {id(shared.container): value for shared, value in values.items()}  # PyMC's copies have it too
        for shared in shared_variables:
            value = given.get(id(shared.container))
            cells[shared][0] = shared.get_value(borrow=True) if value is None else value
        _run(early)
        results = [cell[0] for cell in kept]

        def evaluate(latest: Sequence[Any]) -> list[NDArray[Any]]:
            for cell, result in zip(kept, results, strict=True):
                cell[0] = result
            for variable, value in zip(varying, latest, strict=True):
                cells[variable][0] = value
            _run(again)
            return [np.array(cells[output][0]) for output in outputs]

        return evaluate

    return under


def _run(steps: Sequence[Step]) -> None:
    with no_compiler():
        for step, cells in steps:
            for cell in cells:  # an Op may write its result over the last one
                cell[0] = None
            step()
