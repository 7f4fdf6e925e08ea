"""Posterior means and deviations that are known: exactly, or from PyMC's own sampler."""

import numpy as np
import pymc as pm
import pytest
from conftest import PYMC6

if PYMC6:
    from arviz_stats import ess
else:
    from arviz import ess


def _assert_moments(draws, mean, sd):
    """Mean and standard deviation within four Monte Carlo standard errors of the exact ones."""
    n = float(ess(draws, method="mean")) if PYMC6 else float(ess(draws.values, method="mean"))
    assert abs(draws.mean() - mean) < 4 * sd / np.sqrt(n)
    n = float(ess(draws, method="sd")) if PYMC6 else float(ess(draws.values, method="sd"))
    assert abs(draws.std() - sd) < 4 * sd / np.sqrt(2 * n)
