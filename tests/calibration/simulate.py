"""From a model to ranks: prior and data by PyMC's own random draws, fits by this package."""

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pytensor.compile.mode import Mode

import pymc_rustmc

from .models import Case

LEVELS = 32
"""Possible ranks: one more than the draws that are compared with the true value."""

THINNING = 10
"""Draws for one that counts, which makes these all but independent where a chain mixes well."""


def choices(option: str) -> list[str]:
    """Values that an option of the sampler has, such as its metrics."""
    literals = get_args(get_type_hints(pymc_rustmc.RustMC.__init__)[option])
    return [value for literal in literals for value in get_args(literal)]


def _prior(case: Case, model: pm.Model, names: list[str], fits: int, seed: int) -> list[dict[str, Any]]:
    """Draws of the named variables and of the data."""
    variables = [*(model[name] for name in names), model["y"]]
    function_mode = Mode(linker="py", optimizer="fast_compile")
    accepted: list[dict[str, Any]] = []
    while len(accepted) < fits:
        values = pm.draw(variables, fits, random_seed=seed, mode=function_mode)
        points = [dict(zip([*names, "y"], point, strict=True)) for point in zip(*values, strict=True)]
        accepted += filter(case.accept, points)
        seed += 1
    return accepted[:fits]


def ranks(
    case: Case,
    fits: int,
    seed: int,
    nuts: dict[str, Any],
    chains: int = 1,
    batch: bool = False,
    thinning: int = THINNING,
) -> dict[str, NDArray[np.int64]]:
    """Ranks of the true values, by the name of each element that varies; from 0 to ``LEVELS`` - 1.

    Parameters
    ----------
    case
        The model.
    fits
        Number of data sets.
    seed
        Draws of the prior, and of the sampler, follow from it.
    nuts
        Options of the sampler.
    chains
        Chains of a fit; the draws of the last are ranked.
    batch
        Whether one `sample_batch` fits all data sets; else they are bound and sampled one by one.
    thinning
        Draws for one that counts.
    """
    model = case.build()
    names = list(case.quantities or (variable.name for variable in model.free_RVs))
    compiled = pymc_rustmc.compile_model(model, var_names=names)
    points = _prior(case, model, names, fits, seed)
    draws_of = _batch if batch else _one_by_one
    found: dict[str, list[int]] = {}
    for point, drawn in zip(points, draws_of(compiled, points, seed, nuts, chains, thinning), strict=True):
        for name in names:
            draws = drawn[name]
            below = (draws < point[name]).sum(axis=0)
            for index in np.argwhere(np.ptp(draws, axis=0) > 1e-9):  # not the diagonal of a correlation
                found.setdefault(name + str(index.tolist()), []).append(int(below[tuple(index)]))
    return {name: np.array(values) for name, values in found.items()}


_Drawn = dict[str, NDArray[np.float64]]


def _one_by_one(
    compiled: pymc_rustmc.CompiledModel,
    points: list[dict[str, Any]],
    seed: int,
    nuts: dict[str, Any],
    chains: int,
    thinning: int,
) -> Iterator[_Drawn]:
    """``LEVELS`` - 1 draws of each variable, for each data set."""
    for fit, point in enumerate(points):
        idata = compiled.bind({"data": point["y"]}).sample(
            draws=(LEVELS - 1) * thinning,
            chains=chains,
            cores=1,
            random_seed=[seed * 100_000 + fit + 50_000 * chain for chain in range(chains)],
            nuts=nuts,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
        yield {name: draws.values[-1, thinning - 1 :: thinning] for name, draws in idata.posterior.items()}


def _batch(
    compiled: pymc_rustmc.CompiledModel,
    points: list[dict[str, Any]],
    seed: int,
    nuts: dict[str, Any],
    chains: int,
    thinning: int,
) -> Iterator[_Drawn]:
    """As `_one_by_one`, by one call."""
    result = pymc_rustmc.sample_batch(
        compiled,
        {"data": np.array([point["y"] for point in points])},
        draws=(LEVELS - 1) * thinning,
        chains=chains,
        random_seed=seed,
        keep={"thin": thinning},
        errors="raise",
        progressbar=False,
        quiet=True,
        **nuts,
    )
    values = {name: draws.values[:, -1] for name, draws in result.posterior.items()}
    for fit in range(len(points)):
        yield {name: draws[fit] for name, draws in values.items()}
