"""Models of pymc.dims."""

import warnings
from functools import partial

import numpy as np
import pymc as pm

from catalogue.entry import Entry, entries
from catalogue.univariate import RUNS_AWAY

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "xtensor module is experimental", in PyTensor 2
    import pymc.dims as pmd

RNG = np.random.default_rng(9)
X = RNG.normal(size=(6, 3))
Y = RNG.normal(size=6)
GROUP = np.array([0, 1, 1, 0, 1, 0])
COORDS = {"obs": range(6), "feature": list("uvw"), "group": ["a", "b"]}

# name: distribution over features, given a real value and a positive value of each feature
DISTRIBUTIONS = {
    "Beta": lambda a, s: pmd.Beta("x", s, s + 1),
    "Cauchy": lambda a, s: pmd.Cauchy("x", a, s),
    "Exponential": lambda a, s: pmd.Exponential("x", s),
    "Flat": lambda a, s: pmd.Potential("flat", 0.1 * pmd.Flat("x", dims="feature")),
    "Gamma": lambda a, s: pmd.Gamma("x", s, s),
    "HalfCauchy": lambda a, s: pmd.HalfCauchy("x", 1.5, dims="feature"),
    "HalfFlat": lambda a, s: pmd.HalfFlat("x", dims="feature"),
    "HalfNormal": lambda a, s: pmd.HalfNormal("x", s),
    "HalfStudentT": lambda a, s: pmd.HalfStudentT("x", nu=4, sigma=1.5, dims="feature"),
    "InverseGamma": lambda a, s: pmd.InverseGamma("x", s, s),
    "Laplace": lambda a, s: pmd.Laplace("x", a, s),
    "LogNormal": lambda a, s: pmd.LogNormal("x", a, s),
    "Normal": lambda a, s: pmd.Normal("x", a, s),
    "StudentT": lambda a, s: pmd.StudentT("x", nu=s, mu=a, sigma=s),
    "TruncatedNormal": lambda a, s: pmd.TruncatedNormal("x", a, s, lower=-1, upper=2),
    "Uniform": lambda a, s: pmd.Uniform("x", -1, 2, dims="feature"),
    "Weibull": lambda a, s: pmd.Weibull("x", alpha=s, beta=s),
    "Dirichlet": lambda a, s: pmd.Dirichlet("x", s, core_dims="feature"),
    "ZeroSumNormal": lambda a, s: pmd.ZeroSumNormal("x", sigma=1.5, core_dims="feature", dims="feature"),
    # Only newer versions have these.
    "Gumbel": lambda a, s: pmd.Gumbel("x", a, s),
    "Kumaraswamy": lambda a, s: pmd.Kumaraswamy("x", s, s + 1),
    "Logistic": lambda a, s: pmd.Logistic("x", a, s),
    "Pareto": lambda a, s: pmd.Pareto("x", s, 1.5),
    "Triangular": lambda a, s: pmd.Triangular("x", lower=-9, upper=9, c=0.1 * a),
    "VonMises": lambda a, s: pmd.VonMises("x", a, s),
}

# name: observed distribution over features, given a real value and a positive value of each feature
OBSERVED = {
    "Bernoulli": lambda a, s, y: pmd.Bernoulli("y", logit_p=a, observed=y.clip(0, 1)),
    "BetaBinomial": lambda a, s, y: pmd.BetaBinomial("y", alpha=s, beta=s, n=5, observed=y),
    "Binomial": lambda a, s, y: pmd.Binomial("y", n=5, logit_p=a, observed=y),
    "Geometric": lambda a, s, y: pmd.Geometric("y", p=s / (1 + s), observed=y + 1),
    "HyperGeometric": lambda a, s, y: pmd.HyperGeometric("y", N=20, k=8, n=5, observed=y),
    "NegativeBinomial": lambda a, s, y: pmd.NegativeBinomial("y", mu=s, alpha=s, observed=y),
    "Poisson": lambda a, s, y: pmd.Poisson("y", mu=s, observed=y),
    "DiracDelta": lambda a, s, y: pmd.DiracDelta("y", c=1, observed=y * 0 + 1),
}


