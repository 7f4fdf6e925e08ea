"""The store of a batch: fits in a Zarr hierarchy that xarray reads, and that a later run can continue.

Groups: ``summary``, ``stats``, ``posterior`` and ``sample_stats`` as in a result, ``failures``; ``shapes``,
the lengths of variables that differ from fit to fit; ``given``, the data of fits whose draws are kept. The
attributes say what was run, on which template, and how far: data sets up to the position ``next``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc.batch.chunks import Chunk, Joined, filled, head
from pymc_rustmc.batch.data_sets import DataSet, Source
from pymc_rustmc.batch.result import DIM, own_dims
from pymc_rustmc.batch.settings import BatchSettings
from pymc_rustmc.batch.zarr_arrays import GrowingArrays, attributes_of, read
from pymc_rustmc.errors import StoreError
from pymc_rustmc.inference_data import SAMPLE_STATS
from pymc_rustmc.storage import fingerprint
from pymc_rustmc.template import BoundModel

FORMAT = "pymc_rustmc batch"
VERSION = 1

INTERVAL = 1.0
"""Least seconds between two commits."""
_COST = 10
"""Least ratio of the time between commits to the time that one takes."""
_MOST_BYTES = 1 << 26
"""Bytes of fits beyond which they are written at once."""

_PARTS = {
    "library": "version of pymc_rustmc",
    "graph": "log density or Deterministics",
    "data": "data of its own",
    "variables": "free variables or starting values",
    "start_graph": "starting values",
    "rewrites": "rules of exact algebra",
    "marginalised": "variables that are integrated out",
}


class BatchStore:
    """Writes fits as they come.

    Parameters
    ----------
    path
        The directory.
    template, settings
        What is run.
    resume
        Whether to continue what is there, if there is something.

    Attributes
    ----------
    next : int
        Position of the first data set that is not in the store.

    Raises
    ------
    ImportError
        If zarr is missing.
    StoreError
        If there is something at the path that is not to be continued, or cannot be.
    """

    def __init__(
        self, path: str | os.PathLike[str], template: BoundModel, settings: BatchSettings, *, resume: bool
    ) -> None:
        self.path = Path(path)
        self._template = template
        self._settings = settings
        run = {"settings": settings.to_dict(), "template": fingerprint(template)}
        found = attributes_of(self.path)
        if found is not None:
            _check(self.path, found, run, resume)
            self._state = {key: int(found[key]) for key in ("rows", "failed", "next")}
            self._labelled = bool(found["labelled"])
            self._run = run
            self._arrays = GrowingArrays(self.path, None)
        else:
            self._state = {"rows": 0, "failed": 0, "next": 0}
            self._labelled = True
            self._run = run
            self._arrays = GrowingArrays(self.path, self._attributes(self._state, complete=False))
        self.next = self._state["next"]
        self._waiting = Joined()
        self._bytes = 0
        self._last, self._cost = time.monotonic(), 0.0

    def skip(self, source: Source, seen: Callable[[Hashable], None]) -> None:
        """Take the data sets that are in the store from a source, and check that they have the same ids.

        Parameters
        ----------
        source
            The data sets, from the first on.
        seen
            Called with the id of each.

        Raises
        ------
        StoreError
            If the source has other ids, or fewer.
        """
        stored = self._stored_ids()
        position = 0
        while position < self.next:
            block = source.take(min(self.next - position, 4096))
            if block is None:
                raise StoreError(
                    self.path,
                    f"holds {self.next} data sets, but now there are {position} in all",
                    "resume with the same data sets",
                )
            for key in block.ids:
                if id_text(key) != stored[position]:
                    raise StoreError(
                        self.path,
                        f"has the id {stored[position]} for the data set number {position}, which now has "
                        f"the id {id_text(key)}",
                        "resume with the same data sets in the same order",
                    )
                seen(key)
                position += 1

    def _stored_ids(self) -> dict[int, str]:
        ids: dict[int, str] = {}
        for group, count in (("stats", "rows"), ("failures", "failed")):
            if self._state[count]:
                positions = read(self.path, f"{group}/position").tolist()
                ids.update(zip(positions, map(str, read(self.path, f"{group}/id")), strict=True))
        return ids

    @property
    def failed(self) -> int:
        """Number of data sets in the store that could not be fitted."""
        return self._state["failed"]

    def close(self) -> None:
        """Write what waits."""
        if self.next > self._state["next"]:
            self.commit()

    def add(self, chunk: Chunk) -> None:
        """Take up fits; what comes after a gap in the positions is left out."""
        chunk = self._without_gaps(chunk)
        self._waiting.add(chunk)
        self._bytes += _bytes(chunk)
        self.next += len(chunk["id"]) + len(chunk["failures"])
        self.tick()

    def tick(self) -> None:
        """Write what waits, if it is time."""
        due = self._last + max(INTERVAL, _COST * self._cost)
        if self._bytes > _MOST_BYTES or (self.next > self._state["next"] and time.monotonic() >= due):
            self.commit()

    def commit(self, complete: bool = False) -> None:
        """Write what waits, and make it count.

        Stopped at any moment and called again, it writes the same again.
        """
        began = time.monotonic()
        chunk = self._waiting.all()
        state = dict(self._state)
        if chunk is not None:
            if chunk["id"]:
                self._write_fits(chunk, state["rows"])
            if chunk["failures"]:
                self._write_failures(chunk, state["failed"])
            state = {
                "rows": state["rows"] + len(chunk["id"]),
                "failed": state["failed"] + len(chunk["failures"]),
                "next": state["next"] + len(chunk["id"]) + len(chunk["failures"]),
            }
        self._arrays.commit(self._attributes(state, complete))
        self._state, self._waiting, self._bytes = state, Joined(), 0
        self._last = time.monotonic()
        self._cost = self._last - began

    def _attributes(self, state: Mapping[str, int], complete: bool) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            **self._run,
            **state,
            "labelled": self._labelled,
            "complete": complete,
        }

    def _without_gaps(self, chunk: Chunk) -> Chunk:
        positions = [*chunk["position"].tolist(), *(failure["position"] for failure in chunk["failures"])]
        end = self.next
        for position in sorted(positions):
            if position != end:
                return head(chunk, end)
            end += 1
        return chunk

    def _write_fits(self, fits: Chunk, start: int) -> None:
        put, settings = self._arrays.put, self._settings
        keys, statistics = labels(fits["id"]), np.array(settings.statistics)
        lead, stats = _lead(fits), [name for name in SAMPLE_STATS if name in fits["sample_stats"]]
        if self._labelled and any(data is not None and data.coords for data in fits["given"]):
            self._remove_labels()
        for name in settings.variables:
            shapes = fits["shapes"][name]
            own = own_dims(self._template, name, shapes.shape[1])
            values = filled(fits["summary"][name], shapes)
            put(f"summary/{name}", start, values, (DIM, *own, "statistic"), np.nan)
            if len(own):
                put(f"shapes/{name}", start, shapes, (DIM, f"{name}_axis"))
            groups = ["summary"]
            if name in settings.kept:
                dtype = settings.dtype(name)
                draws = filled(fits["draws"][name].astype(dtype, copy=False), shapes, lead, _fill(dtype))
                fill = np.nan if dtype.kind == "f" else None
                put(f"posterior/{name}", start, draws, (DIM, "chain", "draw", *own), fill)
                groups.append("posterior")
            for dim, axis in zip(own, shapes.T, strict=True):
                self._write_labels(groups, dim, axis)
        for name, array in fits["chains"].items():
            put(f"stats/{name}", start, array, (DIM, "chain"))
        put("stats/total_seconds", start, fits["seconds"], (DIM,))
        put("stats/seeds", start, fits["seeds"], (DIM, "chain"))
        put("stats/position", start, fits["position"], (DIM,))
        put("stats/id", start, texts(map(id_text, fits["id"])), (DIM,))
        self._arrays.fixed("summary/statistic", statistics, ("statistic",))
        for name in stats:
            put(f"sample_stats/{name}", start, fits["sample_stats"][name], (DIM, "chain", "draw"))
        for group in ("summary", "stats", *(("posterior", "sample_stats") if settings.kept else ())):
            self._write_keys(f"{group}/{DIM}", start, keys)
            if group != "summary":
                self._arrays.fixed(f"{group}/chain", np.arange(settings.chains), ("chain",))
            if group in ("posterior", "sample_stats"):
                self._arrays.fixed(f"{group}/draw", np.arange(lead[1]) * settings.thin, ("draw",))
        self._write_given(fits, start)

    def _write_keys(self, name: str, start: int, keys: NDArray[Any]) -> None:
        dtype = self._arrays.dtype(name)
        if start and dtype is not None:
            numbers = dtype.kind == "i"
            if numbers != (keys.dtype.kind == "i"):
                raise StoreError(
                    self.path,
                    f"has ids that are {'integers' if numbers else 'texts'}, and others come",
                    "give all data sets ids of one kind",
                )
        self._arrays.put(name, start, keys, (DIM,))

    def _write_failures(self, chunk: Chunk, start: int) -> None:
        failures = chunk["failures"]
        positions = np.array([failure["position"] for failure in failures], dtype=np.int64)
        self._arrays.put("failures/position", start, positions, ("failure",))
        ids = texts(id_text(failure["id"]) for failure in failures)
        self._arrays.put("failures/id", start, ids, ("failure",))
        reasons = texts(failure["reason"] for failure in failures)
        self._arrays.put("failures/reason", start, reasons, ("failure",))

    def _write_labels(self, groups: Sequence[str], dim: str, lengths: NDArray[np.int64]) -> None:
        """Write the template's coords of a dim, while they are those of all fits."""
        values = self._template.coords.get(dim)
        if not self._labelled or values is None or values.dtype.kind not in "iufUO":
            return
        if (lengths != len(values)).any():
            self._remove_labels()
            return
        if values.dtype.kind == "O":
            values = texts(map(str, values))
        for group in groups:
            self._arrays.fixed(f"{group}/{dim}", values, (dim,))

    def _remove_labels(self) -> None:
        """Remove labels, since they are not those of all fits."""
        self._labelled = False
        for dim in self._template.coords:
            for group in ("summary", "posterior"):
                self._arrays.remove(f"{group}/{dim}")

    def _write_given(self, fits: Chunk, start: int) -> None:
        """Write the data of fits as float64, which holds them exactly, and their lengths."""
        given = [data or DataSet({}) for data in fits["given"]]
        if not self._settings.kept:
            return
        for name, item in self._template.template.description.data.items():
            if not any(name in data.data for data in given) and self._arrays.dtype(f"given/{name}") is None:
                continue
            arrays = [_flat(data.data.get(name), item.ndim) for data in given]
            shapes = np.array([shape for shape, _ in arrays], dtype=np.int64).reshape(len(given), item.ndim)
            values = np.concatenate([values for _, values in arrays])
            missing = np.array([name not in data.data for data in given])
            dims = [f"{name}_dim_{axis}" for axis in range(item.ndim)]
            put = self._arrays.put
            put(f"given/{name}", start, filled(values, shapes), (DIM, *dims), np.nan)
            put(f"given/{name} is given", start, ~missing, (DIM,), False)
            put(f"given/{name} shape", start, shapes, (DIM, f"{name}_axis"), 0)
        coords = [json.dumps({dim: _plain(values) for dim, values in data.coords.items()}) for data in given]
        self._arrays.put("given/coords", start, texts(coords), (DIM,))


