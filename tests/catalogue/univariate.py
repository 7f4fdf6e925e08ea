"""Univariate distributions: continuous ones as priors and observed, discrete ones observed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions import transforms

from catalogue.entry import Entry

COUNTS = np.array([0, 3, 1])
REALS = np.array([-0.7, 0.4, 1.9])
POSITIVE = np.array([0.3, 1.2, 2.6])
SHARES = np.array([0.2, 0.55, 0.9])
BITS = np.array([0, 1, 1])


def half(x: Any) -> Any:
    """Return a positive value that is not too large."""
    return pm.math.exp(0.5 * x)


def share(x: Any) -> Any:
    """Return a value in (0, 1)."""
    return pm.math.sigmoid(x)


def parameters() -> tuple[Any, Any]:
    """Return the parameters that all distributions here take: three real values, and a positive one."""
    return pm.Normal("a", 0, 1, shape=3), pm.HalfNormal("s", 1)


# name: (observed values, distribution of three values given `a`, `s` and shape= or observed=)
CONTINUOUS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "AsymmetricLaplace": (REALS, lambda a, s, **k: pm.AsymmetricLaplace("y", kappa=half(a), b=s, mu=a, **k)),
    "AsymmetricLaplace by q": (
        REALS,
        lambda a, s, **k: pm.AsymmetricLaplace("y", q=share(a), b=s, mu=a, **k),
    ),
    "Beta": (SHARES, lambda a, s, **k: pm.Beta("y", half(a), s, **k)),
    "Beta by mean": (SHARES, lambda a, s, **k: pm.Beta("y", mu=share(a), nu=s, **k)),
    "Beta by deviation": (SHARES, lambda a, s, **k: pm.Beta("y", mu=0.5, sigma=0.4 * share(s), **k)),
    "Cauchy": (REALS, lambda a, s, **k: pm.Cauchy("y", a, s, **k)),
    "ChiSquared": (POSITIVE, lambda a, s, **k: pm.ChiSquared("y", nu=half(a), **k)),
    "ExGaussian": (REALS, lambda a, s, **k: pm.ExGaussian("y", mu=a, sigma=s, nu=half(a), **k)),
    "Exponential": (POSITIVE, lambda a, s, **k: pm.Exponential("y", half(a), **k)),
    "Exponential by scale": (POSITIVE, lambda a, s, **k: pm.Exponential("y", scale=half(a), **k)),
    "Flat": (REALS, lambda a, s, **k: pm.Flat("y", **k)),
    "Gamma": (POSITIVE, lambda a, s, **k: pm.Gamma("y", half(a), s, **k)),
    "Gamma by mean": (POSITIVE, lambda a, s, **k: pm.Gamma("y", mu=half(a), sigma=s, **k)),
    "Gumbel": (REALS, lambda a, s, **k: pm.Gumbel("y", a, s, **k)),
    "HalfCauchy": (POSITIVE, lambda a, s, **k: pm.HalfCauchy("y", s, **k)),
    "HalfFlat": (POSITIVE, lambda a, s, **k: pm.HalfFlat("y", **k)),
    "HalfNormal": (POSITIVE, lambda a, s, **k: pm.HalfNormal("y", s, **k)),
    "HalfNormal by precision": (POSITIVE, lambda a, s, **k: pm.HalfNormal("y", tau=s, **k)),
    "HalfStudentT": (POSITIVE, lambda a, s, **k: pm.HalfStudentT("y", nu=half(a), sigma=s, **k)),
    "Interpolated": (
        SHARES,
        lambda a, s, **k: pm.Interpolated("y", np.linspace(0, 1, 6), np.array([0.4, 1, 2, 1.5, 1, 0.2]), **k),
    ),
    "InverseGamma": (POSITIVE, lambda a, s, **k: pm.InverseGamma("y", half(a), s, **k)),
    "InverseGamma by mean": (POSITIVE, lambda a, s, **k: pm.InverseGamma("y", mu=half(a), sigma=s, **k)),
    "Kumaraswamy": (SHARES, lambda a, s, **k: pm.Kumaraswamy("y", half(a), s, **k)),
    "Laplace": (REALS, lambda a, s, **k: pm.Laplace("y", a, s, **k)),
    "LogNormal": (POSITIVE, lambda a, s, **k: pm.LogNormal("y", a, s, **k)),
    "Lognormal": (POSITIVE, lambda a, s, **k: pm.Lognormal("y", a, tau=s, **k)),
    "Logistic": (REALS, lambda a, s, **k: pm.Logistic("y", a, s, **k)),
    "LogitNormal": (SHARES, lambda a, s, **k: pm.LogitNormal("y", a, s, **k)),
    "Moyal": (REALS, lambda a, s, **k: pm.Moyal("y", a, s, **k)),
    "Normal": (REALS, lambda a, s, **k: pm.Normal("y", a, s, **k)),
    "Normal by precision": (REALS, lambda a, s, **k: pm.Normal("y", a, tau=half(a), **k)),
    "Pareto": (POSITIVE, lambda a, s, **k: pm.Pareto("y", half(a), 0.2 * share(s), **k)),
    "Rice": (POSITIVE, lambda a, s, **k: pm.Rice("y", nu=half(a), sigma=s, **k)),
    "Rice by ratio": (POSITIVE, lambda a, s, **k: pm.Rice("y", b=half(a), sigma=s, **k)),
    "SkewNormal": (REALS, lambda a, s, **k: pm.SkewNormal("y", alpha=1.5 * s, mu=a, sigma=s, **k)),
    "SkewStudentT": (REALS, lambda a, s, **k: pm.SkewStudentT("y", a=half(a), b=s, mu=a, sigma=1, **k)),
    "StudentT": (REALS, lambda a, s, **k: pm.StudentT("y", nu=half(a), mu=a, sigma=s, **k)),
    "StudentT by precision": (REALS, lambda a, s, **k: pm.StudentT("y", nu=4, mu=a, lam=s, **k)),
    "Triangular": (REALS, lambda a, s, **k: pm.Triangular("y", lower=-9 - s, upper=9 + s, c=0.1 * a, **k)),
    "TruncatedNormal": (REALS, lambda a, s, **k: pm.TruncatedNormal("y", a, s, lower=-1 - s, upper=3, **k)),
    "TruncatedNormal from above": (REALS, lambda a, s, **k: pm.TruncatedNormal("y", a, s, upper=2 + s, **k)),
    "TruncatedNormal from below": (REALS, lambda a, s, **k: pm.TruncatedNormal("y", a, s, lower=-1, **k)),
    "Uniform": (REALS, lambda a, s, **k: pm.Uniform("y", -3 - s, 3 + s, **k)),
    "VonMises": (REALS, lambda a, s, **k: pm.VonMises("y", a, half(a), **k)),
    "Wald": (POSITIVE, lambda a, s, **k: pm.Wald("y", mu=half(a), lam=s, **k)),
    "Wald by phi": (POSITIVE, lambda a, s, **k: pm.Wald("y", mu=half(a), phi=s, alpha=0.1, **k)),
    "Weibull": (POSITIVE, lambda a, s, **k: pm.Weibull("y", half(a), s, **k)),
}

# name: observed discrete distribution given `a` and `s`
DISCRETE: dict[str, Callable[..., Any]] = {
    "Bernoulli": lambda a, s: pm.Bernoulli("y", p=share(a), observed=BITS),
    "Bernoulli by logit": lambda a, s: pm.Bernoulli("y", logit_p=a * s, observed=BITS.astype(bool)),
    "BetaBinomial": lambda a, s: pm.BetaBinomial("y", alpha=half(a), beta=s, n=5, observed=COUNTS),
    "Binomial": lambda a, s: pm.Binomial("y", n=5, p=share(a), observed=COUNTS),
    "Binomial by logit": lambda a, s: pm.Binomial("y", n=[5, 7, 2], logit_p=a, observed=COUNTS),
    "Categorical": lambda a, s: pm.Categorical("y", p=pm.math.softmax(a), observed=[0, 2, 1, 1]),
    "Categorical by logit": lambda a, s: pm.Categorical(
        "y", logit_p=pm.math.stack([a, s * a, a**2]), observed=[0, 2, 1]
    ),
    "DiracDelta": lambda a, s: pm.DiracDelta("y", c=[2, 3], observed=[2, 3]),
    "DiscreteUniform": lambda a, s: pm.DiscreteUniform("y", 0, 5, observed=COUNTS),
    "DiscreteWeibull": lambda a, s: pm.DiscreteWeibull("y", q=share(a), beta=s, observed=COUNTS),
    "Geometric": lambda a, s: pm.Geometric("y", p=share(a), observed=COUNTS + 1),
    "HurdleGamma": lambda a, s: pm.HurdleGamma("y", psi=share(a), alpha=s, beta=1.5, observed=[0, 1.2, 2.6]),
    "HurdleLogNormal": lambda a, s: pm.HurdleLogNormal(
        "y", psi=share(a), mu=0.5, sigma=s, observed=[0, 1.2, 2.6]
    ),
    "HurdleNegativeBinomial": lambda a, s: pm.HurdleNegativeBinomial(
        "y", psi=share(s), mu=half(a), alpha=s, observed=COUNTS
    ),
    "HurdlePoisson": lambda a, s: pm.HurdlePoisson("y", psi=share(s), mu=half(a) + s, observed=COUNTS),
    "HyperGeometric": lambda a, s: pm.HyperGeometric("y", N=20, k=8, n=5, observed=COUNTS),
    "HyperGeometric of a real size": lambda a, s: pm.HyperGeometric("y", N=20 + s, k=8, n=5, observed=COUNTS),
    "NegativeBinomial": lambda a, s: pm.NegativeBinomial("y", mu=half(a), alpha=s, observed=COUNTS),
    "NegativeBinomial by p": lambda a, s: pm.NegativeBinomial("y", n=s, p=share(a), observed=COUNTS),
    "OrderedLogistic": lambda a, s: pm.OrderedLogistic(
        "y", eta=a, cutpoints=pt.stack([-s, 0.5, 1 + s]), observed=[0, 3, 1]
    ),
    "OrderedProbit": lambda a, s: pm.OrderedProbit(
        "y", eta=a, cutpoints=pt.stack([-s, 0.5, 1 + s]), observed=[0, 3, 1]
    ),
    "OrderedProbit with scale": lambda a, s: pm.OrderedProbit(
        "y", eta=a, cutpoints=[-1, 0.5, 1], sigma=s, observed=[0, 3, 1]
    ),
    "Poisson": lambda a, s: pm.Poisson("y", half(a), observed=COUNTS),
    "ZeroInflatedBinomial": lambda a, s: pm.ZeroInflatedBinomial(
        "y", psi=share(s), n=5, p=share(a), observed=COUNTS
    ),
    "ZeroInflatedNegativeBinomial": lambda a, s: pm.ZeroInflatedNegativeBinomial(
        "y", psi=share(s), mu=half(a), alpha=s, observed=COUNTS
    ),
    "ZeroInflatedPoisson": lambda a, s: pm.ZeroInflatedPoisson(
        "y", psi=share(s), mu=half(a), observed=COUNTS
    ),
}


RUNS_AWAY = {"HalfFlat": "without data its density on the log scale rises for ever, and draws overflow"}


def _with_parameters(distribution: Callable[..., Any], **where: Any) -> None:
    distribution(*parameters(), **where)


ENTRIES = {
    **{
        f"{name}, prior": Entry(partial(_with_parameters, build, shape=3), unsampled=RUNS_AWAY.get(name, ""))
        for name, (_, build) in CONTINUOUS.items()
    },
    "HalfFlat, prior with data": Entry(
        lambda: pm.Normal("y", 0, pm.HalfFlat("s", shape=3), observed=[[0.5, -1, 2], [1, 2, -1], [3, 0, 1]])
    ),
    **{
        f"{name}, likelihood": Entry(partial(_with_parameters, build, observed=data))
        for name, (data, build) in CONTINUOUS.items()
    },
    **{f"{name}, likelihood": Entry(partial(_with_parameters, build)) for name, build in DISCRETE.items()},
    # PyMC has no gradient of its density.
    "PolyaGamma": Entry(lambda: pm.PolyaGamma("x", h=1, z=pm.HalfNormal("s")), refused="PolyaGamma"),
    "LogitNormal, prior": Entry(
        partial(_with_parameters, CONTINUOUS["LogitNormal"][1], shape=3),
        points={"y": (0.5, 0.1)},
        unsampled="PyMC gives it no transform, and starts far outside of its support",
    ),
    "LogitNormal, prior with a transform": Entry(
        partial(_with_parameters, CONTINUOUS["LogitNormal"][1], shape=3, transform=transforms.logodds)
    ),
}
