"""The pilot run that chooses the forms of a model's groups, before warm-up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc.centredness import fit_forms
from pymc_rustmc.groups import Group
from pymc_rustmc.progress import RunProgressBar, watch
from pymc_rustmc.template import BoundModel

Array = NDArray[np.float64]

_PROBES = 16
"""Points around the starting positions that the pilot's forms are fitted to, of all chains."""

_TUNE = 30
"""Warm-up draws of the pilot, of each chain."""

_DRAWS = 80
"""Draws after these that the final forms are fitted to, of all chains."""

_ROUNDS = 2
"""How often forms are fitted to the same points: a group's gradient depends on the forms of others."""


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
        Mean of p s² / (1 + p s²) for each group, by name, of its shape: 0 is non-centred, 1 centred.
    gradients
        Gradients that it took, of all chains.
    """

    bound: BoundModel
    starts: Array
    centredness: Mapping[str, Array]
    gradients: int

    def attributes(self) -> dict[str, Any]:
        """Attributes of the result's statistics: centredness as JSON, and the number of gradients."""
        levels = {name: level.tolist() for name, level in self.centredness.items()}
        return {"centredness": json.dumps(levels), "pilot_gradients": self.gradients}


def run_pilot(
    bound: BoundModel, starts: Array, settings: Mapping[str, Any], seeds: Sequence[int], cores: int
) -> Pilot:
    """Sample a little in forms fitted to the starts' neighbourhood; fit the forms again to all chains' draws.

    Parameters
    ----------
    bound
        A model with groups, in any forms.
    starts
        Starting positions in these, ``(chains, dim)``.
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
    probes = np.repeat(starts, -(-_PROBES // len(starts)), axis=0)
    probes += np.random.default_rng(seeds).uniform(-1, 1, probes.shape)
    bound, _, starts = _fitted(bound, probes, starts)
    draws = -(-_DRAWS // len(seeds))
    numbers = {"tune": _TUNE, "draws": draws, "save_warmup": False}
    seeds = [int(np.random.default_rng([seed, 1]).integers(2**30)) for seed in seeds]
    run = bound.density.sample(json.dumps({**settings, **numbers}), starts, seeds, cores)
    if watch(run, RunProgressBar(len(seeds), draws, _TUNE, progressbar=False)):
        raise KeyboardInterrupt("Sampling was interrupted before the end of warm-up: there are no draws.")
    result = run.result()

    positions = result["positions"]
    found = positions.reshape(-1, bound.density.dim)
    bound, found, ends = _fitted(bound, found, positions[:, -1])
    gradients = int(sum(result["gradients"])) + _ROUNDS * (len(probes) + len(found))
    return Pilot(bound, ends, _centredness(bound, found), gradients)


def in_forms(bound: BoundModel, positions: Array) -> Array:
    """Map positions from the coordinates of a model as it is written to those of its forms, ``(n, dim)``."""
    positions = positions.copy()
    for group in bound.template.groups:  # parents come first, so that mu and s are right when they are read
        part = bound.slices()[group.value_name]
        x = positions[:, part].reshape(len(positions), *bound.shapes[group.value_name])
        _, loc, scale = _values(bound, group, positions)
        positions[:, part] = _z(bound.data, group, x, loc, scale).reshape(len(positions), -1)
    return positions


def _fitted(bound: BoundModel, points: Array, others: Array) -> tuple[BoundModel, Array, Array]:
    """Bind the model in the forms that fit points best, and map them and other positions to these."""
    for _ in range(_ROUNDS):
        forms = _chosen(bound, points)
        moved, others = _moved(bound, points, forms), _moved(bound, others, forms)
        bound, points = bound.with_forms(forms), moved
    return bound, points, others


def _chosen(bound: BoundModel, positions: Array) -> dict[str, Array]:
    """Forms that fit points best; those of elements about which the points say nothing stay as they are."""
    gradients = np.stack([bound.density.logp_and_gradient(position)[1] for position in positions])
    finite = np.isfinite(gradients).all(axis=1)
    gradients, positions = gradients[finite], positions[finite]
    by_value = bound.unravel(gradients)
    chosen = {}
    for group in bound.template.groups:
        x, loc, scale = _values(bound, group, positions)
        gradient = by_value[group.value_name] / _unit(bound.data, group, scale)
        fitted = fit_forms(x, loc, scale, gradient)
        known = np.isfinite(fitted).all(axis=0)
        for name, value in zip((group.precision, group.pull), fitted, strict=True):
            chosen[name] = np.where(known, value, bound.data[name])
    return chosen


def _moved(bound: BoundModel, positions: Array, forms: Mapping[str, Array]) -> Array:
    """Map positions to the coordinates of other forms."""
    parts = bound.unravel(positions)
    for group in bound.template.groups:
        parts[group.value_name] = _z(forms, group, *_values(bound, group, positions))
    return np.concatenate([part.reshape(len(positions), -1) for part in parts.values()], axis=1)


def _values(bound: BoundModel, group: Group, positions: Array) -> tuple[Array, Array, Array]:
    """Compute x, mu and s at each position; all of the rank of x and one more."""
    found = bound.evaluate([group.name, group.loc, group.scale], positions)
    return found[group.name], found[group.loc], found[group.scale]


def _z(forms: Mapping[str, Array], group: Group, x: Array, loc: Array, scale: Array) -> Array:
    """Map x to z, as in `pymc_rustmc.groups.Forms`."""
    p, q = forms[group.precision], forms[group.pull]
    return (x - loc - scale**2 * (q - p * x)) / (scale * np.sqrt(1 + p * scale**2))


def _unit(forms: Mapping[str, Array], group: Group, scale: Array) -> Array:
    """Compute dx/dz."""
    return scale / np.sqrt(1 + forms[group.precision] * scale**2)


def _centredness(bound: BoundModel, positions: Array) -> dict[str, Array]:
    levels = {}
    for group in bound.template.groups:
        _, _, scale = _values(bound, group, positions)
        known = bound.data[group.precision] * scale**2
        levels[group.name] = (known / (1 + known)).mean(0)
    return levels
