"""Every PyMC distribution that the ops express: as prior (with its transform) and as likelihood."""

import numpy as np
import pymc as pm
import pytest
from oracle import check_model

from pymc_rustmc.compile import translate_model
from pymc_rustmc.errors import NoGradientError

PYMC_6 = int(pm.__version__.split(".")[0]) >= 6
MATRIX = np.array([[2.0, 0.3], [0.3, 1.0]])
TRIANGLE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
UNIT = {"centre": 0.5, "scale": 0.1}  # points inside (0, 1), for variables without a transform

# name: (builder, options of the comparison)
PRIORS = {
    "AR": (
        lambda: pm.AR(
            "x", rho=[0.2, 0.3, -0.2], sigma=1.5, constant=True, init_dist=pm.Normal.dist(), steps=5
        ),
        {},
    ),
    "AsymmetricLaplace": (lambda: pm.AsymmetricLaplace("x", kappa=1.5, b=2, mu=0.3, shape=3), {}),
    "Beta": (lambda: pm.Beta("x", 2.5, 1.5, shape=3), {}),
    "CAR": (lambda: pm.CAR("x", mu=np.zeros(3), W=TRIANGLE, alpha=0.3, tau=1.2), {}),
    "Cauchy": (lambda: pm.Cauchy("x", 0.5, 2, shape=3), {}),
    "ChiSquared": (lambda: pm.ChiSquared("x", 4, shape=3), {}),
    "Dirichlet": (lambda: pm.Dirichlet("x", np.array([1.5, 2.0, 3.0])), {}),
    "Dirichlet batch": (lambda: pm.Dirichlet("x", np.full((2, 3), 1.5)), {}),
    "ExGaussian": (lambda: pm.ExGaussian("x", mu=0.2, sigma=1, nu=2, shape=3), {}),
    "Exponential": (lambda: pm.Exponential("x", 1.5, shape=3), {}),
    "Flat": (lambda: pm.Flat("x", shape=3), {}),
    "Gamma": (lambda: pm.Gamma("x", 2.5, 1.5, shape=3), {}),
    "GaussianRandomWalk": (
        lambda: pm.GaussianRandomWalk("x", mu=0.1, sigma=2, init_dist=pm.Normal.dist(), steps=4),
        {},
    ),
    "Gumbel": (lambda: pm.Gumbel("x", 0.5, 2, shape=3), {}),
    "HalfCauchy": (lambda: pm.HalfCauchy("x", 2, shape=3), {}),
    "HalfFlat": (lambda: pm.HalfFlat("x", shape=3), {}),
    "HalfNormal": (lambda: pm.HalfNormal("x", 2, shape=3), {}),
    "HalfStudentT": (lambda: pm.HalfStudentT("x", nu=4, sigma=2, shape=3), {}),
    "ICAR": (lambda: pm.ICAR("x", W=TRIANGLE), {}),
    "InverseGamma": (lambda: pm.InverseGamma("x", 3, 2, shape=3), {}),
    "KroneckerNormal": (
        lambda: pm.KroneckerNormal("x", mu=np.zeros(4), covs=[MATRIX, np.eye(2) * 2], sigma=0.3),
        {},
    ),
    "Kumaraswamy": (lambda: pm.Kumaraswamy("x", 2, 3, shape=3), {}),
    "LKJCholeskyCov": (lambda: pm.LKJCholeskyCov("x", eta=2, n=3, sd_dist=pm.Exponential.dist(1)), {}),
    "Laplace": (lambda: pm.Laplace("x", 0.2, 1.5, shape=3), {}),
    "LogNormal": (lambda: pm.LogNormal("x", 0.2, 1.5, shape=3), {}),
    "Logistic": (lambda: pm.Logistic("x", 0.2, 1.5, shape=3), {}),
    "LogitNormal": (lambda: pm.LogitNormal("x", 0.2, 1.5, shape=3), UNIT),
    "Mixture": (
        lambda: pm.Mixture(
            "x", w=[0.3, 0.7], comp_dists=[pm.Normal.dist(-1, 1), pm.Normal.dist(2, 0.5)], shape=3
        ),
        {},
    ),
    "Moyal": (lambda: pm.Moyal("x", 0.2, 1.5, shape=3), {}),
    "Normal": (lambda: pm.Normal("x", 0.2, 1.5, shape=3), {}),
    "Normal by precision": (lambda: pm.Normal("x", 0.2, tau=1.5, shape=3), {}),
    "NormalMixture": (lambda: pm.NormalMixture("x", w=[0.3, 0.7], mu=[-1, 2], sigma=[1, 0.5], shape=3), {}),
    "Ordered": (
        lambda: pm.Normal("x", 0, 2, shape=3, transform=pm.distributions.transforms.ordered),
        {},
    ),
    "Pareto": (lambda: pm.Pareto("x", 2.5, 1.5, shape=3), {}),
    "SkewNormal": (lambda: pm.SkewNormal("x", alpha=2, mu=0.2, sigma=1.5, shape=3), {}),
    "SkewStudentT": (lambda: pm.SkewStudentT("x", a=2, b=3, mu=0, sigma=1, shape=3), {}),
    "StickBreakingWeights": (lambda: pm.StickBreakingWeights("x", alpha=1.5, K=3), {}),
    "StudentT": (lambda: pm.StudentT("x", nu=4, mu=0.2, sigma=1.5, shape=3), {}),
    "Triangular": (lambda: pm.Triangular("x", lower=0, upper=3, c=1, shape=3), {}),
    "Truncated": (lambda: pm.Truncated("x", pm.Normal.dist(0, 1), lower=-1, upper=2, shape=3), {}),
    "TruncatedNormal": (lambda: pm.TruncatedNormal("x", 0.2, 1.5, lower=-1, upper=2, shape=3), {}),
    "TruncatedNormal from above": (lambda: pm.TruncatedNormal("x", 0.2, 1.5, upper=2, shape=3), {}),
    "Uniform": (lambda: pm.Uniform("x", -1, 4, shape=3), {}),
    "VonMises": (lambda: pm.VonMises("x", 0.2, 1.5, shape=3), {}),
    "Wald": (lambda: pm.Wald("x", mu=1, lam=2, shape=3), {}),
    "Interpolated": (lambda: pm.Interpolated("x", np.linspace(-2, 3, 9), np.arange(1.0, 10), shape=3), {}),
    "Weibull": (lambda: pm.Weibull("x", 2.5, 1.5, shape=3), {}),
    "ZeroSumNormal": (lambda: pm.ZeroSumNormal("x", sigma=1.5, shape=(3, 4)), {}),
    "ZeroSumNormal over two axes": (
        lambda: pm.ZeroSumNormal("x", sigma=1.5, n_zerosum_axes=2, shape=(3, 4)),
        {},
    ),
}

