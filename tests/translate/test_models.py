"""Whole models, as people write them: density, gradient and Deterministics equal PyTensor's."""

import subprocess
import sys
import warnings

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from oracle import check_model

RNG = np.random.default_rng(11)
X = RNG.normal(size=(12, 3))
GROUP = np.array([0, 2, 1, 1, 0, 2, 3, 3, 0, 1, 2, 3])
Y = RNG.normal(size=12)
COORDS = {"obs": range(12), "group": list("abcd"), "feature": ["u", "v", "w"]}


def eight_schools(centred):
    effects = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    errors = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    with pm.Model(coords={"school": range(8)}) as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        if centred:
            theta = pm.Normal("theta", mu, tau, dims="school")
        else:
            z = pm.Normal("z", dims="school")
            theta = pm.Deterministic("theta", mu + tau * z, dims="school")
        pm.Normal("y", theta, errors, observed=effects, dims="school")
    return model


def linear_regression():
    with pm.Model(coords=COORDS) as model:
        x = pm.Data("x", X, dims=("obs", "feature"))
        y = pm.Data("y_data", Y, dims="obs")
        beta = pm.Normal("beta", 0, 2, dims="feature")
        alpha = pm.Normal("alpha", 0, 10)
        sigma = pm.HalfNormal("sigma", 1)
        mu = pm.Deterministic("mu", alpha + x @ beta, dims="obs")
        pm.Normal("y", mu, sigma, observed=y, dims="obs")
    return model


def logistic_regression():
    with pm.Model() as model:
        beta = pm.Laplace("beta", 0, 1, shape=3)
        pm.Bernoulli("y", logit_p=pt.dot(X, beta), observed=Y > 0)
    return model


def poisson_regression_with_offset():
    with pm.Model(coords=COORDS) as model:
        exposure = pm.Data("exposure", np.exp(Y), dims="obs")
        beta = pm.Normal("beta", dims="feature")
        rate = pm.math.exp(X @ beta) * exposure
        pm.Poisson("y", rate, observed=GROUP, dims="obs")
    return model


def negative_binomial_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        alpha = pm.Exponential("alpha", 1)
        pm.NegativeBinomial("y", mu=pm.math.exp(X @ beta), alpha=alpha, observed=GROUP)
    return model


def varying_intercepts(centred):
    with pm.Model(coords=COORDS) as model:
        group = pm.Data("group_index", GROUP, dims="obs")
        mu = pm.Normal("mu", 0, 2)
        sigma_group = pm.HalfNormal("sigma_group", 1)
        if centred:
            alpha = pm.Normal("alpha", mu, sigma_group, dims="group")
        else:
            offset = pm.Normal("offset", dims="group")
            alpha = pm.Deterministic("alpha", mu + sigma_group * offset, dims="group")
        beta = pm.Normal("beta", 0, 1)
        sigma = pm.Exponential("sigma", 1)
        pm.Normal("y", alpha[group] + beta * X[:, 0], sigma, observed=Y, dims="obs")
    return model


def varying_slopes():
    with pm.Model(coords={**COORDS, "effect": ["intercept", "slope"]}) as model:
        mu = pm.Normal("mu", dims="effect")
        sigma = pm.Exponential("sigma", 1, dims="effect")
        z = pm.Normal("z", dims=("group", "effect"))
        effects = pm.Deterministic("effects", mu + z * sigma)
        eta = effects[GROUP, 0] + effects[GROUP, 1] * X[:, 1]
        pm.StudentT("y", nu=4, mu=eta, sigma=pm.HalfNormal("noise"), observed=Y)
    return model


def correlated_varying_slopes():
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
        z = pm.Normal("z", shape=(2, 4))
        effects = pt.dot(chol, z).T
        pm.Normal("y", effects[GROUP, 0] + effects[GROUP, 1] * X[:, 1], 1, observed=Y)
    return model


def horseshoe():
    with pm.Model() as model:
        tau = pm.HalfCauchy("tau", 1)
        scale = pm.HalfCauchy("scale", 1, shape=3)
        z = pm.Normal("z", shape=3)
        pm.Bernoulli("y", logit_p=X @ (z * scale * tau), observed=Y > 0)
    return model


def change_point():
    years = np.arange(12)
    with pm.Model() as model:
        switch = pm.Uniform("switch", 0, 12)
        early, late = pm.Exponential("early", 1), pm.Exponential("late", 1)
        pm.Poisson("y", pm.math.switch(switch >= years, early, late), observed=GROUP)
    return model


