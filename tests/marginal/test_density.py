"""The density without variables is that of a dense integration, for every structure and at any scale."""

from fractions import Fraction

import numpy as np
import pymc as pm
import pytest
from scipy.integrate import quad

import pymc_rustmc

from .dense import dense_marginal
from .models import CASES, GROUP, Y


def bound_models(model):
    """The model as it is written, and without what can be integrated out."""
    return [pymc_rustmc.compile_model(model, marginalise=option)._bound for option in (False, True)]


@pytest.mark.parametrize("name", CASES)
def test_it_is_that_of_a_dense_integration(name):
    case = CASES[name]
    model = case.build()
    plain, marginal = bound_models(model)
    free = plain.template.description.variables.free
    out = {v.name for v in free if v.value_name in marginal.density.marginalised}
    assert (out, {v.name for v in free} - out) == (case.out, case.rest)
    kept = marginal.density.kept
    others = np.setdiff1d(np.arange(plain.density.dim), kept)
    start = plain.position(model.initial_point())
    rng = np.random.default_rng(2)
    for _ in range(20):
        x = start + rng.uniform(-1, 1, start.shape)
        wanted, gradient = dense_marginal(plain, x, others)
        logp, found = marginal.density.logp_and_gradient(x[kept])
        assert logp == pytest.approx(wanted, rel=1e-9, abs=1e-9)
        np.testing.assert_allclose(found, gradient, rtol=1e-8, atol=1e-8 * np.abs(gradient).max())


def test_it_is_that_of_numerical_integration():
    """One effect, so that quadrature is exact enough."""
    y = np.array([0.3, 1.2, -0.4])
    with pm.Model() as model:
        effect = pm.Normal("effect", pm.Normal("mu", 0, 2), pm.HalfNormal("tau", 1))
        pm.Normal("y", effect, pm.HalfNormal("sigma", 1), observed=y)
    plain = pymc_rustmc.compile_model(model)
    marginal = pymc_rustmc.compile_model(model, marginalise=["effect"])
    point = {"mu": np.array(0.4), "tau_log__": np.array(-0.5), "sigma_log__": np.array(0.2)}

    def density(effect):
        return np.exp(plain.logp_dlogp({**point, "effect": np.array(effect)})[0])

    logp, gradient = marginal.logp_dlogp(point)
    assert logp == pytest.approx(np.log(quad(density, -12, 12, epsabs=0, epsrel=1e-12)[0]), rel=1e-10)
    assert list(gradient) == ["mu", "tau_log__", "sigma_log__"]


def test_a_normal_model_has_its_evidence():
    """Of nothing but normals, all but one number is integrated out: the rest is a multivariate normal."""
    case = CASES["nothing_but_normals"]
    _, marginal = bound_models(case.build())
    member = (GROUP[:, None] == GROUP[None, :]).astype(float)
    for mu in (-0.7, 0.2, 3.0):
        cov = np.eye(len(Y)) + member
        wanted = pm.logp(pm.MvNormal.dist(np.full(len(Y), mu), cov), Y).eval() - 0.5 * (
            mu**2 + np.log(2 * np.pi)
        )
        assert marginal.density.logp_and_gradient(np.array([mu]))[0] == pytest.approx(
            float(wanted), rel=1e-11
        )


def exact_intercepts(y, groups, mu, tau, sigma):
    """Log density of y, integrated over effects, and its derivative by mu, in rational arithmetic."""
    mu, tau2, sigma2 = Fraction(mu), Fraction(tau) ** 2, Fraction(sigma) ** 2
    square, slope = Fraction(0), Fraction(0)
    logs = 0.0
    for group in np.unique(groups):
        values = [Fraction(float(value)) for value in y[groups == group]]
        n, mean = len(values), sum(values) / len(values)
        within = sum((value - mean) ** 2 for value in values)
        total = sigma2 + n * tau2
        square += within / sigma2 + n * (mean - mu) ** 2 / total
        slope += n * (mean - mu) / total
        logs += (n - 1) * np.log(float(sigma2)) + np.log(float(total)) + n * np.log(2 * np.pi)
    return float(-square / 2) - logs / 2, float(slope)


@pytest.mark.parametrize("spread", [1.0, 1e-3])
@pytest.mark.parametrize("ratio", [1.0, 1e-3, 1e3])
def test_badly_scaled_data_keep_their_digits(spread, ratio):
    """Data around a million: the terms of the usual formula cancel to nothing."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(9), 20)
    y = 1e6 + spread * (rng.normal(size=9)[groups] + rng.normal(size=180))
    with pm.Model() as model:
        mu, tau, sigma = pm.Flat("mu"), pm.Flat("tau"), pm.Flat("sigma")
        effect = pm.Normal("effect", mu, tau, shape=9)
        pm.Normal("y", effect[groups], sigma, observed=y)
    marginal = pymc_rustmc.compile_model(model, marginalise=["effect"])
    for shift in (-0.3, 0.0, 1.7):
        at = {"mu": 1e6 + spread * shift, "tau": spread * ratio, "sigma": 0.8 * spread}
        logp, gradient = marginal.logp_dlogp({name: np.array(value) for name, value in at.items()})
        wanted, slope = exact_intercepts(y, groups, *at.values())
        # The conditional means are rounded, at a million: so much times the derivative's terms.
        scale = 180 / spread
        lost = 1e6 * np.finfo(float).eps
        assert logp == pytest.approx(wanted, rel=1e-11, abs=lost * scale)
        assert gradient["mu"] == pytest.approx(slope, rel=1e-9, abs=(1e-12 + lost / spread) * scale)
