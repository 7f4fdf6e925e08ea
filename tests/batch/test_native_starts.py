"""Starting points that the extension evaluates are, bit for bit, those that Python draws."""

import warnings

import numpy as np
import pymc as pm
import pytest
from catalogue import CATALOGUE

from pymc_rustmc import compile_model, sample_batch
from pymc_rustmc.batch import starts as starts_module
from pymc_rustmc.batch.starts import starts_of

RUN = {"draws": 10, "tune": 20, "chains": 2, "quiet": True, "progressbar": False}


def starts_of_model(model, jitter=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bound = compile_model(model)._bound
        return starts_of(bound, jitter), [np.asarray(v, dtype=float) for v in bound.data.values()]


def assert_same_points(starts, data):
    """Compare what graphs give with what Python draws, for seeds other than those of the choice."""
    shapes, base = starts.base(data)
    if starts.base_graph is not None:
        assert starts._evaluated(starts.base_graph, data, []) == base
    if starts.point_graph is not None:
        for seed in range(20, 40):
            parts = starts_module._jitters(seed, starts.jitter["evaluated"], shapes)
            assert starts._evaluated(starts.point_graph, data, parts) == starts.point(data, seed)


@pytest.mark.parametrize("name", list(CATALOGUE)[::8])
def test_catalogue(name):
    assert_same_of_catalogue(name)


def assert_same_of_catalogue(name):
    entry = CATALOGUE[name]
    if entry.refused:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = entry.model()
    assert_same_points(*starts_of_model(model))


def hierarchy(scale=None):
    """Means around a mean, some of data, and around them others."""
    with pm.Model(coords={"group": range(3)}) as model:
        prior = pm.Data("prior", np.array([0.1, -2.3, 1.7]), dims="group")
        y = pm.Data("y", np.zeros(3), dims="group")
        mu = pm.Normal("mu", prior[0] * 0.3, 1)
        tau = pm.HalfNormal("tau", 1)
        level = pm.Normal("level", mu + prior * 0.7, tau if scale is None else scale(tau), dims="group")
        inner = pm.StudentT("inner", nu=3, mu=level[::-1] - mu, sigma=tau, dims="group")
        pm.Normal("seen", inner, 1, observed=y, dims="group")
    return model


def test_values_of_others_and_of_data():
    starts, data = starts_of_model(hierarchy())
    assert starts.base_graph is not None
    assert starts.point_graph is not None
    for values in np.random.default_rng(1).normal(size=(20, 3)) * 10.0 ** np.arange(-9, 11)[:, None]:
        data[0] = values
        assert_same_points(starts, data)


def test_draws_of_a_batch_are_those_of_single_runs_without_python(monkeypatch):
    model = hierarchy()
    compiled = compile_model(model)
    rng = np.random.default_rng(2)
    sets = [{"prior": rng.normal(size=3), "y": rng.normal(size=3)} for _ in range(4)]
    calls = []
    live = starts_module._LiveStarts
    point, base = live.point, live.base
    monkeypatch.setattr(live, "point", lambda *a: calls.append("point") or point(*a))
    monkeypatch.setattr(live, "base", lambda *a: calls.append("base") or base(*a))
    result = sample_batch(model, sets, keep="draws", random_seed=3, **RUN)
    assert not result.failures
    assert (calls.count("base"), calls.count("point")) == (1, 2)  # to compare once, whatever the data sets
    for number, data in enumerate(sets):
        one = compiled.bind(data).sample(
            random_seed=result.seeds(number), reparametrise=False, compute_convergence_checks=False, **RUN
        )
        for name in ("mu", "tau", "level", "inner"):
            ours = result.posterior[name].sel(dataset=number)
            np.testing.assert_array_equal(ours, one.posterior[name], err_msg=name)


def test_functions_that_may_round_otherwise_are_left_to_python():
    with pm.Model() as model:
        rate = pm.Exponential("rate", 1)
        pm.Gamma("x", rate, 2)  # starts at exp of the jittered logarithm
        pm.Normal("y", pm.Data("m", 1.0), 1, initval="prior")
    starts, data = starts_of_model(model)
    assert starts.point_graph is None
    assert starts.jitter == "source"
    with pm.Model() as model:
        pm.Normal("x", pm.math.exp(pm.Data("m", 0.3)), 1)
        pm.Normal("third", pm.Data("n", 1.0) / 3, 1)
    starts, data = starts_of_model(model)
    assert starts.base_graph is None
    assert set(starts.jitter) == {"spawned"}
    assert starts.base(data)[1] == [np.exp(0.3), 1 / 3]
