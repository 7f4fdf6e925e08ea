"""Warm starts: the metric and the step size that every data set begins with, from a pilot on the first ones.

The pilot's draws serve for nothing else, and its random numbers are its own: a fit depends on the pilot's
result as on any other setting, and adapts from there before it samples, so its draws are as exact as without.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc.batch.chunks import Chunk
from pymc_rustmc.batch.data_sets import Block, Source
from pymc_rustmc.batch.engine import fit_all
from pymc_rustmc.batch.settings import BatchSettings
from pymc_rustmc.template import BoundModel

_DATA_SETS = 8
"""Data sets of a pilot whose number nobody gives."""
_TUNE, _DRAWS = 300, 500
"""Least warm-up of a fit of the pilot, and its draws."""
_MOST_CORRELATED = 64
"""More dimensions start with variances alone: correlations are too many to be estimated."""
_SHRINKAGE = 0.01
"""Weight of no correlation in the mean of the pilot's."""


def pilot_size(warm_start: bool | int) -> int:
    """Return how many data sets the argument ``warm_start`` stands for; 0 for no warm start.

    Raises
    ------
    TypeError, ValueError
        If it is neither a truth value nor a number.
    """
    if isinstance(warm_start, bool | np.bool_):
        return _DATA_SETS if warm_start else 0
    if not isinstance(warm_start, int | np.integer):
        raise TypeError(f"`warm_start` must be True, False or a number of data sets, got {warm_start!r}.")
    if warm_start < 0:
        raise ValueError(f"`warm_start` must be at least 0, got {warm_start}.")
    return int(warm_start)


def with_pilot(
    template: BoundModel, source: Source, settings: BatchSettings, count: int, threads: int
) -> tuple[Source, BatchSettings]:
    """Fit the first data sets of a source as a pilot.

    Returns
    -------
    Source
        All data sets, those of the pilot too.
    BatchSettings
        The settings, with the warm start. Where no fit of the pilot succeeded, it has no options.
    """
    blocks: list[Block] = []
    while (left := count - sum(len(block.ids) for block in blocks)) > 0:
        block = source.take(left)
        if block is None:
            break
        blocks.append(block)
    run = json.loads(settings.sampler)
    sampler = json.dumps({**run, "draws": _DRAWS, "tune": max(run["tune"], _TUNE)})
    parameters = template.template.parameters
    pilot = replace(
        settings,
        sampler=sampler,
        seed=int(np.random.default_rng([settings.seed, 1]).integers(2**63, dtype=np.int64)),
        variables=dict.fromkeys(parameters, "float64"),
        thin=1,
        kept=tuple(parameters),
    )
    fits = [
        fit for chunk in fit_all(template, _Again(blocks), pilot, threads=threads) for fit in _fits(chunk)
    ]
    warm_start: dict[str, Any] = {"data_sets": count}
    if fits:
        alike = [fit for fit in fits if fit.shapes == fits[0].shapes]
        warm_start |= {"shapes": fits[0].shapes, "options": _pooled(alike, run)}
    return _Again(blocks, source), replace(settings, warm_start=warm_start)


class _PilotFit:
    """What a fit of the pilot tells.

    Parameters
    ----------
    shapes
        Of the value variables.
    draws
        Of all of them, ``(chains, draws, dim)``.
    step_sizes
        Of its chains.
    """

    def __init__(
        self, shapes: list[list[int]], draws: NDArray[np.float64], step_sizes: NDArray[np.float64]
    ) -> None:
        self.shapes = shapes
        within = draws - draws.mean(axis=1, keepdims=True)
        self.sd = within.std(axis=(0, 1))
        rows = within.reshape(-1, draws.shape[2]) / np.where(self.sd > 0, self.sd, 1)
        self.correlation = rows.T @ rows / len(rows)
        self.log_step_size = float(np.log(step_sizes).mean())

    @property
    def is_sound(self) -> bool:
        """Whether it can be used."""
        return bool((self.sd > 0).all() and np.isfinite(self.sd).all() and np.isfinite(self.log_step_size))


def _fits(chunk: Chunk) -> Iterator[_PilotFit]:
    chains, draws = chunk["seeds"].shape[1], _DRAWS
    ends = dict.fromkeys(chunk["draws"], 0)
    for index in range(len(chunk["id"])):
        shapes, columns = [], []
        for name, flat in chunk["draws"].items():
            shape = chunk["shapes"][name][index].tolist()
            start, ends[name] = ends[name], ends[name] + int(np.prod(shape)) * chains * draws
            shapes.append(shape)
            columns.append(flat[start : ends[name]].reshape(chains, draws, -1))
        fit = _PilotFit(shapes, np.concatenate(columns, axis=2), chunk["chains"]["step_size"][index])
        if fit.is_sound:
            yield fit


def _pooled(fits: Iterable[_PilotFit], run: dict[str, Any]) -> dict[str, Any]:
    """Options of `RustMC` that start where these fits ended: geometric means of scales, mean correlations."""
    fits = list(fits)
    sd = np.exp(np.mean([np.log(fit.sd) for fit in fits], axis=0))
    metric = sd**2
    if run["metric"] in ("auto", "dense") and 1 < len(sd) <= _MOST_CORRELATED:
        correlation = np.mean([fit.correlation for fit in fits], axis=0)
        correlation = (1 - _SHRINKAGE) * correlation + _SHRINKAGE * np.eye(len(sd))
        metric = correlation * np.outer(sd, sd)
    return {
        "initial_metric": metric.tolist(),
        "initial_step_size": float(np.exp(np.mean([fit.log_step_size for fit in fits]))),
        # The early windows are for finding what is known now.
        "schedule": {**run["schedule"], "early_fraction": 0.0},
    }


class _Again:
    """Blocks that were taken before, and then what follows in their source."""

    def __init__(self, blocks: Iterable[Block], source: Source | None = None) -> None:
        self.total: int | None = None if source is None else source.total
        self._blocks = list(blocks)
        self._source = source

    def take(self, count: int) -> Block | None:
        if self._blocks:
            return self._blocks.pop(0)
        return None if self._source is None else self._source.take(count)
