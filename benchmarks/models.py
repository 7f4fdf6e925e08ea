"""The reference models, each with its data; numbers in the docstrings are what tests/benchmarks checks."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt


@dataclass(frozen=True)
class ReferenceModel:
    """A model to measure, and how long a run of it is.

    Parameters
    ----------
    name
        What the command line and the results call it.
    build
        Makes the ``pm.Model``; the same data every time.
    chains, tune, draws
        Length of the usual run.
    """

    name: str
    build: Callable[[], Any]
    chains: int = 4
    tune: int = 1000
    draws: int = 1000


def normal_regression() -> Any:
    """One slope with known noise: the posterior is Normal(2.457728, 0.032287)."""
    random = np.random.RandomState(42)
    x = random.randn(1000)
    y = 2.5 * x + random.randn(1000)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1)
        pm.Normal("y", beta * x, 1, observed=y)
    return model


def eight_schools() -> Any:
    """Eight schools, non-centred (Rubin 1981)."""
    effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    standard_errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    with pm.Model(coords={"school": list("ABCDEFGH")}) as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        z = pm.Normal("z", 0, 1, dims="school")
        theta = pm.Deterministic("theta", mu + tau * z, dims="school")
        pm.Normal("effect", theta, standard_errors, observed=effects, dims="school")
    return model


def _varying_intercepts(centred: bool) -> Any:
    """85 uneven groups, 919 rows, one binary covariate: shaped like the radon data (Gelman & Hill 2006)."""
    random = np.random.default_rng(919)
    share = random.dirichlet(np.full(85, 0.7))
    group = np.concatenate([np.arange(85), random.choice(85, 919 - 85, p=share)])
    floor = random.binomial(1, 0.17, 919).astype(float)
    y = random.normal(1.5, 0.33, 85)[group] - 0.67 * floor + random.normal(0, 0.75, 919)
    with pm.Model(coords={"group": np.arange(85), "row": np.arange(919)}) as model:
        mu = pm.Normal("mu", 0, 10)
        sigma_group = pm.Exponential("sigma_group", 1)
        if centred:
            intercept = pm.Normal("intercept", mu, sigma_group, dims="group")
        else:
            z = pm.Normal("z", 0, 1, dims="group")
            intercept = pm.Deterministic("intercept", mu + sigma_group * z, dims="group")
        slope = pm.Normal("slope", 0, 10)
        sigma = pm.Exponential("sigma", 1)
        pm.Normal("y", intercept[group] + slope * floor, sigma, observed=y, dims="row")
    return model


def varying_intercepts() -> Any:
    """Varying intercepts, centred."""
    return _varying_intercepts(centred=True)


def varying_intercepts_noncentred() -> Any:
    """Varying intercepts, non-centred."""
    return _varying_intercepts(centred=False)


def sparse_logistic() -> Any:
    """Sparse logistic regression, 569 x 30: log density -465.955996 at z = 0, gradient norm 803.63724."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    with pm.Model() as model:
        tau = pm.Gamma("tau", 0.5, 0.5)
        lam = pm.Gamma("lambda", 0.5, 0.5, shape=30)
        beta = pm.Normal("beta", 0, 1, shape=30)
        pm.Bernoulli("y", logit_p=pm.math.dot(x, tau * lam * beta), observed=y)
    return model


def latent_gp() -> Any:
    """Latent Gaussian process at 100 points with Student-t noise."""
    random = np.random.default_rng(5)
    x = np.linspace(0, 10, 100)
    covariance = 4.0**2 * np.exp(-0.5 * (x[:, None] - x) ** 2) + 1e-6 * np.eye(100)
    y = random.multivariate_normal(np.zeros(100), covariance, method="cholesky") + random.standard_t(5, 100)
    with pm.Model() as model:
        ell = pm.Gamma("ell", 2, 1)
        eta = pm.HalfNormal("eta", 5)
        f = pm.gp.Latent(cov_func=eta**2 * pm.gp.cov.ExpQuad(1, ell)).prior("f", X=x[:, None])
        sigma = pm.HalfNormal("sigma", 2)
        nu = 1 + pm.Gamma("nu", 2, 0.1)
        pm.StudentT("y", mu=f, lam=1 / sigma, nu=nu, observed=y)
    return model


def large_regression() -> Any:
    """100 000 rows, 10 covariates, unknown noise."""
    random = np.random.default_rng(6)
    x = random.normal(size=(100_000, 10))
    y = x @ random.normal(size=10) + random.normal(size=100_000)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=10)
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("y", pm.math.dot(x, beta), sigma, observed=y)
    return model