def potentials():
    with pm.Model() as model:
        x = pm.Normal("x", shape=3)
        pm.Potential("soft", -0.5 * pt.sum(pt.diff(x)) ** 2)
        pm.Potential("each", pm.math.log(pm.math.sigmoid(x)))
    return model


def random_walk_with_missing_data():
    observed = np.ma.masked_invalid(np.where(GROUP == 1, np.nan, Y))
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma")
        level = pm.GaussianRandomWalk("level", sigma=sigma, init_dist=pm.Normal.dist(), steps=11)
        pm.Normal("y", level, 0.5, observed=observed)
    return model


def mixture_with_ordered_means():
    with pm.Model() as model:
        w = pm.Dirichlet("w", np.ones(2))
        mu = pm.Normal("mu", 0, 3, shape=2, transform=pm.distributions.transforms.ordered)
        pm.NormalMixture("y", w=w, mu=mu, sigma=[0.5, 1.0], observed=Y)
    return model


def ordinal_regression():
    with pm.Model() as model:
        cutpoints = pm.Normal(
            "cutpoints", [-1, 0, 1], 1, shape=3, transform=pm.distributions.transforms.ordered
        )
        beta = pm.Normal("beta", shape=3)
        pm.OrderedLogistic("y", eta=X @ beta, cutpoints=cutpoints, observed=GROUP)
    return model


def multinomial_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=(3, 4))
        pm.Categorical("y", logit_p=X @ beta, observed=GROUP)
    return model


def autoregression():
    with pm.Model() as model:
        rho = pm.Normal("rho", 0, 0.5, shape=2)
        sigma = pm.HalfNormal("sigma")
        pm.AR("y", rho=rho, sigma=sigma, init_dist=pm.Normal.dist(), ar_order=2, observed=Y)
    return model


def spline_like_shared_values():
    basis = pytensor.shared(X, name="basis")
    scale = pytensor.shared(2.0)  # without a name
    with pm.Model() as model:
        w = pm.ZeroSumNormal("w", sigma=scale, shape=3)
        pm.Normal("y", basis @ w, 1, observed=Y)
    return model


def approximate_gaussian_process():
    with pm.Model() as model:
        length = pm.Gamma("length", 2, 1)
        gp = pm.gp.HSGP(m=[6], L=[4.0], cov_func=pm.gp.cov.Matern52(1, ls=length))
        f = gp.prior("f", X=pm.Data("x", X[:, :1]))
        pm.Normal("y", f, 1, observed=Y)
    return model


def forward_recursion():
    with pm.Model() as model:
        transition = pm.Dirichlet("transition", np.ones((2, 2)))
        mu = pm.Normal("mu", shape=2)
        emission = pm.logp(pm.Normal.dist(mu, 1), Y[:, None])
        state = emission[0]
        for t in range(1, 4):
            state = pt.logsumexp(state[:, None] + pt.log(transition), axis=0) + emission[t]
        pm.Potential("evidence", pt.logsumexp(state))
    return model


def censored_survival():
    with pm.Model() as model:
        scale = pm.math.exp(X @ pm.Normal("beta", shape=3))
        pm.Weibull("time", 1.5, scale, observed=np.abs(Y))
        pm.Potential("censored", pm.logcdf(pm.LogNormal.dist(pm.Normal("mu"), 1), np.abs(Y)))
    return model


def inner_graphs():
    x, y = pt.vector("x"), pt.scalar("y")
    inner = pytensor.compile.builders.OpFromGraph([x, y], [pt.exp(x) * y, x.sum() + y])
    with pm.Model() as model:
        a = pm.Normal("a", shape=3)
        u, v = inner(a, 2.0)
        w, _ = inner(0.1 * a, v)
        pm.Potential("p", -pt.sum(u) * 1e-3 - w**2)
    return model


def masks_and_narrow_dtypes():
    with pm.Model() as model:
        mask = pm.Data("mask", Y > 0)
        y = pm.Data("y", Y.astype("float32"))
        group = pm.Data("group_index", GROUP.astype("int8"))
        x = pm.Normal("x", shape=12)
        pm.Potential("masked", -((x[mask] - y[mask]) ** 2))
        pm.Potential("found", x[(y > 0).nonzero()] * group[(y > 0).nonzero()])
    return model


def submodels():
    with pm.Model(name="outer") as model:
        a = pm.Normal("a")
        with pm.Model(name="inner"):
            pm.Deterministic("c", a * pm.HalfNormal("b"))
    return model


