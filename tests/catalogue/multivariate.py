"""Multivariate distributions, as priors and as likelihoods."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from catalogue.entry import PYMC_6, Entry, entries
from catalogue.univariate import COUNTS, half, parameters

MATRIX = np.array([[2.0, 0.3], [0.3, 1.0]])
CHOL = np.linalg.cholesky(MATRIX)
TRIANGLE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
PAIRS = np.array([[0.5, -1.0], [1.2, 0.3], [-0.4, 0.8]])
COMPOSITIONS = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def covariance():
    """A positive definite 2x2 matrix that depends on one positive variable."""
    s = pm.HalfNormal("s")
    return s * MATRIX + pt.eye(2) * s**2


def mv_normal_by_covariance():
    mu = pm.Normal("mu", shape=2)
    pm.MvNormal("x", mu, covariance())


def mv_normal_by_covariance_observed():
    mu = pm.Normal("mu", shape=2)
    pm.MvNormal("y", mu, cov=covariance(), observed=PAIRS)


def mv_normal_by_precision():
    mu = pm.Normal("mu", shape=2)
    pm.MvNormal("x", mu, tau=covariance(), shape=2)


def mv_normal_by_precision_observed():
    mu = pm.Normal("mu", shape=2)
    pm.MvNormal("y", mu, tau=covariance(), observed=PAIRS)


def mv_normal_by_cholesky_factor():
    s = pm.HalfNormal("s")
    pm.MvNormal("x", np.zeros(2), chol=s * CHOL)


def mv_normal_by_upper_cholesky_factor():
    s = pm.HalfNormal("s")
    pm.MvNormal("x", np.zeros(2), chol=s * CHOL.T, lower=False)


def mv_normal_with_constant_covariance():
    pm.MvNormal("x", pm.Normal("mu", shape=2), MATRIX)


def mv_normal_with_batched_means():
    pm.MvNormal("x", pm.Normal("mu", shape=(3, 2)), covariance())


def mv_normal_with_batched_covariances():
    s = pm.HalfNormal("s", shape=3)
    pm.MvNormal("x", np.zeros(2), s[:, None, None] * MATRIX)


def mv_normal_with_lkj_covariance():
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
    pm.MvNormal("y", pm.Normal("mu", shape=2), chol=chol, observed=PAIRS)


def mv_student_t_by_scale():
    pm.MvStudentT("x", nu=pm.Gamma("nu", 2, 0.5), mu=np.zeros(2), scale=covariance())


def mv_student_t_by_cholesky_factor_observed():
    s = pm.HalfNormal("s")
    pm.MvStudentT("y", nu=4, mu=pm.Normal("mu", shape=2), chol=s * CHOL, observed=PAIRS)


def mv_student_t_by_precision_observed():
    pm.MvStudentT("y", nu=4, mu=pm.Normal("mu", shape=2), tau=covariance(), observed=PAIRS)


def matrix_normal():
    mu = pm.Normal("mu", shape=(3, 2))
    pm.MatrixNormal("x", mu=mu, rowcov=np.eye(3) + 0.2, colcov=covariance())


def matrix_normal_by_cholesky_factors_observed():
    s = pm.HalfNormal("s")
    pm.MatrixNormal("y", mu=np.zeros((3, 2)), rowchol=s * np.eye(3), colchol=s * CHOL, observed=PAIRS)


def kronecker_normal():
    s = pm.HalfNormal("s")
    pm.KroneckerNormal("x", mu=pm.Normal("mu", shape=4), covs=[MATRIX, np.eye(2) * 2 + 0.1], sigma=s)


def kronecker_normal_observed():
    pm.KroneckerNormal("y", mu=np.zeros(6), covs=[covariance(), np.eye(3) + 0.3], observed=np.arange(6.0) / 4)


def kronecker_normal_by_cholesky_factors():
    s = pm.HalfNormal("s")
    pm.KroneckerNormal("x", mu=np.zeros(4), chols=[s * CHOL, CHOL], sigma=0.5)


def kronecker_normal_by_eigenvalues():
    evds = [np.linalg.eigh(MATRIX), np.linalg.eigh(MATRIX + np.eye(2))]
    pm.KroneckerNormal("x", mu=np.zeros(4), evds=evds, sigma=pm.HalfNormal("s"))


def dirichlet():
    pm.Dirichlet("x", half(pm.Normal("a", shape=3)))


def batched_dirichlet():
    pm.Dirichlet("x", np.array([1.5, 2.0, 3.0]), shape=(2, 3))


def dirichlet_observed():
    pm.Dirichlet("y", half(pm.Normal("a", shape=3)), observed=COMPOSITIONS)


def multinomial():
    pm.Multinomial("y", n=[4, 5], p=pm.math.softmax(pm.Normal("a", shape=3)), observed=[COUNTS, [2, 2, 1]])


def dirichlet_multinomial():
    pm.DirichletMultinomial("y", n=4, a=half(pm.Normal("a", shape=3)), observed=COUNTS)


def ordered_multinomial():
    a, s = parameters()
    pm.OrderedMultinomial("y", eta=a[0], cutpoints=pt.stack([-s, 1 + s]), n=4, observed=COUNTS)


def stick_breaking_weights():
    pm.StickBreakingWeights("x", alpha=pm.Gamma("alpha", 2, 1), K=3)


def stick_breaking_weights_observed():
    pm.StickBreakingWeights("y", alpha=pm.Gamma("alpha", 2, 1), K=2, observed=COMPOSITIONS)


def wishart_observed():
    pm.Wishart("y", nu=4, V=covariance(), observed=MATRIX)


def wishart_bartlett():
    pm.WishartBartlett("x", S=MATRIX, nu=4)


def wishart_bartlett_as_precision():
    tau = pm.WishartBartlett("tau", S=MATRIX, nu=4)
    pm.MvNormal("y", pm.Normal("mu", shape=2), tau=tau, observed=PAIRS)


def lkj_corr_as_covariance():
    corr = pm.LKJCorr("corr", n=2, eta=2, **({} if PYMC_6 else {"return_matrix": True}))
    s = pm.HalfNormal("s", shape=2)
    pm.MvNormal("y", np.zeros(2), s[:, None] * corr * s, observed=PAIRS)


def lkj_cholesky_cov():
    eta = pm.Gamma("eta", 2, 1) if PYMC_6 else 2  # PyMC 5 takes a constant only
    pm.LKJCholeskyCov("x", eta=eta, n=3, sd_dist=pm.HalfNormal.dist(1.5))


def lkj_cholesky_cov_packed():
    packed = pm.LKJCholeskyCov("x", eta=2, n=3, sd_dist=pm.Exponential.dist(1), compute_corr=False)
    pm.Deterministic("chol", pm.expand_packed_triangular(3, packed))


def lkj_cholesky_cov_with_varying_deviations():
    rate = pm.Gamma("rate", 2, 2)
    pm.LKJCholeskyCov("x", eta=2, n=2, sd_dist=pm.Exponential.dist(rate, shape=2))


def car():
    alpha, tau = pm.Beta("alpha", 2, 2), pm.Gamma("tau", 2, 1)
    pm.CAR("x", mu=pm.Normal("mu", shape=3), W=TRIANGLE, alpha=alpha, tau=tau)


def car_observed():
    pm.CAR("y", mu=np.zeros(3), W=TRIANGLE, alpha=0.3, tau=pm.Gamma("tau", 2, 1), observed=[0.2, 1, -1])


def icar():
    x = pm.ICAR("x", W=TRIANGLE, sigma=pm.HalfNormal("s"))
    pm.Poisson("y", half(x), observed=COUNTS)


def zero_sum_normal():
    pm.ZeroSumNormal("x", sigma=pm.HalfNormal("s"), shape=(3, 4))


def zero_sum_normal_over_two_axes():
    pm.ZeroSumNormal("x", sigma=1.5, n_zerosum_axes=2, shape=(3, 4))


def zero_sum_normal_observed():
    pm.ZeroSumNormal("y", sigma=pm.HalfNormal("s"), observed=[-1.0, 0.25, 0.75])


def zero_sum_normal_with_dims():
    pm.modelcontext(None).add_coords({"group": list("abc"), "year": [1, 2]})
    x = pm.ZeroSumNormal("x", sigma=pm.HalfNormal("s"), dims=("year", "group"))
    pm.Normal("y", x[0], 1, observed=[0.1, 0.5, -1])


BARTLETT = (
    {} if PYMC_6 else {"rtol": (1e-6, 1e-5), "looser": "PyMC 5 rounds the factor to float32, we do not"}
)

ENTRIES = {
    "wishart bartlett": Entry(wishart_bartlett, **BARTLETT),
    "wishart bartlett as precision": Entry(wishart_bartlett_as_precision, **BARTLETT),
    **entries(
        mv_normal_by_covariance,
        mv_normal_by_covariance_observed,
        mv_normal_by_precision,
        mv_normal_by_precision_observed,
        mv_normal_by_cholesky_factor,
        mv_normal_by_upper_cholesky_factor,
        mv_normal_with_constant_covariance,
        mv_normal_with_batched_means,
        mv_normal_with_batched_covariances,
        mv_normal_with_lkj_covariance,
        mv_student_t_by_scale,
        mv_student_t_by_cholesky_factor_observed,
        mv_student_t_by_precision_observed,
        matrix_normal,
        matrix_normal_by_cholesky_factors_observed,
        kronecker_normal,
        kronecker_normal_observed,
        kronecker_normal_by_cholesky_factors,
        kronecker_normal_by_eigenvalues,
        dirichlet,
        batched_dirichlet,
        dirichlet_observed,
        multinomial,
        dirichlet_multinomial,
        ordered_multinomial,
        stick_breaking_weights,
        stick_breaking_weights_observed,
        wishart_observed,
        lkj_corr_as_covariance,
        lkj_cholesky_cov,
        lkj_cholesky_cov_packed,
        lkj_cholesky_cov_with_varying_deviations,
        car,
        car_observed,
        icar,
        zero_sum_normal,
        zero_sum_normal_over_two_axes,
        zero_sum_normal_observed,
        zero_sum_normal_with_dims,
    ),
    "lkj corr": Entry(lambda: pm.LKJCorr("x", eta=2, n=3), points={"x": (0, 0.3)}),
}
