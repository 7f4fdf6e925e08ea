"""Models of hard geometry, each with its data: regressions as users write them, pairs, heavy tails.

Together with the reference models they are what the efficiency comparison runs on.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pymc as pm
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def _regression(
    x: Array,
    y: Array | Counts,
    likelihood: Literal["normal", "student_t", "bernoulli", "poisson", "negative_binomial"] = "normal",
    intercept_sd: float = 100,
    slope_sd: float = 10,
) -> Any:
    """Return a generalised linear model with intercept, slopes and, where there is one, a scale."""
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, intercept_sd)
        slope = pm.Normal("slope", 0, slope_sd, shape=x.shape[1])
        mu = intercept + pm.math.dot(x, slope)
        if likelihood == "normal":
            pm.Normal("y", mu, pm.HalfNormal("sigma", 5), observed=y)
        elif likelihood == "student_t":
            sigma, nu = pm.HalfNormal("sigma", 5), pm.Gamma("nu", 2, 0.1)
            pm.StudentT("y", nu=nu, mu=mu, sigma=sigma, observed=y)
        elif likelihood == "bernoulli":
            pm.Bernoulli("y", logit_p=mu, observed=y)
        elif likelihood == "poisson":
            pm.Poisson("y", pm.math.exp(mu), observed=y)
        else:
            pm.NegativeBinomial("y", mu=pm.math.exp(mu), alpha=pm.Exponential("alpha", 0.2), observed=y)
    return model


def _bernoulli(random: np.random.Generator, logits: Array) -> Counts:
    return (random.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(np.int64)


def uncentred() -> Any:
    """Ten covariates of mean 1000."""
    random = np.random.default_rng(1)
    x = random.normal(1000, 1, (200, 10))
    slope = random.normal(size=10)
    return _regression(x, 3 + (x - 1000) @ slope + random.normal(size=200), intercept_sd=1000)


def collinear() -> Any:
    """Six covariates that are one but for 1 %."""
    random = np.random.default_rng(2)
    common = random.normal(size=(150, 1))
    x = common + 0.01 * random.normal(size=(150, 6))
    return _regression(x, 1 + common[:, 0] + random.normal(size=150))


def polynomial() -> Any:
    """Powers 1 to 5 of a time from 0 to 1."""
    random = np.random.default_rng(3)
    t = np.linspace(0, 1, 100)
    x = np.stack([t**power for power in range(1, 6)], axis=1)
    return _regression(x, np.sin(5 * t) + 0.2 * random.normal(size=100), slope_sd=30)


def interactions() -> Any:
    """Four covariates of mean 5 and their six products."""
    random = np.random.default_rng(4)
    z = random.normal(5, 1, (200, 4))
    products = [z[:, i] * z[:, j] for i in range(4) for j in range(i)]
    x = np.stack([*z.T, *products], axis=1)
    return _regression(x, z.sum(axis=1) + z[:, 0] * z[:, 1] + random.normal(size=200))


def badly_scaled() -> Any:
    """Ten correlated covariates on scales from 0.001 to 1000."""
    random = np.random.default_rng(5)
    scales = 10.0 ** np.linspace(-3, 3, 10)
    x = random.multivariate_normal(np.zeros(10), 0.7 + 0.3 * np.eye(10), 300) * scales
    return _regression(x, 2 + x @ (1 / scales) + random.normal(size=300), slope_sd=1000)


def logistic_correlated() -> Any:
    """Logistic regression on ten covariates, neighbours correlated by 0.95."""
    random = np.random.default_rng(6)
    correlation = 0.95 ** np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    x = random.multivariate_normal(np.zeros(10), correlation, 400)
    y = _bernoulli(random, x @ random.normal(size=10))
    return _regression(x, y, "bernoulli", intercept_sd=5, slope_sd=2.5)


def poisson_uncentred() -> Any:
    """Poisson regression on four covariates of mean 20."""
    random = np.random.default_rng(7)
    x = random.normal(20, 1, (300, 4))
    y = random.poisson(np.exp(1 + (x - 20) @ np.array([0.3, -0.2, 0.1, 0.4])))
    return _regression(x, y, "poisson", intercept_sd=20, slope_sd=5)


def student_t_collinear() -> Any:
    """Robust regression, two of its five covariates nearly equal, none centred."""
    random = np.random.default_rng(8)
    x = random.normal(3, 1, (200, 5))
    x[:, 1] = x[:, 0] + 0.1 * random.normal(size=200)
    return _regression(x, x.sum(axis=1) + random.standard_t(3, 200), "student_t")


def factors_60() -> Any:
    """60 covariates driven by five factors."""
    random = np.random.default_rng(12)
    x = random.normal(size=(200, 5)) @ random.normal(size=(5, 60)) + 0.3 * random.normal(size=(200, 60))
    return _regression(x, x[:, 0] + random.normal(size=200), slope_sd=1)


def logistic_factors_150() -> Any:
    """Logistic regression on 150 covariates driven by eight factors."""
    random = np.random.default_rng(13)
    x = random.normal(size=(400, 8)) @ random.normal(size=(8, 150)) + 0.5 * random.normal(size=(400, 150))
    x /= x.std(axis=0)
    y = _bernoulli(random, x[:, :3].sum(axis=1))
    return _regression(x, y, "bernoulli", intercept_sd=5, slope_sd=1)


def negative_binomial() -> Any:
    """Overdispersed counts on three uncentred covariates, two of them correlated by 0.9."""
    random = np.random.default_rng(21)
    x = random.multivariate_normal([10, 5, 50], [[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 25.0]], 250)
    mean = np.exp(1 + (x - [10, 5, 50]) @ np.array([0.3, -0.2, 0.05]))
    y = random.negative_binomial(2, 2 / (2 + mean))
    return _regression(x, y, "negative_binomial", intercept_sd=20, slope_sd=2)


def logistic_years() -> Any:
    """Logistic trend on the calendar year, its square, an age and the product of age and year."""
    random = np.random.default_rng(22)
    year, age = random.integers(1990, 2021, 300).astype(float), random.normal(45, 12, 300)
    x = np.stack([year / 1000, (year / 1000) ** 2, age, age * year / 1000], axis=1)
    y = _bernoulli(random, 0.1 * (year - 2005) - 0.05 * (age - 45))
    return _regression(x, y, "bernoulli", intercept_sd=50, slope_sd=20)


def poisson_dummies() -> Any:
    """Poisson regression by group and season, every level with a column of its own beside the intercept."""
    random = np.random.default_rng(23)
    group, season = random.integers(0, 8, 240), random.integers(0, 4, 240)
    x = np.concatenate([np.eye(8)[group], np.eye(4)[season]], axis=1)
    effect = np.concatenate([random.normal(0, 0.5, 8), [0.3, 0.0, -0.3, 0.1]])
    return _regression(x, random.poisson(np.exp(1 + x @ effect)), "poisson", intercept_sd=5, slope_sd=5)


def student_t_interaction() -> Any:
    """Robust regression on two uncentred covariates, their product and their squares."""
    random = np.random.default_rng(24)
    a, b = random.normal(8, 1, 150), random.normal(30, 4, 150)
    x = np.stack([a, b, a * b, a**2, b**2], axis=1)
    y = 2 + 0.5 * a - 0.2 * b + 0.05 * a * b + 0.5 * random.standard_t(4, 150)
    return _regression(x, y, "student_t", intercept_sd=50, slope_sd=5)


def more_columns_than_rows() -> Any:
    """40 covariates, 25 rows."""
    random = np.random.default_rng(25)
    x = random.normal(2, 1, (25, 40))
    return _regression(x, x[:, 0] - x[:, 1] + random.normal(size=25), intercept_sd=10, slope_sd=1)


def heavy_tailed_priors() -> Any:
    """Linear regression with StudentT priors of 2 degrees of freedom."""
    random = np.random.default_rng(9)
    x = random.normal(size=(60, 8))
    with pm.Model() as model:
        slope = pm.StudentT("slope", nu=2, mu=0, sigma=1, shape=8)
        sigma = pm.HalfStudentT("sigma", nu=3, sigma=2)
        pm.Normal("y", pm.math.dot(x, slope), sigma, observed=x[:, 0] + random.normal(size=60))
    return model


def horseshoe() -> Any:
    """Linear regression with a horseshoe prior on 20 slopes, non-centred (Carvalho et al. 2010)."""
    random = np.random.default_rng(14)
    x = random.normal(size=(80, 20))
    with pm.Model() as model:
        tau = pm.HalfCauchy("tau", 0.1)
        lam = pm.HalfCauchy("lambda", 1, shape=20)
        z = pm.Normal("z", 0, 1, shape=20)
        sigma = pm.HalfNormal("sigma", 2)
        y = 3 * x[:, 0] - 2 * x[:, 1] + random.normal(size=80)
        pm.Normal("y", pm.math.dot(x, z * lam * tau), sigma, observed=y)
    return model


def _varying_slopes(groups: int, rows: int, mean: float, centred: bool, seed: int) -> Any:
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rows)
    x = random.normal(mean, 1, groups * rows)
    intercepts, slopes = random.normal(1, 1, groups), random.normal(0.5, 0.5, groups)
    y = intercepts[group] + slopes[group] * x + random.normal(size=groups * rows)
    with pm.Model() as model:

        def effect(name: str) -> Any:
            mu, sigma = pm.Normal(f"mu_{name}", 0, 5), pm.HalfNormal(f"sigma_{name}", 2)
            if centred:
                return pm.Normal(name, mu, sigma, shape=groups)
            return mu + sigma * pm.Normal(f"z_{name}", 0, 1, shape=groups)

        intercept, slope = effect("intercept"), effect("slope")
        sigma = pm.HalfNormal("sigma", 2)
        pm.Normal("y", intercept[group] + slope[group] * x, sigma, observed=y)
    return model


def varying_slopes() -> Any:
    """Varying intercepts and slopes of 90 groups of ten rows, centred, on an uncentred covariate."""
    return _varying_slopes(groups=90, rows=10, mean=2, centred=True, seed=11)


def varying_slopes_noncentred() -> Any:
    """Varying intercepts and slopes of 15 groups of six rows, non-centred, on an uncentred covariate."""
    return _varying_slopes(groups=15, rows=6, mean=4, centred=False, seed=26)


def pharmacokinetics() -> Any:
    """One-compartment absorption, ten concentrations of one patient: a regression that is not linear."""
    random = np.random.default_rng(10)
    t = np.array([0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 24])

    def concentration(ka: Any, clearance: Any, volume: Any, exp: Callable[[Any], Any]) -> Any:
        k = clearance / volume
        return 100 * ka / (volume * (ka - k)) * (exp(-k * t) - exp(-ka * t))

    y = np.log(concentration(1.5, 3.0, 30.0, np.exp)) + 0.2 * random.normal(size=10)
    with pm.Model() as model:
        ka = pm.LogNormal("ka", 0, 1)
        clearance = pm.LogNormal("clearance", 1, 1)
        volume = pm.LogNormal("volume", 3, 1)
        sigma = pm.HalfNormal("sigma", 1)
        mean = pm.math.maximum(concentration(ka, clearance, volume, pm.math.exp), 1e-10)
        pm.Normal("y", pm.math.log(mean), sigma, observed=y)
    return model


def scales_and_tails() -> Any:
    """Ten StudentT of 3 degrees of freedom beside ten normals on scales from 0.01 to 100; no data."""
    with pm.Model() as model:
        pm.StudentT("x", nu=3, mu=0, sigma=1, shape=10)
        pm.Normal("z", 0, 10.0 ** np.linspace(-2, 2, 10), shape=10)
    return model


def eight_schools_centred() -> Any:
    """Eight schools, centred (Rubin 1981)."""
    effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    standard_errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        theta = pm.Normal("theta", mu, tau, shape=8)
        pm.Normal("effect", theta, standard_errors, observed=effects)
    return model


def funnel() -> Any:
    """Neal's funnel (2003) in ten dimensions."""
    with pm.Model() as model:
        v = pm.Normal("v", 0, 3)
        pm.Normal("x", 0, pm.math.exp(v / 2), shape=9)
    return model


def funnel_noncentred() -> Any:
    """Neal's funnel as ten independent normals."""
    with pm.Model() as model:
        v = pm.Normal("v", 0, 3)
        z = pm.Normal("z", 0, 1, shape=9)
        pm.Deterministic("x", z * pm.math.exp(v / 2))
    return model


GEOMETRIES: dict[str, Callable[[], Any]] = {
    build.__name__: build
    for build in (
        eight_schools_centred,
        funnel,
        funnel_noncentred,
        uncentred,
        collinear,
        polynomial,
        interactions,
        badly_scaled,
        logistic_correlated,
        poisson_uncentred,
        student_t_collinear,
        factors_60,
        heavy_tailed_priors,
        horseshoe,
        varying_slopes,
        logistic_factors_150,
        pharmacokinetics,
        scales_and_tails,
        negative_binomial,
        logistic_years,
        poisson_dummies,
        student_t_interaction,
        more_columns_than_rows,
        varying_slopes_noncentred,
    )
}
