"""The models: each has an observed variable "y" with the data "data", and priors that one can draw from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt

_X = np.random.default_rng(20).normal(size=(24, 3))
_GROUP = np.repeat(np.arange(6), 4)


@dataclass(frozen=True)
class Case:
    """A model and what of it is ranked.

    Parameters
    ----------
    build
        Makes the model.
    quantities
        Names of the variables; all free ones if left out.
    accept
        Whether the density holds for a draw of the prior: a transform may restrict it.
    """

    build: Callable[[], pm.Model]
    quantities: tuple[str, ...] | None = None
    accept: Callable[[dict[str, np.ndarray]], bool] = lambda point: True


CASES: dict[str, Case] = {}


def _case(**options):
    def register(define):
        def build():
            with pm.Model() as model:
                define()
            return model

        CASES[define.__name__] = Case(build, **options)
        return define

    return register


def _data(size, dtype=float):
    return pm.Data("data", np.zeros(size, dtype))


@_case()
def conjugate_normal():
    pm.Normal("y", pm.Normal("mu", 1, 3), 2, observed=_data(5))


@_case()
def linear_regression():
    mu = pm.Normal("intercept", 0, 2) + _X @ pm.Normal("slope", 0, 1, shape=3)
    pm.Normal("y", mu, pm.HalfNormal("sigma", 1), observed=_data(24))


@_case()
def series_with_a_trend():
    mu = pm.Normal("intercept", 0, 200) + pm.Normal("trend", 0, 20) * (np.arange(52) / 52)
    pm.Normal("y", mu, pm.HalfNormal("sigma", 10), observed=_data(52))


@_case()
def hierarchical_centred():
    theta = pm.Normal("theta", pm.Normal("mu", 0, 2), pm.Gamma("tau", 4, 4), shape=6)
    pm.Normal("y", theta[_GROUP], 0.5, observed=_data(24))


@_case()
def hierarchical_non_centred():
    raw = pm.Normal("raw", shape=6)
    theta = pm.Normal("mu", 0, 2) + pm.HalfNormal("tau", 1) * raw
    pm.Normal("y", theta[_GROUP], 2, observed=_data(24))


@_case()
def crossed_effects():
    group, item = pm.Normal("group", 0, pm.HalfNormal("tau", 1), shape=6), pm.Normal("item", 0, 0.5, shape=4)
    mu = pm.Normal("mu", 1, 2) + group[_GROUP] + item[np.arange(24) % 4] * _X[:, 0]
    pm.Normal("y", mu, pm.Gamma("sigma", 4, 4), observed=_data(24))


@_case()
def logistic_regression():
    logit = pm.Normal("intercept", 0, 1) + _X @ pm.Normal("slope", 0, 1, shape=3)
    pm.Bernoulli("y", logit_p=logit, observed=_data(24, int))


@_case()
def poisson_regression():
    rate = pt.exp(pm.Normal("intercept", 1, 0.5) + _X @ pm.Normal("slope", 0, 0.3, shape=3))
    pm.Poisson("y", rate, observed=_data(24, int))


@_case()
def bounded():
    mu = pm.Beta("p", 2, 3) + pm.Uniform("u", -1, 2) + pm.TruncatedNormal("t", 0, 1, lower=-0.5, upper=1.5)
    pm.Normal("y", mu, pm.HalfNormal("h", 1), observed=_data(8))


@_case()
def dirichlet_multinomial():
    p = pm.Dirichlet("p", np.array([0.8, 1.5, 2.0, 3.0]))
    pm.Multinomial("y", 15, p, observed=_data((2, 4), int))


@_case(quantities=("chol_corr", "chol_stds"))
def lkj_covariance():
    chol, _, _ = pm.LKJCholeskyCov("chol", n=3, eta=2.0, sd_dist=pm.Gamma.dist(4, 4), compute_corr=True)
    pm.MvNormal("y", np.zeros(3), chol=chol, observed=_data((12, 3)))


def _ordered(point):
    return point["mu"][0] < point["mu"][1]


@_case(accept=_ordered)
def mixture():
    initval = np.array([-1.0, 1.0])
    mu = pm.Normal("mu", 0, 2, shape=2, transform=pm.distributions.transforms.ordered, initval=initval)
    weight = pm.Beta("weight", 3, 3)
    components = [pm.Normal.dist(mu[k], 0.7) for k in range(2)]
    pm.Mixture("y", pt.stack([weight, 1 - weight]), components, observed=_data(30))


@_case()
def autoregression():
    rho, sigma = pm.Uniform("rho", -1, 1), pm.HalfNormal("sigma", 1)
    pm.AR("y", pt.stack([rho]), sigma, init_dist=pm.Normal.dist(0, 1), observed=_data(30))


@_case()
def gamma_poisson():
    shape = pm.Gamma("shape", 4, 2)
    pm.Poisson("y", pm.Gamma("rate", shape, 0.5, shape=5), observed=_data(5, int))


@_case()
def student_t_regression():
    mu = pm.Normal("intercept", 0, 2) + _X @ pm.Normal("slope", 0, 1, shape=3)
    nu, sigma = pm.Gamma("nu", 4, 0.5), pm.HalfNormal("sigma", 1)
    pm.StudentT("y", nu=nu, mu=mu, sigma=sigma, observed=_data(24))


@_case()
def weibull_survival():
    scale = pt.exp(_X[:, 0] * pm.Normal("slope", 0, 0.5))
    pm.Weibull("y", pm.LogNormal("alpha", 0.3, 0.4), pm.Exponential("unit", 1) * scale, observed=_data(24))
