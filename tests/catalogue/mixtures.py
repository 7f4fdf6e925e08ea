"""Mixtures, censored and truncated variables, and distributions that users write."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from catalogue.entry import entries
from catalogue.univariate import COUNTS, POSITIVE, REALS, half, parameters, share

MATRIX = np.array([[2.0, 0.3], [0.3, 1.0]])
PAIRS = np.array([[0.5, -1.0], [1.2, 0.3], [-0.4, 0.8]])


def weights(n=2):
    return pm.Dirichlet("w", np.full(n, 2.0))


def normal_mixture():
    pm.NormalMixture("x", w=weights(), mu=[-1, 2], sigma=[1, 0.5], shape=3)


def normal_mixture_observed():
    a, s = parameters()
    pm.NormalMixture("y", w=weights(3), mu=a, sigma=s, observed=np.array([0.1, -2, 3, 0.5]))


def mixture_of_two_families():
    a, s = parameters()
    components = [pm.Normal.dist(a[0], s), pm.StudentT.dist(nu=4, mu=a[1], sigma=2)]
    pm.Mixture("y", w=weights(), comp_dists=components, observed=REALS)


def mixture_as_prior():
    a, s = parameters()
    pm.Mixture("x", w=weights(), comp_dists=[pm.Normal.dist(a[0], s), pm.Normal.dist(a[1], 0.5)], shape=3)


def mixture_of_positive_families():
    a, s = parameters()
    pm.Mixture("x", w=weights(), comp_dists=[pm.Exponential.dist(s), pm.Gamma.dist(half(a[0]), 1)])


def mixture_of_poissons():
    a, _ = parameters()
    components = pm.Poisson.dist(half(a[:2]), shape=2)
    pm.Mixture("y", w=weights(), comp_dists=components, observed=COUNTS)


def mixture_with_weights_by_row():
    a, s = parameters()
    w = pm.math.softmax(pm.Normal("logits", shape=(3, 2)), axis=-1)
    pm.Mixture("y", w=w, comp_dists=[pm.Normal.dist(a, s), pm.Normal.dist(-a, 1)], observed=REALS)


def mixture_of_multivariate_normals():
    mu, s = pm.Normal("mu", shape=(2, 2)), pm.HalfNormal("s")
    components = [pm.MvNormal.dist(mu[0], s * MATRIX), pm.MvNormal.dist(mu[1], np.eye(2))]
    pm.Mixture("y", w=weights(), comp_dists=components, observed=PAIRS)


def mixture_of_a_batch_of_multivariate_normals():
    mu = pm.Normal("mu", shape=(2, 2))
    pm.Mixture("y", w=weights(), comp_dists=pm.MvNormal.dist(mu, MATRIX), observed=PAIRS)


def mixture_of_dirichlets():
    a, s = parameters()
    components = [pm.Dirichlet.dist(half(a)), pm.Dirichlet.dist(s * np.ones(3))]
    pm.Mixture("y", w=weights(), comp_dists=components, observed=[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def mixture_with_a_point_mass():
    _, s = parameters()
    pm.Mixture(
        "y", w=weights(), comp_dists=[pm.DiracDelta.dist(0), pm.Poisson.dist(s + 0.1)], observed=COUNTS
    )


def marginalised_hurdle():
    a, s = parameters()
    pm.HurdlePoisson("y", psi=pm.Beta("psi", 2, 2), mu=half(a) + s, observed=[[0, 1, 2], [4, 0, 0]])


def censored_normal():
    a, s = parameters()
    pm.Censored("y", pm.Normal.dist(a, s), lower=-0.5, upper=1.5, observed=[-0.5, 0.4, 1.5])


def censored_from_below():
    a, s = parameters()
    pm.Censored("y", pm.Laplace.dist(a, s), lower=-0.5, upper=None, observed=[-0.5, 0.4, 1.5])


def censored_weibull_with_bounds_by_row():
    a, s = parameters()
    upper = np.array([1.0, np.inf, 2.6])
    pm.Censored("y", pm.Weibull.dist(s + 0.5, half(a)), lower=None, upper=upper, observed=[1.0, 1.2, 2.6])


def censored_exponential():
    a, _ = parameters()
    pm.Censored("y", pm.Exponential.dist(half(a)), lower=None, upper=2.0, observed=[0.3, 1.2, 2.0])


def censored_gamma():
    a, s = parameters()
    pm.Censored("y", pm.Gamma.dist(half(a), s), lower=None, upper=2.0, observed=[0.3, 1.2, 2.0])


def censored_student_t():
    a, s = parameters()
    pm.Censored("y", pm.StudentT.dist(nu=4, mu=a, sigma=s), lower=-0.5, upper=None, observed=[-0.5, 0.4, 1.5])


def censored_poisson():
    a, _ = parameters()
    pm.Censored("y", pm.Poisson.dist(half(a)), lower=0, upper=2, observed=[0, 1, 2])


def truncated_normal():
    a, s = parameters()
    pm.Truncated("y", pm.Normal.dist(a, s), lower=-1, upper=2, observed=REALS)


def truncated_normal_as_prior():
    a, s = parameters()
    pm.Truncated("x", pm.Normal.dist(a, s), lower=-1, upper=2, shape=3)


def truncated_normal_with_random_bound():
    a, s = parameters()
    pm.Truncated("x", pm.Normal.dist(a, 1), lower=-s, shape=3)


def truncated_gamma():
    a, s = parameters()
    pm.Truncated("y", pm.Gamma.dist(half(a), s), lower=0.2, upper=4.0, observed=POSITIVE)


def truncated_poisson():
    a, _ = parameters()
    pm.Truncated("y", pm.Poisson.dist(half(a)), lower=1, observed=COUNTS + 1)


def truncated_binomial():
    a, _ = parameters()
    pm.Truncated("y", pm.Binomial.dist(n=6, p=share(a)), lower=1, upper=5, observed=COUNTS + 1)


def custom_dist_by_logp():
    a, s = parameters()

    def logp(value, a, s):
        return -pm.math.abs((value - a) / s) - pm.math.log(2 * s)

    pm.CustomDist("y", a, s, logp=logp, observed=REALS)


def custom_dist_by_logp_as_prior():
    a, s = parameters()

    def logp(value, a, s):
        return -0.5 * ((value - a) / s) ** 2 - pm.math.log(s)

    pm.CustomDist("x", a, s, logp=logp, shape=3)


def custom_multivariate_dist_by_logp():
    a, _ = parameters()

    def logp(value, a):
        return -0.5 * pt.sum((value - a) ** 2, axis=-1)

    pm.CustomDist("x", a, logp=logp, signature="(n)->(n)", shape=(2, 3))


def custom_dist_by_its_generator():
    a, s = parameters()

    def dist(a, s, size):
        return pm.math.exp(pm.Normal.dist(a, s, size=size))

    pm.CustomDist("y", a, s, dist=dist, observed=POSITIVE)


def custom_dist_by_its_generator_as_prior():
    a, s = parameters()

    def dist(a, s, size):
        return a + s * pm.StudentT.dist(4, size=size)

    pm.CustomDist("x", a, s, dist=dist, shape=3)


def custom_maximum_of_normals():
    a, s = parameters()

    def dist(a, s, size):
        return pt.max(pm.Normal.dist(a[0], s, size=(3,)))

    pm.CustomDist("y", a, s, dist=dist, observed=0.7)


def density_dist():
    a, s = parameters()

    def logp(value, a, s):
        return pm.logp(pm.Normal.dist(a, s), value)

    pm.DensityDist("y", a, s, logp=logp, observed=REALS)


def cumulative_distributions():
    a, s = parameters()
    pm.Potential("normal", pm.logcdf(pm.Normal.dist(a, s), REALS))
    pm.Potential("log normal", pm.logcdf(pm.LogNormal.dist(a, 1), POSITIVE))
    pm.Potential("beta", pm.logcdf(pm.Beta.dist(half(a), s), 0.4))
    pm.Potential("gamma", pm.logcdf(pm.Gamma.dist(half(a), s), POSITIVE))


def quantiles():
    a, s = parameters()
    pm.Deterministic("median", pm.icdf(pm.Normal.dist(a, s), 0.3))
    pm.Potential("exponential", -pm.icdf(pm.Exponential.dist(half(a)), 0.3))


ENTRIES = entries(
    normal_mixture,
    normal_mixture_observed,
    mixture_of_two_families,
    mixture_as_prior,
    mixture_of_positive_families,
    mixture_of_poissons,
    mixture_with_weights_by_row,
    mixture_of_multivariate_normals,
    mixture_of_a_batch_of_multivariate_normals,
    mixture_of_dirichlets,
    mixture_with_a_point_mass,
    marginalised_hurdle,
    censored_normal,
    censored_from_below,
    censored_weibull_with_bounds_by_row,
    censored_exponential,
    censored_gamma,
    censored_student_t,
    censored_poisson,
    truncated_normal,
    truncated_normal_as_prior,
    truncated_normal_with_random_bound,
    truncated_gamma,
    truncated_poisson,
    truncated_binomial,
    custom_dist_by_logp,
    custom_dist_by_logp_as_prior,
    custom_multivariate_dist_by_logp,
    custom_dist_by_its_generator,
    custom_dist_by_its_generator_as_prior,
    custom_maximum_of_normals,
    density_dist,
    cumulative_distributions,
    quantiles,
)
