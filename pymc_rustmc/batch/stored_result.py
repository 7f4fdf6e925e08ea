"""The result of a batch whose fits are in a store: it reads what is asked of it, when it is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray

from pymc_rustmc.batch.data_sets import DataSet
from pymc_rustmc.batch.result import DIM, BatchResult, KeptFit, greatest
from pymc_rustmc.batch.settings import BatchSettings
from pymc_rustmc.batch.store import id_of, settings_in
from pymc_rustmc.batch.zarr_arrays import attributes_of, names_in, open_dataset, read
from pymc_rustmc.compiled import CompiledModel, compile_model
from pymc_rustmc.errors import StoreError
from pymc_rustmc.inference_data import SAMPLE_STATS
from pymc_rustmc.storage import fingerprint
from pymc_rustmc.template import BoundModel

_ROWS = 4096
"""Fits whose summaries are read at a time."""
_READ_BYTES = 1 << 26
"""Bytes of draws that are read at a time."""


class StoredBatchResult(BatchResult):
    """The fits of many data sets in a store; made by `sample_batch` with ``store=``, and by `open_batch`.

    ``summary``, ``stats``, ``posterior`` and ``sample_stats`` are datasets that read their values from the
    store when these are used.

    Parameters
    ----------
    template, settings, interrupted
        As for `BatchResult`.
    path
        The store.
    """

    def __init__(
        self, template: BoundModel, settings: BatchSettings, path: Path, interrupted: bool = False
    ) -> None:
        super().__init__(template, settings, (), interrupted)
        self.path = path

    @cached_property
    def _state(self) -> dict[str, int]:
        found = attributes_of(self.path) or {}
        return {key: int(found.get(key, 0)) for key in ("rows", "failed")}

    @cached_property
    def _all_ids(self) -> list[Hashable]:
        return [id_of(str(text)) for text in read(self.path, "stats/id")] if self._state["rows"] else []

    @cached_property
    def _positions(self) -> NDArray[np.int64]:
        return read(self.path, "stats/position")

    @property
    def ids(self) -> list[Hashable]:
        """Ids of the data sets that were fitted, in the order in which they came."""
        return list(self._all_ids)

    @cached_property
    def _failures(self) -> dict[Hashable, tuple[int, str]]:
        if not self._state["failed"]:
            return {}
        ids, positions, reasons = (
            read(self.path, f"failures/{name}").tolist() for name in ("id", "position", "reason")
        )
        return {
            id_of(str(text)): (position, str(reason))
            for text, position, reason in zip(ids, positions, reasons, strict=True)
        }

    @property
    def failures(self) -> dict[Hashable, str]:
        """Id of each data set that was not fitted, and why."""
        return {key: reason for key, (_, reason) in self._failures.items()}

    @cached_property
    def summary(self) -> xr.Dataset:
        """Statistics of every variable, as in `BatchResult.summary`."""
        return self._open("summary").assign_attrs(self._attributes())

    @cached_property
    def stats(self) -> xr.Dataset:
        """What the chains tell of themselves, as in `BatchResult.stats`."""
        return self._open("stats").drop_vars(["id", "position", "seeds"])

    @cached_property
    def posterior(self) -> xr.Dataset:
        """Draws that were kept, as in `BatchResult.posterior`."""
        self._lead()
        return self._open("posterior")

    @cached_property
    def sample_stats(self) -> xr.Dataset:
        """Statistics of the draws that were kept, as in `BatchResult.sample_stats`."""
        self._lead()
        return self._open("sample_stats")

    def flagged(self, *, r_hat: float = 1.01, ess: float = 400, divergences: int = 0) -> dict[Hashable, str]:
        """List the data sets whose fits need a look, and why; as `BatchResult.flagged`."""
        rules = (("r_hat", 1, r_hat), ("ess_bulk", -1, ess), ("ess_tail", -1, ess))
        reasons: dict[int, list[str]] = {}
        for start in range(0, self._state["rows"], _ROWS):
            rows = slice(start, min(start + _ROWS, self._state["rows"]))
            for name in self.settings.variables:
                table = self.summary[name].isel({DIM: rows}).values
                for statistic, sign, bound in rules:
                    column = sign * table[..., self.settings.statistics.index(statistic)]
                    sizes = np.full(len(column), column[:1].size)
                    worst = sign * greatest(column.ravel(), sizes)
                    for index in np.flatnonzero(sign * worst > sign * bound):
                        text = f"{worst[index]:.3f}" if statistic == "r_hat" else f"{worst[index]:.0f}"
                        reasons.setdefault(start + int(index), []).append(f"{statistic} {text} of {name}")
            total = self.stats["divergences"].isel({DIM: rows}).values.sum(1)
            for index in np.flatnonzero(total > divergences):
                reasons.setdefault(start + int(index), []).append(f"{total[index]} divergences")
        return {self._all_ids[index]: ", ".join(reasons[index]) for index in sorted(reasons)}

    def _open(self, group: str) -> xr.Dataset:
        if not self._state["rows"]:
            super()._some()  # raises
        # The store may have grown since, or gone on growing.
        dataset = open_dataset(self.path, group)
        if group in ("summary", "posterior"):
            dataset = dataset[[name for name in self.settings.variables if name in dataset]]
        return dataset.isel({DIM: slice(self._state["rows"])})

    def _position(self, id: Hashable) -> int:
        if id in self._indices:
            return int(self._positions[self._indices[id]])
        if id in self._failures:
            return self._failures[id][0]
        raise KeyError(f"there is no data set {id!r}")

    def _kept_fits(self, indices: Iterable[int]) -> Iterator[KeptFit]:
        self._lead()
        wanted = list(indices)
        total = sum(array.nbytes for array in self.posterior.data_vars.values())
        count = max(1, _READ_BYTES * self._state["rows"] // max(1, total))
        for start in range(0, len(wanted), count):
            part = wanted[start : start + count]
            first, last = min(part), max(part) + 1
            if last - first > 2 * count:  # not next to one another: one by one
                yield from (self._rows(index, index + 1)[0] for index in part)
            else:
                fits = self._rows(first, last)
                yield from (fits[index - first] for index in part)

    def _rows(self, first: int, last: int) -> list[KeptFit]:
        """Read fits that follow one another."""
        rows = slice(first, last)

        def column(name: str) -> NDArray[Any]:
            return read(self.path, name, rows)

        positions, seconds = column("stats/position"), column("stats/total_seconds")
        tune = column("stats/tune").min(axis=1)
        values = {name: column(f"posterior/{name}") for name in self.settings.kept}
        shapes = {
            name: column(f"shapes/{name}") if array.ndim > 3 else np.zeros((len(array), 0), dtype=np.int64)
            for name, array in values.items()
        }
        stats = {name: column(f"sample_stats/{name}") for name in SAMPLE_STATS}
        given = {name: column(f"given/{name}") for name in names_in(self.path, "given")}
        return [
            KeptFit(
                position=int(positions[index]),
                values={
                    name: _cut(array[index], shapes[name][index].tolist()) for name, array in values.items()
                },
                stats={name: array[index] for name, array in stats.items()},
                seconds=float(seconds[index]),
                tune=int(tune[index]),
                data=_data_set(given, index),
            )
            for index in range(last - first)
        ]


def _cut(array: NDArray[Any], lengths: list[int]) -> NDArray[Any]:
    """Cut off what fills the last axes up."""
    place: tuple[Any, ...] = (..., *map(slice, lengths))
    found: NDArray[Any] = array[place]
    return found


def _data_set(given: dict[str, NDArray[Any]], index: int) -> DataSet:
    data = {}
    for name in given:
        is_given = given.get(f"{name} is given")
        if is_given is not None and is_given[index]:
            data[name] = _cut(given[name][index], given[f"{name} shape"][index].tolist())
    coords = json.loads(str(given["coords"][index])) if "coords" in given else {}
    return DataSet(data, coords)


def open_batch(
    path: str | os.PathLike[str], model: pm.Model | CompiledModel | None = None
) -> StoredBatchResult:
    """Open the store of a batch as a result, finished or not.

    Parameters
    ----------
    path
        What was given to `sample_batch` as ``store``.
    model
        The template that was sampled; that of the ``with`` context if None.

    Raises
    ------
    ImportError
        If zarr is missing.
    pymc_rustmc.errors.StoreError
        If it is no such store, or that of another template.
    """
    path = Path(path)
    settings = settings_in(path)
    if settings is None:
        raise StoreError(path, "is not the store of a batch", "give the path that sample_batch wrote to")
    if not isinstance(model, CompiledModel):
        model = compile_model(model, var_names=list(settings.variables))
    bound = model._bound
    stored, now = (attributes_of(path) or {})["template"], fingerprint(bound)
    if differing := sorted(key for key in now if key != "library" and stored.get(key) != now[key]):
        raise StoreError(
            path,
            f"is of another template: {', '.join(differing)} differ",
            "give the template that was sampled",
        )
    return StoredBatchResult(bound, settings, path)
