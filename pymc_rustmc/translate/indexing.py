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
from pymc_rustmc.translate.blockwise import aligned, batch_ndim, on_stacks, spread
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


@on_stacks(Subtensor)
def _subtensor(op: Subtensor, node: Any, walker: Walker) -> int:
    x, *variables = node.inputs
    spec = _basic_spec(op.idx_list, "i", variables, walker)
    return _read(walker.id(x), spec, node, walker)


@on_stacks(IncSubtensor)
def _inc_subtensor(op: IncSubtensor, node: Any, walker: Walker) -> int:
    variables = node.inputs[2:]
    return _write(op, node, _basic_spec(op.idx_list, "i", variables, walker), walker)


@on_stacks(AdvancedSubtensor, *existing("pytensor.tensor.subtensor", "AdvancedSubtensor1"))
def _advanced_subtensor(op: Any, node: Any, walker: Walker) -> int:
    x, *variables = node.inputs
    spec = _advanced_spec(op, variables, walker)
    return _read(_with_new_axes(walker.id(x), variables, walker), spec, node, walker)


def _read(x: int, spec: Spec, node: Any, walker: Walker) -> int:
    entries, leaves = _stacked(x, spec, node, walker)
    return walker.op("index", x, *leaves, spec=entries)


def _stacked(x: int, spec: Spec, node: Any, walker: Walker) -> Spec:
    """Spec under Blockwise: each array of a stack has an index of its own, but one slice for all."""
    lead = batch_ndim(node)
    if lead == 0:
        return spec
    entries, leaves = spec
    is_index = [entry in "ia" for entry in entries]
    own = [leaf for entry in entries for leaf in [entry in "ia"] * _leaves(entry)]
    is_mask = any(walker.graph.dtype(leaf) == "bool" for leaf in leaves)
    # Masks of their own would make the shapes differ; the axes of an index behind a slice stand elsewhere.
    if is_mask or is_index != sorted(is_index, reverse=True):
        raise UnsupportedOpError(node.op)
    rank = max((walker.ndim(leaf) for leaf, is_own in zip(leaves, own, strict=True) if is_own), default=lead)
    leaves = [
        aligned(leaf, lead, rank, walker) if is_own else walker.op("common", leaf, axes=lead)
        for leaf, is_own in zip(leaves, own, strict=True)
    ]
    if not any(is_index):
        return [":"] * lead + entries, leaves
    arrays = ["a" if entry == "i" else entry for entry in entries]
    return ["a"] * lead + arrays, [*grids(x, walker, lead, rank), *leaves]


def _leaves(entry: str) -> int:
    """Count the leaves of an entry."""
    return entry.count("1") if entry.startswith("s") else int(entry != ":")


def grids(x: int, walker: Walker, count: int | None = None, ndim: int | None = None) -> list[int]:
    """Positions along the first `count` axes of `x` (by default all), in arrays of rank `ndim`."""
    count = walker.ndim(x) if count is None else count
    ndim = count if ndim is None else ndim
    arrays = []
    for axis in range(count):
        length = walker.op("shape_i", x, axis=axis)
        positions = walker.op("arange", walker.constant(0), length, walker.constant(1))
        order = [0 if other == axis else -1 for other in range(ndim)]
        arrays.append(walker.op("dimshuffle", positions, order=order))
    return arrays


@on_stacks(AdvancedIncSubtensor, *existing("pytensor.tensor.subtensor", "AdvancedIncSubtensor1"))
def _advanced_inc_subtensor(op: Any, node: Any, walker: Walker) -> int:
    if getattr(op, "ignore_duplicates", False) and not op.set_instead_of_inc:
        raise UnsupportedOpError(f"{op} with ignore_duplicates=True", "Leave ignore_duplicates at False.")
    variables = node.inputs[2:]
    if any(isinstance(variable.type, NoneTypeT) for variable in variables):
        raise UnsupportedOpError(f"{op} with np.newaxis", "Write to the array without the new axis.")
    return _write(op, node, _advanced_spec(op, variables, walker), walker)


def _write(op: Any, node: Any, spec: Spec, walker: Walker) -> int:
    x, y = (walker.id(variable) for variable in node.inputs[:2])
    if lead := batch_ndim(node):
        x = spread(x, node, walker)
        entries, leaves = spec = _stacked(x, spec, node, walker)
        indexed = max((walker.ndim(leaf) for leaf in leaves if "a" in entries), default=lead)
        kept = walker.ndim(x) - max(lead, entries.count("a"))
        y = aligned(y, lead, indexed + kept, walker)
    entries, leaves = spec
    name = "set_index" if op.set_instead_of_inc else "inc_index"
    return walker.op(name, x, y, *leaves, spec=entries)
