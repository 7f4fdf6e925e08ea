"""Ops without a rule: evaluated and differentiated by PyTensor, one call at a time."""

import logging
import signal
import threading
import time

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from oracle import Oracle, assert_same_density, check_model, check_potential
from pymc.ode import DifferentialEquation
from pytensor.compile.builders import OpFromGraph
from pytensor.gradient import DisconnectedType, grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.scan.utils import until
from pytensor.tensor import fft
from pytensor.tensor.signal import convolve2d

from pymc_rustmc._core import GraphError, ModelError
from pymc_rustmc.compile import translate_model
from pymc_rustmc.compiled import compile_model
from pymc_rustmc.errors import NoGradientError, SaveError

PYTENSOR_3 = int(pytensor.__version__.split(".")[0]) >= 3
MATRIX = np.random.default_rng(0).normal(size=(4, 3))
DATA = np.array([0.3, -0.7, 1.1, 0.4, 2.0])

sample = {
    "nuts_sampler": "rustmc",
    "chains": 2,
    "random_seed": 1,
    "progressbar": False,
    "compute_convergence_checks": False,
}


def L_op(pullback):
    """Give an Op its gradient under the name that the installed PyTensor looks for."""

    def decorate(cls):
        setattr(cls, "pullback" if PYTENSOR_3 else "L_op", pullback)
        return cls

    return decorate


@L_op(
    lambda self, inputs, outputs, g: [g[0] * pt.cos(inputs[0]) * inputs[1], (g[0] * pt.sin(inputs[0])).sum()]
)
class Sines(Op):
    """s sin(x), without a shape."""

    __props__ = ()

    def make_node(self, x, s):
        return Apply(self, [pt.as_tensor(x), pt.as_tensor(s)], [pt.dvector()])

    def perform(self, node, inputs, outputs):
        x, s = inputs
        outputs[0][0] = s * np.sin(x)


class ShapedSines(Sines):
    def infer_shape(self, *arguments):
        return [arguments[-1][0]]


@L_op(lambda self, inputs, outputs, g: [g[0] * (self.data - inputs[0]).sum()])
class LogLikelihood(Op):
    """Of a normal mean; `calls` counts the evaluations, and `disturb` may take a hand in them."""

    def __init__(self, data=DATA, disturb=None):
        self.data, self.disturb, self.calls = data, disturb, 0

    def make_node(self, mu):
        return Apply(self, [pt.as_tensor(mu)], [pt.dscalar()])

    def perform(self, node, inputs, outputs):
        self.calls += 1
        value = -0.5 * np.sum((self.data - inputs[0]) ** 2)
        if self.disturb is not None:
            value = self.disturb(self.calls, inputs[0], value)
        outputs[0][0] = np.asarray(value)


def _mixed_pullback(op, inputs, outputs, g):
    x, total = inputs[0], 0
    if not isinstance(g[0].type, DisconnectedType):
        total = total + 2 * g[0]
    if not isinstance(g[3].type, DisconnectedType):
        total = total + pt.dot(g[3] + g[3].T, x)
    return [total, grad_undefined(op, 1, inputs[1]), grad_undefined(op, 2, inputs[2])]


@L_op(_mixed_pullback)
class Mixed(Op):
    """Results and inputs of many types."""

    __props__ = ()

    def make_node(self, x, k, mask):
        outputs = [pt.dvector(), pt.lvector(), pt.TensorType("bool", (None,))(), pt.dmatrix()]
        return Apply(self, [pt.as_tensor(x), pt.as_tensor(k), pt.as_tensor(mask)], outputs)

    def perform(self, node, inputs, outputs):
        x, k, mask = inputs
        assert (x.dtype, k.dtype, mask.dtype) == ("float64", "int32", "bool")
        outputs[0][0] = 2 * x
        outputs[1][0] = np.arange(x.size) + k
        outputs[2][0] = mask | (x > 0.5)
        outputs[3][0] = np.outer(x, x)


def _mixed(x):
    double, numbers, mask, outer = Mixed()(x, pt.cast(pt.arange(1)[0] + 3, "int32"), [True, False, False])
    return (double * numbers).sum() + pt.switch(mask, outer, 0.5 * outer).sum()


def _scanned(step, x, s):
    results = pytensor.scan(step, sequences=[MATRIX[:, :2]], outputs_info=[x], non_sequences=[s])
    return results[0] if isinstance(results, tuple | list) else results


def _while(a):
    """Steps until the sum passes 5: their number depends on `a`."""
    results = pytensor.scan(
        lambda total, a: (0.9 * total + pt.exp(a), until(total > 5)),
        outputs_info=[pt.constant(np.float64(0))],
        non_sequences=[a],
        n_steps=1000,
    )
    return results[0] if isinstance(results, tuple | list) else results


