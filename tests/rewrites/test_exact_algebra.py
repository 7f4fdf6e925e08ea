"""Rules of exact algebra fire on models as users write them, can be switched off, and lose no digits."""

from fractions import Fraction

import numpy as np
import pymc as pm
import pytest

from pymc_rustmc import RustMC, compile_model, load_model
from pymc_rustmc._core import REWRITE_RULES

N = 300
RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(N, 3))
Y = RANDOM.normal(size=N)
COUNTS = RANDOM.poisson(3, N)
GROUP = RANDOM.integers(0, 8, N)
OTHER = RANDOM.integers(0, 5, N)
WEIGHTS = RANDOM.uniform(0.5, 2, N)


def intercept_and_matrix():
    pm.Normal("y", pm.Normal("a") + X @ pm.Normal("b", shape=3), pm.HalfNormal("s"), observed=Y)


def dot_and_offset():
    pm.Normal("y", 0.5 * Y + pm.math.dot(X, pm.Normal("b", shape=3)), 2, observed=Y)


def sum_of_columns():
    b = pm.Normal("b", shape=3)
    a = pm.Normal("a")
    pm.Normal(
        "y", a + b[0] * X[:, 0] + b[1] * X[:, 1] - 2 * b[1] * X[:, 2], tau=pm.Gamma("t", 2, 1), observed=Y
    )


def data_container_standardised_in_the_graph():
    x = pm.Data("x", X[:, 0])
    pm.Normal("y", pm.Normal("b") * (x - x.mean()) / x.std(), pm.HalfNormal("s"), observed=Y)


def known_weights():
    pm.Normal("y", pm.Normal("a") + pm.Normal("b") * X[:, 0], pm.HalfNormal("s") * WEIGHTS, observed=Y)


def known_scales():
    pm.Normal("y", pm.Normal("a"), WEIGHTS, observed=Y)


def group_effects():
    a = pm.Normal("mu") + pm.HalfNormal("tau") * pm.Normal("z", shape=8)
    b = pm.Normal("b", shape=3)
    pm.Normal(
        "y", a[GROUP] + pm.Normal("c", shape=8)[GROUP] * X[:, 0] + X @ b, pm.HalfNormal("s"), observed=Y
    )


