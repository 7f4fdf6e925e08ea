"""Models that are special in their data, names, dtypes or shapes, and models of libraries."""

from functools import partial

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from catalogue.entry import Entry, entries

RNG = np.random.default_rng(7)
X = RNG.normal(size=(8, 3))
Y = RNG.normal(size=8)
GROUP = np.array([0, 2, 1, 1, 0, 2, 0, 1])


def missing_univariate():
    mu, sigma = pm.Normal("mu"), pm.HalfNormal("sigma")
    pm.Normal("y", mu, sigma, observed=np.ma.masked_invalid([0.5, np.nan, 1.2, np.nan]))


def missing_as_nan():
    pm.Gamma("y", pm.Exponential("alpha", 1), 1.0, observed=np.array([0.5, np.nan, 1.2]))


def missing_in_a_matrix():
    observed = X[:3].copy()
    observed[[0, 2], [1, 0]] = np.nan
    pm.Normal("y", pm.Normal("mu", shape=3), 1, observed=observed)


def missing_multivariate_rows():
    observed = X[:4, :2].copy()
    observed[1] = np.nan
    pm.MvNormal("y", pm.Normal("mu", shape=2), np.eye(2) + 0.2, observed=observed)


def missing_multivariate():
    observed = X[:3, :2].copy()
    observed[1, 0] = np.nan
    pm.MvNormal("y", pm.Normal("mu", shape=2), np.eye(2) + 0.2, observed=observed)


def missing_covariate():
    x = pm.Normal("x", 0, 1, observed=np.ma.masked_greater(Y, 0.5))
    pm.Normal("y", pm.Normal("beta") * x, 1, observed=X[:, 0])


def missing_in_a_random_walk():
    level = pm.GaussianRandomWalk("level", sigma=0.5, init_dist=pm.Normal.dist(), steps=7)
    pm.Normal("y", level, 0.5, observed=np.where(GROUP == 1, np.nan, Y))


def potentials():
    x = pm.Normal("x", shape=3)
    pm.Potential("soft", -0.5 * pt.sum(pt.diff(x)) ** 2)
    pm.Potential("each", pm.math.log(pm.math.sigmoid(x)))
    pm.Potential("constant", pt.constant(1.5))


def potential_alone():
    x = pm.Flat("x", shape=2)
    pm.Potential("banana", -((1 - x[0]) ** 2) - 2 * (x[1] - x[0] ** 2) ** 2)


def float32_values():
    x = pm.Normal("x", shape=3, dtype="float32")
    s = pm.HalfNormal("s")
    pm.Normal("y", x * s, np.float32(0.5), observed=Y[:3].astype("float32"))


def float32_everywhere():
    with pytensor.config.change_flags(floatX="float32", warn_float64="ignore"), pm.Model() as model:
        x = pm.Normal("x", shape=3)
        s = pm.HalfNormal("s", 1)
        pm.Normal("y", x.sum(), s, observed=Y.astype("float32"))
    return model


def float32_group_means():
    with pytensor.config.change_flags(floatX="float32", warn_float64="ignore"), pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 1)
        z = pm.Normal("z", shape=3)
        theta = pm.Deterministic("theta", mu + tau * z)
        pm.StudentT("y", nu=4, mu=theta[GROUP], sigma=1, observed=Y.astype("float32"))
    return model


def zero_size_variable():
    x = pm.Normal("x", shape=0)
    pm.Normal("y", pm.Normal("mu") + x.sum(), 1, observed=Y)


def zero_size_dims():
    pm.modelcontext(None).add_coords({"none": [], "some": [1, 2]})
    empty = pm.HalfNormal("empty", dims=("some", "none"))
    pm.Deterministic("twice", empty * 2, dims=("some", "none"))
    pm.Normal("y", pm.Normal("mu", dims="some")[0], 1, observed=Y)


def zero_observations():
    pm.Normal("y", pm.Normal("mu"), pm.HalfNormal("sigma"), observed=np.zeros(0))


def one_observation():
    pm.Normal("y", pm.Normal("mu"), pm.HalfNormal("sigma"), observed=1.5)


def names_that_are_no_identifiers():
    pm.modelcontext(None).add_coords({"größe oder so": list("abc")})
    a = pm.Normal("my effect|group[0] é", dims="größe oder so")
    b = pm.HalfNormal("2nd::scale")
    pm.Deterministic('a "quoted"\nname', a * b, dims="größe oder so")
    pm.Normal("y: seen", a[GROUP], b, observed=Y)


def variable_called_logp():
    logp = pm.Normal("logp")
    pm.Deterministic("logp_", 2 * logp)
    pm.Normal("gradient", logp, pm.HalfNormal("class"), observed=Y)


def prefixed_names():
    with pm.Model(name="outer") as model:
        a = pm.Normal("a")
        with pm.Model(name="inner"):
            pm.Deterministic("c", a * pm.HalfNormal("b"))
    return model


def unnamed_shared_variables():
    basis, offset = pytensor.shared(X), pytensor.shared(np.float64(0.3))
    pm.Normal("y", basis @ pm.Normal("w", shape=3) + offset, pm.HalfNormal("s"), observed=Y)


