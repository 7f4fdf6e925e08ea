"""Starting points are PyMC's, and a bad one is explained."""

import functools

import numpy as np
import pymc as pm
import pytest
from conftest import PYMC6
from pymc.exceptions import SamplingError
from pymc.initial_point import make_initial_point_fns_per_chain
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import find_rng_nodes

from pymc_rustmc.live import LiveModel
from pymc_rustmc.starts import checked_starts, start_functions

_INITVALS = [
    None,
    {"mu": 3.0},
    {"sigma_log__": 0.5},
    {"sigma": "prior"},
    [{"mu": 1.0}, None, {"sigma": 2.0}],
]


def explain(model):
    return functools.partial(LiveModel(model, {}).explain_start, {})


def _model():
    with pm.Model(coords={"group": range(3)}) as model:
        mu = pm.Normal("mu", initval="prior")
        sigma = pm.HalfNormal("sigma")
        pm.Gamma("rate", 2, 1)
        pm.Dirichlet("share", np.ones(3))
        pm.Normal("effect", mu, sigma, dims="group")
    return model


@pytest.fixture
def seeds_in_order_of_the_model(monkeypatch):
    """PyMC seeds its generators in the order of the rewritten graph, we in that of the model."""
    compiled = []

    def compile_and_keep(inputs, outputs, **options):
        compiled.append(outputs)
        return pymc_compile(inputs, outputs, **options)

    monkeypatch.setattr("pymc.initial_point.compile", compile_and_keep)
    monkeypatch.setattr("pymc.initial_point.find_rng_nodes", lambda _: find_rng_nodes(compiled[-1]))


@pytest.mark.usefixtures("seeds_in_order_of_the_model")
@pytest.mark.parametrize("initvals", _INITVALS)
@pytest.mark.parametrize("jitter", [True, False])
def test_same_points_as_pymc(initvals, jitter):
    model = _model()
    ours = start_functions(model, initvals, 3, jitter)
    theirs = make_initial_point_fns_per_chain(
        model=model, overrides=initvals, jitter_rvs=set(model.free_RVs) if jitter else set(), chains=3
    )
    for chain in range(3):
        for seed in (1, 2, 98765):
            mine, reference = ours[chain](seed), theirs[chain](seed)
            assert list(mine) == list(reference)
            for name, value in reference.items():
                np.testing.assert_array_equal(mine[name], value, err_msg=name)


def test_sum_of_many_variables():
    with pm.Model() as model:
        terms = [pm.Normal(f"x{i}", i) for i in range(40)]
        pm.Normal("total", sum(terms))
    (function,) = start_functions(model, None, 1, jitter=True)
    point = function(1)
    assert abs(point.pop("total") - sum(point.values())) < 1


def test_table_of_terms_of_many_variables():
    with pm.Model() as model:
        terms = [pm.Normal(f"x{i}") for i in range(40)]
        pm.Potential("wall", pm.math.log(sum(terms) - 1e6))
    functions = start_functions(model, None, 1, jitter=False)
    with pytest.raises(SamplingError, match=r"'wall': np\.float64\(nan\)"):
        checked_starts(functions, [1], lambda point: (np.nan, np.zeros(40)), 0, explain(model))


def test_points_do_not_share_memory():
    with pm.Model() as model:
        pm.Normal("x", shape=3)
    (function,) = start_functions(model, None, 1, jitter=True)
    first = function(1)["x"]
    kept = first.copy()
    function(2)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.filterwarnings("ignore:.*xtensor module is experimental")  # in PyTensor 2
def test_dims_module():
    import pymc.dims as dims

    with pm.Model(coords={"group": range(3)}) as model:
        scale = dims.HalfNormal("scale")
        dims.Normal("x", dims.math.log(scale), scale, dims="group")
    (function,) = start_functions(model, None, 1, jitter=False)
    point = function(1)
    np.testing.assert_allclose(point["x"], np.full(3, point["scale_log__"]), rtol=1e-14)


def test_failed_points_are_drawn_again():
    with pm.Model() as model:
        pm.Normal("x")
    (function,) = start_functions(model, None, 1, jitter=True)

    def density(point):
        return (0.0 if point["x"] > 0.8 else -np.inf), np.zeros(1)

    (point,) = checked_starts([function], [3], density, retries=200, explain=explain(model))
    assert point["x"] > 0.8


def test_hopeless_start_shows_the_terms():
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Potential("wall", pm.math.switch(x < 100, -np.inf, 0.0))
    functions = start_functions(model, None, 2, jitter=True)
    with pytest.raises(SamplingError, match=r"(?s)Starting values.*'x'.*'wall': np.float..\(-inf\)"):
        checked_starts(functions, [1, 2], lambda point: (-np.inf, np.zeros(1)), 3, explain(model))


def test_gradient_that_is_not_finite_is_named():
    with pm.Model() as model:
        pm.Normal("x", shape=2)
        pm.Normal("z")
    functions = start_functions(model, None, 1, jitter=False)
    with pytest.raises(SamplingError, match=r"(?s)gradient.*'x': array\(\[nan,  ?0\.\]\)"):
        checked_starts(functions, [1], lambda point: (0.0, np.array([np.nan, 0, 1])), 0, explain(model))


def test_wrong_initvals_are_named(normal_model, rust_sample):
    with normal_model:
        with pytest.raises(ValueError, match=r"Number of initval dicts.*3.*2"):
            rust_sample(initvals=[{}, {}, {}])
        with pytest.raises(ValueError, match=r"'nu', not a free variable.*'mu', 'sigma'"):
            rust_sample(initvals={"nu": 1.0})
        with pytest.raises(ValueError, match=r"'mu' the shape \(2,\), but the model needs \(\)"):
            rust_sample(initvals={"mu": np.zeros(2)})


def test_nothing_is_compiled(monkeypatch):
    """No C, no Numba: both take seconds where their caches are cold."""
    import pytensor.link.c.basic as c_linker
    import pytensor.link.numba.linker as numba_linker

    def fail(*args, **kwargs):
        raise AssertionError("compiled")

    monkeypatch.setattr(c_linker.CLinker, "make_thunk", fail)
    monkeypatch.setattr(numba_linker.NumbaLinker, "fgraph_convert", fail)
    with pm.Model() as model:
        pm.Exponential("x", 1)
        pm.LKJCholeskyCov("cov", n=3, eta=2, sd_dist=pm.Exponential.dist(1), compute_corr=PYMC6)
    for function in start_functions(model, None, 2, jitter=True):
        function(1)
