"""From a model to ranks: prior and data by PyMC's own random draws, fits by this package."""

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
"""Draws for one that counts, which makes these all but independent."""


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


def ranks(case: Case, fits: int, seed: int, nuts: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
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
    """
    model = case.build()
    names = list(case.quantities or (variable.name for variable in model.free_RVs))
    compiled = pymc_rustmc.compile_model(model)
    found: dict[str, list[int]] = {}
    for fit, point in enumerate(_prior(case, model, names, fits, seed)):
        idata = compiled.bind({"data": point["y"]}).sample(
            draws=(LEVELS - 1) * THINNING,
            chains=1,
            cores=1,
            var_names=names,
            random_seed=[seed * 100_000 + fit],
            nuts=nuts,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
        for name in names:
            draws = idata.posterior[name].values[0, THINNING - 1 :: THINNING]
            below = (draws < point[name]).sum(axis=0)
            for index in np.argwhere(np.ptp(draws, axis=0) > 1e-9):  # not the diagonal of a correlation
                found.setdefault(name + str(index.tolist()), []).append(int(below[tuple(index)]))
    return {name: np.array(values) for name, values in found.items()}