def several_axes():
    with pm.Model(coords={"i": range(2), "j": range(3), "k": range(4)}) as model:
        x = pm.Normal("x", dims=("i", "j", "k"))
        s = pm.HalfNormal("s", dims=("i", "k"))
        z = pm.ZeroSumNormal("z", dims=("i", "j"))
        mu = x * s[:, None, :] + z[..., None]
        pm.Normal("y", mu.sum(axis=(0, 2)), 1, observed=[1.0, 2.0, 3.0])
    return model


def all_kinds_of_deterministics():
    with pm.Model(coords=COORDS) as model:
        x = pm.Normal("x", dims="group")
        data = pm.Data("data", GROUP, dims="obs")
        pm.Deterministic("count", (x > 0).sum())
        pm.Deterministic("flag", x > 0, dims="group")
        pm.Deterministic("data too", data + 1, dims="obs")
        pm.Deterministic("rank", pt.argmax(x))
        pm.Deterministic("matrix", pt.outer(x, x))
        pm.Deterministic("unchanged", x)
        pm.Deterministic("empty", x[:0])
        pm.Deterministic("log10", pt.log10(pm.math.abs(x)))
        pm.Deterministic("logp", x.sum())
        pm.Deterministic("logp_", x.max())
    return model


def without_bounds_checks():
    with pm.Model(check_bounds=False) as model:
        sigma = pm.Normal("sigma", 1, 0.1)
        pm.Normal("y", 0, sigma, observed=Y)
    return model


def hurdle():
    with pm.Model() as model:
        p, mu = pm.Beta("p", 1, 1), pm.Gamma("mu", 2, 1)
        positive = pt.log(p) + pm.logp(pm.Poisson.dist(mu), GROUP) - pt.log1mexp(-mu)
        pm.Potential("y", pt.switch(pt.eq(GROUP, 0), pt.log1p(-p), positive))
    return model


def cumulative_logits():
    with pm.Model() as model:
        steps, first = pm.HalfNormal("steps", shape=2), pm.Normal("first")
        cutpoints = pt.concatenate([first[None], first + pt.cumsum(steps)])
        below = pm.math.sigmoid(cutpoints - (X @ pm.Normal("beta", shape=3))[:, None])
        p = pt.concatenate([below[:, :1], below[:, 1:] - below[:, :-1], 1 - below[:, -1:]], axis=1)
        pm.Categorical("y", p=p, observed=GROUP)
    return model


def stick_breaking():
    with pm.Model() as model:
        v = pm.Beta("v", 1, pm.Gamma("concentration", 2, 1), shape=4)
        w = pm.Deterministic("w", v * pt.concatenate([[1], pt.cumprod(1 - v)[:-1]]))
        pm.NormalMixture("y", w / w.sum(), mu=pm.Normal("mu", 0, 2, shape=4), sigma=1.0, observed=Y)
    return model


def marketing_mix():
    with pm.Model(coords={"week": range(12), "channel": list("uvw")}) as model:
        spend = pm.Data("spend", np.abs(X), dims=("week", "channel"))
        alpha, rate = pm.Beta("alpha", 1, 3, dims="channel"), pm.Gamma("rate", 3, 1, dims="channel")
        weights = pt.power(alpha[None, :], pt.arange(3)[:, None])
        weights = weights / weights.sum(axis=0, keepdims=True)
        padded = pt.concatenate([pt.zeros((2, 3)), spend], axis=0)
        carried = sum(padded[2 - lag : padded.shape[0] - lag] * weights[lag] for lag in range(3))
        saturated = (1 - pt.exp(-rate * carried)) / (1 + pt.exp(-rate * carried))
        effect = pm.Deterministic("effect", saturated * pm.HalfNormal("beta"), dims=("week", "channel"))
        pm.Normal("y", effect.sum(axis=-1), pm.HalfNormal("sigma"), observed=Y, dims="week")
    return model


def neighbours():
    one, other = np.array([[0, 1], [1, 2], [2, 3], [3, 0]]).T
    with pm.Model() as model:
        phi = pm.Flat("phi", shape=4)
        pm.Potential("pairs", -0.5 * pt.sum((phi[one] - phi[other]) ** 2))
        pm.Potential("centre", pm.logp(pm.Normal.dist(0, 0.01), phi.sum()))
        pm.Poisson("y", pt.exp(phi[GROUP] * pm.HalfNormal("s")), observed=GROUP)
    return model


def item_response():
    with pm.Model() as model:
        ability, difficulty = pm.Normal("ability", shape=(4, 1)), pm.Normal("difficulty", shape=(1, 3))
        guess = pm.Beta("guess", 2, 8, shape=(1, 3))
        p = guess + (1 - guess) * pm.math.sigmoid(ability - difficulty)
        pm.Bernoulli("y", p=p, observed=X[:4] > 0)
    return model


