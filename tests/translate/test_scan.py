"""Scan against PyTensor: states, sequences, collected results, nesting; values and gradients."""

import warnings

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.special import log_softmax

from pymc_rustmc.compile import translate_model
from tests.translate.oracle import Oracle, assert_same_density, check_model, check_potential

ZERO = np.float64(0.0)
SERIES = np.random.default_rng(1).normal(size=20)


def scan(*args, **kwargs):
    """PyTensor's scan without the updates, which newer versions no longer return."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        results, _ = pytensor.scan(*args, **kwargs)
    return results


def single_lag(a, x0):
    return scan(lambda x, a: pt.tanh(a * x) + 0.3, outputs_info=[x0], non_sequences=[a], n_steps=9).sum()


def several_lags(a, b):
    initial = pt.as_tensor(np.array([0.2, -0.1, 0.4]))
    xs = scan(
        lambda y, x1, x3, a, b: a * x1 - b * x3 + y,
        sequences=[pt.as_tensor(SERIES)],
        outputs_info=[{"initial": initial, "taps": [-1, -3]}],
        non_sequences=[a, b],
    )
    return (xs**2).sum()


def parameter_as_first_states(a, x0):
    xs = scan(
        lambda x1, x2, a: pt.sin(a * x1) + 0.5 * x2,
        outputs_info=[{"initial": x0, "taps": [-1, -2]}],
        non_sequences=[a],
        n_steps=8,
    )
    return (xs * np.arange(8)).sum()


def collected_only(a, x):
    return scan(lambda x, a: pt.exp(a) * x**2, sequences=[x], non_sequences=[a]).sum()


def states_and_collected(a, b):
    xs, squares, both = scan(
        lambda y, x, s, a, b: (a * x + y, s + x**2 * b, pt.stack([x, s * b])),
        sequences=[pt.as_tensor(SERIES)],
        outputs_info=[pt.as_tensor(ZERO), pt.as_tensor(ZERO), None],
        non_sequences=[a, b],
    )
    return pt.tanh(xs).sum() + pt.log1p(squares[-1] ** 2) + pt.tanh(both).sum()


def only_the_last(a, x0):
    return scan(lambda x, a: a + pt.cos(x), outputs_info=[x0], non_sequences=[a], n_steps=6)[-1]


def reversed_parameter_sequence(a, x):
    xs = scan(
        lambda y, x, a: a * x + y**2,
        sequences=[x],
        outputs_info=[pt.as_tensor(ZERO)],
        non_sequences=[a],
        go_backwards=True,
    )
    return pt.tanh(xs).sum()


def sequence_at_several_steps(a, x):
    xs = scan(
        lambda before, now, after, a: a * before * after - now,
        sequences=[{"input": x, "taps": [-1, 0, 1]}],
        non_sequences=[a],
    )
    return (xs**2).sum()


def sequences_of_unequal_lengths(a, x):
    xs = scan(lambda x, y, a: a * x * y, sequences=[x, pt.as_tensor(SERIES)], non_sequences=[a])
    return (xs**2).sum()


def matrices(a, x0):
    xs = scan(lambda x, a: pt.tanh(a @ x), outputs_info=[x0], non_sequences=[a], n_steps=7)
    return (xs**2).sum() + xs[3, 1]


def rows_of_a_matrix(a, x):
    return scan(lambda row, a: row @ a @ row, sequences=[x], non_sequences=[a]).sum()


def nested(a, x):
    def inner(total, a):
        return scan(
            lambda v, t, a: a * t + v, sequences=[total], outputs_info=[pt.as_tensor(ZERO)], non_sequences=[a]
        )[-1]

    return (scan(inner, sequences=[x], non_sequences=[a]) ** 2).sum()


def same_in_all_steps(a, x):
    def step(y, t, a, x):
        return t + pt.log1p(pt.exp(x).sum()) * y * a

    series = pt.as_tensor(SERIES)
    return scan(step, sequences=[series], outputs_info=[pt.as_tensor(ZERO)], non_sequences=[a, x])[-1]


def integer_state(a, x):
    counts, xs = scan(
        lambda y, n, t, a: (n + 1, t + a * y * n),
        sequences=[x],
        outputs_info=[pt.as_tensor(np.int64(1)), pt.as_tensor(ZERO)],
        non_sequences=[a],
    )
    return (xs * counts).sum()


def branches(a, x):
    def step(y, t, a):
        return pt.switch(y > 0, pt.sqrt(pt.abs(t) + y), pt.exp(a * t))

    xs = scan(step, sequences=[x], outputs_info=[pt.as_tensor(np.float64(1.0))], non_sequences=[a])
    return pt.log1p(xs).sum()


def log_sums(a, x):
    def step(y, alpha, a):
        return pt.logsumexp(alpha[:, None] + log_softmax(a, axis=1), axis=0) + y

    alphas = scan(step, sequences=[x], outputs_info=[pt.as_tensor(np.zeros(3))], non_sequences=[a])
    return pt.logsumexp(alphas[-1])


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (single_lag, [(), ()]),
        (several_lags, [(), ()]),
        (parameter_as_first_states, [(), (2,)]),
        (collected_only, [(), (5,)]),
        (states_and_collected, [(), ()]),
        (only_the_last, [(), ()]),
        (reversed_parameter_sequence, [(), (6,)]),
        (sequence_at_several_steps, [(), (6,)]),
        (sequences_of_unequal_lengths, [(), (6,)]),
        (matrices, [(3, 3), (3,)]),
        (rows_of_a_matrix, [(3, 3), (4, 3)]),
        (nested, [(), (4, 3)]),
        (same_in_all_steps, [(), (3,)]),
        (integer_state, [(), (5,)]),
        (branches, [(), (6,)]),
        (log_sums, [(3, 3), (4, 3)]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_scan(build, shapes):
    check_potential(build, shapes, scale=0.5)


def test_unselected_branch_in_a_step_stays_zero():
    # The square root of the first step has an infinite derivative, and its result is not used.
    def build(x):
        roots = scan(lambda v: pt.sqrt(v), sequences=[pt.concatenate([pt.zeros(1), x**2 + 1])])
        return roots[1:].sum()

    bound = check_potential(build, [(3,)])
    _, gradient = bound.density.logp_and_gradient(np.ones(3))
    assert np.isfinite(gradient).all()


def test_steps_follow_the_data():
    with pm.Model() as model:
        y = pm.Data("y", SERIES)
        a = pm.Normal("a")
        xs = scan(
            lambda y, x, a: a * x + y, sequences=[y], outputs_info=[pt.as_tensor(ZERO)], non_sequences=[a]
        )
        pm.Deterministic("xs", xs)
        pm.Potential("term", -(xs**2).sum())
    template = translate_model(model)
    for length in (20, 7, 1):
        data = np.linspace(-1, 1, length)
        with model:
            pm.set_data({"y": data})
        assert_same_density(template.bind({"y": data}), Oracle(model))


def test_no_steps():
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(0))
        a = pm.Normal("a")
        xs = scan(
            lambda y, x, a: a * x + y, sequences=[y], outputs_info=[pt.as_tensor(ZERO)], non_sequences=[a]
        )
        pm.Potential("term", xs.sum() - a**4)
    density = translate_model(model).bind().density
    logp, gradient = density.logp_and_gradient(np.array([0.5]))
    assert logp == pytest.approx(-0.9189385332046727 - 0.125 - 0.0625, rel=1e-14)
    assert gradient == pytest.approx([-0.5 - 4 * 0.125], rel=1e-14)


def test_garch_and_autoregressive_models_run_natively():
    with pm.Model() as model:
        alpha = pm.Beta("alpha", 2, 5)
        pm.GARCH11("g", omega=0.1, alpha_1=alpha, beta_1=0.3, initial_vol=1.0, observed=SERIES)
        rho = pm.Normal("rho", 0, 0.5, shape=5)
        pm.AR("ar", rho=rho, sigma=1, init_dist=pm.Normal.dist(0, 1), observed=SERIES)
    check_model(model, scale=0.7)