def small_simple() -> Any:
    """Mean and scale of one sample (2 parameters)."""
    y = np.random.default_rng(81).normal(3, 2, 50)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10)
        sigma = pm.Exponential("sigma", 1)
        pm.Normal("y", mu, sigma, observed=y)
    return model


def small_medium() -> Any:
    """Two groups with intercepts from a global mean and scale, and shared noise (5 parameters)."""
    random = np.random.default_rng(82)
    group = np.repeat([0, 1], 30)
    y = random.normal(np.array([1.0, 4.0])[group], 0.5)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5)
        sigma_group = pm.HalfNormal("sigma_group", 2)
        intercept = pm.Normal("intercept", mu, sigma_group, shape=2)
        sigma = pm.HalfNormal("sigma", 2)
        pm.Normal("y", intercept[group], sigma, observed=y)
    return model


def small_stress() -> Any:
    """Three groups with effects from a population and noise scales of their own (8 parameters)."""
    random = np.random.default_rng(83)
    group = np.repeat([0, 1, 2], 40)
    noise = np.array([1.0, 2.0, 4.0])
    y = random.normal(np.array([-4.0, 1.0, 5.0])[group], noise[group])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10)
        sigma_effect = pm.HalfNormal("sigma_effect", 5)
        effect = pm.Normal("effect", mu, sigma_effect, shape=3)
        sigma = pm.HalfNormal("sigma", 10, shape=3)
        pm.Normal("y", effect[group], sigma[group], observed=y)
    return model


def correlated_regression() -> Any:
    """Three covariates of mean 1000, not centred: intercept and slopes nearly collinear, trees deep."""
    random = np.random.default_rng(11)
    x = random.normal(1000, 1, (100, 3))
    y = 50 + x @ np.array([0.05, -0.03, 0.1]) + random.normal(0, 10, 100)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 50)
        slope = pm.Normal("slope", 0, 0.05, shape=3)
        sigma = pm.HalfNormal("sigma", 20)
        pm.Normal("y", intercept + pm.math.dot(x, slope), sigma, observed=y)
    return model


def garch() -> Any:
    """GARCH(1,1) on 200 returns."""
    random = np.random.default_rng(101)
    returns, volatility = np.zeros(200), 1.0
    for t in range(200):
        returns[t] = volatility * random.normal()
        volatility = np.sqrt(0.2 + 0.3 * returns[t] ** 2 + 0.5 * volatility**2)
    with pm.Model() as model:
        omega = pm.HalfNormal("omega", 1)
        alpha = pm.Beta("alpha", 2, 4)
        beta = pm.Beta("beta", 4, 4)
        pm.GARCH11("returns", omega=omega, alpha_1=alpha, beta_1=beta, initial_vol=1.0, observed=returns)
    return model


def arma() -> Any:
    """ARMA(1,1) on 200 points, its one-step predictions by a scan."""
    random = np.random.default_rng(102)
    noise = random.normal(0, 0.5, 201)
    y = np.zeros(201)
    for t in range(1, 201):
        y[t] = 0.3 + 0.7 * y[t - 1] + 0.4 * noise[t - 1] + noise[t]
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10)
        phi = pm.Normal("phi", 0, 2)
        theta = pm.Normal("theta", 0, 2)
        sigma = pm.HalfCauchy("sigma", 2.5)

        def step(previous: Any, prediction: Any, mu: Any, phi: Any, theta: Any) -> Any:
            return mu + phi * previous + theta * (previous - prediction)

        first = mu + phi * mu
        rest = _scan(step, [pt.as_tensor(y[1:-1])], first, [mu, phi, theta])
        prediction = pt.concatenate([first[None], rest])
        pm.Normal("y", prediction, sigma, observed=y[1:])
    return model


def hmm() -> Any:
    """Two hidden states with normal emissions, 100 points, by forward recursion."""
    random = np.random.default_rng(103)
    stay = np.array([0.9, 0.8])
    states = np.zeros(100, dtype=int)
    for t in range(1, 100):
        states[t] = states[t - 1] if random.random() < stay[states[t - 1]] else 1 - states[t - 1]
    y = random.normal(np.array([3.0, 10.0])[states], 1)
    with pm.Model() as model:
        transition = pm.Dirichlet("transition", np.ones((2, 2)))
        mu = pm.Normal("mu", [3.0, 10.0], 1)

        emission = -0.5 * (y[:, None] - mu) ** 2 - 0.5 * np.log(2 * np.pi)

        def step(emission: Any, forward: Any, transition: Any) -> Any:
            return emission + pt.logsumexp(forward[:, None] + pt.log(transition), axis=0)

        forward = _scan(step, [emission[1:]], emission[0] - np.log(2), [transition])
        pm.Potential("y", pt.logsumexp(forward[-1]))
    return model


