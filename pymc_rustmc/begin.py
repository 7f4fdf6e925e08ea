"""Where every computation begins and ends: a bound model, starting positions, seeds; values at positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymc.model import Model, modelcontext
from pymc.util import get_random_generator

from pymc_rustmc.arguments import check_model_type, kept_variables
from pymc_rustmc.compile import translate_model
from pymc_rustmc.description import InitVals, Point, Variables
from pymc_rustmc.live import describe_variables
from pymc_rustmc.marginal import check_marginalised, value_names
from pymc_rustmc.starts import checked_starts, start_functions, starts_under
from pymc_rustmc.template import BoundModel, output_name


def chosen_model(model: Model | BoundModel | None) -> tuple[Model | BoundModel, Variables]:
    """Return the model, or that of the ``with`` context, and its unobserved variables."""
    if isinstance(model, BoundModel):
        return model, model.template.description.variables
    model = modelcontext(model)
    check_model_type(model)
    return model, describe_variables(model)


def kept(
    model: Model | BoundModel,
    variables: Variables,
    var_names: Sequence[str] | None,
    include_transformed: bool,
) -> dict[str, np.dtype[Any]]:
    """Names and dtypes of the variables that a result holds: `kept_variables` that the model has.

    Raises
    ------
    ValueError
        If `var_names` names a variable that a model was compiled without.
    """
    dtypes = kept_variables(variables, var_names, include_transformed)
    if not isinstance(model, BoundModel):
        return dtypes
    template = model.template
    missing = [name for name in dtypes if name not in template.outputs and name not in template.parameters]
    if missing and var_names is not None:
        raise ValueError(
            f"the model was compiled without {', '.join(map(repr, missing))}: compile it with these names in "
            f"`var_names`, or without `var_names`."
        )
    return {name: dtype for name, dtype in dtypes.items() if name not in missing}


def begin(
    model: Model | BoundModel,
    initvals: InitVals,
    seeds: Sequence[int],
    *,
    jitter: bool,
    retries: int,
    var_names: Sequence[str] | None = None,
    jacobian: bool = True,
    rewrites: Mapping[str, bool] | None = None,
    marginalise: bool | tuple[str, ...] | None = False,
) -> tuple[BoundModel, NDArray[np.float64]]:
    """Bind a model to its data and find starting positions, ``(len(seeds), dim)``.

    Parameters
    ----------
    model
        The model, bound already or not.
    initvals
        Initial values, for all starts or one mapping a start.
    seeds
        Seeds of the jitter.
    jitter, retries
        Whether starts are jittered, and how often one without a finite density is drawn again.
    var_names
        Restrict the outputs of the bound model to these variables.
    jacobian
        Whether the density is that of the unconstrained values, Jacobians of the transforms included.
    rewrites
        Rules of exact algebra that are switched on or off.
    marginalise
        What is integrated out, as `checked_marginalise` returns it; None leaves a bound model as it is.

    Raises
    ------
    ValueError
        If a variable that is to be integrated out cannot be.
    pymc.exceptions.SamplingError
        If the log density is finite at no start.
    """
    functions: Sequence[Callable[[int], Point]]
    if isinstance(model, BoundModel):
        bound = model if jacobian else model.without_jacobian
        bound = bound.with_rewrites(rewrites) if rewrites else bound
        if marginalise is not None and (marginalise or bound.template.marginalised):
            names = value_names(bound.template.description, marginalise)
            bound = bound.with_marginalised(names)
        functions = bound.template.source.start_functions(bound.data, initvals, len(seeds), jitter)
    else:
        functions = starts_under(start_functions(model, initvals, len(seeds), jitter), {})
        shapes = {name: value.shape for name, value in functions[0](seeds[0]).items()}
        template = translate_model(model, var_names, jacobian=jacobian, rewrites=rewrites)
        if marginalise:
            names = value_names(template.description, marginalise)
            template = replace(template, marginalised=names)
        bound = template.bind(shapes=shapes)
    check_marginalised(bound, marginalise or False)

    def density(point: Point) -> tuple[float, NDArray[np.float64]]:
        return bound.logp_and_gradient(bound.position(point))

    explain = partial(bound.template.source.explain_start, bound.data)
    points = checked_starts(functions, seeds, density, retries if jitter else 0, explain)
    return bound, np.stack([bound.sampled(bound.position(point)) for point in points])


def seeds_of(random_seed: Any, count: int) -> list[int]:
    """One seed each: those given if there are as many, else from one generator."""
    if isinstance(random_seed, Sequence | np.ndarray) and len(random_seed) == count:
        return [int(seed) for seed in random_seed]
    return [int(rng.integers(2**30)) for rng in get_random_generator(random_seed).spawn(count)]


_RECORDED = frozenset(np.dtype(kind).name for kind in (*"fdbhilBHIL", "?", "int64", "uint64"))
"""Types of elements in which a run can keep draws."""


def recorded(bound: BoundModel, dtypes: Mapping[str, np.dtype[Any]]) -> list[tuple[str, str | None, str]]:
    """List variables as `Density.sample` takes them, to keep their draws: name, output and dtype of each."""
    return [
        (
            name,
            output_name(name) if name in bound.template.outputs else None,
            dtype.name if dtype.name in _RECORDED else "float64",
        )
        for name, dtype in dtypes.items()
    ]


def as_dtypes(
    values: Mapping[str, NDArray[Any]], dtypes: Mapping[str, np.dtype[Any]]
) -> dict[str, NDArray[Any]]:
    """Give values the dtypes of the model; where they have them, nothing is copied."""
    return {name: values[name].astype(dtype, copy=False) for name, dtype in dtypes.items()}


def evaluate(
    bound: BoundModel, dtypes: Mapping[str, np.dtype[Any]], positions: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Evaluate variables at every position; each is ``(chains, n, *shape)``, in the dtype of the model."""
    chains, n, dim = positions.shape
    values = bound.unravel(positions)
    computed = [name for name in dtypes if name in bound.template.outputs]
    outputs = bound.evaluate(computed, positions.reshape(chains * n, dim)) if computed else {}
    for name, output in outputs.items():
        values[name] = output.reshape(chains, n, *output.shape[1:])
    return as_dtypes(values, dtypes)
