"""Every diagnostic equals ArviZ's, on good and on broken chains."""

import numpy as np
import pytest
from chains import CHAINS, autoregressive
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import NEW, call

from pymc_rustmc import diagnostics

DIAGNOSTICS = [
    ("rhat", {}),
    *[("ess", {"method": method}) for method in ("bulk", "mean", "sd", "median")],
    *[("ess", {"method": "tail", "prob": prob}) for prob in ((0.05, 0.95), 0.2)],
    *[("ess", {"method": "quantile", "prob": prob}) for prob in (0.0, 0.1, 0.25, 0.9, 1.0)],
    *[("mcse", {"method": method}) for method in ("mean", "sd", "median")],
    *[("mcse", {"method": "quantile", "prob": prob}) for prob in (0.0, 0.05, 0.3, 0.95, 1.0)],
    *[(interval, {"prob": prob}) for interval in ("hdi", "eti") for prob in (0.01, 0.5, 0.89, 0.94, 1.0)],
    ("bfmi", {}),
]
INTERVALS = ("hdi", "eti")


def _uses_quantile(function, arguments):
    return arguments.get("method") in ("median", "tail", "quantile")


def _differs_between_versions(function, arguments, draws):
    """Whether ArviZ 0.2x differs from 1.x, which we follow.

    Its quantile is SciPy's `mquantiles`, (1 - w) a + w b, where NumPy has a + w (b - a): of two equal
    numbers the first may not give that number, so that `x <= quantile` leaves all ties out; of two
    infinities, or an infinity and a weight of 0, one may be NaN where the other is not.
    Its highest-density interval has an error for `prob` 1.
    """
    if function == "hdi":
        return arguments["prob"] == 1
    tied = len(np.unique(draws)) < draws.size
    return _uses_quantile(function, arguments) and (tied or np.isinf(draws).any())


def _expected(function, arguments, draws):
    """ArviZ's value, or the exact one where ArviZ returns what is left of rounding, or raises."""
    if function in INTERVALS and (np.isnan(draws).any() or draws.size == 0):
        return np.full(2, np.nan)  # ArviZ 1.x: (a draw, NaN) for the HDI, an error for no draws
    if function == "bfmi":
        # The variance of equal energies is 0; in ArviZ it is what is left of rounding.
        still = (draws == draws[:, :1]).all(axis=1) if draws.shape[1] else np.full(len(draws), True)
        moving = call(function, draws[~still]) if (~still).any() else []
        expected = np.full(len(draws), np.nan)
        expected[~still] = moving
        return expected
    if draws.shape[0] and draws.shape[1] >= 4 and (draws == draws[:, :1]).all():
        apart = len(np.unique(draws)) > 1
        if function == "rhat":
            return np.inf if apart else np.nan
        if function == "mcse" and not apart:
            return np.nan if arguments["method"] == "sd" else 0.0
    return call(function, draws, **arguments)


def _assert_equal(function, arguments, draws):
    draws = np.asarray(draws, dtype=float)
    ours = getattr(diagnostics, function)(draws, **arguments)
    theirs = _expected(function, arguments, draws)
    if (function, arguments.get("method")) == ("mcse", "sd") and draws.size:
        # In sqrt(E c^4 - (E c^2)^2) the difference may be only rounding, of the size of its terms.
        rounding = 1e-15 * np.ptp(draws) ** 2
        np.testing.assert_allclose(ours**2, theirs**2, rtol=1e-10, atol=np.nan_to_num(rounding, posinf=0))
    else:
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize(("function", "arguments"), DIAGNOSTICS, ids=str)
def test_equal_to_arviz(name, function, arguments):
    draws = np.asarray(CHAINS[name], dtype=float)
    if not NEW and _differs_between_versions(function, arguments, draws):
        pytest.skip("ArviZ 0.2x and 1.x differ here")
    _assert_equal(function, arguments, draws)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    chains=st.integers(1, 8),
    draws=st.integers(1, 120),
    phi=st.floats(-0.95, 0.95),
    decimals=st.sampled_from([None, 1, 0]),
    offset=st.sampled_from([0.0, 1.0, -50.0]),
)
def test_equal_to_arviz_on_random_chains(seed, chains, draws, phi, decimals, offset):
    x = offset + autoregressive(np.random.default_rng(seed), chains, draws, phi)
    if decimals is not None:
        x = np.round(x, decimals)
    for function, arguments in DIAGNOSTICS:
        if NEW or not _differs_between_versions(function, arguments, x):
            _assert_equal(function, arguments, x)


def test_tail_without_probabilities_is_that_of_5_and_95_percent():
    draws = CHAINS["autoregressive 0.9"]
    expected = call("ess", draws, method="tail", prob=(0.05, 0.95))
    np.testing.assert_allclose(diagnostics.ess(draws, method="tail"), expected, rtol=1e-10)
