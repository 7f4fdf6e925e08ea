"""Normal approximations in unconstrained space: Laplace's, and Pathfinder's."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pymc.model import Model
from pymc.sampling.parallel import _cpu_count

from pymc_rustmc._core import CurvatureError
from pymc_rustmc.arguments import check_integer, checked_option
from pymc_rustmc.begin import begin, chosen_model, evaluate, kept, seeds_of
from pymc_rustmc.coordinates import coordinate_names
from pymc_rustmc.description import InitVals
from pymc_rustmc.errors import NoModeError, warn_user
from pymc_rustmc.find_map import HISTORY, warn_unless_converged
from pymc_rustmc.inference_data import (
    Draws,
    add_group,
    check_densities,
    check_idata_kwargs,
    to_inference_data,
)
from pymc_rustmc.progress import ClimbProgress
from pymc_rustmc.template import BoundModel, quoted

_LARGEST_K = 0.7
"""Pareto k above which importance ratios say that an approximation is poor (Vehtari et al. 2024)."""


def fit_laplace(
    model: Model | BoundModel | None = None,
    *,
    draws: int = 500,
    chains: int = 2,
    initvals: InitVals = None,
    jitter: bool = False,
    jitter_max_retries: int = 10,
    random_seed: Any = None,
    maxiter: int = 5000,
    cores: int | None = None,
    var_names: Sequence[str] | None = None,
    idata_kwargs: Mapping[str, Any] | None = None,
    progressbar: bool = True,
) -> Any:
    """Approximate the posterior by a normal at a mode, with the curvature there.

    Everything happens in unconstrained space: the mode is that of the density with the Jacobians of the
    transforms, which is ``find_map(jacobian=True)``, and draws are transformed back. The Hessian is that of
    central differences of the exact gradient.

    Parameters
    ----------
    model
        The model, or that of the ``with`` context.
    draws, chains
        Independent draws a chain, and chains: only a way to arrange the draws.
    initvals, jitter, jitter_max_retries, maxiter
        Where the climb to the mode begins, and its longest length, as in `find_map`.
    random_seed
        Anything that ``pm.sample`` takes, or one integer a chain.
    cores
        Threads; the result does not depend on it.
    var_names
        Variables to keep.
    idata_kwargs
        As in ``pm.sample``.
    progressbar
        Whether to show the progress.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The groups that ``pm.sample`` gives, draws in ``posterior``, ``lp`` in ``sample_stats``; and ``fit``,
        with ``mean_vector`` and ``covariance_matrix`` of the unconstrained values, in ``rows`` and
        ``columns``. Attributes of ``posterior`` and ``fit`` name the method, and ``pareto_k`` of its
        importance ratios: above 0.7 the approximation is poor.

    Warns
    -----
    UserWarning
        If ``pareto_k`` is above 0.7, or the climb ended before a mode.

    Raises
    ------
    TypeError, ValueError
        If an argument is impossible; the text names it.
    pymc_rustmc.errors.NoModeError
        If the density has no strict maximum: minus its Hessian is not positive definite. The text names the
        variables.
    pymc.exceptions.SamplingError
        If the log density is not finite at the start.
    MemoryError
        If the covariance does not fit into memory.
    KeyboardInterrupt
        On Ctrl-C.
    """
    model, variables = chosen_model(model)
    threads = _threads(cores)
    for name, value in {"draws": draws, "chains": chains, "maxiter": maxiter}.items():
        check_integer(name, value, 1)
    check_integer("jitter_max_retries", jitter_max_retries, 0)
    idata_kwargs = check_idata_kwargs(idata_kwargs)
    dtypes = kept(model, variables, var_names, idata_kwargs.get("include_transformed", False))
    seeds = seeds_of(random_seed, chains)
    bound, starts = begin(
        model,
        initvals,
        seeds[:1],
        jitter=checked_option("jitter", jitter, bool),
        retries=jitter_max_retries,
        var_names=list(dtypes),
    )
    check_densities(bound, idata_kwargs)
    began = time.perf_counter()
    with ClimbProgress("Laplace", progressbar) as progress:
        try:
            found = bound.density.laplace(starts[0], seeds, draws, HISTORY, maxiter, threads, progress.show)
        except CurvatureError as error:
            raise _no_mode(bound, error.coordinates) from None
    warn_unless_converged(bound, found)
    _warn_of_k("Laplace's approximation", found["pareto_k"])
    attrs = {
        "method": "laplace",
        "pareto_k": found["pareto_k"],
        "iterations": found["iterations"],
        "evaluations": found["evaluations"],
        "converged": int(found["converged"]),
    }
    drawn = Draws(
        values=evaluate(bound, dtypes, found["positions"]),
        stats={"lp": found["logp"]},
        warmup=0,
        tune=0,
        seconds=time.perf_counter() - began,
        settings=json.dumps({"method": "laplace", "maxiter": maxiter, "history": HISTORY}),
        attrs=attrs,
    )
    idata = to_inference_data(drawn, bound, idata_kwargs)
    names = coordinate_names(bound)
    fit = xr.Dataset(
        {
            "mean_vector": (("rows",), found["position"]),
            "covariance_matrix": (("rows", "columns"), found["covariance"]),
        },
        coords={"rows": names, "columns": names},
        attrs=attrs,
    )
    add_group(idata, "fit", fit)
    return idata


def fit_pathfinder(
    model: Model | BoundModel | None = None,
    *,
    num_paths: int = 4,
    num_draws: int = 1000,
    num_draws_per_path: int = 1000,
    maxcor: int = 6,
    maxiter: int = 1000,
    num_elbo_draws: int = 25,
    initvals: InitVals = None,
    jitter: bool = True,
    jitter_max_retries: int = 10,
    random_seed: Any = None,
    cores: int | None = None,
    var_names: Sequence[str] | None = None,
    idata_kwargs: Mapping[str, Any] | None = None,
    progressbar: bool = True,
) -> Any:
    """Approximate the posterior by multi-path Pathfinder.

    Each path climbs to a mode by L-BFGS, and keeps, of the normals that its curvature estimates give on the
    way, the one with the largest evidence lower bound, less its standard error. The draws of all paths are
    resampled, with replacement, by their Pareto-smoothed importance ratios. (Zhang, Carpenter, Gelman &
    Vehtari 2022, JMLR 23(306).)

    Parameters
    ----------
    model
        The model, or that of the ``with`` context.
    num_paths
        Climbs, each from a start of its own.
    num_draws
        Draws in the result.
    num_draws_per_path
        Draws from the normal of each path, from which those in the result are chosen.
    maxcor
        Displacements and gradient changes that the curvature estimates keep.
    maxiter
        Steps after which a climb ends in any case.
    num_elbo_draws
        Draws for each estimate of an evidence lower bound.
    initvals, jitter, jitter_max_retries
        Where the climbs begin: as the chains of ``pm.sample``.
    random_seed
        Anything that ``pm.sample`` takes, or one integer a path.
    cores
        Threads; the result does not depend on it.
    var_names
        Variables to keep.
    idata_kwargs
        As in ``pm.sample``.
    progressbar
        Whether to show the progress.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        The groups that ``pm.sample`` gives, with one chain of ``num_draws`` draws in ``posterior`` and ``lp``
        in ``sample_stats``; and ``pathfinder``, with ``elbo``, ``iterations``, ``best_iteration`` (where the
        normal is from), ``evaluations``, ``converged`` and ``resampled`` (its share of the draws) by
        ``path``. Attributes of ``posterior`` and ``pathfinder`` name the method, and ``pareto_k`` of the
        importance ratios: above 0.7 the approximation is poor.

    Warns
    -----
    UserWarning
        If ``pareto_k`` is above 0.7.

    Raises
    ------
    TypeError, ValueError
        If an argument is impossible, or no path gave an approximation.
    pymc.exceptions.SamplingError
        If the log density is finite at no start.
    KeyboardInterrupt
        On Ctrl-C.
    """
    model, variables = chosen_model(model)
    threads = _threads(cores)
    counts = {
        "num_paths": num_paths,
        "num_draws": num_draws,
        "num_draws_per_path": num_draws_per_path,
        "maxcor": maxcor,
        "maxiter": maxiter,
        "num_elbo_draws": num_elbo_draws,
    }
    for name, value in counts.items():
        check_integer(name, value, 1)
    check_integer("jitter_max_retries", jitter_max_retries, 0)
    idata_kwargs = check_idata_kwargs(idata_kwargs)
    dtypes = kept(model, variables, var_names, idata_kwargs.get("include_transformed", False))
    seeds = seeds_of(random_seed, num_paths)
    bound, starts = begin(
        model,
        initvals,
        seeds,
        jitter=checked_option("jitter", jitter, bool),
        retries=jitter_max_retries,
        var_names=list(dtypes),
    )
    check_densities(bound, idata_kwargs)
    began = time.perf_counter()
    with ClimbProgress("Pathfinder", progressbar) as progress:
        found = bound.density.pathfinder(
            starts,
            seeds,
            num_draws,
            num_draws_per_path,
            num_elbo_draws,
            maxcor,
            maxiter,
            threads,
            progress.show,
        )
    _warn_of_k("Pathfinder's approximation", found["pareto_k"])
    chosen = found["chosen"]
    dim = starts.shape[1]
    positions = found["positions"].reshape(num_paths * num_draws_per_path, dim)[chosen]
    attrs = {"method": "pathfinder", "pareto_k": found["pareto_k"]}
    drawn = Draws(
        values=evaluate(bound, dtypes, positions[None]),
        stats={"lp": found["logp"].reshape(-1)[chosen][None]},
        warmup=0,
        tune=0,
        seconds=time.perf_counter() - began,
        settings=json.dumps({"method": "pathfinder", **counts}),
        attrs=attrs,
    )
    idata = to_inference_data(drawn, bound, idata_kwargs)
    resampled = np.bincount(chosen // num_draws_per_path, minlength=num_paths) / num_draws
    names = ("elbo", "iterations", "best_iteration", "evaluations", "converged")
    paths = xr.Dataset(
        {name: (("path",), found[name]) for name in names} | {"resampled": (("path",), resampled)},
        coords={"path": np.arange(num_paths)},
        attrs=attrs,
    )
    add_group(idata, "pathfinder", paths)
    return idata


_START_DRAWS = 20
"""Draws from a path's normal among which a chain finds its start: some may lie outside of the support."""


