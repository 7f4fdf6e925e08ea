"""Starting points: PyMC's own, jittered and checked, without compiling anything.

PyMC's ``make_initial_point_fns_per_chain`` compiles the same expressions; the first call in a process costs
a quarter of a second (it loads the C toolchain). Here they are evaluated as they are. PyMC seeds the jitters
in the order of the rewritten graph, so for one seed the points are PyMC's in distribution only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pymc.exceptions import SamplingError
from pymc.initial_point import convert_str_to_rv_dict, make_initial_point_expression
from pymc.model import Model
from pymc.pytensorf import find_rng_nodes, replace_rng_nodes, reseed_rngs
from pytensor import config

from pymc_rustmc.interpreted import PYTHON_MODE, interpreted, no_compiler

Point: TypeAlias = dict[str, NDArray[Any]]
"""Unconstrained value of every value variable, by name."""

InitVals: TypeAlias = Mapping[Any, Any] | Sequence[Mapping[Any, Any] | None] | None
"""What ``pm.sample(initvals=...)`` takes: nothing, one mapping for all chains, or one a chain."""

Density: TypeAlias = Callable[[Point], tuple[float, NDArray[np.float64]]]
"""Log density and its gradient at a point."""


def start_functions(
    model: Model, initvals: InitVals, chains: int, jitter: bool
) -> list[Callable[[int], Point]]:
    """Make a function of a seed for each chain, which draws that chain's starting point.

    Parameters
    ----------
    model
        The model; its free variables of dtype ``floatX`` are jittered by U(-1, 1) in unconstrained space
        (PyMC's expressions allow no other dtype).
    initvals
        Initial values of the user; they replace the model's own. A variable is named by itself, by
        its name (constrained value) or by the name of its value variable (unconstrained value).
    chains
        Number of chains.
    jitter
        Whether to jitter at all.

    Raises
    ------
    ValueError
        If ``initvals`` names a variable that the model lacks, or has not one entry a chain.
    """
    jittered = {rv for rv in model.free_RVs if jitter and rv.dtype == config.floatX}
    if initvals is None or isinstance(initvals, Mapping):
        return [_start_function(model, initvals or {}, jittered)] * chains
    if len(initvals) != chains:
        raise ValueError(
            f"Number of initval dicts ({len(initvals)}) does not match the number of chains ({chains})."
        )
    return [_start_function(model, entry or {}, jittered) for entry in initvals]


def checked_starts(
    model: Model,
    functions: Sequence[Callable[[int], Point]],
    seeds: Sequence[int],
    density: Density,
    retries: int,
) -> list[Point]:
    """Draw starting points, one a chain, at which log density and gradient are finite.

    A jittered point that fails is drawn again from a new seed, at most ``retries`` times.

    Raises
    ------
    pymc.exceptions.SamplingError
        If no finite point was found; the text has PyMC's table of the terms of the log density.
    """
    return [
        _checked_start(model, function, seed, density, retries)
        for function, seed in zip(functions, seeds, strict=True)
    ]


def _checked_start(
    model: Model, function: Callable[[int], Point], seed: int, density: Density, retries: int
) -> Point:
    rng = np.random.default_rng(seed)
    for _ in range(retries + 1):
        point = function(seed)
        logp, gradient = density(point)
        if np.isfinite(logp) and np.all(np.isfinite(gradient)):
            return point
        seed = int(rng.integers(2**30, dtype=np.int64))
    with no_compiler():
        model.check_start_vals(point, mode=PYTHON_MODE)  # raises where a term of logp is not finite
    raise SamplingError(
        f"The log density ({logp}) or its gradient is not finite at the starting point.\n"
        f"Starting values:\n{point}\n\n"
        f"Gradient:\n{_by_variable(point, gradient)}\n"
        "Give other starting values by `initvals=`, or call `model.debug(fn='dlogp')` for more details."
    )


def _by_variable(point: Point, gradient: NDArray[np.float64]) -> Point:
    parts = np.split(gradient, np.cumsum([value.size for value in point.values()])[:-1])
    return {name: part.reshape(value.shape) for (name, value), part in zip(point.items(), parts, strict=True)}


def _start_function(model: Model, initvals: Mapping[Any, Any], jittered: set[Any]) -> Callable[[int], Point]:
    names = [model.rvs_to_values[rv].name for rv in model.free_RVs]
    _check_names(model, initvals, names)
    expressions = make_initial_point_expression(
        free_rvs=model.free_RVs,
        rvs_to_transforms=model.rvs_to_transforms,
        initval_strategies={
            **model.rvs_to_initial_values,
            **convert_str_to_rv_dict(model, dict(initvals)),
        },
        jitter_rvs=jittered,
        return_transformed=True,
    )
    expressions = replace_rng_nodes(expressions)
    rngs = find_rng_nodes(expressions)
    evaluate = interpreted(expressions)

    def start(seed: int) -> Point:
        reseed_rngs(rngs, seed)
        return dict(zip(names, evaluate(), strict=True))

    return start


def _check_names(model: Model, initvals: Mapping[Any, Any], value_names: Sequence[str]) -> None:
    known = {*model.free_RVs, *(rv.name for rv in model.free_RVs), *value_names}
    unknown = [str(key) for key in initvals if key not in known]
    if unknown:
        raise ValueError(
            f"`initvals` names {', '.join(map(repr, unknown))}, not a free variable of the model. "
            f"Free variables: {', '.join(repr(rv.name) for rv in model.free_RVs)}."
        )
