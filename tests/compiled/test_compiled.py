"""A compiled model: PyMC's numbers, the draws of `pm.sample`, new data without a new translation."""

import numpy as np
import pymc as pm
import pytest
from pymc.model import Model

import pymc_rustmc
from pymc_rustmc import RustMC, compile_model
from pymc_rustmc._core import GraphError
from pymc_rustmc.errors import DataError

RNG = np.random.default_rng(11)
RUN = {"draws": 20, "tune": 30, "chains": 2, "random_seed": 4, "quiet": True}


def regression():
    """A regression in which everything has a dim: two with data, one with a length only, one with coords."""
    with pm.Model(coords={"group": ["a", "b", "c"]}) as model:
        model.add_coord("site", length=2)
        model.add_coord("obs", np.arange(8))
        x = pm.Data("x", RNG.normal(size=8), dims="obs")
        group = pm.Data("group_index", RNG.integers(3, size=8), dims="obs")
        y = pm.Data("y_data", RNG.normal(size=8), dims="obs")
        alpha = pm.Normal("alpha", 0, 2, dims="group")
        share = pm.Dirichlet("share", np.ones(3))
        bias = pm.Normal("bias", 0, 1, dims="site")
        sigma = pm.HalfNormal("sigma", 1)
        mu = pm.Deterministic("mu", alpha[group] * share[0] + x * bias.sum(), dims="obs")
        pm.Normal("y", mu, sigma, observed=y, dims="obs")
    return model


@pytest.fixture(scope="module")
def model():
    return regression()


@pytest.fixture(scope="module")
def compiled(model):
    return compile_model(model)


@pytest.fixture
def new_data():
    return {"x": RNG.normal(size=5), "group_index": RNG.integers(3, size=5), "y_data": RNG.normal(size=5)}


def random_point(model):
    return {name: RNG.normal(size=value.shape) for name, value in model.initial_point().items()}


def assert_same_draws(one, other):
    assert set(one.posterior.data_vars) == set(other.posterior.data_vars)
    for name in one.posterior.data_vars:
        np.testing.assert_array_equal(one.posterior[name], other.posterior[name], err_msg=name)
    for name in ("lp", "n_steps", "step_size"):
        np.testing.assert_array_equal(one.sample_stats[name], other.sample_stats[name], err_msg=name)


def assert_same_groups(one, other):
    for group in ("posterior", "sample_stats", "observed_data", "constant_data"):
        ours, reference = one[group], other[group]
        assert list(ours.data_vars) == list(reference.data_vars)
        for name in ours.data_vars:
            assert ours[name].dims == reference[name].dims
            assert ours[name].dtype == reference[name].dtype
            if group.endswith("_data"):
                np.testing.assert_array_equal(ours[name], reference[name])
        assert set(ours.coords) == set(reference.coords)
        for dim in ours.coords:
            np.testing.assert_array_equal(ours[dim], reference[dim])
            assert ours[dim].dtype == reference[dim].dtype


def test_logp_and_gradient_are_pymcs(model, compiled):
    point = random_point(model)
    logp, dlogp = compiled.logp_dlogp(point)
    reference = model.compile_logp(mode="FAST_COMPILE")(point)
    gradient = model.compile_dlogp(mode="FAST_COMPILE")(point)
    assert logp == pytest.approx(float(reference), rel=1e-12)
    assert {name: value.shape for name, value in dlogp.items()} == compiled.shapes
    np.testing.assert_allclose(np.concatenate([g.ravel() for g in dlogp.values()]), gradient, rtol=1e-10)


def test_order_of_a_point_does_not_matter(model, compiled):
    point = random_point(model)
    backwards = dict(reversed(point.items()))
    assert compiled.logp_dlogp(point)[0] == compiled.logp_dlogp(backwards)[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda point: point.pop("bias"), "lacks the value of 'bias'"),
        (lambda point: point.update(sigma=1.0), "no value variable named 'sigma'; it has .*'sigma_log__'"),
        (
            lambda point: point.update(alpha=np.zeros(4)),
            r"'alpha' has shape \(4,\), but the model needs \(3,\)",
        ),
        (lambda point: point.update(alpha=0.0), r"'alpha' has shape \(\)"),
        (lambda point: point.update(alpha=["one", "two", "three"]), "'alpha' must be real numbers"),
        (lambda point: point.update(alpha=np.ones(3) * 1j), "'alpha' must be real numbers"),
    ],
)
def test_bad_points(model, compiled, change, text):
    point = random_point(model)
    change(point)
    with pytest.raises(DataError, match=text):
        compiled.logp_dlogp(point)


def test_draws_are_those_of_pm_sample(model):
    with model:
        reference = pm.sample(nuts_sampler="rustmc", nuts={"target_accept": 0.7}, **RUN)
        compiled = compile_model()  # that of the context
    ours = compiled.sample(nuts={"target_accept": 0.7}, **RUN)
    assert_same_draws(ours, reference)
    assert_same_groups(ours, reference)
    assert_same_draws(compiled.sample(target_accept=0.7, **RUN), reference)
    direct = RustMC(target_accept=0.7).sample_from_init(model=model, **RUN)
    assert_same_draws(direct, reference)


