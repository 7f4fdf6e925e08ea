"""Gaussian processes: every covariance and mean function, and every way to put one into a model."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from catalogue.entry import Entry, entries

RNG = np.random.default_rng(3)
X = np.array([[-1.0], [-0.3], [0.4], [1.3], [1.9]])
PLANE = RNG.normal(size=(5, 2))
Y = RNG.normal(size=5)
INDEX = np.array([[0], [1], [1], [0], [2]])
cov, mean = pm.gp.cov, pm.gp.mean

# name: covariance given a length scale and a positive number, inputs
COVARIANCES: dict[str, tuple[Callable[[Any, Any], Any], np.ndarray]] = {
    "ExpQuad": (lambda ls, s: s * cov.ExpQuad(1, ls=ls), X),
    "ExpQuad by inverse scale": (lambda ls, s: s * cov.ExpQuad(1, ls_inv=ls), X),
    "ExpQuad with scales by dimension": (lambda ls, s: s * cov.ExpQuad(2, ls=pt.stack([ls, 2.0])), PLANE),
    "ExpQuad of one dimension": (lambda ls, s: s * cov.ExpQuad(2, ls=ls, active_dims=[1]), PLANE),
    "RatQuad": (lambda ls, s: cov.RatQuad(1, alpha=s, ls=ls), X),
    "Matern52": (lambda ls, s: s**2 * cov.Matern52(1, ls=ls), X),
    "Matern32": (lambda ls, s: s**2 * cov.Matern32(2, ls=ls), PLANE),
    "Matern12": (lambda ls, s: s**2 * cov.Matern12(1, ls=ls), X),
    "Exponential": (lambda ls, s: s**2 * cov.Exponential(1, ls=ls), X),
    "Cosine": (lambda ls, s: s * cov.Cosine(1, ls=ls + 1), X),
    "Periodic": (lambda ls, s: s * cov.Periodic(1, period=ls + 1, ls=1.5), X),
    "WrappedPeriodic": (lambda ls, s: s * cov.WrappedPeriodic(cov.Matern52(1, ls=ls), period=2.5), X),
    "Circular": (lambda ls, s: s * cov.Circular(1, period=6.0, tau=4 + ls), X),
    "Linear": (lambda ls, s: s * cov.Linear(1, c=ls), X),
    "Polynomial": (lambda ls, s: s * cov.Polynomial(1, c=ls, d=3, offset=0.5), X),
    "Constant": (lambda ls, s: cov.Constant(s) + cov.ExpQuad(1, ls=ls), X),
    "WhiteNoise": (lambda ls, s: cov.ExpQuad(1, ls=ls) + cov.WhiteNoise(s), X),
    "Prod": (lambda ls, s: cov.ExpQuad(1, ls=ls) * cov.Linear(1, c=s), X),
    "Exponentiated": (lambda ls, s: s * cov.Matern52(1, ls=ls) ** 2, X),
    "WarpedInput": (
        lambda ls, s: cov.WarpedInput(
            1, cov.Matern52(1, ls=ls), warp_func=lambda x, a: pt.tanh(a * x), args=(s,)
        ),
        X,
    ),
    "Gibbs": (lambda ls, s: s * cov.Gibbs(1, lambda x, a: pt.exp(0.2 * x) * a, args=(ls,)), X),
    "ScaledCov": (
        lambda ls, s: cov.ScaledCov(1, cov.ExpQuad(1, ls=ls), lambda x, a: pt.exp(a * x), args=(s,)),
        X,
    ),
    "Kron": (lambda ls, s: cov.Kron([cov.ExpQuad(1, ls=ls), s * cov.Matern52(1, ls=1.0)]), PLANE),
    "Coregion": (
        lambda ls, s: cov.Coregion(1, W=pt.stack([ls, s, 0.5])[:, None], kappa=s * np.ones(3)),
        INDEX,
    ),
}

MEANS: dict[str, Callable[[Any, Any], Any]] = {
    "Zero": lambda a, b: mean.Zero(),
    "Constant": lambda a, b: mean.Constant(a),
    "Linear": lambda a, b: mean.Linear(coeffs=pt.stack([b]), intercept=a),
    "sum": lambda a, b: mean.Constant(a) + mean.Linear(coeffs=pt.stack([b])),
    "product": lambda a, b: mean.Constant(a) * mean.Linear(coeffs=pt.stack([b])),
}


def hyperparameters() -> tuple[Any, Any]:
    """Return a length scale and a positive number."""
    return pm.InverseGamma("ls", 5, 5), pm.HalfNormal("s")


def _marginal_with_covariance(build: Callable[[Any, Any], Any], x: np.ndarray) -> None:
    gp = pm.gp.Marginal(cov_func=build(*hyperparameters()))
    gp.marginal_likelihood("y", X=x, y=Y, sigma=0.5)


def _marginal_with_mean(build: Callable[[Any, Any], Any]) -> None:
    a, b = pm.Normal("a"), pm.Normal("b")
    gp = pm.gp.Marginal(mean_func=build(a, b), cov_func=cov.ExpQuad(1, ls=1.0))
    gp.marginal_likelihood("y", X=X, y=Y, sigma=pm.HalfNormal("sigma"))


def gp_latent():
    ls, s = hyperparameters()
    f = pm.gp.Latent(cov_func=s**2 * cov.Matern52(1, ls=ls)).prior("f", X=X)
    pm.StudentT("y", nu=4, mu=f, sigma=1, observed=Y)


def gp_latent_centred():
    ls, s = hyperparameters()
    gp = pm.gp.Latent(cov_func=s**2 * cov.Matern52(1, ls=ls))
    f = gp.prior("f", X=X, reparameterize=False, jitter=1e-3)
    pm.Normal("y", f, 1, observed=Y)


def gp_latent_with_several_outputs():
    ls, s = hyperparameters()
    f = pm.gp.Latent(cov_func=s**2 * cov.Matern52(1, ls=ls)).prior("f", X=X, n_outputs=2)
    pm.Normal("y", f[0] * f[1], 1, observed=Y)


def gp_latent_with_conditional():
    ls, s = hyperparameters()
    gp = pm.gp.Latent(cov_func=s**2 * cov.ExpQuad(1, ls=ls))
    pm.Bernoulli("y", logit_p=gp.prior("f", X=X[:4]), observed=Y[:4] > 0)
    gp.conditional("later", np.array([[2.5]]))


def gp_sum_of_two():
    ls, s = hyperparameters()
    one = pm.gp.Latent(cov_func=cov.ExpQuad(1, ls=ls))
    other = pm.gp.Latent(cov_func=s * cov.Linear(1, c=0.0))
    f = (one + other).prior("f", X=X, jitter=1e-3)
    pm.Normal("y", f, 1, observed=Y)


def gp_marginal_with_white_noise():
    ls, s = hyperparameters()
    gp = pm.gp.Marginal(cov_func=cov.Matern32(1, ls=ls))
    gp.marginal_likelihood("y", X=X, y=Y, sigma=cov.WhiteNoise(s))


def gp_marginal_approximated(approx):
    ls, s = hyperparameters()
    gp = pm.gp.MarginalApprox(cov_func=cov.ExpQuad(1, ls=ls), approx=approx)
    gp.marginal_likelihood("y", X=X, Xu=np.array([[-0.5], [0.8]]), y=Y, sigma=s + 0.1)


def gp_marginal_sparse():
    ls, s = hyperparameters()
    gp = pm.gp.MarginalSparse(cov_func=cov.Matern52(1, ls=ls), approx="VFE")
    gp.marginal_likelihood("y", X=X, Xu=pm.Normal("u", shape=(2, 1)), y=Y, sigma=s + 0.1)


def gp_marginal_kron():
    ls, s = hyperparameters()
    covs = [cov.ExpQuad(1, ls=ls), s * cov.Matern52(1, ls=1.0)]
    gp = pm.gp.MarginalKron(cov_funcs=covs)
    gp.marginal_likelihood("y", Xs=[X[:2], X[:3]], y=np.arange(6) / 5, sigma=0.5)


def gp_latent_kron():
    ls, s = hyperparameters()
    gp = pm.gp.LatentKron(cov_funcs=[cov.ExpQuad(1, ls=ls), s * cov.Matern52(1, ls=1.0)])
    f = gp.prior("f", Xs=[X[:2], X[:3]], jitter=1e-4)
    pm.Normal("y", f, 1, observed=np.arange(6) / 5)


def gp_student_t_process():
    ls, s = hyperparameters()
    gp = pm.gp.TP(scale_func=s**2 * cov.Matern52(1, ls=ls), nu=5)
    f = gp.prior("f", X=X, jitter=1e-4)
    pm.Normal("y", f, 1, observed=Y)


def gp_hsgp():
    ls, s = hyperparameters()
    gp = pm.gp.HSGP(m=[4], L=[4.0], cov_func=s**2 * cov.Matern52(1, ls=ls))
    pm.Normal("y", gp.prior("f", X=pm.Data("x", X)), 1, observed=Y)


def gp_hsgp_in_a_plane_centred():
    ls, s = hyperparameters()
    gp = pm.gp.HSGP(m=[2, 2], c=1.5, cov_func=s**2 * cov.ExpQuad(2, ls=ls), parametrization="centered")
    pm.Normal("y", gp.prior("f", X=PLANE), 1, observed=Y)


def gp_hsgp_linearized():
    ls, s = hyperparameters()
    gp = pm.gp.HSGP(m=[4], c=2.0, drop_first=True, cov_func=s**2 * cov.Matern32(1, ls=ls))
    phi, psd = gp.prior_linearized(X=X)
    f = phi @ (pm.Normal("weight", shape=gp.n_basis_vectors - 1) * psd)
    pm.Normal("y", f, 1, observed=Y)


def gp_hsgp_periodic():
    ls, s = hyperparameters()
    gp = pm.gp.HSGPPeriodic(m=3, scale=s, cov_func=cov.Periodic(1, period=2.5, ls=ls))
    pm.Normal("y", gp.prior("f", X=X), 1, observed=Y)


ENTRIES = {
    **{
        f"gp covariance {name}": Entry(partial(_marginal_with_covariance, *form))
        for name, form in COVARIANCES.items()
    },
    **{f"gp mean {name}": Entry(partial(_marginal_with_mean, build)) for name, build in MEANS.items()},
    **{
        f"gp marginal {approx}": Entry(partial(gp_marginal_approximated, approx))
        for approx in ("DTC", "FITC", "VFE")
    },
    **entries(
        gp_latent,
        gp_latent_centred,
        gp_latent_with_several_outputs,
        gp_latent_with_conditional,
        gp_sum_of_two,
        gp_marginal_with_white_noise,
        gp_marginal_sparse,
        gp_marginal_kron,
        gp_latent_kron,
        gp_student_t_process,
        gp_hsgp,
        gp_hsgp_in_a_plane_centred,
        gp_hsgp_linearized,
        gp_hsgp_periodic,
    ),
}