def pathfinder_starts(
    bound: BoundModel, starts: NDArray[np.float64], seeds: Sequence[int], cores: int
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Start each chain at a draw from the normal of a path of its own.

    The paths are not weighed against each other: chains stay independent, so that R-hat still tells of modes.

    Parameters
    ----------
    bound, starts, seeds, cores
        The model; starting positions, ``(chains, dim)``, and seeds of the chains; threads.

    Returns
    -------
    starts : array, (chains, dim)
        The first draw with a finite density, or else the end of the climb.
    attrs : dict
        What a result says of it.
    """
    settings = {"draws_per_path": _START_DRAWS, "elbo_draws": 25, "history": 6, "max_iterations": 1000}
    found = bound.density.pathfinder(
        starts, seeds, 0, **settings, threads=cores, report=lambda evaluations, logp: None
    )
    finite = np.isfinite(found["logp"])
    first = found["positions"][np.arange(len(starts)), finite.argmax(axis=1)]
    attrs = {
        "init": "pathfinder",
        "init_elbo": found["elbo"],
        "init_evaluations": found["evaluations"].astype(np.int64),
    }
    return np.where(finite.any(axis=1)[:, None], first, found["end"]), attrs


def _threads(cores: int | None) -> int:
    threads: int = _cpu_count() if cores is None else cores
    check_integer("cores", threads, 1)
    return threads


def _no_mode(bound: BoundModel, coordinates: Sequence[int]) -> NoModeError:
    names = coordinate_names(bound)
    along = list(dict.fromkeys(names[i] for i in coordinates))
    shown = quoted(along[:10]) + (f" and {len(along) - 10} more" if len(along) > 10 else "")
    return NoModeError(
        f"the log density has no strict maximum where the climb ended: no curvature along {shown}, alone or "
        f"together. Give these variables priors that tell them apart, other `initvals`, or sample the model."
    )


def _warn_of_k(what: str, pareto_k: float) -> None:
    if not pareto_k <= _LARGEST_K:
        warn_user(
            f"{what} is poor: the Pareto k of its importance ratios is {pareto_k:.2f}, above {_LARGEST_K}. "
            f"Do not take its draws for draws from the posterior; sample, or reparametrise the model."
        )