def _straight_through(x):
    """Rounds; its gradient is that of the identity, and not of the inner graph."""
    inner = pt.dvector()
    name = "pullback" if PYTENSOR_3 else "lop_overrides"
    op = OpFromGraph([inner], [pt.round(inner)], **{name: lambda inputs, outputs, g: [g[0]]})
    return op(x)


# name: (density of the values, shapes of the values)
POTENTIALS = {
    "svd": (
        lambda x: (pt.linalg.svd(x + 3 * MATRIX, full_matrices=False)[1] ** 2 * [1.0, 2, 3]).sum(),
        [(4, 3)],
    ),
    "pinv": (lambda x: (pt.linalg.pinv(x + 3 * MATRIX) * MATRIX.T).sum(), [(4, 3)]),
    "expm": (lambda x: (pt.linalg.expm(0.1 * x) * np.arange(9.0).reshape(3, 3)).sum(), [(3, 3)]),
    "rfft": (lambda x: (fft.rfft(x[None]) ** 2 * np.arange(10.0).reshape(1, 5, 2)).sum(), [(8,)]),
    "convolve2d": (lambda x, y: (convolve2d(x, y) ** 2).sum(), [(4, 3), (2, 2)]),
    "scalar": (lambda x: LogLikelihood()(x.sum()) + pt.exp(0.1 * LogLikelihood()(x[0])), [(3,)]),
    "shape by trial": (lambda x, s: (Sines()(x, s) * x * s).sum(), [(3,), ()]),
    "shape by inference": (lambda x, s: (ShapedSines()(x, s) * x * s).sum(), [(3,), ()]),
    "mixed types": (_mixed, [(3,)]),
    "in a loop": (
        lambda x, s: (_scanned(lambda row, y, s: Sines()(row * y, s) + ShapedSines()(y, s), x, s) ** 2).sum(),
        [(2,), ()],
    ),
    "last of a while loop": (lambda a: -(_while(a)[-1] ** 2), [()]),
    "all of a while loop": (lambda a: _while(a).sum() - _while(a)[2] * a, [()]),
    "gradient of its own": (lambda x: (_straight_through(3 * x) * x).sum(), [(3,)]),
}


@pytest.mark.parametrize("name", POTENTIALS)
def test_density_is_pytensors(name):
    build, shapes = POTENTIALS[name]
    check_potential(build, shapes)


def test_differential_equation():
    rate = DifferentialEquation(
        func=lambda y, t, p: [p[1] - p[0] * y[0]], times=np.linspace(0.5, 3, 6), n_states=1, n_theta=2
    )
    with pm.Model() as model:
        theta = [pm.HalfNormal("decay"), pm.Normal("inflow")]
        curve = pm.Deterministic("curve", rate(y0=[pm.Normal("start")], theta=theta))
        pm.Normal("y", curve, 0.3, observed=np.linspace(1, 2, 6)[:, None])
    bound = check_model(model)
    # Value and pullback at 20 points, and the Deterministic.
    assert [(times["name"], times["calls"]) for times in bound.density.foreign_times()] == [
        ("DifferentialEquation", 40),
        ("DifferentialEquation", 20),
    ]
    assert all(times["seconds"] > 0 for times in bound.density.foreign_times())


def test_sparse_data():
    sparse = pytest.importorskip("pytensor.sparse")
    scipy_sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.as_sparse_variable(scipy_sparse.csr_matrix(np.round(MATRIX)))
    check_potential(lambda x: (sparse.dot(matrix, x[:, None]) ** 2).sum(), [(3,)])


def _draws(density):
    with pm.Model():
        mu = pm.Normal("mu", 0, 2)
        pm.Potential("likelihood", density(mu))
        return pm.sample(draws=200, tune=300, **sample).posterior["mu"].values


def test_draws_are_those_of_the_native_model():
    foreign = _draws(LogLikelihood())
    native = _draws(lambda mu: -0.5 * ((DATA - mu) ** 2).sum())
    np.testing.assert_allclose(foreign, native, rtol=1e-9, atol=1e-9)


def test_posterior_is_the_exact_one():
    with pm.Model():
        mu = pm.Normal("mu", 0, 2)
        pm.Potential("likelihood", LogLikelihood()(mu))
        draws = pm.sample(draws=2000, tune=500, **sample).posterior["mu"].values
    variance = 1 / (1 / 4 + len(DATA))
    # 2 x 2000 draws of a normal: at least 1000 effective ones.
    assert abs(draws.mean() - variance * DATA.sum()) < 4 * np.sqrt(variance / 1000)
    assert abs(draws.var() / variance - 1) < 4 * np.sqrt(2 / 1000)