def shared_variables_of_one_name():
    one, other = pytensor.shared(X[:, 0], name="x"), pytensor.shared(X[:, 1], name="x")
    pm.Normal("y", one * pm.Normal("a") + other * pm.Normal("b"), 1, observed=Y)


def fortran_ordered_data():
    x = pm.Data("x", np.asfortranarray(X))
    pm.Normal("y", x @ pm.Normal("w", shape=3) + np.asfortranarray(X) @ [1.0, 2, 3], 1, observed=Y)


def strided_data():
    wide = RNG.normal(size=(16, 6))
    x = pm.Data("x", wide[::2, ::-2])
    pm.Normal("y", x @ pm.Normal("w", shape=3), pm.HalfNormal("s"), observed=wide[::-2, 1])


def read_only_data():
    frozen, target = X.copy(), Y.copy()
    frozen.flags.writeable = target.flags.writeable = False
    pm.Normal("y", frozen @ pm.Normal("w", shape=3), 1, observed=target)


def integer_and_boolean_data():
    counts = pm.Data("counts", np.array([3, 0, 1, 2, 0, 1, 4, 2], dtype="uint8"))
    treated = pm.Data("treated", Y > 0)
    group = pm.Data("group", GROUP.astype("int8"))
    trials = np.full(8, 5, dtype="int32")
    a, b = pm.Normal("a", shape=3), pm.Normal("b")
    pm.Binomial("y", n=trials, logit_p=a[group] + b * treated, observed=counts)


def masks():
    mask = pm.Data("mask", Y > 0)
    x = pm.Normal("x", shape=8)
    pm.Potential("masked", -((x[mask] - Y[Y > 0]) ** 2))
    pm.Potential("found", x[(mask * 1).nonzero()] * 0.1)


def data_with_dims():
    model = pm.modelcontext(None)
    model.add_coords({"obs": range(8), "feature": list("uvw"), "group": list("abc")})
    x = pm.Data("x", X, dims=("obs", "feature"))
    group = pm.Data("group_of", GROUP, dims="obs")
    beta, alpha = pm.Normal("beta", dims="feature"), pm.ZeroSumNormal("alpha", dims="group")
    mu = pm.Deterministic("mu", alpha[group] + x @ beta, dims="obs")
    pm.Normal("y", mu, pm.HalfNormal("sigma"), observed=pm.Data("y_seen", Y, dims="obs"), dims="obs")


def without_bounds_checks():
    with pm.Model(check_bounds=False) as model:
        pm.Normal("y", 0, pm.HalfNormal("sigma"), observed=Y)
    return model


def soft_bounds_by_potential():
    x = pm.Normal("x", shape=2)
    pm.Potential("inside", pm.math.switch(pt.all(x > -5), 0.0, -np.inf))


def deterministics_of_every_kind():
    x = pm.Normal("x", shape=4)
    pm.Deterministic("count", (x > 0).sum())
    pm.Deterministic("flag", x > 0)
    pm.Deterministic("rank", pt.argmax(x))
    pm.Deterministic("sorted", pt.sort(x))
    pm.Deterministic("order", pt.argsort(x))
    pm.Deterministic("matrix", pt.outer(x, x))
    pm.Deterministic("unchanged", x)
    pm.Deterministic("empty", x[:0])
    pm.Deterministic("constant", pt.constant([1, 2]))
    pm.Deterministic("inverse", pt.linalg.inv(pt.outer(x, x) + pt.eye(4)))
    pm.Deterministic("log", pt.log10(pm.math.abs(x)))


def linear_algebra():
    chol, corr, deviations = pm.LKJCholeskyCov("chol", n=3, eta=2, sd_dist=pm.Exponential.dist(1))
    z = pm.Normal("z", shape=(3, 4))
    effects = pm.Deterministic("effects", (chol @ z).T)
    pm.Deterministic("precision", pt.linalg.inv(chol @ chol.T))
    pm.Potential("logdet", -0.1 * pt.linalg.slogdet(corr + pt.eye(3))[1])
    pm.Normal("y", (X * effects[GROUP]).sum(axis=1), deviations[0], observed=Y)


def inner_graphs():
    x, y = pt.vector("x"), pt.scalar("y")
    inner = pytensor.compile.builders.OpFromGraph([x, y], [pt.exp(x) * y, x.sum() + y])
    a = pm.Normal("a", shape=3)
    u, v = inner(a, 2.0)
    w, _ = inner(0.1 * a, v)
    pm.Potential("p", -pt.sum(u) * 1e-3 - w**2)


def differential_equation():
    def decay(y, t, p):
        return [-p[0] * y[0] + p[1]]

    equation = pm.ode.DifferentialEquation(decay, times=[0.5, 1.0], n_states=1, n_theta=2, t0=0)
    rates = pm.LogNormal("rates", 0, 0.5, shape=2)
    curve = equation(y0=[pm.LogNormal("start", 0, 0.5)], theta=rates)
    pm.LogNormal("y", pt.log(curve[:, 0]), 0.3, observed=[0.8, 0.6])