def groups_of_three():
    pm.Normal("y", pm.Normal("a", shape=100)[np.arange(N) // 3], pm.HalfNormal("s"), observed=Y)


def crossed_groups():
    pm.Normal(
        "y", pm.Normal("u", shape=8)[GROUP] + pm.Normal("v", shape=5)[OTHER], pm.HalfNormal("s"), observed=Y
    )


def scales_of_groups():
    pm.Normal("y", pm.Normal("a", shape=8)[GROUP], pm.HalfNormal("s", shape=8)[GROUP], observed=Y)


def columns_of_a_matrix():
    pm.Normal("y", pm.Normal("a", shape=3)[None, :], pm.HalfNormal("s"), observed=X)


def log_normal():
    pm.LogNormal("y", pm.Normal("a") + pm.Normal("b") * X[:, 0], pm.HalfNormal("s"), observed=np.exp(Y))


def poisson():
    pm.Poisson("y", pm.math.exp(pm.Normal("a") + X @ pm.Normal("b", shape=3)), observed=COUNTS)


def poisson_of_groups():
    pm.Poisson("y", pm.math.exp(pm.Normal("a", shape=8)[GROUP] + pm.Normal("b")), observed=COUNTS)


def poisson_with_exposures():
    pm.Poisson("y", WEIGHTS * pm.math.exp(pm.Normal("a", shape=8)[GROUP]), observed=COUNTS)


def sums_along_rows():
    pm.Normal("y", (X * pm.Normal("b", shape=3)).sum(axis=1), pm.HalfNormal("s"), observed=Y)


def binomial():
    eta = pm.Normal("a") + X @ pm.Normal("b", shape=3)
    pm.Binomial("y", 20, logit_p=eta, observed=COUNTS)


def negative_binomial():
    eta = pm.Normal("a") + X @ pm.Normal("b", shape=3)
    pm.NegativeBinomial("y", mu=pm.math.exp(eta), alpha=pm.HalfNormal("alpha"), observed=COUNTS)


def bernoulli_of_groups():
    pm.Bernoulli("y", logit_p=pm.Normal("a", shape=8)[GROUP], observed=COUNTS > 3)


SQUARES = {"sums_of_squares"}
MODELS = {
    intercept_and_matrix: SQUARES,
    dot_and_offset: SQUARES,
    sum_of_columns: SQUARES,
    data_container_standardised_in_the_graph: SQUARES,
    known_weights: SQUARES,
    known_scales: SQUARES,
    group_effects: SQUARES,
    groups_of_three: SQUARES,
    crossed_groups: SQUARES,
    scales_of_groups: SQUARES | {"linear_sums"},
    columns_of_a_matrix: SQUARES,
    log_normal: SQUARES,
    poisson: {"linear_sums"},
    poisson_of_groups: {"linear_sums"},
    poisson_with_exposures: {"linear_sums"},
    sums_along_rows: SQUARES,
    binomial: {"linear_sums"},
    negative_binomial: {"equal_rows"},
    bernoulli_of_groups: {"equal_rows"},
}


def evaluate(compiled, position):
    logp, gradient = compiled._bound.density.logp_and_gradient(position)
    return np.concatenate([[logp], gradient])


def fired(compiled):
    return set(compiled.explain().rewrites) & set(REWRITE_RULES)


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_models_as_users_write_them(build):
    with pm.Model() as model:
        build()
    exact, plain = compile_model(model), compile_model(model, rewrites=False)
    assert fired(exact) >= MODELS[build]
    assert not fired(plain)
    random = np.random.default_rng(2)
    for _ in range(100):
        position = random.normal(size=exact._bound.density.dim)
        found, wanted = evaluate(exact, position), evaluate(plain, position)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11 * np.abs(wanted).max())


def test_squares_that_leave_the_range_of_numbers_stay_as_they_are():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu"), 1e-120 * WEIGHTS, observed=1e-120 * Y)
    compiled = compile_model(model)
    assert "sums_of_squares" not in fired(compiled)
    assert np.isfinite(evaluate(compiled, np.zeros(1))[0])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_few_rows(n):
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu"), pm.HalfNormal("s"), observed=Y[:n])
    exact, plain = compile_model(model), compile_model(model, rewrites=False)
    position = np.array([0.3, -0.2])
    np.testing.assert_allclose(evaluate(exact, position), evaluate(plain, position), rtol=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_badly_scaled_data_keep_every_digit(grouped):
    """Against rational arithmetic: means of 1e6, spreads of 1e-6, at points where residuals are as small."""
    random = np.random.default_rng(3)
    n, groups = 60, 4
    group = random.integers(0, groups, n)
    x = 1e6 + 1e-6 * random.normal(size=(n, 2))
    y = 1e6 + 1e-6 * random.normal(size=n)
    scale = 1e-6
    with pm.Model() as model:
        b = pm.Flat("b", shape=2)
        a = pm.Flat("a", shape=groups) if grouped else pm.Flat("a")
        pm.Normal("y", (a[group] if grouped else a) + x @ b, scale, observed=y)
    compiled = compile_model(model)
    assert fired(compiled) >= SQUARES
    exact_x, exact_y = np.vectorize(Fraction)(x), np.vectorize(Fraction)(y)
    for _ in range(20):
        b = random.normal(size=2)
        a = y.mean() - (x @ b).mean() + 1e-6 * random.normal(size=groups if grouped else 1)
        residuals = [
            exact_y[i] - Fraction(a[group[i] if grouped else 0]) - sum(exact_x[i] * [Fraction(v) for v in b])
            for i in range(n)
        ]
        variance = Fraction(scale) ** 2
        square = float(sum(r * r for r in residuals) / variance)
        logp = -0.5 * square - n * (np.log(scale) + 0.5 * np.log(2 * np.pi))
        slopes = [
            float(sum(r * row[k] for r, row in zip(residuals, exact_x, strict=True)) / variance)
            for k in range(2)
        ]
        of_group = [
            float(sum(r for r, g in zip(residuals, group, strict=True) if g == k) / variance)
            for k in range(groups)
        ]
        wanted = [logp, *slopes, *(of_group if grouped else [sum(of_group)])]
        np.testing.assert_allclose(evaluate(compiled, np.concatenate([b, a])), wanted, rtol=1e-9)


def test_switches():
    with pm.Model() as model:
        scales_of_groups()
    assert fired(compile_model(model, rewrites=True)) == fired(compile_model(model)) == set(REWRITE_RULES)
    for rule in REWRITE_RULES:
        assert fired(compile_model(model, rewrites={rule: False})) <= set(REWRITE_RULES) - {rule}
    compiled = compile_model(model, rewrites=False)
    assert not fired(compiled.bind())
    with pytest.raises(ValueError, match="'no_such_rule'; the rules are 'sums_of_squares', 'linear_sums'"):
        compile_model(model, rewrites={"no_such_rule": False})
    with pytest.raises(TypeError, match="`rewrites` must be True, False or a mapping"):
        RustMC(rewrites="off")
    with pytest.raises(TypeError, match="equal_rows"):
        RustMC(rewrites={"equal_rows": 0.5})


def test_a_file_keeps_the_switches(tmp_path):
    with pm.Model() as model:
        known_scales()
    compile_model(model, rewrites=False).save(tmp_path / "plain.rustmc")
    assert not fired(load_model(tmp_path / "plain.rustmc"))


def test_draws_agree_within_four_standard_errors():
    random = np.random.default_rng(4)
    x = random.normal(size=(2000, 4))
    y = 1 + x @ [1.0, -0.5, 0.0, 2.0] + random.normal(size=2000)
    with pm.Model() as model:
        b = pm.Normal("b", 0, 5, shape=4)
        a = pm.Normal("a", 0, 5)
        pm.Normal("y", a + x @ b, pm.HalfNormal("s", 2), observed=y)
    run = {"chains": 2, "cores": 1, "progressbar": False, "quiet": True}
    draws = [
        RustMC(rewrites=on).sample_from_init(model=model, random_seed=seed, **run)["posterior"]
        for on, seed in ((True, 1), (False, 2))
    ]
    for name in ("a", "b", "s"):
        exact, plain = (group[name].values.reshape(2000, -1) for group in draws)
        # The effective size is a quarter of the draws at least.
        error = np.sqrt((exact.var(0) + plain.var(0)) / 500)
        assert (np.abs(exact.mean(0) - plain.mean(0)) < 4 * error).all()
