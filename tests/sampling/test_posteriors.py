"""Posteriors that are known exactly, and one that PyMC's own sampler knows."""

import numpy as np
import pymc as pm
import pytest
from conftest import PYMC6
from scipy import stats

if PYMC6:
    from arviz_stats import ess
else:
    from arviz import ess


def _ess(draws, method):
    return float(ess(draws.values[None, ...] if draws.ndim == 1 else draws.values, method=method))


def _assert_exact(draws, exact):
    """Mean and spread within four Monte Carlo standard errors of a distribution's own.

    The spread is the mean absolute deviation from the exact mean: an expectation, so its error is known.
    """
    n = _ess(draws, "mean")
    assert abs(float(draws.mean()) - exact.mean()) < 4 * exact.std() / np.sqrt(n)
    deviation = abs(draws - exact.mean())
    expected = exact.expect(lambda x: abs(x - exact.mean()))
    error = np.sqrt(exact.var() - expected**2) / np.sqrt(_ess(deviation, "mean"))
    assert abs(float(deviation.mean()) - expected) < 4 * error


@pytest.fixture
def long(rust_sample):
    def sample(**kwargs):
        return rust_sample(**{"draws": 1500, "tune": 500, "chains": 4, "random_seed": 42, **kwargs})

    return sample


def test_regression_with_one_parameter(long):
    """Reference model 1: y ~ Normal(b x, 1), b ~ Normal(0, 1), n = 1000."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    y = 0.7 * x + rng.normal(size=1000)
    precision = 1 + x @ x
    with pm.Model():
        b = pm.Normal("b")
        pm.Normal("y", b * x, 1, observed=y)
        idata = long()
    _assert_exact(idata.posterior["b"], stats.norm(x @ y / precision, precision**-0.5))


def test_conjugate_normal(long):
    y = np.array([4.1, 5.3, 4.7, 6.0])
    precision = 1 / 3**2 + len(y) / 2**2
    with pm.Model():
        mu = pm.Normal("mu", 1, 3)
        pm.Normal("y", mu, 2, observed=y)
        idata = long()
    exact = stats.norm((1 / 3**2 + y.sum() / 2**2) / precision, precision**-0.5)
    _assert_exact(idata.posterior["mu"], exact)


_METRICS = ("diag", "dense", "low_rank", "draw_diag")


@pytest.mark.parametrize(
    "kind",
    [{}, {"kind": "walnuts"}, {"kind": "hmc", "path_length": 1.5}, *({"metric": name} for name in _METRICS)],
    ids=str,
)
def test_beta_binomial(long, kind):
    with pm.Model():
        p = pm.Beta("p", 2, 3)
        pm.Binomial("y", 20, p, observed=13)
        idata = long(nuts=kind)
    _assert_exact(idata.posterior["p"], stats.beta(15, 10))


def test_gamma_poisson(long):
    y = np.array([3, 0, 2, 5, 1])
    with pm.Model():
        rate = pm.Gamma("rate", 2.5, 1.5)
        pm.Poisson("y", rate, observed=y)
        idata = long()
    _assert_exact(idata.posterior["rate"], stats.gamma(2.5 + y.sum(), scale=1 / (1.5 + len(y))))


def test_prior_is_recovered(long):
    with pm.Model():
        pm.Exponential("x", 2)
        pm.Uniform("u", -1, 3)
        idata = long()
    _assert_exact(idata.posterior["x"], stats.expon(scale=0.5))
    _assert_exact(idata.posterior["u"], stats.uniform(-1, 4))


def test_eight_schools_as_pymc_samples_it(schools_model, long):
    with schools_model:
        ours = long(nuts={"target_accept": 0.95})
        theirs = long(nuts={"target_accept": 0.95}, nuts_sampler="pymc", cores=1)
    for name in ("mu", "tau", "theta"):
        for index in np.ndindex(ours.posterior[name].shape[2:]):
            mine, reference = (idata.posterior[name][:, :, *index] for idata in (ours, theirs))
            for function in (lambda x: x, abs, np.square):
                a, b = function(mine), function(reference)
                error = np.sqrt(float(a.var()) / _ess(a, "mean") + float(b.var()) / _ess(b, "mean"))
                assert abs(float(a.mean()) - float(b.mean())) < 4 * error, (name, index)