if PYMC_6:  # in PyMC 5, the determinant and the check of positive definiteness stay in the graph
    PRIORS["LKJCorr"] = (lambda: pm.LKJCorr("x", eta=2, n=3), {"scale": 0.3})
    PRIORS["MatrixNormal"] = (
        lambda: pm.MatrixNormal("x", mu=np.zeros((2, 2)), rowcov=np.eye(2), colcov=np.eye(2)),
        {},
    )


@pytest.mark.parametrize("name", PRIORS)
def test_prior(name):
    build, options = PRIORS[name]
    with pm.Model() as model:
        build()
    check_model(model, **options)


def _half(x):
    return pm.math.exp(0.5 * x)  # positive, and not too large


COUNTS = np.array([0, 3, 1])
REALS = np.array([-0.7, 0.4, 1.9])
POSITIVE = np.array([0.3, 1.2, 2.6])
SHARES = np.array([0.2, 0.55, 0.9])

# name: likelihood of three observations given a real vector `a` and a positive scalar `s`
LIKELIHOODS = {
    "AsymmetricLaplace": lambda a, s: pm.AsymmetricLaplace("y", kappa=1.5, b=s, mu=a, observed=REALS),
    "Bernoulli": lambda a, s: pm.Bernoulli("y", p=pm.math.sigmoid(a), observed=[0, 1, 1]),
    "Bernoulli by logit": lambda a, s: pm.Bernoulli("y", logit_p=a * s, observed=[0, 1, 1]),
    "Beta": lambda a, s: pm.Beta("y", _half(a), s, observed=SHARES),
    "Beta by mean": lambda a, s: pm.Beta("y", mu=pm.math.sigmoid(a), nu=s, observed=SHARES),
    "BetaBinomial": lambda a, s: pm.BetaBinomial("y", alpha=_half(a), beta=s, n=5, observed=COUNTS),
    "Binomial": lambda a, s: pm.Binomial("y", n=5, p=pm.math.sigmoid(a), observed=COUNTS),
    "Binomial by logit": lambda a, s: pm.Binomial("y", n=[5, 7, 2], logit_p=a, observed=COUNTS),
    "Categorical": lambda a, s: pm.Categorical("y", p=pm.math.softmax(a), observed=[0, 2, 1, 1]),
    "Categorical by logit": lambda a, s: pm.Categorical(
        "y", logit_p=pm.math.stack([a, s * a, a**2]), observed=[0, 2, 1]
    ),
    "Cauchy": lambda a, s: pm.Cauchy("y", a, s, observed=REALS),
    "Censored": lambda a, s: pm.Censored(
        "y", pm.Normal.dist(a, s), lower=-0.5, upper=1.5, observed=[-0.5, 0.4, 1.5]
    ),
    "ChiSquared": lambda a, s: pm.ChiSquared("y", nu=_half(a), observed=POSITIVE),
    "CustomDist": lambda a, s: pm.CustomDist(
        "y", a, s, logp=lambda value, a, s: -pm.math.abs((value - a) / s) - pm.math.log(s), observed=REALS
    ),
    "CustomDist by its generator": lambda a, s: pm.CustomDist(
        "y", a, s, dist=lambda a, s, size: pm.math.exp(pm.Normal.dist(a, s, size=size)), observed=POSITIVE
    ),
    "Dirichlet": lambda a, s: pm.Dirichlet("y", _half(a), observed=[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]),
    "DirichletMultinomial": lambda a, s: pm.DirichletMultinomial("y", n=4, a=_half(a), observed=COUNTS),
    "DiscreteUniform": lambda a, s: pm.DiscreteUniform("y", 0, 5, observed=COUNTS),
    "DiscreteWeibull": lambda a, s: pm.DiscreteWeibull("y", q=pm.math.sigmoid(a), beta=s, observed=COUNTS),
    "ExGaussian": lambda a, s: pm.ExGaussian("y", mu=a, sigma=s, nu=1.5, observed=REALS),
    "Exponential": lambda a, s: pm.Exponential("y", _half(a), observed=POSITIVE),
    "Gamma": lambda a, s: pm.Gamma("y", _half(a), s, observed=POSITIVE),
    "Gamma by mean": lambda a, s: pm.Gamma("y", mu=_half(a), sigma=s, observed=POSITIVE),
    "GaussianRandomWalk": lambda a, s: pm.GaussianRandomWalk(
        "y", mu=a[0], sigma=s, init_dist=pm.Normal.dist(), observed=REALS
    ),
    "Geometric": lambda a, s: pm.Geometric("y", p=pm.math.sigmoid(a), observed=COUNTS + 1),
    "Gumbel": lambda a, s: pm.Gumbel("y", a, s, observed=REALS),
    "HalfCauchy": lambda a, s: pm.HalfCauchy("y", s, observed=POSITIVE),
    "HalfNormal": lambda a, s: pm.HalfNormal("y", s, observed=POSITIVE),
    "HalfStudentT": lambda a, s: pm.HalfStudentT("y", nu=_half(a), sigma=s, observed=POSITIVE),
    "HurdleGamma": lambda a, s: pm.HurdleGamma(
        "y", psi=pm.math.sigmoid(a), alpha=s, beta=1.5, observed=[0, 1.2, 2.6]
    ),
    "HurdleLogNormal": lambda a, s: pm.HurdleLogNormal(
        "y", psi=pm.math.sigmoid(a), mu=0.5, sigma=s, observed=[0, 1.2, 2.6]
    ),
    "HyperGeometric": lambda a, s: pm.HyperGeometric("y", N=20, k=8, n=5, observed=COUNTS),
    "InverseGamma": lambda a, s: pm.InverseGamma("y", _half(a), s, observed=POSITIVE),
    "Kumaraswamy": lambda a, s: pm.Kumaraswamy("y", _half(a), s, observed=SHARES),
    "Laplace": lambda a, s: pm.Laplace("y", a, s, observed=REALS),
    "LogNormal": lambda a, s: pm.LogNormal("y", a, s, observed=POSITIVE),
    "Logistic": lambda a, s: pm.Logistic("y", a, s, observed=REALS),
    "LogitNormal": lambda a, s: pm.LogitNormal("y", a, s, observed=SHARES),
    "Mixture": lambda a, s: pm.Mixture(
        "y",
        w=pm.math.softmax(a[:2]),
        comp_dists=[pm.Normal.dist(a[0], s), pm.StudentT.dist(nu=4, mu=a[1], sigma=2)],
        observed=REALS,
    ),
    "Mixture of Poissons": lambda a, s: pm.Mixture(
        "y", w=[0.4, 0.6], comp_dists=pm.Poisson.dist(_half(a[:2]), shape=2), observed=COUNTS
    ),
    "Moyal": lambda a, s: pm.Moyal("y", a, s, observed=REALS),
    "Multinomial": lambda a, s: pm.Multinomial("y", n=4, p=pm.math.softmax(a), observed=COUNTS),
    "NegativeBinomial": lambda a, s: pm.NegativeBinomial("y", mu=_half(a), alpha=s, observed=COUNTS),
    "NegativeBinomial by p": lambda a, s: pm.NegativeBinomial(
        "y", n=s, p=pm.math.sigmoid(a), observed=COUNTS
    ),
    "Normal": lambda a, s: pm.Normal("y", a, s, observed=REALS),
    "NormalMixture": lambda a, s: pm.NormalMixture(
        "y", w=[0.3, 0.3, 0.4], mu=a, sigma=s, observed=np.array([0.1, -2, 3, 0.5])
    ),
    "OrderedLogistic": lambda a, s: pm.OrderedLogistic(
        "y", eta=a, cutpoints=[-1, 0.5, 1], observed=[0, 3, 1]
    ),
    "OrderedMultinomial": lambda a, s: pm.OrderedMultinomial(
        "y", eta=a[0], cutpoints=[-1, 1], n=4, observed=COUNTS
    ),
    "OrderedProbit": lambda a, s: pm.OrderedProbit("y", eta=a, cutpoints=[-1, 0.5, 1], observed=[0, 3, 1]),
    "Pareto": lambda a, s: pm.Pareto("y", _half(a), 0.2, observed=POSITIVE),
    "Poisson": lambda a, s: pm.Poisson("y", _half(a), observed=COUNTS),
    "SkewNormal": lambda a, s: pm.SkewNormal("y", alpha=1.5, mu=a, sigma=s, observed=REALS),
    "SkewStudentT": lambda a, s: pm.SkewStudentT("y", a=2, b=s, mu=a, sigma=1, observed=REALS),
    "StudentT": lambda a, s: pm.StudentT("y", nu=s, mu=a, sigma=1.5, observed=REALS),
    "Triangular": lambda a, s: pm.Triangular("y", lower=-9 - s, upper=9 + s, c=0.1 * a, observed=REALS),
    "Truncated": lambda a, s: pm.Truncated("y", pm.Normal.dist(a, s), lower=-1, upper=2, observed=REALS),
    "TruncatedNormal": lambda a, s: pm.TruncatedNormal("y", a, s, lower=-1, observed=REALS),
    "Uniform": lambda a, s: pm.Uniform("y", -3 - s, 3 + s, observed=REALS),
    "VonMises": lambda a, s: pm.VonMises("y", a, 1.5, observed=REALS),
    "Wald": lambda a, s: pm.Wald("y", mu=_half(a), lam=s, observed=POSITIVE),
    "Weibull": lambda a, s: pm.Weibull("y", _half(a), s, observed=POSITIVE),
    "ZeroInflatedBinomial": lambda a, s: pm.ZeroInflatedBinomial(
        "y", psi=0.6, n=5, p=pm.math.sigmoid(a), observed=COUNTS
    ),
    "ZeroInflatedNegativeBinomial": lambda a, s: pm.ZeroInflatedNegativeBinomial(
        "y", psi=0.6, mu=_half(a), alpha=s, observed=COUNTS
    ),
    "ZeroInflatedPoisson": lambda a, s: pm.ZeroInflatedPoisson(
        "y", psi=pm.math.sigmoid(s), mu=_half(a), observed=COUNTS
    ),
    "ZeroSumNormal": lambda a, s: pm.ZeroSumNormal("y", sigma=s, observed=REALS - REALS.mean()),
}


