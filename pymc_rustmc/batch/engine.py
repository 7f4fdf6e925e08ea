"""Fits data sets in background threads and hands them on in chunks, in the order in which they came."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np

from pymc_rustmc._core import Batch
from pymc_rustmc.batch.chunks import Chunk, Failure
from pymc_rustmc.batch.data_sets import DataSet, Source
from pymc_rustmc.batch.settings import BatchSettings
from pymc_rustmc.batch.starts import Starts, starts_of
from pymc_rustmc.template import BoundModel, memory, output_name
from pymc_rustmc.translate.dtypes import kind_dtype

_POLL = 0.05
"""Seconds between two looks at what has ended; also the longest wait for a pending Ctrl-C."""


def fit_all(
    template: BoundModel,
    source: Source,
    settings: BatchSettings,
    *,
    threads: int,
    first: int = 0,
    starts: Starts | None = None,
    idle: Callable[[], None] | None = None,
) -> Iterator[Chunk]:
    """Fit every data set of a source.

    Each fit depends on the template, the settings, its data and its position alone. Data sets are taken from
    the source as threads need them; some hundreds are in flight at a time.

    Parameters
    ----------
    template
        The model, bound to the values that data sets may leave out.
    source
        The data sets.
    settings
        What is done with each.
    threads
        How many chains run at a time.
    first
        Position of the source's first data set.
    starts
        Where chains start; by default, the template's own.
    idle
        Called again and again while waiting.

    Yields
    ------
    Chunk
        Fits and failures that have ended, in the order of positions, without gaps. A Ctrl-C while waiting
        stops all threads; what has ended by then, possibly with gaps, is yielded before `KeyboardInterrupt`
        is raised.
    """
    batch = _batch(template, settings, starts or starts_of(template, settings.jitter), threads)
    flight = _Flight(keeps=settings.thin > 0)
    position = first
    more = True
    try:
        while not batch.is_finished():
            if more and (room := batch.room()):
                block = source.take(room)
                if block is None:
                    more = False
                    batch.close()
                else:
                    flight.add(position, block.ids, block.data_set)
                    block.submit(batch, position)
                    position += len(block.ids)
            found = batch.take(_POLL)
            if len(found["position"]) or found["failures"]:
                yield flight.chunk(found)
            if idle is not None:
                idle()
    except KeyboardInterrupt:
        yield flight.chunk(batch.stop())
        raise


class _Flight:
    """Ids and data of data sets that are in flight."""

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self._ids: dict[int, Hashable] = {}
        self._given: dict[int, DataSet] = {}

    def add(self, position: int, ids: list[Hashable], data_set: Callable[[int], DataSet]) -> None:
        for index, key in enumerate(ids):
            self._ids[position + index] = key
            given = data_set(index)
            if self._keeps or given.coords:
                self._given[position + index] = given

    def chunk(self, found: Any) -> Chunk:
        failures = []
        for position, reason in found["failures"]:
            failures.append(Failure(id=self._ids.pop(position), position=position, reason=reason))
            self._given.pop(position, None)
        positions = found["position"].tolist()
        return Chunk(
            id=[self._ids.pop(position) for position in positions],
            position=found["position"],
            seeds=found["seeds"],
            seconds=found["seconds"],
            chains=found["chains"],
            shapes=found["shapes"],
            summary=found["summary"],
            draws=found.get("draws", {}),
            sample_stats=found.get("sample_stats", {}),
            given=[self._given.pop(position, None) for position in positions],
            failures=failures,
        )


def known_dims(bound: BoundModel) -> list[str]:
    """Names of all dims of a model, sorted."""
    description = bound.template.description
    named = {dim for dims in description.dims.values() for dim in dims if dim is not None}
    return sorted({*named, *description.lengths, *bound.coords})


def _batch(bound: BoundModel, settings: BatchSettings, starts: Starts, threads: int) -> Batch:
    """Start the threads."""
    template = bound.template
    inputs = [
        {
            "name": name,
            "dtype": np.dtype(kind_dtype(item.dtype)).name,
            "ndim": item.ndim,
            "observed": item.observed,
            "dims": list(item.dims),
            "length_of": item.length_of,
            "read": name in template.inputs,
        }
        for name, item in template.description.data.items()
    ]
    variables = [
        {
            "name": name,
            "output": output_name(name) if name in template.outputs else None,
            "parameter": None if name in template.outputs else template.parameters.index(name),
            "keep": name in settings.kept,
        }
        for name in settings.variables
    ]
    warm = settings.warm_sampler
    specification = {
        "inputs": inputs,
        "parameters": list(template.parameters),
        "dims": known_dims(bound),
        "start_reads": list(starts.reads),
        "jitter": starts.jitter,
        "retries": settings.retries,
        "variables": variables,
        "warm_start": warm and [settings.warm_start["shapes"], warm],  # type: ignore[index]
        "chains": settings.chains,
        "seed": settings.seed,
        "interval": settings.interval,
        "probability": settings.probability,
        "thin": settings.thin,
        "rewrites": dict(template.rewrites),
        "marginalised": list(template.marginalised),
    }
    values = [np.asarray(bound.data[name]) for name in template.description.data]
    return Batch(
        template.graph, json.dumps(specification), values, settings.sampler, starts, threads, memory()
    )
