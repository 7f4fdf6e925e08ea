"""Modes: the maximum of a posterior density, found by L-BFGS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymc.model import Model

from pymc_rustmc.arguments import check_integer, checked_option
from pymc_rustmc.begin import begin, chosen_model, evaluate, kept, seeds_of
from pymc_rustmc.coordinates import coordinate_names
from pymc_rustmc.description import InitVals
from pymc_rustmc.errors import warn_user
from pymc_rustmc.progress import ClimbProgress
from pymc_rustmc.template import BoundModel

HISTORY = 10
"""Pairs that L-BFGS keeps on the way to a mode; SciPy's number."""


def find_map(
    model: Model | BoundModel | None = None,
    *,
    initvals: InitVals = None,
    include_transformed: bool = True,
    jacobian: bool = False,
    jitter: bool = False,
    jitter_max_retries: int = 10,
    random_seed: Any = None,
    maxiter: int = 5000,
    progressbar: bool = True,
) -> dict[str, NDArray[Any]]:
    """Find a maximum a posteriori point, as ``pm.find_MAP`` does.

    The density is that of the constrained values: ``model.logp(jacobian=False)``, maximised over the
    unconstrained ones. The point is a mode near the start, which need not be the highest, nor be typical of
    the posterior.

    Parameters
    ----------
    model
        The model, or that of the ``with`` context.
    initvals
        Initial values, as in ``pm.sample``; the model's own by default.
    include_transformed
        Whether the result holds the unconstrained values too, such as ``sigma_log__``.
    jacobian
        Whether to maximise the density of the unconstrained values instead, on which `fit_laplace` rests.
    jitter, jitter_max_retries, random_seed
        Whether to start from a point jittered by U(-1, 1) in unconstrained space; how often one without a
        finite density is drawn again; the seed of it.
    maxiter
        Steps after which the climb ends in any case.
    progressbar
        Whether to show the progress.

    Returns
    -------
    dict of str to array
        Value of every free variable and Deterministic by name, as in ``pm.find_MAP``.

    Warns
    -----
    UserWarning
        If the climb ended before a mode; the density may have none.

    Raises
    ------
    TypeError, ValueError
        If an argument is impossible; the text names it. With a model from a file: unless ``jacobian=True``.
    pymc.exceptions.SamplingError
        If the log density is not finite at the start.
    pymc_rustmc.errors.UnsupportedModelError, pymc_rustmc.errors.UnsupportedOpError
        If the model has discrete free variables, or an Op without translation.
    KeyboardInterrupt
        On Ctrl-C.

    Examples
    --------
    >>> find_map(model)["sigma"]  # doctest: +SKIP
    """
    model, variables = chosen_model(model)
    check_integer("maxiter", maxiter, 1)
    check_integer("jitter_max_retries", jitter_max_retries, 0)
    dtypes = kept(model, variables, None, checked_option("include_transformed", include_transformed, bool))
    bound, starts = begin(
        model,
        initvals,
        seeds_of(random_seed, 1),
        jitter=checked_option("jitter", jitter, bool),
        retries=jitter_max_retries,
        jacobian=checked_option("jacobian", jacobian, bool),
    )
    with ClimbProgress("Mode", progressbar) as progress:
        mode = bound.density.find_mode(starts[0], HISTORY, maxiter, progress.show)
    warn_unless_converged(bound, mode)
    values = evaluate(bound, dtypes, mode["position"][None, None])
    return {name: np.asarray(value[0, 0]) for name, value in values.items()}


def warn_unless_converged(bound: BoundModel, mode: dict[str, Any]) -> None:
    """Say that a climb ended before a mode, and where the density still rises."""
    if not mode["converged"]:
        steepest = coordinate_names(bound)[int(np.argmax(np.abs(mode["gradient"])))]
        warn_user(
            f"No mode was found: after {mode['iterations']} steps the log density is {mode['logp']:.6g} and "
            f"still rises, most along {steepest!r}. It may have no maximum, as where a scale can shrink to "
            f"0; try other `initvals`, a larger `maxiter`, or sample."
        )