def _likelihood_model(build):
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1, shape=3)
        s = pm.HalfNormal("s", 1)
        build(a, s)
    return model


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihood(name):
    check_model(_likelihood_model(LIKELIHOODS[name]))


# name: (likelihood or prior given `a` and `s`, Op that may have no rule: it is evaluated all the same)
WITHOUT_RULE = {
    "GARCH11": (
        lambda a, s: pm.GARCH11("y", omega=s, alpha_1=0.2, beta_1=0.3, initial_vol=1, observed=REALS),
        "Scan",
    ),
    "MvNormal": (lambda a, s: pm.MvNormal("y", a[:2] * s, MATRIX), "SolveTriangular"),
    "MvStudentT": (lambda a, s: pm.MvStudentT("y", nu=s, mu=a[:2], scale=MATRIX), "SolveTriangular"),
    "Rice": (lambda a, s: pm.Rice("y", nu=1, sigma=s, observed=POSITIVE), "i0e"),
    "Censored Poisson": (
        lambda a, s: pm.Censored("y", pm.Poisson.dist(s), lower=0, upper=2, observed=[0, 1, 2]),
        "gammaincc",
    ),
    "HurdleNegativeBinomial": (
        lambda a, s: pm.HurdleNegativeBinomial("y", psi=0.6, mu=_half(a), alpha=s, observed=COUNTS),
        "betainc",
    ),
    "HurdlePoisson": (
        lambda a, s: pm.HurdlePoisson("y", psi=0.6, mu=_half(a) + s, observed=COUNTS),
        "gammaincc",
    ),
}


@pytest.mark.parametrize("name", WITHOUT_RULE)
def test_op_without_rule(name):
    build, _ = WITHOUT_RULE[name]
    check_model(_likelihood_model(build))


def test_op_without_gradient_is_named_with_its_variable():
    model = _likelihood_model(lambda a, s: pm.PolyaGamma("y", h=1, z=s))
    with pytest.raises(NoGradientError, match=r"_PolyaGammaLogDistFunc in the graph of 'y'.*rust_funcify"):
        translate_model(model).bind()
