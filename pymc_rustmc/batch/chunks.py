"""Chunks: finished fits as plain arrays, in which they leave the extension, are joined, stored and sent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc.batch.data_sets import DataSet


class Failure(TypedDict):
    """A data set that was not fitted."""

    id: Hashable
    position: int
    reason: str


class Chunk(TypedDict):
    """Fits of n data sets, by ascending position, and the data sets between them that failed.

    Values of variables are flat, one fit after the other, since shapes may differ from fit to fit.
    """

    id: list[Hashable]
    position: NDArray[np.int64]
    """Number of each data set in the order in which they came, ``(n,)``."""
    seeds: NDArray[np.int64]
    """Seeds of the chains, ``(n, chains)``."""
    seconds: NDArray[np.float64]
    """From data to summary, ``(n,)``."""
    chains: Mapping[str, NDArray[Any]]
    """What chains tell of themselves, each ``(n, chains)``."""
    shapes: Mapping[str, NDArray[np.int64]]
    """Shape of each variable, ``(n, ndim)``."""
    summary: Mapping[str, NDArray[np.float64]]
    """Statistics of all elements of each variable, ``(elements of all fits, statistics)``."""
    draws: Mapping[str, NDArray[np.float64]]
    """Draws of variables that are kept: of each fit, flat, ``(chains, draws, *shape)``."""
    sample_stats: Mapping[str, NDArray[Any]]
    """Statistics of these draws, each ``(n, chains, draws)``."""
    given: list[DataSet | None]
    """The data sets, if draws are kept; else None for those without coords."""
    failures: list[Failure]


def join(chunks: Sequence[Chunk]) -> Chunk:
    """Put chunks together; at least one. They are used up, so that memory holds one array twice, not all."""

    def arrays(key: str) -> dict[str, NDArray[Any]]:
        parts: list[dict[str, NDArray[Any]]]
        parts = [chunk[key] for chunk in chunks if len(chunk["id"])] or [chunks[0][key]]  # type: ignore[literal-required]
        return {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}

    return Chunk(
        id=[key for chunk in chunks for key in chunk["id"]],
        position=np.concatenate([chunk["position"] for chunk in chunks]),
        seeds=np.concatenate([chunk["seeds"] for chunk in chunks]),
        seconds=np.concatenate([chunk["seconds"] for chunk in chunks]),
        chains=arrays("chains"),
        shapes=arrays("shapes"),
        summary=arrays("summary"),
        draws=arrays("draws"),
        sample_stats=arrays("sample_stats"),
        given=[data for chunk in chunks for data in chunk["given"]],
        failures=[failure for chunk in chunks for failure in chunk["failures"]],
    )


def head(chunk: Chunk, end: int) -> Chunk:
    """Return what a chunk holds of positions below one."""
    count = int(np.searchsorted(chunk["position"], end))
    lengths = {name: int(shapes[:count].prod(1).sum()) for name, shapes in chunk["shapes"].items()}
    stats = chunk["sample_stats"]
    draws = next((array[0].size for array in stats.values() if len(array)), 0)
    return Chunk(
        id=chunk["id"][:count],
        position=chunk["position"][:count],
        seeds=chunk["seeds"][:count],
        seconds=chunk["seconds"][:count],
        chains={name: array[:count] for name, array in chunk["chains"].items()},
        shapes={name: array[:count] for name, array in chunk["shapes"].items()},
        summary={name: array[: lengths[name]] for name, array in chunk["summary"].items()},
        draws={name: array[: lengths[name] * draws] for name, array in chunk["draws"].items()},
        sample_stats={name: array[:count] for name, array in stats.items()},
        given=chunk["given"][:count],
        failures=[failure for failure in chunk["failures"] if failure["position"] < end],
    )


def filled(
    flat: NDArray[Any], shapes: NDArray[np.int64], lead: tuple[int, ...] = (), fill: Any = np.nan
) -> NDArray[Any]:
    """Values of all fits as one array, ``(fits, *lead, *shape, *other axes of flat)``; `fill` in gaps."""
    rest = flat.shape[1:]
    if len(shapes) == 0 or (shapes == shapes[0]).all():
        shape = shapes[0].tolist() if len(shapes) else [0] * shapes.shape[1]
        return flat.reshape(len(shapes), *lead, *shape, *rest)
    whole = np.full((len(shapes), *lead, *shapes.max(0), *rest), fill, dtype=flat.dtype)
    start = 0
    for index, shape in enumerate(shapes.tolist()):
        size = int(np.prod(shape)) * int(np.prod(lead))
        place: tuple[int | slice, ...] = (index, *(slice(None) for _ in lead), *map(slice, shape))
        whole[place] = flat[start : start + size].reshape(*lead, *shape, *rest)
        start += size
    return whole


class Joined:
    """Chunks that are joined as they come, in all with as much copying as a list that grows."""

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Add a chunk."""
        own = {key: dict(part) if isinstance(part, Mapping) else part for key, part in chunk.items()}
        self._chunks.append(own)  # type: ignore[arg-type]
        while len(self._chunks) > 1 and _size(self._chunks[-2]) < 2 * _size(self._chunks[-1]):
            last = self._chunks.pop()
            self._chunks[-1] = join([self._chunks[-1], last])

    def take(self) -> list[Chunk]:
        """Give everything away, in few chunks."""
        chunks, self._chunks = self._chunks, []
        return chunks

    def all(self) -> Chunk | None:
        """Return everything as one chunk; None if nothing came."""
        if len(self._chunks) > 1:
            self._chunks = [join(self._chunks)]
        return self._chunks[0] if self._chunks else None


def _size(chunk: Chunk) -> int:
    return len(chunk["id"]) + len(chunk["failures"]) + 1
