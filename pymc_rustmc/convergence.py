"""What is said about the draws when sampling has ended."""

from __future__ import annotations

from typing import Any

from pymc.model import Model
from pymc.stats.convergence import log_warnings, run_convergence_checks


def report_convergence(idata: Any, model: Model, quiet: bool) -> None:
    """Check the draws as PyMC does and log its warnings, unless ``quiet``.

    Divergences, tree depth, rank-normalised R-hat and effective sample size of every free variable.
    """
    if not quiet:
        log_warnings(run_convergence_checks(idata, model))