def test_value_and_gradient_take_one_call():
    likelihood = LogLikelihood()
    with pm.Model() as model:
        pm.Potential("likelihood", likelihood(pm.Flat("mu")))
    density = translate_model(model).bind().density
    for position in range(5):
        density.logp_and_gradient(np.array([float(position)]))
    assert likelihood.calls == 5


def test_without_parameters_it_is_evaluated_once():
    likelihood = LogLikelihood()
    with pm.Model() as model:
        shift = pm.Data("shift", 0.5)
        pm.Potential("likelihood", likelihood(shift) * pm.Flat("a"))
    bound = translate_model(model).bind()
    assert bound.density.foreign_times() == []
    for position in [1.0, 2.0]:
        logp, _ = bound.density.logp_and_gradient(np.array([position]))
        assert logp == position * -0.5 * np.sum((DATA - 0.5) ** 2)
    assert likelihood.calls == 1


@pytest.mark.parametrize("op", [Sines, ShapedSines])
def test_new_data_of_another_length(op):
    with pm.Model() as model:
        x = pm.Data("x", DATA)
        pm.Normal("y", op()(x * pm.Normal("a"), 2.0), 1, observed=pm.Data("seen", DATA))
    template = translate_model(model)
    short = {"x": DATA[:3], "seen": DATA[:3]}
    bound = template.bind(short)
    with model:
        pm.set_data(short)
    assert_same_density(bound, Oracle(model))


def test_the_user_is_told_once(caplog):
    # Two nodes of one Op.
    with pm.Model(), caplog.at_level(logging.WARNING, logger="pymc.rustmc"):
        a = pm.Normal("a")
        pm.Potential("b", LogLikelihood()(a) + LogLikelihood()(2 * a))
        pm.sample(draws=20, tune=20, **sample)
        told = [record.message for record in caplog.records if "Python evaluates" in record.message]
        assert len(told) == 1
        assert "native rule: LogLikelihood." in told[0]
        assert "pymc_rustmc.rust_funcify.register" in told[0]
        caplog.clear()
        pm.sample(draws=20, tune=20, quiet=True, **{**sample, "progressbar": False})
        assert not caplog.records


def test_a_native_model_says_nothing(caplog):
    with pm.Model(), caplog.at_level(logging.WARNING, logger="pymc.rustmc"):
        pm.Normal("a")
        pm.sample(draws=100, tune=20, **sample)
    assert not caplog.records


def _likelihood_model(disturb):
    with pm.Model() as model:
        pm.Potential("likelihood", LogLikelihood(disturb=disturb)(pm.Normal("mu", -1, 1)))
    return model


def _failing(calls, mu, value):
    if calls > 50:
        raise ValueError("the instrument is on fire")
    return value


@pytest.mark.parametrize("cores", [1, 2])
def test_an_exception_ends_the_run_and_is_chained(cores):
    match = "LogLikelihood failed.*instrument is on fire"
    with _likelihood_model(_failing), pytest.raises(ModelError, match=match) as error:
        pm.sample(draws=100_000, cores=cores, **sample)
    assert isinstance(error.value.__cause__, ValueError)
    assert "instrument is on fire" in str(error.value.__cause__)


def test_an_exception_at_the_start_is_chained():
    def fails(calls, mu, value):
        raise ZeroDivisionError("no such start")

    with _likelihood_model(fails), pytest.raises(ModelError, match="no such start") as error:
        pm.sample(**sample)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_ctrl_c_in_the_op_is_ctrl_c():
    def pressed(calls, mu, value):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translate_model(_likelihood_model(pressed)).bind().density.logp_and_gradient(np.zeros(1))


def test_ctrl_c_ends_a_run():
    def press(calls, mu, value):
        if calls == 400:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return value

    began = time.perf_counter()
    with _likelihood_model(press), pytest.warns(UserWarning, match="interrupted"):
        idata = pm.sample(draws=1_000_000, tune=50, cores=2, **sample)
    assert time.perf_counter() - began < 60
    assert 0 < idata.posterior.sizes["draw"] < 1_000_000


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_are_not_finite_are_divergences(value):
    def beyond(calls, mu, inside):
        return inside if mu < 1 else value

    with _likelihood_model(beyond):
        idata = pm.sample(draws=100, tune=100, **sample)
    assert (idata.posterior["mu"] < 1).all()
    assert idata.sample_stats["diverging"].any()


