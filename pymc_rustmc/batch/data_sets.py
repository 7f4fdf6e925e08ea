"""The forms in which people have many data sets, as one source that gives them in blocks.

Nothing here looks into the values: the extension checks them, and what it refuses is reported under its id.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from pymc_rustmc._core import Batch
from pymc_rustmc.template import GivenCoords, quoted

Columns: TypeAlias = Mapping[str, str | Sequence[str]]
"""Name of a ``pm.Data`` to the column or columns, or the variable, that holds its values."""

_PATIENCE = 0.05
"""Seconds for which an iterator is asked for more, while fits that have ended wait."""


@dataclass(frozen=True)
class DataSet:
    """The data of one fit.

    Parameters
    ----------
    data
        New values by the name of ``pm.Data``; everything else keeps the template's value.
    coords
        New coordinate values of dims, which also set the lengths of dims that no data have.
    """

    data: Mapping[str, ArrayLike]
    coords: GivenCoords = field(default_factory=dict)


class Block(Protocol):
    """Some data sets that follow one another."""

    @property
    def ids(self) -> list[Hashable]:
        """Ids of the data sets."""

    def submit(self, batch: Batch, position: int) -> None:
        """Give them to the extension; the first one gets this position."""

    def data_set(self, index: int) -> DataSet:
        """Return one of them."""


class Source(Protocol):
    """Data sets in an order of their own.

    Attributes
    ----------
    total : int or None
        How many there are, where that is known.
    """

    total: int | None

    def take(self, count: int) -> Block | None:
        """Return the next ones, at most so many; None after the last."""


def source_of(
    datasets: Any,
    names: Sequence[str],
    dims: Sequence[str],
    *,
    ids: Iterable[Hashable] | None = None,
    dim: str | None = None,
    columns: Columns | None = None,
) -> Source:
    """Make a source of what a user gives.

    Parameters
    ----------
    datasets
        An iterable of data sets: mappings, `DataSet` or pairs of an id and one of these; a mapping of ids to
        data sets; a mapping of names to arrays, stacked along their first axis; an `xarray.Dataset`; or a
        group-by of pandas or polars.
    names, dims
        Names of the template's data, and its dims.
    ids
        Ids of data sets that have none of their own; by default, their numbers.
    dim
        The dim of an `xarray.Dataset` to split.
    columns
        Columns or variables that hold the values, where they have other names than the template's data.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or an argument does not fit its form; the text says what to do.
    """
    if isinstance(datasets, xr.Dataset):
        return _of_dataset(datasets, names, dims, dim, columns, ids)
    if dim is not None:
        raise TypeError(f"`dim` splits an xarray.Dataset, but `datasets` is a {type(datasets).__name__}.")
    module = type(datasets).__module__.partition(".")[0]
    if module in ("pandas", "polars"):
        if not type(datasets).__name__.endswith("GroupBy"):
            raise TypeError(
                f"`datasets` is a {module} {type(datasets).__name__}; say what a data set is by "
                f"grouping it: {'frame.groupby' if module == 'pandas' else 'frame.group_by'}('id column')."
            )
        if ids is not None:
            raise TypeError("`ids` are the keys of the group-by; leave `ids` out.")
        return _Listed(_groups(datasets, _columns(columns, names)), None, _length(datasets))
    if columns is not None:
        raise TypeError("`columns` belongs to an xarray.Dataset or a group-by of pandas or polars.")
    if isinstance(datasets, Mapping):
        values = list(datasets.values())
        if all(isinstance(value, Mapping | DataSet) for value in values):
            if ids is not None:
                raise TypeError("`ids` are the keys of `datasets`; leave `ids` out.")
            return _Listed(iter(datasets.items()), None, len(values))
        return _Stacked(_stacks(datasets, names), ids)
    if isinstance(datasets, Iterable) and not isinstance(datasets, str | bytes):
        return _Listed(iter(datasets), ids, _length(datasets))
    raise TypeError(
        "`datasets` must be an iterable of mappings, a mapping of arrays, an xarray.Dataset or a group-by, "
        f"got {type(datasets).__name__}."
    )


_NO_ID = object()


class _Listed:
    """Data sets one by one, taken from an iterator as they are needed."""

    def __init__(self, items: Iterator[Any], ids: Iterable[Hashable] | None, total: int | None) -> None:
        self.total = total
        self._items = items
        self._ids = None if ids is None else iter(ids)
        self._next = 0

    def take(self, count: int) -> Block | None:
        keys: list[Hashable] = []
        sets: list[DataSet | _Unusable] = []
        end = time.monotonic() + _PATIENCE
        for item in itertools.islice(self._items, count):
            if _is_pair(item):
                key, item = item
                if self._ids is not None:
                    raise TypeError("`ids` are given twice: `datasets` holds pairs of an id and data.")
            else:
                key = self._next if self._ids is None else next(self._ids, _NO_ID)
            if key is _NO_ID:
                raise ValueError("`ids` are fewer than the data sets.")
            self._next += 1
            keys.append(key)
            sets.append(_as_data_set(item))
            if time.monotonic() > end:
                break
        return _Sets(keys, sets) if keys else None


class _Unusable(str):
    """Why a data set cannot be used."""


@dataclass(frozen=True)
class _Sets:
    """Data sets, or what is wrong with them."""

    ids: list[Hashable]
    sets: list[DataSet | _Unusable]

    def submit(self, batch: Batch, position: int) -> None:
        batch.submit(position, [item if isinstance(item, _Unusable) else _plain(item) for item in self.sets])

    def data_set(self, index: int) -> DataSet:
        item = self.sets[index]
        return DataSet({}) if isinstance(item, _Unusable) else item


class _Stacked:
    """Arrays whose first axis is that of data sets."""

    def __init__(self, stacks: dict[str, NDArray[Any]], ids: Iterable[Hashable] | None) -> None:
        lengths = {name: len(stack) for name, stack in stacks.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The stacked arrays have different lengths along their first axis: {lengths}.")
        self.total: int | None = next(iter(lengths.values()))
        self._stacks = stacks
        self._ids: list[Hashable] = [*range(self.total)] if ids is None else list(ids)
        if len(self._ids) != self.total:
            raise ValueError(f"There are {len(self._ids)} ids for {self.total} data sets.")
        self._next = 0

    def take(self, count: int) -> Block | None:
        first, last = self._next, min(self._next + count, len(self._ids))
        self._next = last
        if first == last:
            return None
        return _Rows(self._ids[first:last], {name: stack[first:last] for name, stack in self._stacks.items()})


@dataclass(frozen=True)
class _Rows:
    """Rows of stacked arrays."""

    ids: list[Hashable]
    stacks: dict[str, NDArray[Any]]

    def submit(self, batch: Batch, position: int) -> None:
        batch.submit_rows(position, 0, len(self.ids), self.stacks)

    def data_set(self, index: int) -> DataSet:
        return DataSet({name: stack[index] for name, stack in self.stacks.items()})


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and not isinstance(item[0], Mapping | DataSet)


def _as_data_set(item: Any) -> DataSet | _Unusable:
    if isinstance(item, DataSet | _Unusable):
        return item
    if isinstance(item, Mapping):
        return DataSet(item)
    return _Unusable(
        f"a data set must be a mapping of names to values, or a DataSet, not {type(item).__name__}"
    )


def _plain(item: DataSet) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    lengths = [(dim, len(values)) for dim, values in item.coords.items()]
    return {str(name): value for name, value in item.data.items()}, lengths


def _length(items: Any) -> int | None:
    try:
        return len(items)
    except TypeError:
        return None


def _stacks(datasets: Mapping[str, Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Stacked arrays by name."""
    if not datasets:
        raise ValueError("`datasets` is empty.")
    if unknown := [name for name in datasets if name not in names]:
        raise ValueError(
            f"the model has no data named {quoted(unknown)}; it has {quoted(names) or 'none'}. (A mapping of "
            f"arrays is read as data stacked along the first axis.)"
        )
    stacks = {name: np.asarray(values) for name, values in datasets.items()}
    for name, stack in stacks.items():
        if stack.ndim == 0 or stack.dtype.kind not in "fiub":
            raise ValueError(
                f"{name!r} is no array of numbers stacked along its first axis; data sets of different "
                f"lengths are a list of mappings."
            )
    return stacks


