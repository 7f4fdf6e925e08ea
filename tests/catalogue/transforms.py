"""Every transform of PyMC, and users' own."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions import transforms as tr

from catalogue.entry import PYMC_6, Entry, entries


class Cubic(tr.Transform):
    """A transform as users write it: x = z + z^3 / 3."""

    name = "cubic"
    ndim_supp = 0

    def backward(self, value, *inputs):
        return value + value**3 / 3

    def forward(self, value, *inputs):
        root = pt.cbrt if hasattr(pt, "cbrt") else lambda x: pt.sign(x) * pt.abs(x) ** (1 / 3)
        q = 1.5 * value
        u = root(q + pt.sqrt(q**2 + 1))
        return u - 1 / u

    def log_jac_det(self, value, *inputs):
        return pt.log1p(value**2)


class Scaled(tr.Transform):
    """A transform that depends on a parameter of its variable."""

    name = "scaled"
    ndim_supp = 0

    def backward(self, value, *inputs):
        return value * inputs[-1]

    def forward(self, value, *inputs):
        return value / inputs[-1]

    def log_jac_det(self, value, *inputs):
        return pt.log(inputs[-1]) + pt.zeros_like(value)


def ordered():
    mu = pm.Normal("mu", pm.Normal("centre"), 2, shape=3, transform=tr.ordered, initval=[-1.0, 0.0, 1.0])
    pm.Normal("y", mu, 1, observed=[-0.5, 0.2, 1.0])


def ordered_rows():
    initval = np.tile([-1.0, 0.0, 1.0], (2, 1))
    pm.Normal("x", shape=(2, 3), transform=tr.ordered, initval=initval)


def ordered_positive():
    pm.Exponential(
        "x", 1, shape=3, transform=tr.Ordered(positive=True), default_transform=None, initval=[0.5, 1.0, 2.0]
    )


def ordered_descending():
    pm.Normal("x", shape=3, transform=tr.Ordered(ascending=False), initval=[1.0, 0.0, -1.0])


def simplex():
    pm.Dirichlet("x", np.array([1.5, 2.0, 3.0]), transform=tr.simplex, default_transform=None)


def sum_to_1():
    pm.Dirichlet("x", np.array([2.5, 2.0, 3.0]), transform=tr.sum_to_1, default_transform=None)


def interval():
    pm.Normal("x", pm.Normal("mu"), 1, shape=3, transform=tr.Interval(-1, 2))


def interval_with_one_bound():
    pm.Normal("above", pm.Normal("mu"), 1, transform=tr.Interval(-1, None))
    pm.Normal("below", transform=tr.Interval(None, 2))


def interval_with_bounds_by_parameter():
    lower = pm.Normal("lower")
    upper = lower + pm.HalfNormal("width") + 0.1
    pm.Uniform("x", lower, upper, shape=3)


def interval_with_bounds_by_function():
    def bounds(_rng, _size, mu, sigma):
        return mu - sigma, mu + 2 * sigma

    mu, sigma = pm.Normal("mu"), pm.HalfNormal("sigma")
    pm.Normal("x", mu, sigma, shape=2, transform=tr.Interval(bounds_fn=bounds))


def circular():
    pm.VonMises("x", pm.Normal("mu"), 2, shape=3, transform=tr.circular, default_transform=None)


def log():
    pm.Gamma("x", 2, pm.HalfNormal("rate"), shape=3, transform=tr.log, default_transform=None)


def log_exp_m1():
    pm.HalfNormal("x", pm.HalfNormal("s"), shape=3, transform=tr.log_exp_m1, default_transform=None)


def logodds():
    pm.Beta("x", 2, pm.HalfNormal("b"), shape=3, transform=tr.logodds, default_transform=None)


def zero_sum():
    pm.Normal("x", shape=(2, 3), transform=tr.ZeroSumTransform([-1]))


def chain():
    pm.HalfNormal(
        "x",
        2,
        shape=3,
        transform=tr.Chain([tr.log, tr.ordered]),
        default_transform=None,
        initval=[0.5, 1.0, 2.0],
    )


def ordered_odds():
    pm.Beta(
        "x",
        2,
        2,
        shape=3,
        transform=tr.Chain([tr.logodds, tr.ordered]),
        default_transform=None,
        initval=[0.2, 0.5, 0.7],
    )


def cholesky_cov_packed():
    pm.LKJCholeskyCov("x", eta=1.5, n=3, sd_dist=pm.HalfNormal.dist(), compute_corr=False)


def cholesky_cov_packed_given():
    pm.Normal("x", 1, 1, shape=6, transform=tr.CholeskyCovPacked(3))


def users_own():
    pm.Normal("x", pm.Normal("mu"), 1, shape=3, transform=Cubic())


def users_own_with_parameters():
    pm.Normal("x", 0, pm.HalfNormal("s"), shape=3, transform=Scaled())


def added_to_the_default():
    pm.HalfNormal("x", 1, shape=3, transform=tr.ordered, initval=[0.5, 1.0, 2.0])


ENTRIES = {
    f"transform {name}": entry
    for name, entry in {
        **entries(
            ordered,
            ordered_rows,
            ordered_positive,
            ordered_descending,
            simplex,
            interval,
            interval_with_one_bound,
            interval_with_bounds_by_parameter,
            interval_with_bounds_by_function,
            circular,
            log,
            log_exp_m1,
            logodds,
            zero_sum,
            chain,
            ordered_odds,
            cholesky_cov_packed,
            cholesky_cov_packed_given,
            users_own,
            added_to_the_default,
        ),
        "sum to 1": Entry(sum_to_1, points={"x_sumto1__": (0.3, 0.05)}),
        "none": Entry(lambda: pm.HalfNormal("x", default_transform=None), points={"x": (1.5, 0.3)}),
    }.items()
}

if PYMC_6:
    # PyTensor 2.38 rewrites its log density without end, also for PyMC's own sampler.
    ENTRIES["transform users own with parameters"] = Entry(users_own_with_parameters)

    def cholesky_corr():
        pm.MvNormal(
            "x",
            np.zeros(2),
            np.eye(2),
            shape=(2, 2),
            initval=np.eye(2),
            transform=tr.CholeskyCorrTransform(2),
        )

    def cholesky_cov():
        pm.MatrixNormal(
            "x", np.eye(2), rowcov=np.eye(2), colcov=np.eye(2), transform=tr.CholeskyCovTransform(2)
        )

    ENTRIES["transform cholesky corr"] = Entry(cholesky_corr)
    ENTRIES["transform cholesky cov"] = Entry(cholesky_cov)
