"""What is said about the draws when sampling has ended."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymc.stats.convergence import (
    SamplerWarning,
    WarningType,
    log_warnings,
    warn_divergences,
    warn_treedepth,
)

from pymc_rustmc.description import Variables
from pymc_rustmc.diagnostics import convergence

_MIN_DRAWS = 100
_MIN_CHAINS = 4
_MAX_RHAT = 1.01
_MIN_ESS_PER_CHAIN = 100

_FEW_DRAWS = "The number of samples is too small to check convergence reliably."
_ONE_CHAIN = "Only one chain was sampled, this makes it impossible to run some convergence checks"
_FEW_CHAINS = "We recommend running at least 4 chains for robust computation of convergence diagnostics"
_HIGH_RHAT = (
    "The rhat statistic is larger than 1.01 for some "
    "parameters. This indicates problems during sampling. "
    "See https://arxiv.org/abs/1903.08008 for details"
)
_LOW_ESS = (
    "The effective sample size per chain is smaller than 100 for some parameters. "
    " A higher number is needed for reliable rhat and ess computation. "
    "See https://arxiv.org/abs/1903.08008 for details"
)


def report_convergence(idata: Any, variables: Variables, quiet: bool) -> None:
    """Check the draws and log what PyMC would log about them, unless ``quiet``."""
    if not quiet:
        log_warnings(convergence_warnings(idata, [variable.name for variable in variables.free]))


def convergence_warnings(idata: Any, names: list[str]) -> list[SamplerWarning]:
    """Judge draws by the words and thresholds of PyMC's ``run_convergence_checks``.

    Divergences, tree depth, rank-normalised R-hat and bulk effective sample size. PyMC's own function
    imports ArviZ's statistics, which takes longer than most models take to sample.

    Parameters
    ----------
    idata
        The result of a run.
    names
        The variables whose R-hat and effective sample size count, as far as the posterior has them.
        Elements without these (all draws equal) do not count.
    """
    posterior = idata["posterior"]
    warnings = [*warn_divergences(idata), *warn_treedepth(idata)]
    if posterior.sizes["draw"] < _MIN_DRAWS:
        return [*warnings, _warning(WarningType.BAD_PARAMS, _FEW_DRAWS)]
    chains = posterior.sizes["chain"]
    if chains == 1:
        return [*warnings, _warning(WarningType.BAD_PARAMS, _ONE_CHAIN)]
    if chains < _MIN_CHAINS:
        warnings.append(_warning(WarningType.BAD_PARAMS, _FEW_CHAINS))

    variables = posterior.variables
    checked = [name for name in names if name in variables]
    values = convergence([variables[name].transpose("chain", "draw", ...).values for name in checked])
    rhat = {name: rhats for name, (rhats, _) in zip(checked, values, strict=True)}
    ess = {name: sizes for name, (_, sizes) in zip(checked, values, strict=True)}
    if (_all(rhat) > _MAX_RHAT).any():
        warnings.append(_warning(WarningType.CONVERGENCE, _HIGH_RHAT, extra=rhat))
    if (_all(ess) / chains < _MIN_ESS_PER_CHAIN).any():
        warnings.append(_warning(WarningType.CONVERGENCE, _LOW_ESS, "error", extra=ess))
    return warnings


def _all(values: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.empty(0), *(array.ravel() for array in values.values())])


def _warning(kind: WarningType, message: str, level: str = "info", extra: Any = None) -> SamplerWarning:
    return SamplerWarning(kind, message, level, extra=extra)