def _with_parameters(build):
    pm.modelcontext(None).add_coords(COORDS)
    build(pmd.Normal("a", dims="feature"), pmd.HalfNormal("s", dims="feature"))


def _observed(build):
    pm.modelcontext(None).add_coords(COORDS)
    counts = pmd.as_xtensor(np.array([0, 3, 1]), dims=("feature",))
    build(pmd.Normal("a", dims="feature"), pmd.HalfNormal("s", dims="feature"), counts)


def dims_regression():
    pm.modelcontext(None).add_coords(COORDS)
    x = pmd.Data("x", X, dims=("obs", "feature"))
    y = pmd.Data("y_seen", Y, dims="obs")
    beta = pmd.Normal("beta", dims="feature")
    mu = pmd.Deterministic("mu", x.dot(beta))
    pmd.Normal("y", mu, pmd.HalfNormal("sigma"), observed=y)


def dims_varying_effects():
    pm.modelcontext(None).add_coords(COORDS)
    group = pmd.Data("group_of", GROUP, dims="obs")
    y = pmd.Data("y_seen", Y, dims="obs")
    sigma = pmd.HalfNormal("sigma", dims="feature")
    alpha = pmd.Normal("alpha", 0, sigma, dims=("group", "feature"))
    mu = alpha.isel(group=group).mean("feature")
    pmd.StudentT("y", nu=4, mu=mu, sigma=1, observed=y)


def dims_zero_sum_and_softmax():
    pm.modelcontext(None).add_coords(COORDS)
    x = pmd.ZeroSumNormal("x", sigma=pmd.HalfNormal("s"), core_dims="group", dims=("feature", "group"))
    p = pmd.Deterministic("p", pmd.math.softmax(x, dim="group"))
    pmd.Potential("entropy", -(p * pmd.math.log(p)).sum())


def dims_categorical():
    pm.modelcontext(None).add_coords(COORDS)
    logit = pmd.Normal("logit", dims=("obs", "feature"))
    seen = pmd.as_xtensor(np.array([0, 2, 1, 1, 0, 2]), dims=("obs",))
    pmd.Categorical("y", logit_p=logit, core_dims="feature", observed=seen)


def dims_mv_normal():
    pm.modelcontext(None).add_coords({**COORDS, "also": list("uvw")})
    chol = pmd.as_xtensor(np.eye(3) + 0.2 * np.tri(3), dims=("feature", "also"))
    mu = pmd.Normal("mu", dims="feature")
    pmd.MvNormal("x", mu, chol=chol, core_dims=("feature", "also"))


def dims_censored():
    pm.modelcontext(None).add_coords(COORDS)
    seen = pmd.as_xtensor(np.clip(Y, -0.5, 0.5), dims=("obs",))
    latent = pmd.Normal.dist(pmd.Normal("mu"), pmd.HalfNormal("sigma"), dim_lengths={"obs": 6})
    pmd.Censored("y", latent, lower=-0.5, upper=0.5, observed=seen)


def dims_mixed_with_plain():
    pm.modelcontext(None).add_coords(COORDS)
    beta = pmd.Normal("beta", dims="feature")
    sigma = pm.HalfNormal("sigma")
    pm.Normal("y", X @ beta.values, sigma, observed=Y, dims="obs")


ENTRIES = {
    **{
        f"dims {name}": Entry(partial(_with_parameters, build), unsampled=RUNS_AWAY.get(name, ""))
        for name, build in DISTRIBUTIONS.items()
        if hasattr(pmd, name)
    },
    **{
        f"dims {name}": Entry(partial(_observed, build))
        for name, build in OBSERVED.items()
        if hasattr(pmd, name)
    },
    **entries(
        dims_regression,
        dims_varying_effects,
        dims_zero_sum_and_softmax,
        dims_categorical,
        dims_mv_normal,
        dims_censored,
        dims_mixed_with_plain,
    ),
}
