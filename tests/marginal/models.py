"""Models in which variables can be integrated out, by name: what is and what is not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt

_RNG = np.random.default_rng(1)
_SIZES = _RNG.integers(0, 9, size=12)  # unbalanced, and some groups without data
GROUP = np.repeat(np.arange(12), _SIZES)
N = len(GROUP)
ITEM = _RNG.integers(0, 5, size=N)
X = _RNG.normal(size=(N, 3))
Y = _RNG.normal(size=N) + _RNG.normal(size=12)[GROUP]


@dataclass(frozen=True)
class Case:
    """A model, the names of what is integrated out, and those of what is not."""

    build: Callable[[], pm.Model]
    out: frozenset[str]
    rest: frozenset[str]


CASES: dict[str, Case] = {}


def _case(out: str, rest: str = ""):
    def register(define):
        def build():
            with pm.Model() as model:
                define()
            return model

        CASES[define.__name__] = Case(build, frozenset(out.split()), frozenset(rest.split()))
        return define

    return register


@_case("mu a", "tau sigma")
def intercepts_centred():
    a = pm.Normal("a", pm.Normal("mu", 0, 3), pm.HalfNormal("tau", 1), shape=12)
    pm.Normal("y", a[GROUP], pm.HalfNormal("sigma", 1), observed=Y)


@_case("mu slope z", "tau sigma")
def intercepts_non_centred():
    mu, tau, slope = pm.Normal("mu", 0, 3), pm.HalfNormal("tau", 1), pm.Normal("slope", 0, 1)
    a = pm.Deterministic("a", mu + tau * pm.Normal("z", shape=12))
    pm.Normal("y", a[GROUP] + slope * X[:, 0], pm.HalfNormal("sigma", 1), observed=Y)


@_case("mu_a mu_b a b", "tau_a tau_b sigma")
def intercepts_and_slopes():
    a = pm.Normal("a", pm.Normal("mu_a"), pm.HalfNormal("tau_a"), shape=12)
    b = pm.Normal("b", pm.Normal("mu_b"), pm.HalfNormal("tau_b"), shape=12)
    pm.Normal("y", a[GROUP] + b[GROUP] * X[:, 0], pm.HalfNormal("sigma", 1), observed=Y)


@_case("mu a b", "tau_a tau_b sigma")
def crossed():
    a = pm.Normal("a", 0, pm.Gamma("tau_a", 4, 4), shape=12)
    b = pm.Normal("b", 0, pm.Gamma("tau_b", 4, 8), shape=5)
    pm.Normal("y", pm.Normal("mu", 0, 10) + a[GROUP] + b[ITEM], pm.HalfNormal("sigma", 1), observed=Y)


@_case("mu region group", "tau_region tau sigma")
def nested():
    region = pm.Normal("region", pm.Normal("mu", 0, 10), pm.Gamma("tau_region", 4, 4), shape=4)
    group = pm.Normal("group", region[np.repeat(np.arange(4), 3)], pm.Gamma("tau", 4, 4), shape=12)
    pm.Normal("y", group[GROUP], pm.HalfNormal("sigma", 1), observed=Y)


@_case("mu theta", "tau")
def eight_schools():
    error = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    theta = pm.Normal("theta", pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5), shape=8)
    pm.Normal("y", theta, error, observed=[28.0, 8, -3, 7, -1, 1, 18, 12])


@_case("mu z", "chol sigma")
def correlated_non_centred():
    sd = pm.HalfNormal.dist(1, shape=2)
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=sd)
    ab = pm.Normal("mu", shape=2) + pm.Normal("z", shape=(12, 2)) @ chol.T
    pm.Normal("y", ab[GROUP, 0] + ab[GROUP, 1] * X[:, 0], pm.HalfNormal("sigma", 1), observed=Y)


@_case("mu ab", "chol sigma")
def correlated_centred():
    sd = pm.HalfNormal.dist(1, shape=2)
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=sd)
    ab = pm.MvNormal("ab", pm.Normal("mu", shape=2), chol=chol, shape=(12, 2))
    pm.Normal("y", ab[GROUP, 0] + ab[GROUP, 1] * X[:, 0], pm.HalfNormal("sigma", 1), observed=Y)


@_case("beta a mu", "tau sigma s2")
def weights_and_several_likelihoods():
    beta = pm.Normal("beta", 0, 2, shape=3)
    a = pm.Normal("a", pm.Normal("mu", 0, 3), pm.HalfNormal("tau", 1), shape=12)
    pm.Normal("y", a[GROUP] + X @ beta, pm.HalfNormal("sigma", 1) * np.exp(X[:, 0]), observed=Y)
    pm.Normal("y2", a, pm.HalfNormal("s2"), observed=np.linspace(-1, 1, 12))
    pm.Normal("y3", beta[0] - beta[1], 1.0, observed=0.3)


@_case("walk", "step sigma")
def random_walk():
    walk = pm.GaussianRandomWalk("walk", sigma=pm.HalfNormal("step", 1), init_dist=pm.Normal.dist(), steps=19)
    pm.Normal("y", walk, pm.HalfNormal("sigma"), observed=np.sin(np.arange(20)))


@_case("z", "step sigma")
def running_sum():
    walk = pm.Gamma("step", 4, 8) * pt.cumsum(pm.Normal("z", shape=20))
    pm.Normal("y", walk, pm.Gamma("sigma", 4, 8), observed=np.sin(np.arange(20)) + Y[:20])


@_case("f_rotated_", "length scale sigma")
def gaussian_process():
    cov = pm.HalfNormal("scale") ** 2 * pm.gp.cov.Matern52(1, ls=pm.InverseGamma("length", 5, 2))
    f = pm.gp.Latent(cov_func=cov).prior("f", X=np.linspace(0, 1, 15)[:, None])
    pm.Normal("y", f, pm.HalfNormal("sigma"), observed=np.sin(np.arange(15)))


@_case("a mu y_unobserved", "tau sigma")
def missing_data():
    a = pm.Normal("a", 0, pm.HalfNormal("tau", 1), shape=12)
    y = np.ma.masked_array(Y, mask=np.arange(N) % 5 == 1)
    pm.Normal("y", pm.Normal("mu") + a[GROUP], pm.HalfNormal("sigma", 1), observed=y)


@_case("a c", "scale b log_sigma")
def some_decline():
    a = pm.Normal("a", 0, 1, shape=12)
    b, c = pm.Normal("b"), pm.Normal("c")
    pm.Poisson("k", pm.math.exp(b), observed=3)
    mu = pm.Normal("scale", 1) * a[GROUP] + b * c * X[:, 0]
    pm.Normal("y", mu, pm.math.exp(pm.Normal("log_sigma")), observed=Y)


@_case("a", "mu")
def nothing_but_normals():
    a = pm.Normal("a", pm.Normal("mu"), 1, shape=12)
    pm.Normal("y", a[GROUP], 1.0, observed=Y)