def _check(path: Path, found: Mapping[str, Any], run: Mapping[str, Any], resume: bool) -> None:
    """Whether a store may be continued by a run."""
    if found.get("format") != FORMAT:
        raise StoreError(path, "is not the store of a batch", "choose another path")
    if not resume:
        raise StoreError(
            path, "is there already", "continue it with resume=True, delete it, or choose another path"
        )
    if found.get("version") != VERSION:
        raise StoreError(
            path,
            f"has version {found.get('version')!r} of the format; this pymc_rustmc writes {VERSION}",
            "resume with the version that began it",
        )
    then, now = _flat_settings(found["settings"]), _flat_settings(json.loads(json.dumps(run["settings"])))
    differing = [
        f"{key} was {then.get(key)!r} and is now {now.get(key)!r}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
    template = found["template"]
    parts = [_PARTS.get(key, key) for key, digest in run["template"].items() if template.get(key) != digest]
    if parts:
        differing.append(f"the template has other {', '.join(parts)}")
    if differing:
        raise StoreError(
            path, f"is of another run: {'; '.join(differing)}", "resume with the same template and arguments"
        )


def settings_in(path: str | os.PathLike[str]) -> BatchSettings | None:
    """Return the settings of the store at a path; None if there is none."""
    found = attributes_of(Path(path))
    if found is None or found.get("format") != FORMAT or found.get("version") != VERSION:
        return None
    return BatchSettings.from_dict(found["settings"])


def _flat_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    warm_start = settings["warm_start"] and settings["warm_start"]["data_sets"]
    return {**settings, **json.loads(settings["sampler"]), "sampler": None, "warm_start": warm_start}


def id_text(key: Hashable) -> str:
    """Return an id as JSON; ids that JSON has no form for as their text."""
    if isinstance(key, np.generic):
        key = key.item()
    if isinstance(key, tuple):
        return f"[{', '.join(map(id_text, key))}]"
    if key is None or isinstance(key, str | int | float):
        return json.dumps(key)
    return json.dumps(str(key))


def id_of(text: str) -> Hashable:
    """Read what `id_text` gave."""
    key: Hashable = _with_tuples(json.loads(text))
    return key


def _with_tuples(key: Any) -> Any:
    return tuple(map(_with_tuples, key)) if isinstance(key, list) else key


def labels(ids: Sequence[Hashable]) -> NDArray[Any]:
    """Ids as values of a coordinate: integers if all are, else texts."""
    if all(isinstance(key, int | np.integer) and not isinstance(key, bool) for key in ids):
        return np.array(ids, dtype=np.int64)
    return texts(key if isinstance(key, str) else id_text(key) for key in ids)


def texts(items: Any) -> NDArray[Any]:
    """Return texts as an array of objects."""
    listed = list(items)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def _flat(value: Any, ndim: int) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    if value is None:
        return (0,) * ndim, np.zeros(0 if ndim else 1)
    array = np.asarray(value, dtype=np.float64)
    return array.shape, array.ravel()


def _plain(values: Any) -> list[Any]:
    items = np.asarray(values).tolist()
    return [item if isinstance(item, str | int | float) else str(item) for item in items]


def _fill(dtype: np.dtype[Any]) -> Any:
    return np.nan if dtype.kind == "f" else 0


def _lead(fits: Chunk) -> tuple[int, int]:
    """Chains and draws that are kept of each fit."""
    for array in fits["sample_stats"].values():
        return array.shape[1], array.shape[2]
    return fits["seeds"].shape[1], 0


def _bytes(chunk: Chunk) -> int:
    """About how many bytes a chunk takes."""
    arrays = [array for key in ("summary", "draws", "sample_stats") for array in chunk[key].values()]
    given = [np.size(value) * 8 for data in chunk["given"] if data for value in data.data.values()]
    return sum(array.nbytes for array in arrays) + sum(given) + 200 * len(chunk["failures"])
