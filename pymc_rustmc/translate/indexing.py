"""Reading and writing parts of an array: slices, integer arrays and boolean masks.

Our `index`, `set_index` and `inc_index` take a flat list of leaves and a `spec`, one entry an axis: ":" a
full axis, "i" one scalar, "sABC" a slice with flags for start, stop and step, "a" one array. PyTensor
encodes the same in three ways: `idx_list` with types (2.x) or input positions (3.x) for the leaves, and,
for advanced indexing in 2.x, slice variables among the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.subtensor import AdvancedIncSubtensor, AdvancedSubtensor, IncSubtensor, Subtensor
from pytensor.tensor.type_other import MakeSlice, NoneTypeT, SliceType

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.registry import existing, register
from pymc_rustmc.translate.walker import Walker

Spec = tuple[list[str], list[int]]  # entries, leaves


def _slice_entry(parts: Iterable[object]) -> str:
    flags = "".join("0" if part is None else "1" for part in parts)
    return ":" if flags == "000" else "s" + flags


def _basic_spec(idx_list: Sequence[Any], leaf: str, variables: Sequence[Variable], walker: Walker) -> Spec:
    """Spec of an `idx_list` whose leaves are `variables`, in order; `leaf` is the entry of a lone leaf."""
    entries = [
        _slice_entry((entry.start, entry.stop, entry.step)) if isinstance(entry, slice) else leaf
        for entry in idx_list
    ]
    return entries, [walker.id(variable) for variable in variables]


def _inline_spec(variables: Sequence[Variable], walker: Walker) -> Spec:
    """Spec of PyTensor 2's advanced indexing, whose slices and new axes are variables."""
    entries: list[str] = []
    leaves: list[int] = []
    for variable in variables:
        if isinstance(variable.type, SliceType):
            parts = list(_slice_parts(variable, walker))
            entries.append(_slice_entry(parts))
            leaves += [part for part in parts if part is not None]
        elif isinstance(variable.type, NoneTypeT):
            entries.append(":")  # of the axis that `_with_new_axes` inserts
        else:
            entries.append("a")
            leaves.append(walker.id(variable))
    return entries, leaves


def _with_new_axes(x: int, variables: Sequence[Variable], walker: Walker) -> int:
    """`x` with an axis of length 1 where PyTensor 2's index has None."""
    order: list[int] = []
    axis = 0
    for variable in variables:
        if isinstance(variable.type, NoneTypeT):
            order.append(-1)
        else:
            taken = variable.type.ndim if getattr(variable.type, "dtype", None) == "bool" else 1
            order += range(axis, axis + taken)
            axis += taken
    order += range(axis, walker.ndim(x))
    return walker.op("dimshuffle", x, order=order) if -1 in order else x


def _slice_parts(variable: Variable, walker: Walker) -> Iterator[int | None]:
    if isinstance(variable, Constant):
        for value in (variable.data.start, variable.data.stop, variable.data.step):
            yield None if value is None else walker.constant(int(value))
    elif variable.owner is not None and isinstance(variable.owner.op, MakeSlice):
        for part in variable.owner.inputs:
            yield None if isinstance(part.type, NoneTypeT) else walker.id(part)
    else:
        raise UnsupportedOpError(f"indexing by the slice variable {variable}")


def _advanced_spec(op: Any, variables: Sequence[Variable], walker: Walker) -> Spec:
    idx_list = getattr(op, "idx_list", None)
    if idx_list is None:
        return _inline_spec(variables, walker)
    return _basic_spec(idx_list, "a", variables, walker)


@register(MakeSlice)
def _make_slice(op: MakeSlice, node: Any, walker: Walker) -> int:
    return -1  # no value of its own: the indexing rules read the bounds from the node


@register(Subtensor)
def _subtensor(op: Subtensor, node: Any, walker: Walker) -> int:
    x, *variables = node.inputs
    spec, leaves = _basic_spec(op.idx_list, "i", variables, walker)
    return walker.op("index", walker.id(x), *leaves, spec=spec)


@register(IncSubtensor)
def _inc_subtensor(op: IncSubtensor, node: Any, walker: Walker) -> int:
    x, y, *variables = node.inputs
    return _write(op, x, y, _basic_spec(op.idx_list, "i", variables, walker), walker)


@register(AdvancedSubtensor, *existing("pytensor.tensor.subtensor", "AdvancedSubtensor1"))
def _advanced_subtensor(op: Any, node: Any, walker: Walker) -> int:
    x, *variables = node.inputs
    spec, leaves = _advanced_spec(op, variables, walker)
    return walker.op("index", _with_new_axes(walker.id(x), variables, walker), *leaves, spec=spec)


@register(AdvancedIncSubtensor, *existing("pytensor.tensor.subtensor", "AdvancedIncSubtensor1"))
def _advanced_inc_subtensor(op: Any, node: Any, walker: Walker) -> int:
    if getattr(op, "ignore_duplicates", False) and not op.set_instead_of_inc:
        raise UnsupportedOpError(f"{op} with ignore_duplicates=True", "Leave ignore_duplicates at False.")
    x, y, *variables = node.inputs
    if any(isinstance(variable.type, NoneTypeT) for variable in variables):
        raise UnsupportedOpError(f"{op} with np.newaxis", "Write to the array without the new axis.")
    return _write(op, x, y, _advanced_spec(op, variables, walker), walker)


def _write(op: Any, x: Variable, y: Variable, spec: Spec, walker: Walker) -> int:
    entries, leaves = spec
    name = "set_index" if op.set_instead_of_inc else "inc_index"
    return walker.op(name, walker.id(x), walker.id(y), *leaves, spec=entries)
