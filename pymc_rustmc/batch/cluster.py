"""Fits data sets on the workers of a Dask cluster, with the results of a run on this machine.

What is sent is the model in its stored form, plain settings, and data: nothing of PyMC. Starting points that
PyTensor computes are computed here and sent along. A task whose worker dies is run again on another one, and
since a fit depends on the model, its data and its position alone, it ends the same.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc._core import Graph, chain_seeds
from pymc_rustmc.batch.chunks import Chunk, join
from pymc_rustmc.batch.data_sets import Block, Source
from pymc_rustmc.batch.engine import fit_all
from pymc_rustmc.batch.settings import BatchSettings
from pymc_rustmc.batch.starts import Starts, starts_of
from pymc_rustmc.errors import DataError
from pymc_rustmc.live import LiveModel
from pymc_rustmc.storage import model_from_bytes, model_to_bytes
from pymc_rustmc.template import BoundModel

_POLL = 0.05
"""Seconds between two looks at what has ended."""
_FIRST, _MOST = 8, 512
"""Data sets in the first tasks, and in any."""
_TASK_SECONDS = 1.0
"""How long a task should take."""
_NOT_SENT = "another starting point is needed"
"""Told by a worker that has tried the starting points that it was sent."""

_Base = tuple[list[tuple[int, ...]], list[float]]


def check_client(client: Any) -> None:
    """Raise ImportError if Dask is missing, TypeError if this is no client of it."""
    if not isinstance(client, _distributed().Client) or client.asynchronous:
        raise TypeError(
            f"`client` must be a dask.distributed.Client that is not asynchronous, got {client!r}."
        )


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise ImportError("`client` needs Dask: pip install 'pymc_rustmc[dask]'") from error


@dataclass(frozen=True)
class _Work:
    """Data sets that follow one another, as they are sent to a worker."""

    settings: Mapping[str, Any]
    block: Block
    position: int
    threads: int
    starts: _SentStarts | None


_StoredGraph: TypeAlias = tuple[str, list[NDArray[np.float64]]]


@dataclass
class _SentStarts:
    """Starting points that were computed before; see `Starts`.

    Parameters
    ----------
    reads, jitter
        As in `Starts`.
    indices
        Numbers of the inputs in `reads`.
    bases
        Starting points without jitter by the bits of these inputs.
    points
        Starting points by seed.
    stored_graphs
        As `Graph.to_stored` gives the graphs of starting points without and with jitter.
    """

    reads: list[str]
    jitter: Any
    indices: list[int]
    bases: Mapping[bytes, _Base]
    points: Mapping[int, list[float]]
    stored_graphs: tuple[_StoredGraph | None, _StoredGraph | None]

    @property
    def base_graph(self) -> Graph | None:
        return _graph(self.stored_graphs[0])

    @property
    def point_graph(self) -> Graph | None:
        return _graph(self.stored_graphs[1])

    def base(self, data: Sequence[NDArray[np.float64]]) -> _Base:
        found = self.bases.get(_bits(data, self.indices))
        if found is None:
            raise LookupError(_NOT_SENT)
        return found

    def point(self, data: Sequence[NDArray[np.float64]], seed: int) -> list[float]:
        if seed not in self.points:
            raise LookupError(_NOT_SENT)
        return self.points[seed]


def fit_on(
    client: Any,
    template: BoundModel,
    source: Source,
    settings: BatchSettings,
    *,
    threads: int,
    first: int = 0,
    idle: Callable[[], None] | None = None,
) -> Iterator[Chunk]:
    """Fit every data set of a source on the workers of a client; as `fit_all`.

    Data sets are taken from the source as workers need them: two tasks for each of their threads, and some.

    Parameters
    ----------
    client
        A `dask.distributed.Client`.
    template, source, settings, first, idle
        As for `fit_all`.
    threads
        How many chains run at a time in each task.

    Yields
    ------
    Chunk
        As from `fit_all`.

    Raises
    ------
    SaveError
        If the model cannot be sent.
    """
    content = model_to_bytes(template)
    sender = _Sender(template, settings)
    run = uuid4().hex
    # A task that gives the model is run again if all workers that have its result die; sent data are lost.
    model = client.submit(_same, content, key=f"model-{run}", pure=False)
    flight: deque[tuple[int, Block, Any]] = deque()
    position, size, more = first, _FIRST, True
    try:
        while more or flight:
            most = 2 * sum(client.nthreads().values()) + 2
            while more and len(flight) < most:
                block = source.take(size)
                if block is None:
                    more = False
                    break
                work = _Work(settings.to_dict(), block, position, threads, sender.starts(block, position))
                future = client.submit(_fit, model, work, key=f"fit-{run}-{position}", pure=False)
                flight.append((position, block, future))
                position += len(block.ids)
            if flight and _is_done(flight[0][2]):
                start, block, future = flight.popleft()
                chunk = sender.received(future.result(), block, start, threads)
                size = _next_size(chunk, threads)
                yield chunk
            if idle is not None:
                idle()
    except KeyboardInterrupt:
        for start, block, future in flight:
            if future.status != "finished":
                break
            yield sender.received(future.result(), block, start, threads)
        raise
    finally:
        client.cancel([future for _, _, future in flight])
        client.cancel([model])


def _is_done(future: Any) -> bool:
    """Wait a little for a future."""
    try:
        _distributed().wait([future], timeout=_POLL)
    except TimeoutError:
        return False
    return True


def _next_size(chunk: Chunk, threads: int) -> int:
    """How many data sets take about as long as a task should."""
    if not len(chunk["seconds"]):
        return _FIRST
    mean = float(chunk["seconds"].mean()) / threads
    return int(np.clip(_TASK_SECONDS / max(mean, 1e-9), 1, _MOST))


def _stored(graph: Graph | None) -> _StoredGraph | None:
    return None if graph is None else graph.to_stored()


def _graph(stored: _StoredGraph | None) -> Graph | None:
    return None if stored is None else Graph.from_stored(*stored)


class _Sender:
    """Knows what workers cannot: starting points that PyTensor computes, and the data that a result keeps."""

    def __init__(self, template: BoundModel, settings: BatchSettings) -> None:
        self._template = template
        self._settings = settings
        self._starts: Starts | None = None
        if isinstance(template.template.source, LiveModel):
            self._starts = starts_of(template, settings.jitter)
            names = list(template.data)
            graphs = (self._starts.base_graph, self._starts.point_graph)
            self._graphs = (_stored(graphs[0]), _stored(graphs[1]))
            reads = [] if graphs[0] is not None else self._starts.reads
            self._indices = [names.index(name) for name in reads]
            self._own = [np.asarray(value, dtype=np.float64) for value in template.data.values()]
            self._known: dict[bytes, _Base] = {}

    def starts(self, block: Block, position: int) -> _SentStarts | None:
        """Compute starting points for a block; None if workers find them by themselves."""
        if self._starts is None:
            return None
        bases: dict[bytes, _Base] = {}
        points: dict[int, list[float]] = {}
        drawn = self._starts.jitter == "source"
        count = len(block.ids) if drawn or self._indices else 1
        for index in range(count):
            data = self._data(block, index) if drawn or self._indices else self._own
            if data is None:
                continue
            try:
                bases.update([self._base(data)])
                if drawn:
                    for seed in chain_seeds(self._settings.seed, position + index, self._settings.chains):
                        points[seed] = self._starts.point(data, seed)
            except Exception:  # the worker misses it, and the block is fitted here, which tells why
                continue
        return _SentStarts(
            self._starts.reads, self._starts.jitter, self._indices, bases, points, self._graphs
        )

    def _base(self, data: Sequence[NDArray[np.float64]]) -> tuple[bytes, _Base]:
        assert self._starts is not None
        key = _bits(data, self._indices)
        if key not in self._known:
            if len(self._known) > 1000:
                self._known.clear()
            self._known[key] = self._starts.base(data)
        return key, self._known[key]

    def _data(self, block: Block, index: int) -> list[NDArray[np.float64]] | None:
        """All data of a data set; None if they do not fit, which its fit will say."""
        given = block.data_set(index)
        try:
            arrays = self._template.template.complete(self._template.data, given.data, given.coords)
        except (DataError, ValueError, TypeError):
            return None
        return [np.asarray(value, dtype=np.float64) for value in arrays.values()]

    def received(self, chunk: Chunk, block: Block, position: int, threads: int) -> Chunk:
        """Complete what a worker sent; a block with data sets that it could not start is fitted here."""
        if any(_NOT_SENT in failure["reason"] for failure in chunk["failures"]):
            fits = fit_all(
                self._template,
                _One(block),
                self._settings,
                threads=threads,
                first=position,
                starts=self._starts,
            )
            return join(list(fits))
        given = [block.data_set(index) for index in (chunk["position"] - position).tolist()]
        keeps = self._settings.thin > 0
        chunk["given"] = [data if keeps or data.coords else None for data in given]
        return chunk


class _One:
    """One block as a source."""

    def __init__(self, block: Block) -> None:
        self.total: int | None = len(block.ids)
        self._block: Block | None = block

    def take(self, count: int) -> Block | None:
        block, self._block = self._block, None
        return block


def _fit(content: bytes, work: _Work) -> Chunk:
    """Do what is sent to a worker."""
    fits = fit_all(
        _model(content),
        _One(work.block),
        BatchSettings.from_dict(work.settings),
        threads=work.threads,
        first=work.position,
        starts=work.starts,
    )
    chunk = join(list(fits))
    chunk["given"] = []
    return chunk


def _same(content: bytes) -> bytes:
    return content


@lru_cache(maxsize=2)
def _model(content: bytes) -> BoundModel:
    return model_from_bytes(content)


def _bits(data: Sequence[NDArray[np.float64]], indices: Sequence[int]) -> bytes:
    parts = [f"{data[index].shape}".encode() + data[index].tobytes() for index in indices]
    return b"".join(parts)