def test_draws_do_not_depend_on_the_variables_kept(model, compiled):
    every, some = compiled.sample(**RUN), compiled.sample(var_names=["mu", "sigma"], **RUN)
    assert list(some.posterior.data_vars) == ["sigma", "mu"]
    np.testing.assert_array_equal(some.posterior["mu"], every.posterior["mu"])
    for_sigma = compile_model(model, var_names=["sigma"])
    restricted = for_sigma.sample(var_names=["sigma"], **RUN)
    assert list(restricted.posterior.data_vars) == ["sigma"]
    np.testing.assert_array_equal(restricted.posterior["sigma"], every.posterior["sigma"])
    left = set(for_sigma.sample(**RUN).posterior.data_vars)
    assert left == {"alpha", "bias", "sigma"}  # and what needs no output of its own
    with pytest.raises(ValueError, match="compiled without 'share', 'mu'"):
        for_sigma.sample(var_names=["mu", "share", "sigma"], **RUN)


def test_sampling_and_binding_do_not_translate(compiled, new_data, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("translated again")

    monkeypatch.setattr(Model, "logp", fail)
    compiled.bind(new_data).sample(**RUN)


def test_bound_data_are_data_set_in_the_model(new_data):
    model = regression()
    before = compile_model(model)
    coords = {"obs": np.arange(5) + 100}
    bound = before.bind(new_data, coords=coords)
    with model:
        pm.set_data(new_data, coords=coords)
        reference = pm.sample(nuts_sampler="rustmc", **RUN)
    ours = bound.sample(**RUN)
    assert_same_draws(ours, reference)
    assert_same_groups(ours, reference)
    # The object that was bound, and the model's current data, do not reach each other.
    assert before.data["x"].shape == (8,)
    assert before.sample(**RUN).posterior.sizes["obs"] == 8


def test_new_lengths_and_coords(compiled, new_data):
    bound = compiled.bind(
        {**new_data, "group_index": np.arange(5)}, coords={"group": list("vwxyz"), "site": ["n", "s", "w"]}
    )
    assert bound.shapes == {"alpha": (5,), "share_simplex__": (2,), "bias": (3,), "sigma_log__": ()}
    idata = bound.sample(initvals={"alpha": np.zeros(5)}, **RUN)
    assert list(idata.posterior["group"].values) == list("vwxyz")
    assert list(idata.posterior["site"].values) == ["n", "s", "w"]
    assert list(idata.posterior["obs"].values) == list(range(5))
    assert idata.constant_data["x"].dims == ("obs",)
    np.testing.assert_array_equal(idata.observed_data["y"], new_data["y_data"])


@pytest.mark.parametrize(
    ("data", "coords", "error", "text"),
    [
        ({"z": 1.0}, {}, DataError, "no data named 'z'"),
        ({"x": np.zeros(3)}, {}, DataError, "length of dim 'obs' is 3"),
        ({"x": np.zeros((8, 1))}, {}, DataError, "'x' have 2 axes"),
        ({"group_index": np.full(8, 3)}, {}, GraphError, "index 3 is out of bounds"),
        ({}, {"planet": [1]}, DataError, "no dim 'planet'; it has 'group', 'obs', 'site'"),
        ({"x": np.zeros(8)}, {"obs": range(7)}, DataError, "'obs' has the length 8, but 7 coords"),
    ],
)
def test_bad_data(compiled, data, coords, error, text):
    with pytest.raises(error, match=text):
        compiled.bind(data, coords=coords)


def test_densities_of_data_that_the_model_does_not_hold(compiled, new_data):
    assert "y" in compiled.sample(idata_kwargs={"log_likelihood": True}, **RUN).log_likelihood
    with pytest.raises(ValueError, match=r"need the PyMC model with the data.*set_data"):
        compiled.bind(new_data).sample(idata_kwargs={"log_likelihood": True}, **RUN)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"target_acept": 0.9}, "did you mean 'target_accept'"),
        ({"target_accept": 0.9, "nuts": {"target_accept": 0.8}}, "Given twice.*target_accept"),
        ({"model": "another"}, "'model'"),
    ],
)
def test_bad_arguments(compiled, arguments, text):
    with pytest.raises(TypeError, match=text):
        compiled.sample(**arguments)


def test_no_model():
    with pytest.raises(TypeError, match="must be a PyMC model, got int"):
        compile_model(3)


def test_public_names():
    assert {"compile_model", "CompiledModel"} <= set(pymc_rustmc.__all__)
    assert repr(compile_model(small())) == "CompiledModel(a: ())"


def small():
    with pm.Model() as model:
        pm.Normal("a")
    return model
