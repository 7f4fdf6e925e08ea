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
        Mean of p s² / (1 + p s²) for each group, by name, of its variable's shape: 0 is non-centred, 1 centred.
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
    bound, starts = _reformed(bound, starts, _halfway(bound, starts))
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
    return Pilot(bound, ends, _centredness(bound, used), int(sum(result["gradients"])) + _ROUNDS * len(used))


def in_forms(bound: BoundModel, positions: Array) -> Array:
    """Map positions from the coordinates of a model as it is written to those of its forms, ``(n, dim)``."""
    positions = positions.copy()
    for group in bound.template.groups:  # parents come first, so that mu and s are right when they are read
        part = bound.slices()[group.value_name]
        x = positions[:, part].reshape(len(positions), *bound.shapes[group.value_name])
        _, loc, scale = _values(bound, group, positions)
        positions[:, part] = _z(bound.data, group, x, loc, scale).reshape(len(positions), -1)
    return positions


def _halfway(bound: BoundModel, positions: Array) -> dict[str, Array]:
    """Forms halfway between centred and not at the positions."""
    forms = {}
    for group in bound.template.groups:
        x, _, scale = _values(bound, group, positions)
        p = np.broadcast_to(np.exp(-2 * np.log(scale).mean(0)), x.shape[1:])
        forms |= {group.precision: p, group.pull: p * x.mean(0)}
    return forms


def _chosen(bound: BoundModel, positions: Array) -> dict[str, Array]:
    """Forms that fit draws in the present forms best."""
    gradients = np.stack([bound.density.logp_and_gradient(position)[1] for position in positions])
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


def _reformed(
    bound: BoundModel, positions: Array, forms: Mapping[str, Array]
) -> tuple[BoundModel, Array]:
    """Bind the model in other forms, and map positions to their coordinates."""
    parts = bound.unravel(positions)
    for group in bound.template.groups:
        parts[group.value_name] = _z(forms, group, *_values(bound, group, positions))
    flat = [part.reshape(len(positions), -1) for part in parts.values()]
    return bound.with_forms(forms), np.concatenate(flat, axis=1)


def _values(bound: BoundModel, group: Group, positions: Array) -> tuple[Array, Array, Array]:
    """x, mu and s at each position; all of the rank of x and one more."""
    found = bound.evaluate([group.name, group.loc, group.scale], positions)
    return found[group.name], found[group.loc], found[group.scale]


def _z(forms: Mapping[str, Array], group: Group, x: Array, loc: Array, scale: Array) -> Array:
    """z of x, as in `pymc_rustmc.groups.Forms`."""
    p, q = forms[group.precision], forms[group.pull]
    return (x - loc - scale**2 * (q - p * x)) / (scale * np.sqrt(1 + p * scale**2))


def _unit(forms: Mapping[str, Array], group: Group, scale: Array) -> Array:
    """dx/dz."""
    return scale / np.sqrt(1 + forms[group.precision] * scale**2)


def _centredness(bound: BoundModel, positions: Array) -> dict[str, Array]:
    levels = {}
    for group in bound.template.groups:
        _, _, scale = _values(bound, group, positions)
        known = bound.data[group.precision] * scale**2
        levels[group.name] = (known / (1 + known)).mean(0)
    return levels