def many_variables():
    with pm.Model() as model:
        x = [pm.Normal(f"x{i}") for i in range(25)]  # NumPy, which the oracle uses, cannot add 32 at once
        pm.Normal("y", sum(x), 1, observed=1.0)
        pm.Normal("z", pt.stack(x), 1, observed=np.arange(25.0))
    return model


def strange_names_and_empty_dims():
    with pm.Model(coords={"größe oder so": list("abcd"), "none": []}) as model:
        a = pm.Normal("my effect|group[0] é", dims="größe oder so")
        pm.Deterministic('a "quoted"\nname', a * 2, dims="größe oder so")
        empty = pm.Normal("empty", dims="none")
        pm.Deterministic("twice", empty * 2, dims="none")
        pm.Normal("y: seen", a[GROUP] + empty.sum(), pm.HalfNormal("sigma" * 100), observed=Y)
    return model


MODELS = {
    "eight schools, centred": lambda: eight_schools(True),
    "eight schools, non-centred": lambda: eight_schools(False),
    "varying intercepts, centred": lambda: varying_intercepts(True),
    "varying intercepts, non-centred": lambda: varying_intercepts(False),
    **{
        build.__name__.replace("_", " "): build
        for build in (
            linear_regression,
            logistic_regression,
            poisson_regression_with_offset,
            negative_binomial_regression,
            varying_slopes,
            correlated_varying_slopes,
            horseshoe,
            change_point,
            potentials,
            random_walk_with_missing_data,
            mixture_with_ordered_means,
            ordinal_regression,
            multinomial_regression,
            autoregression,
            spline_like_shared_values,
            approximate_gaussian_process,
            forward_recursion,
            censored_survival,
            inner_graphs,
            masks_and_narrow_dtypes,
            submodels,
            several_axes,
            all_kinds_of_deterministics,
            without_bounds_checks,
            hurdle,
            cumulative_logits,
            stick_breaking,
            marketing_mix,
            neighbours,
            item_response,
            many_variables,
            strange_names_and_empty_dims,
        )
    },
}


@pytest.mark.filterwarnings("ignore:Data in y contains missing values:pymc.exceptions.ImputationWarning")
@pytest.mark.parametrize("name", MODELS)
def test_model(name):
    check_model(MODELS[name]())


def test_large_exponents_are_finite():
    with pm.Model() as model:
        x = pm.Normal("x", 5000)
        pm.Potential("p", pt.log(pt.exp(x) + pt.exp(2 * x)))
    check_model(model, centre=5000)


def test_dims_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "xtensor module is experimental", in PyTensor 2
        import pymc.dims as dims
    with pm.Model(coords=COORDS) as model:
        x = dims.Data("x", X, dims=("obs", "feature"))
        y = dims.Data("y_data", Y, dims="obs")
        beta = dims.Normal("beta", dims="feature")
        sigma = dims.HalfNormal("sigma")
        mu = dims.Deterministic("mu", x.dot(beta))
        dims.Normal("y", mu, sigma, observed=y)
    check_model(model)


@pytest.mark.skipif(not hasattr(pm.model.core, "FrozenModel"), reason="PyMC 6 only")
def test_frozen_model():
    from pymc.model.transform.optimization import freeze_model

    frozen = freeze_model(linear_regression())
    check_model(frozen)
    check_model(frozen)  # its memoised density is not changed by the first translation


def test_the_dims_module_can_be_imported_after_a_translation():
    code = """
import pymc as pm
from pymc_rustmc.compile import translate_model
with pm.Model() as model:
    pm.Normal("x")
translate_model(model)
import pymc.dims
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_failed_check_gives_minus_infinity_with_the_gradient_of_the_term():
    with pm.Model() as model:
        sigma = pm.Normal("sigma", 1, 1)
        pm.Normal("y", 0, sigma, observed=[0.5, 1.0])
    density = check_model(model).density
    logp, gradient = density.logp_and_gradient(np.array([-0.5]))
    assert logp == -np.inf
    assert np.isfinite(gradient).all()


def test_the_model_is_not_changed():
    from pytensor.graph.traversal import ancestors

    from pymc_rustmc.compile import translate_model

    model = correlated_varying_slopes()
    before = [repr(v.owner) for v in ancestors([model["y"], *model.deterministics])]
    translate_model(model)
    assert [repr(v.owner) for v in ancestors([model["y"], *model.deterministics])] == before