def ar5() -> Any:
    """AR(5) on 200 points."""
    random = np.random.default_rng(104)
    coefficients = np.array([0.5, -0.3, 0.2, 0.1, -0.1])
    y = random.normal(0, 1, 200)
    for t in range(5, 200):
        y[t] += y[t - 5 : t][::-1] @ coefficients
    with pm.Model() as model:
        rho = pm.Normal("rho", 0, 1, shape=5)
        sigma = pm.HalfNormal("sigma", 2)
        pm.AR("y", rho=rho, sigma=sigma, init_dist=pm.Normal.dist(0, 10), observed=y)
    return model


def micro_normal() -> Any:
    """Mean and scale of 100 values (2 parameters): one of four for single evaluations."""
    y = np.random.default_rng(91).normal(3, 2, 100)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10)
        sigma = pm.HalfNormal("sigma", 10)
        pm.Normal("y", mu, sigma, observed=y)
    return model


def micro_regression() -> Any:
    """Line through 100 points (3 parameters): one of four for single evaluations."""
    random = np.random.default_rng(92)
    x = random.normal(size=100)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 10)
        slope = pm.Normal("slope", 0, 10)
        sigma = pm.HalfNormal("sigma", 10)
        pm.Normal("y", intercept + slope * x, sigma, observed=1 + 2 * x + random.normal(size=100))
    return model


def micro_hierarchical() -> Any:
    """Eight groups of 20 rows, a covariate (12 parameters): one of four for single evaluations."""
    random = np.random.default_rng(93)
    group, x = np.repeat(np.arange(8), 20), random.normal(size=160)
    y = random.normal(1, 1, 8)[group] + 0.5 * x + random.normal(size=160)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10)
        sigma_group = pm.HalfNormal("sigma_group", 5)
        intercept = pm.Normal("intercept", mu, sigma_group, shape=8)
        slope = pm.Normal("slope", 0, 5)
        sigma = pm.HalfNormal("sigma", 5)
        pm.Normal("y", intercept[group] + slope * x, sigma, observed=y)
    return model


def micro_gp() -> Any:
    """Marginal Gaussian process at 50 points (3 parameters): one of four for single evaluations."""
    random = np.random.default_rng(94)
    x = np.sort(random.uniform(0, 10, 50))
    with pm.Model() as model:
        ell = pm.InverseGamma("ell", 5, 5)
        eta = pm.HalfNormal("eta", 3)
        sigma = pm.HalfNormal("sigma", 1)
        gp = pm.gp.Marginal(cov_func=eta**2 * pm.gp.cov.ExpQuad(1, ell))
        gp.marginal_likelihood("y", X=x[:, None], y=np.sin(x) + 0.3 * random.normal(size=50), sigma=sigma)
    return model


def _scan(step: Callable[..., Any], sequences: list[Any], first: Any, same: list[Any]) -> Any:
    """States after each step; PyTensor 3 warns of updates that it no longer returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        states, _ = pytensor.scan(step, sequences=sequences, outputs_info=[first], non_sequences=same)
    return states


MODELS = {
    model.name: model
    for model in (
        ReferenceModel("normal_regression", normal_regression),
        ReferenceModel("eight_schools", eight_schools),
        ReferenceModel("varying_intercepts", varying_intercepts),
        ReferenceModel("varying_intercepts_noncentred", varying_intercepts_noncentred),
        ReferenceModel("sparse_logistic", sparse_logistic),
        ReferenceModel("latent_gp", latent_gp, draws=250),
        ReferenceModel("large_regression", large_regression),
        ReferenceModel("garch", garch),
        ReferenceModel("arma", arma),
        ReferenceModel("hmm", hmm),
        ReferenceModel("ar5", ar5),
        ReferenceModel("small_simple", small_simple, chains=1),
        ReferenceModel("small_medium", small_medium, chains=1),
        ReferenceModel("small_stress", small_stress, chains=1),
        ReferenceModel("correlated_regression", correlated_regression),
        ReferenceModel("micro_normal", micro_normal),
        ReferenceModel("micro_regression", micro_regression),
        ReferenceModel("micro_hierarchical", micro_hierarchical),
        ReferenceModel("micro_gp", micro_gp),
    )
}