def _columns(columns: Columns | None, names: Sequence[str]) -> Columns:
    if columns is None:
        return {name: name for name in names}
    if unknown := [name for name in columns if name not in names]:
        raise ValueError(f"`columns` names {quoted(unknown)}; the model has the data {quoted(names)}.")
    return columns


def _of_dataset(
    datasets: xr.Dataset,
    names: Sequence[str],
    dims: Sequence[str],
    dim: str | None,
    columns: Columns | None,
    ids: Iterable[Hashable] | None,
) -> Source:
    if dim is None or dim not in datasets.dims:
        known = quoted(map(str, datasets.dims))
        raise ValueError(f"`dim` must name the dim of `datasets` to split, one of {known}; got {dim!r}.")
    given = columns is not None
    variables = {
        name: str(variable)
        for name, variable in _columns(columns, names).items()
        if given or variable in datasets
    }
    if missing := [variable for variable in variables.values() if variable not in datasets]:
        raise ValueError(
            f"`datasets` has no variable {quoted(missing)}; it has {quoted(map(str, datasets))}."
        )
    split = {name: variable for name, variable in variables.items() if dim in datasets[variable].dims}
    if not split:
        raise ValueError(f"no data of the model have the dim {dim!r} in `datasets`; name them by `columns`.")
    if ids is None and dim in datasets.coords:
        ids = datasets[dim].to_index().tolist()
    ids = list(range(datasets.sizes[dim])) if ids is None else list(ids)
    shared = {name: datasets[variable].values for name, variable in variables.items() if name not in split}
    used = {other for variable in variables.values() for other in datasets[variable].dims} - {dim}
    coords = {
        str(other): datasets[other].values for other in used if other in dims and other in datasets.coords
    }
    stacks = {name: datasets[variable].transpose(dim, ...).values for name, variable in split.items()}
    if not shared and not coords:
        return _Stacked(stacks, ids)
    sets = (
        DataSet({**shared, **{name: stack[row] for name, stack in stacks.items()}}, coords)
        for row in range(datasets.sizes[dim])
    )
    return _Listed(iter(sets), ids, datasets.sizes[dim])


def _groups(groups: Any, columns: Columns) -> Iterator[tuple[Hashable, DataSet | _Unusable]]:
    """Ids and data of the groups of a group-by."""
    for key, frame in groups:
        names = {
            name: [column] if isinstance(column, str) else list(column) for name, column in columns.items()
        }
        found = set(frame.columns)
        wanted = {column for group in names.values() for column in group}
        key = key[0] if isinstance(key, tuple) and len(key) == 1 else key
        if missing := sorted(wanted - found):
            there = quoted(map(str, frame.columns))
            yield key, _Unusable(f"there is no column {quoted(missing)}; the columns are {there}")
            continue
        arrays = {
            name: frame[group[0]].to_numpy()
            if isinstance(columns[name], str)
            else np.column_stack([frame[column].to_numpy() for column in group])
            for name, group in names.items()
        }
        yield key, DataSet(arrays)
