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

_TUNE = 30
"""Warm-up draws of the pilot, of each chain."""

_DRAWS = 60
"""Draws after these, of all chains."""

_ROUNDS = 2
"""How often forms are fitted to the same points: a group's gradient depends on the forms of others."""

_CENTRED = 0.8
"""Centredness of all elements from which on the model stays as it is written: no form would gain much."""

_PATIENCE = 1.0
"""Seconds after which the pilot shows its progress."""


@dataclass(frozen=True)
class Pilot:
    """What a short run of the model as it is written leaves.

    Parameters
    ----------
    points
        Draws of all chains, ``(n, dim)``.
    ends
        Where the chains ended, ``(chains, dim)``.
    gradients
        Gradients that it took, of all chains.
    """

    points: Array
    ends: Array
    gradients: int


@dataclass(frozen=True)
class Chosen:
    """Forms that were fitted to a pilot run.

    Parameters
    ----------
    bound
        The model in these forms.
    starts
        Where the pilot's chains ended, in the coordinates of these forms, ``(chains, dim)``.
    centredness
        Mean of p s² / (1 + p s²) for each group, by name, of its shape: 0 is non-centred, 1 centred.
    gradients
        Gradients that fitting took.
    """

    bound: BoundModel
    starts: Array
    centredness: Mapping[str, Array]
    gradients: int

    def can_start(self) -> bool:
        """Whether the density is finite at all starts: where scales underflow, z says nothing."""
        return all(np.isfinite(self.bound.density.logp_and_gradient(start)[0]) for start in self.starts)

    def attributes(self) -> dict[str, Any]:
        """Attributes of the result's statistics: centredness as JSON."""
        levels = {name: level.tolist() for name, level in self.centredness.items()}
        return {"centredness": json.dumps(levels)}


def run_pilot(
    bound: BoundModel,
    starts: Array,
    settings: Mapping[str, Any],
    seeds: Sequence[int],
    cores: int,
    progressbar: bool | str,
) -> Pilot:
    """Sample a little in the coordinates of the model as it is written.

    Parameters
    ----------
    bound
        The model.
    starts
        Starting positions, ``(chains, dim)``.
    settings
        Settings of the sampler but for the numbers of draws.
    seeds
        A seed for each chain; the pilot draws from streams of its own.
    cores
        How many chains run at a time.
    progressbar
        As in ``pm.sample``; nothing is shown of a pilot that takes less than a second.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted.
    """
    draws = -(-_DRAWS // len(seeds))
    numbers = {"tune": _TUNE, "draws": draws, "save_warmup": False}
    seeds = [int(np.random.default_rng([seed, 1]).integers(2**30)) for seed in seeds]
    run = bound.density.sample(json.dumps({**settings, **numbers}), starts, seeds, cores)
    bar = RunProgressBar(len(seeds), draws, _TUNE, progressbar)
    if watch(run, bar, _PATIENCE):
        raise KeyboardInterrupt("Sampling was interrupted before the end of warm-up: there are no draws.")
    result = run.result()
    positions = result["positions"]
    points = positions.reshape(-1, bound.density.dim)
    return Pilot(points, positions[:, -1], int(sum(result["gradients"])))


def is_worthwhile(bound: BoundModel, pilot: Pilot) -> bool:
    """Whether another form than that of the model as it is written promises much, for any group's elements.

    It does where the data do not say much more of an element than its group does: its spread then follows the
    group's scale.
    """
    gradients, points = _gradients(bound, pilot.points)
    by_value, values = bound.unravel(gradients), bound.unravel(points)
    of_groups = bound.template.parameters_of_groups
    parameters = of_groups.bind_to(bound.data, bound.coords, bound.shapes).evaluate(
        list(of_groups.outputs), points
    )
    for group in bound.template.groups:
        loc, scale = parameters[group.loc], parameters[group.scale]
        x = values[group.value_name]
        precision, _ = fit_forms(x, loc, scale, by_value[group.value_name])
        if (_level(precision, scale) < _CENTRED).any():
            return True
    return False


def choose_forms(bound: BoundModel, pilot: Pilot) -> Chosen:
    """Fit the forms of all groups to a pilot's draws.

    Parameters
    ----------
    bound
        The model that the pilot sampled.
    pilot
        Its draws.
    """
    bound = bound.reparametrised
    points, ends = in_forms(bound, pilot.points), in_forms(bound, pilot.ends)
    for _ in range(_ROUNDS):
        forms = _fitted(bound, points)
        moved, ends = _moved(bound, points, forms), _moved(bound, ends, forms)
        bound, points = bound.with_forms(forms), moved
    levels = {
        group.name: _level(bound.data[group.precision], _values(bound, group, points)[2])
        for group in bound.template.groups
    }
    return Chosen(bound, ends, levels, _ROUNDS * len(points))


def in_forms(bound: BoundModel, positions: Array) -> Array:
    """Map positions from the coordinates of a model as it is written to those of its forms, ``(n, dim)``."""
    positions = positions.copy()
    for group in bound.template.groups:  # parents come first, so that mu and s are right when they are read
        part = bound.slices()[group.value_name]
        x = positions[:, part].reshape(len(positions), *bound.shapes[group.value_name])
        _, loc, scale = _values(bound, group, positions)
        positions[:, part] = _z(bound.data, group, x, loc, scale).reshape(len(positions), -1)
    return positions


def _fitted(bound: BoundModel, positions: Array) -> dict[str, Array]:
    """Forms that fit points best; those of elements about which the points say nothing stay as they are."""
    gradients, positions = _gradients(bound, positions)
    by_value = bound.unravel(gradients)
    forms = {}
    for group in bound.template.groups:
        x, loc, scale = _values(bound, group, positions)
        gradient = by_value[group.value_name] / _unit(bound.data, group, scale)
        fitted = fit_forms(x, loc, scale, gradient)
        known = np.isfinite(fitted).all(axis=0)
        for name, value in zip((group.precision, group.pull), fitted, strict=True):
            forms[name] = np.where(known, value, bound.data[name])
    return forms


def _gradients(bound: BoundModel, positions: Array) -> tuple[Array, Array]:
    """Gradients at the positions where they are finite, and these positions; both ``(n, dim)``."""
    gradients = np.stack([bound.density.logp_and_gradient(position)[1] for position in positions])
    finite = np.isfinite(gradients).all(axis=1)
    return gradients[finite], positions[finite]


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


def _level(precision: Array, scale: Array) -> Array:
    """Mean of p s² / (1 + p s²) over draws of s: 0 is non-centred, 1 centred."""
    known = precision * scale**2
    return np.asarray((known / (1 + known)).mean(0))
