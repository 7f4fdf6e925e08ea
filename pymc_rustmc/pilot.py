"""The pilot run that chooses the forms of a model's groups, before warm-up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc.centredness import choose_centredness
from pymc_rustmc.groups import Group
from pymc_rustmc.progress import RunProgressBar, watch
from pymc_rustmc.template import BoundModel

Array = NDArray[np.float64]

_TUNE, _DRAWS = 100, 50
"""Warm-up draws of the pilot, and those after them that the choice is made from, of each chain."""

_USED = 400
"""Draws of all chains at most whose gradients are looked at."""

_ROUNDS = 2
"""How often the forms are chosen from the same draws: a group's gradient depends on the forms of others."""


@dataclass(frozen=True)
class Pilot:
    """What the pilot run leaves.

    Parameters
    ----------
    bound
        The model in the forms that were chosen.
    starts
        Where its chains ended, in the coordinates of these forms, ``(chains, dim)``.
    centredness
        a and b of `pymc_rustmc.groups.Forms` for each group, by name, each of its variable's shape.
    gradients
        Gradients that it took, of all chains.
    """

    bound: BoundModel
    starts: Array
    centredness: Mapping[str, tuple[Array, Array]]
    gradients: int

    def attributes(self) -> dict[str, Any]:
        """Attributes of the result's statistics: a and b by variable as JSON, and the number of gradients."""
        levels = {
            name: {"location": a.tolist(), "scale": b.tolist()} for name, (a, b) in self.centredness.items()
        }
        return {"centredness": json.dumps(levels), "pilot_gradients": self.gradients}


def run_pilot(
    bound: BoundModel, starts: Array, settings: Mapping[str, Any], seeds: Sequence[int], cores: int
) -> Pilot:
    """Sample a little in forms halfway between centred and not, and choose the forms from all chains' draws.

    Parameters
    ----------
    bound
        A model with groups, as it is written.
    starts
        Starting positions, ``(chains, dim)``.
    settings
        Settings of the sampler but for the numbers of draws.
    seeds
        A seed for each chain; the pilot draws from streams of its own.
    cores
        How many chains run at a time.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted.
    """
    groups = bound.template.groups
    halfway = {
        name: np.full(bound.shapes[group.value_name], 0.5)
        for group in groups
        for name in (group.level_loc, group.level_scale)
    }
    bound, starts = _reformed(bound, starts, halfway)
    numbers = {"tune": _TUNE, "draws": _DRAWS, "save_warmup": False}
    seeds = [int(np.random.default_rng([seed, 1]).integers(2**30)) for seed in seeds]
    run = bound.density.sample(json.dumps({**settings, **numbers}), starts, seeds, cores)
    if watch(run, RunProgressBar(len(seeds), _DRAWS, _TUNE, progressbar=False)):
        raise KeyboardInterrupt("Sampling was interrupted before the end of warm-up: there are no draws.")
    result = run.result()

    draws = result["positions"].reshape(-1, bound.density.dim)
    used = draws[np.linspace(0, len(draws) - 1, min(_USED, len(draws))).astype(int)]
    for _ in range(_ROUNDS):
        chosen = _chosen(bound, used)
        bound, moved = _reformed(bound, np.concatenate([used, result["positions"][:, -1]]), chosen)
        used, ends = moved[: len(used)], moved[len(used) :]
        result["positions"][:, -1] = ends
    return Pilot(
        bound,
        ends,
        {group.name: (bound.data[group.level_loc], bound.data[group.level_scale]) for group in groups},
        int(sum(result["gradients"])) + _ROUNDS * len(used),
    )


def _chosen(bound: BoundModel, positions: Array) -> dict[str, Array]:
    """a and b of each group, as data, from draws in the present forms."""
    gradients = np.stack([bound.density.logp_and_gradient(position)[1] for position in positions])
    by_value = bound.unravel(gradients)
    chosen = {}
    for group in bound.template.groups:
        x, loc, log_scale = _values(bound, group, positions)
        gradient = by_value[group.value_name] / np.exp(_log_factor(bound.data, group, log_scale))
        levels = choose_centredness(x, loc, log_scale, gradient)
        for name, level in zip((group.level_loc, group.level_scale), levels, strict=True):
            chosen[name] = np.where(np.isnan(level), bound.data[name], level)
    return chosen


def _reformed(
    bound: BoundModel, positions: Array, levels: Mapping[str, Array]
) -> tuple[BoundModel, Array]:
    """Bind the model in forms of these a and b, with the unit of s as at the positions, and map the positions."""
    forms: dict[str, Array] = dict(levels)
    values = {group: _values(bound, group, positions) for group in bound.template.groups}
    parts = bound.unravel(positions)
    for group, (x, loc, log_scale) in values.items():
        forms[group.log_unit] = np.broadcast_to(log_scale, x.shape).mean(0)
        factor = np.exp(_log_factor(forms, group, log_scale))
        parts[group.value_name] = (x - loc) / factor + forms[group.level_loc] * loc
    flat = [part.reshape(len(positions), -1) for part in parts.values()]
    return bound.with_forms(forms), np.concatenate(flat, axis=1)


def _values(bound: BoundModel, group: Group, positions: Array) -> tuple[Array, Array, Array]:
    """x, mu and log s at each position; all of the rank of x and one more."""
    found = bound.evaluate([group.name, group.loc, group.log_scale], positions)
    return found[group.name], found[group.loc], found[group.log_scale]


def _log_factor(data: Mapping[str, Array], group: Group, log_scale: Array) -> Array:
    """log dx/dz in a form."""
    return (1 - data[group.level_scale]) * (log_scale - data[group.log_unit])
