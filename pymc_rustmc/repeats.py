"""Expressions that differ in their variables and data alone, as a loop in a model makes them.

PyTensor's rewrites take most of the time before sampling, milliseconds for every term of the log density.
What they make of one term of a kind they would make of each, so they are applied to one form of it, in which
free variables, the slots, stand in the places where the terms differ.

Constants are among these places only where no rewrite looks at their values: arrays of numbers that are not
all equal, and numbers such as 0.37, read by elementwise functions and reductions. All else is part of the
form.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.scalar.basic import Add
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.subtensor import Subtensor

FEWEST = 4
"""As many expressions of a kind are taken together."""

MOST_VISITS = 10
"""Times that a node may be visited in the mean; expressions with more in common are left as they are."""

LARGE = 10_000
"""Elements of an array from which on nobody looks into it during translation.

To compare, hash or fold a design matrix makes copies of it.
"""


@dataclass(frozen=True)
class Repeat:
    """Expressions of one form.

    Parameters
    ----------
    members
        Which of the expressions.
    form
        The expression of all of them, in terms of `slots`.
    slots
        Free variables.
    values
        What each of the members has in the places of the slots.
    """

    members: list[int]
    form: Variable
    slots: list[Variable]
    values: list[list[Variable]]


@dataclass(frozen=True)
class _Expression:
    """An expression taken apart: its nodes in topological order, and leaves that its kind may differ in."""

    position: int
    output: Variable
    nodes: list[Apply[Any]]
    leaves: list[Variable]


def find_repeats(outputs: Sequence[Variable]) -> list[Repeat]:
    """Find expressions of one form among `outputs`; each belongs to one at most."""
    if len(outputs) < FEWEST:
        return []
    kinds: dict[Hashable, list[_Expression]] = {}
    seen: set[Apply[Any]] = set()
    visits = 0
    for position, output in enumerate(outputs):
        nodes = list(_nodes(output))
        visits += len(nodes)
        seen.update(nodes)
        if visits > MOST_VISITS * len(seen):
            return []
        if nodes:
            leaves: list[Variable] = []
            kind = tuple(_kind(nodes, leaves))
            kinds.setdefault(kind, []).append(_Expression(position, output, nodes, leaves))
    return [_repeat(expressions) for expressions in kinds.values() if len(expressions) >= FEWEST]


def terms(total: Variable) -> list[Variable]:
    """List the scalars that a log density is the sum of."""
    found, rest = [], [total]
    while rest:
        variable = rest.pop()
        node = variable.owner
        op = None if node is None else node.op
        if isinstance(op, Elemwise) and isinstance(op.scalar_op, Add) and variable.type.ndim == 0:
            rest += reversed(node.inputs)
        else:
            found.append(variable)
    return found


def _nodes(output: Variable) -> Iterator[Apply[Any]]:
    """Nodes of an expression in topological order, down to its leaves."""
    done: set[Apply[Any]] = set()
    stack = [(output.owner, False)]
    while stack:
        node, has_inputs = stack.pop()
        if node is None or node in done or _is_element(node):
            continue
        if has_inputs:
            done.add(node)
            yield node
        else:
            stack.append((node, True))
            stack += [(variable.owner, False) for variable in reversed(node.inputs)]


def _is_element(node: Apply[Any]) -> bool:
    """Whether a node reads a fixed part of a value variable or of data: itself a leaf."""
    array, *index = node.inputs
    return (
        isinstance(node.op, Subtensor)
        and array.owner is None
        and not isinstance(array, Constant)
        and all(isinstance(variable, Constant) for variable in index)
    )


def _kind(nodes: Sequence[Apply[Any]], leaves: list[Variable]) -> Iterator[Hashable]:
    """Say what is the same in all expressions of a kind; append what may differ to `leaves`."""
    by_value = {
        variable
        for node in nodes
        for variable in node.inputs
        if isinstance(variable, Constant)
        and not (isinstance(node.op, Elemwise | DimShuffle | CAReduce) and _is_any_number(variable))
    }
    numbers: dict[Variable, int] = {}
    for node in nodes:
        inputs: list[Hashable] = []
        for variable in node.inputs:
            if variable in by_value:
                inputs.append(_signature(variable))
            elif variable in numbers:
                inputs.append(numbers[variable])
            else:
                numbers[variable] = len(numbers)
                leaves.append(variable)
                inputs.append((numbers[variable], variable.type))
        for variable in node.outputs:
            numbers[variable] = len(numbers)
        yield node.op, tuple(inputs)


def _is_any_number(constant: Variable) -> bool:
    """Whether no rewrite makes anything of a constant's value."""
    values = getattr(constant, "data", None)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        return False
    if values.size > 1:
        return bool((values != values.flat[0]).any())
    return bool(np.isfinite(values).all() and (2 * values != np.round(2 * values)).all())


def _signature(constant: Variable) -> Hashable:
    assert isinstance(constant, Constant)
    if isinstance(constant.data, np.ndarray):
        is_large = constant.data.size >= LARGE  # the same array then, not an equal one
        content = id(constant.data) if is_large else constant.data.tobytes()
        return constant.type, constant.data.shape, content
    signature: Hashable = constant.signature()
    return signature


def _repeat(expressions: Sequence[_Expression]) -> Repeat:
    first = expressions[0]
    columns = zip(*(expression.leaves for expression in expressions), strict=True)
    differ = [i for i, column in enumerate(columns) if any(not _is_same(column[0], v) for v in column)]
    slots = {first.leaves[i]: first.leaves[i].type() for i in differ}
    copies: dict[Variable, Variable] = dict(slots)
    for node in first.nodes:
        if any(variable in copies for variable in node.inputs):
            copy = node.clone_with_new_inputs([copies.get(variable, variable) for variable in node.inputs])
            copies.update(zip(node.outputs, copy.outputs, strict=True))
    return Repeat(
        [expression.position for expression in expressions],
        copies.get(first.output, first.output),
        list(slots.values()),
        [[expression.leaves[i] for i in differ] for expression in expressions],
    )


def _is_same(one: Variable, other: Variable) -> bool:
    if one is other:
        return True
    both = isinstance(one, Constant) and isinstance(other, Constant)
    return both and _signature(one) == _signature(other)
