"""Arrays on disk that grow by rows, with one moment at which new rows count.

The store is a Zarr hierarchy of format 2. New rows are written first; then one file, the consolidated
metadata of the whole, is replaced, and from then on xarray sees them. Whatever a process that was killed
has written since the last such moment is outside of the lengths there, and is cut off when the store is
opened again.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pymc_rustmc.errors import StoreError

_CHUNK_BYTES = 1 << 20
"""About the size of a chunk on disk."""
_CHUNK_ROWS = 4096


def zarr_module() -> Any:
    """Import zarr; raises ImportError that names the extra."""
    try:
        zarr = importlib.import_module("zarr")
    except ImportError as error:
        raise ImportError("`store` needs zarr 3: pip install 'pymc_rustmc[store]'") from error
    if int(zarr.__version__.partition(".")[0]) < 3:
        raise ImportError(
            f"`store` needs zarr 3, but {zarr.__version__} is here: pip install 'pymc_rustmc[store]'"
        )
    return zarr


class GrowingArrays:
    """Arrays in one Zarr hierarchy whose first axis grows.

    Parameters
    ----------
    path
        The directory.
    attributes
        What the hierarchy says of itself, for a new one; None for one that exists.
    """

    def __init__(self, path: Path, attributes: Mapping[str, Any] | None) -> None:
        self._zarr = zarr_module()
        self._path = str(path)
        self._arrays: dict[str, Any] = {}
        if attributes is not None:
            self._root = self._zarr.create_group(
                self._path, zarr_format=2, attributes=dict(attributes), overwrite=_is_unborn(path)
            )
            self.commit(attributes)
        else:
            self._root = self._zarr.open_group(self._path, mode="r+", zarr_format=2, use_consolidated=False)
            self._cut()

    def put(
        self,
        name: str,
        start: int,
        rows: NDArray[Any],
        dims: Sequence[str],
        fill: Any = None,
    ) -> None:
        """Write rows from a row on; the array is made, and grows along every axis, as needed.

        Parameters
        ----------
        name
            Group and name, ``"group/name"``.
        start
            Number of the first row.
        rows
            The rows, ``(n, *shape)``; where other rows are longer, the rest holds `fill`.
        dims
            Names of the axes.
        fill
            What stands where nothing was written.
        """
        array = self._array(name)
        if array is None:
            array = self._arrays[name] = self._create(name, rows, dims, fill)
        shape = (start + len(rows), *map(max, array.shape[1:], rows.shape[1:]))
        if array.shape != shape:
            array.resize(shape)
        place = (slice(start, start + len(rows)), *map(slice, rows.shape[1:]))
        if rows.size:
            array[place] = rows

    def fixed(self, name: str, values: NDArray[Any], dims: Sequence[str]) -> None:
        """Write an array that does not grow, such as labels, if it is not there."""
        if self._array(name) is None:
            self._arrays[name] = self._create(name, values, dims, None)
            self._arrays[name].resize(values.shape)
            self._arrays[name][...] = values

    def remove(self, name: str) -> None:
        """Remove an array, if it is there."""
        if self._array(name) is not None:
            del self._root[name]
            del self._arrays[name]

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """Return the dtype of an array; None if it is not there."""
        array = self._array(name)
        return None if array is None else np.dtype(array.dtype)

    def commit(self, attributes: Mapping[str, Any]) -> None:
        """Make all that was written count, together with attributes of the whole."""
        self._root.attrs.update(dict(attributes))
        self._zarr.consolidate_metadata(self._path, zarr_format=2)

    def _array(self, name: str) -> Any:
        if name not in self._arrays and name in self._root:
            self._arrays[name] = self._root[name]
        return self._arrays.get(name)

    def _create(self, name: str, rows: NDArray[Any], dims: Sequence[str], fill: Any) -> Any:
        group, _, own = name.rpartition("/")
        shape = tuple(max(1, length) for length in rows.shape[1:])
        text = rows.dtype.kind in "UO"
        size = int(np.prod(shape)) * (16 if text else rows.dtype.itemsize)
        count = min(_CHUNK_ROWS, max(1, _CHUNK_BYTES // size))
        return self._root.require_group(group).create_array(
            own,
            shape=(0, *rows.shape[1:]),
            chunks=(count, *shape),
            dtype=str if text else rows.dtype,
            fill_value="" if text else fill,
            attributes={"_ARRAY_DIMENSIONS": list(dims)},
            overwrite=True,
        )

    def _cut(self) -> None:
        """Take back whatever was written and does not count."""
        for file in Path(self._path).rglob("*.partial"):
            file.unlink(missing_ok=True)
        counted = self._zarr.open_consolidated(self._path, zarr_format=2)
        lengths = {name: array.shape for name, array in _all_arrays(counted).items()}
        for name, array in _all_arrays(self._root).items():
            if name not in lengths:
                del self._root[name]
            elif array.shape != lengths[name]:
                array.resize(lengths[name])
        self._root.attrs.put(dict(counted.attrs))


def attributes_of(path: Path) -> dict[str, Any] | None:
    """Return what a hierarchy says of itself; None if there is none.

    Raises
    ------
    StoreError
        If there is something else at the path.
    """
    zarr = zarr_module()
    if _is_unborn(path):
        return None
    if not path.is_dir() or not (path / ".zmetadata").exists():
        raise StoreError(path, "is not the store of a batch", "choose another path")
    return dict(zarr.open_consolidated(str(path), zarr_format=2).attrs)


def open_dataset(path: Path, group: str) -> xr.Dataset:
    """Open the arrays of a group as a dataset that reads what is asked of it."""
    dataset: xr.Dataset = xr.open_zarr(path, group=group, chunks=None, consolidated=True)
    return dataset


def read(path: Path, name: str, rows: Any = slice(None)) -> NDArray[Any]:
    """Read rows of one array."""
    array = zarr_module().open_consolidated(str(path), zarr_format=2)[name]
    found: NDArray[Any] = np.asarray(array[rows])
    return found


def names_in(path: Path, group: str) -> list[str]:
    """Names of the arrays of a group; none if there is no such group."""
    root = zarr_module().open_consolidated(str(path), zarr_format=2)
    return sorted(root[group].array_keys()) if group in root else []


def _is_unborn(path: Path) -> bool:
    """Whether there is nothing, or what a process left that was killed while it made the store."""
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    there = {file for file in os.listdir(path) if not file.endswith(".partial")}
    return there <= {".zgroup", ".zattrs"}


def _all_arrays(root: Any) -> dict[str, Any]:
    return {f"{group}/{name}": array for group, members in root.groups() for name, array in members.arrays()}
