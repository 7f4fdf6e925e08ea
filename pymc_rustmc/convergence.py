"""What is said about the draws when sampling has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pymc.stats.convergence import log_warnings, run_convergence_checks

from pymc_rustmc.description import Variables


def report_convergence(idata: Any, variables: Variables, quiet: bool) -> None:
    """Check the draws as PyMC does and log its warnings, unless ``quiet``.

    Divergences, tree depth, rank-normalised R-hat and effective sample size of every free variable.
    """
    if not quiet:
        # PyMC asks its model for names alone.
        model = SimpleNamespace(
            free_RVs=[SimpleNamespace(name=variable.name) for variable in variables.free],
            deterministics=[SimpleNamespace(name=name) for name in variables.deterministics],
        )
        log_warnings(run_convergence_checks(idata, model))
