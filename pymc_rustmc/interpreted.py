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
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.link.basic import PerformLinker

# NumPy's functions take at most 32 arguments; these rewrites join long chains of sums or products into one.
_LONG_SUMS = ("local_add_canonizer", "local_mul_canonizer")

SharedValues: TypeAlias = Mapping[SharedVariable, NDArray[Any]]
"""Values that stand in for those that shared variables hold."""

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
    outputs: Sequence[Variable],
) -> Callable[[SharedValues], list[NDArray[Any]]]:
    """Make a function that evaluates `outputs` node by node, for given or current values of shared variables.

    Nothing is simplified: that would take ten times as long as the few evaluations that it could speed up.
    """
    fgraph = FunctionGraph(outputs=list(outputs), clone=True, copy_inputs=False)
    with no_compiler():
        if needed := xtensor_rewrites():
            rewrite_graph(fgraph, include=needed)
        thunk, inputs, results = PerformLinker().accept(fgraph).make_thunk()

    def evaluate(values: SharedValues) -> list[NDArray[Any]]:
        given = {id(shared.container): value for shared, value in values.items()}  # PyMC's copies have it too
        for container, shared in zip(inputs, fgraph.inputs, strict=True):
            value = given.get(id(shared.container))
            container.storage[0] = shared.get_value(borrow=True) if value is None else value
        with no_compiler():
            thunk()
        return [np.array(result.storage[0]) for result in results]  # the storage is used again

    return evaluate