def simulator():
    def simulate(rng, mu, size):
        return rng.normal(mu, 1, size=size)

    pm.Simulator("y", simulate, pm.Normal("mu"), observed=Y)


def media_mix():
    model = pm.modelcontext(None)
    model.add_coords({"week": range(8), "channel": list("uv"), "fourier": range(2)})
    spend = pm.Data("spend", np.abs(X[:, :2]), dims=("week", "channel"))
    day = pm.Data("day", np.arange(8.0), dims="week")
    alpha, rate = pm.Beta("alpha", 1, 3, dims="channel"), pm.Gamma("rate", 3, 1, dims="channel")
    lags = pt.power(alpha[:, None], pt.arange(3)[None, :])
    lags = lags / lags.sum(axis=-1, keepdims=True)
    padded = pt.concatenate([pt.zeros((2, 2)), spend], axis=0).T
    carried = pt.signal.convolve1d(padded, lags, mode="valid").T
    saturated = (1 - pt.exp(-rate * carried)) / (1 + pt.exp(-rate * carried))
    effect = pm.Deterministic(
        "effect", saturated * pm.HalfNormal("beta", dims="channel"), dims=("week", "channel")
    )
    waves = pt.stack([pt.sin(2 * np.pi * day / 7), pt.cos(2 * np.pi * day / 7)], axis=-1)
    season = pt.dot(waves, pm.Laplace("season", 0, 1, dims="fourier"))
    mu = pm.Normal("intercept") + effect.sum(axis=-1) + season
    pm.Normal("y", mu, pm.HalfNormal("sigma"), observed=Y, dims="week")


def bambi_model(formula, **options):
    """The PyMC model that Bambi makes of a formula on a small data frame."""
    import bambi
    import pandas as pd

    frame = pd.DataFrame(
        {
            "y": Y,
            "positive": np.abs(Y) + 0.1,
            "count": GROUP,
            "win": (Y > 0).astype(int),
            "u": X[:, 0],
            "v": X[:, 1],
            "group": list("abbaccab"),
            "level": pd.Categorical(list("lmhlmhhl"), categories=["l", "m", "h"], ordered=True),
        }
    )
    model = bambi.Model(formula, frame, **options)
    model.build()
    return model.backend.model


BAMBI = {
    "linear": ("y ~ u + v", {}),
    "interaction": ("y ~ u * group", {}),
    "varying effects": ("y ~ u + (1 + u | group)", {}),
    "varying effects, centred": ("y ~ u + (1 | group)", {"noncentered": False}),
    "logistic": ("win ~ u + v", {"family": "bernoulli"}),
    "poisson": ("count ~ u + offset(v)", {"family": "poisson"}),
    "negative binomial": ("count ~ u", {"family": "negativebinomial"}),
    "gamma": ("positive ~ u", {"family": "gamma", "link": "log"}),
    "student t": ("y ~ u", {"family": "t"}),
    "beta binomial": ("p(count, 4) ~ u", {"family": "beta_binomial"}),
    "categorical": ("group ~ u", {"family": "categorical"}),
    "spline": ("y ~ bs(u, df=4)", {}),
    "gaussian process": ("y ~ 0 + hsgp(u, m=4, c=2)", {}),
    "zero inflated": ("count ~ u", {"family": "zero_inflated_poisson"}),
    "weibull": ("positive ~ u", {"family": "weibull", "link": "log"}),
}

SINGLE = {
    "rtol": (1e-5, 1e-4),
    "looser": "PyTensor computes in float32, we in float64",
}

ENTRIES = {
    **entries(
        missing_univariate,
        missing_as_nan,
        missing_in_a_matrix,
        missing_multivariate_rows,
        missing_multivariate,
        missing_covariate,
        missing_in_a_random_walk,
        potentials,
        potential_alone,
        zero_size_variable,
        zero_size_dims,
        zero_observations,
        one_observation,
        names_that_are_no_identifiers,
        variable_called_logp,
        prefixed_names,
        unnamed_shared_variables,
        shared_variables_of_one_name,
        fortran_ordered_data,
        strided_data,
        read_only_data,
        integer_and_boolean_data,
        masks,
        data_with_dims,
        without_bounds_checks,
        soft_bounds_by_potential,
        deterministics_of_every_kind,
        linear_algebra,
        inner_graphs,
        media_mix,
    ),
    # Its density is the distance to a simulation: it has no gradient, and is random.
    "simulator": Entry(simulator, refused="Simulator"),
    "float32 values": Entry(float32_values, **SINGLE),
    "float32 everywhere": Entry(float32_everywhere, **SINGLE),
    "float32 group means": Entry(float32_group_means, **SINGLE),
    "differential equation": Entry(differential_equation, foreign=("DifferentialEquation",)),
    "bambi cumulative": Entry(
        partial(bambi_model, "level ~ u + v", family="cumulative"),
        unsampled="Bambi gives a dim of length 3 to an array of length 2, which xarray refuses",
    ),
    **{
        f"bambi {name}": Entry(partial(bambi_model, formula, **options))
        for name, (formula, options) in BAMBI.items()
    },
}