class Cube(Op):
    """Without a gradient, as a function that `wrap_py` wraps."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [pt.as_tensor(x)], [pt.dscalar()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(inputs[0] ** 3)


@L_op(lambda self, inputs, outputs, g: [grad_undefined(self, 0, inputs[0], "It jumps.")])
class Jump(Cube):
    """With a gradient that is said to be undefined."""


@pytest.mark.parametrize(("op", "reason"), [(Cube, "Cube"), (Jump, "It jumps")])
def test_a_missing_gradient_names_op_variable_and_remedy(op, reason):
    with pm.Model() as model:
        pm.Potential("other", -(pm.Normal("a") ** 2))
        pm.Potential("cubic", op()(pm.Normal("b")))
    match = (
        rf"gradient of the PyTensor Op {op.__name__} in the graph of 'cubic'.*{reason}.*rust_funcify.register"
    )
    with model, pytest.raises(NoGradientError, match=match):
        pm.sample(**sample)


def test_no_gradient_is_needed_where_none_flows():
    with pm.Model() as model:
        a = pm.Normal("a")
        pm.Deterministic("cube", Cube()(a))
        pm.Potential("step", Cube()(pt.floor(a)) - a**2)
        pm.Potential("whole number", Cube()(pt.cast(a > 0, "float64")))
    bound = translate_model(model).bind()
    logp, gradient = bound.density.logp_and_gradient(np.array([2.5]))
    np.testing.assert_allclose(logp, pm.logp(pm.Normal.dist(), 2.5).eval() + 8 - 2.5**2 + 1)
    np.testing.assert_allclose(gradient, [-2.5 - 5])
    np.testing.assert_allclose(bound.evaluate(["cube"], np.array([[2.5]]))["cube"], [2.5**3])


def test_a_shape_that_is_not_what_was_declared():
    class Liar(ShapedSines):
        def perform(self, node, inputs, outputs):
            outputs[0][0] = np.zeros(7)

    with pm.Model() as model:
        pm.Potential("p", Liar()(pm.Normal("a", shape=3), 1.0).sum())
    density = translate_model(model).bind().density
    with pytest.raises(ModelError, match=r"Liar has the shape \[7\] instead of \[3\].*infer_shape"):
        density.logp_and_gradient(np.zeros(3))


def test_a_trial_that_fails_names_op_and_remedy():
    class Picky(Sines):
        def perform(self, node, inputs, outputs):
            raise ValueError("not with me")

    with pm.Model() as model:
        pm.Potential("p", Picky()(pm.Normal("a", shape=3), 1.0).sum())
    with pytest.raises(GraphError, match=r"Picky failed.*not with me.*static shape.*infer_shape"):
        translate_model(model).bind()


def test_a_shape_that_depends_on_a_parameter():
    with pm.Model() as model:
        data = pm.Data("data", DATA)
        cut = pm.Normal("cut", 2, 1)
        level = pm.Normal("level")
        pm.Deterministic("double", 2 * cut)
        kept = data[: pt.clip(pt.floor(cut), 1, 5).astype("int64")]
        pm.Potential("likelihood", pm.logp(pm.Normal.dist(level, 1), kept).sum())
    bound = check_model(model, centre=2.0)
    assert list(bound.template.whole) == ["logp"]
    assert 'parameter "cut"' in bound.template.whole["logp"]
    assert [times["name"] for times in bound.density.foreign_times()] == ["logp"]
    with model:
        pm.set_data({"data": DATA[::-1]})
        assert_same_density(translate_model(model).bind(), Oracle(model), centre=2.0)


def test_a_deterministic_whose_graph_cannot_be_bound():
    with pm.Model() as model:
        a = pm.Normal("a", 2, 1)
        pm.Deterministic("count", pt.arange(pt.clip(pt.floor(a), 1, 9)).sum())
        pm.Deterministic("twice", 2 * a)
    bound = check_model(model, centre=2.0)
    assert list(bound.template.whole) == ["count"]
    assert [times["name"] for times in bound.density.foreign_times()] == ["count"]


def test_parameters_out_of_bounds_have_no_density_in_a_whole_one():
    with pm.Model() as model:
        sigma = pm.Normal("sigma", 2, 1)
        kept = pt.constant(DATA)[: pt.clip(pt.floor(sigma), 1, 5).astype("int64")]
        pm.Potential("likelihood", pm.logp(pm.Normal.dist(0, sigma), kept).sum())
    density = translate_model(model).bind().density
    assert density.logp_and_gradient(np.array([-1.0]))[0] == -np.inf
    assert np.isfinite(density.logp_and_gradient(np.array([1.0]))[0])


def test_a_model_with_a_foreign_node_cannot_be_saved(tmp_path):
    with pm.Model() as model:
        pm.Potential("likelihood", LogLikelihood()(pm.Normal("mu")))
    with pytest.raises(
        SaveError, match=r"LogLikelihood is evaluated by code outside of the graph.*rust_funcify"
    ):
        compile_model(model).save(tmp_path / "model")
