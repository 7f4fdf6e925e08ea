"""Runs with variables integrated out: the posterior of the plain model, under the same names."""

import json
import logging

import numpy as np
import pymc as pm
import pytest

from pymc_rustmc import RustMC, compile_model, load_model, sample_batch

from .models import CASES, GROUP

if int(pm.__version__.split(".")[0]) >= 6:
    from arviz_stats import ess
else:
    from arviz import ess

QUIET = {"quiet": True, "compute_convergence_checks": False, "progressbar": False}


def sampled(model, marginalise, **kwargs):
    arguments = {"draws": 200, "tune": 200, "chains": 2, "random_seed": 5, **QUIET, **kwargs}
    return RustMC(marginalise=marginalise).sample_from_init(model=model, **arguments)


def mean_and_error(draws):
    """Means over chains and draws, and their standard errors."""
    flat = draws.reshape(*draws.shape[:2], -1)
    columns = [flat[..., k].astype(float) for k in range(flat.shape[2])]
    errors = [column.std() / np.sqrt(float(ess(column, method="mean"))) for column in columns]
    return np.array([column.mean() for column in columns]), np.array(errors)


@pytest.mark.parametrize(
    "name",
    [
        "intercepts_centred",
        "intercepts_non_centred",
        "intercepts_and_slopes",
        "crossed",
        "nested",
        "eight_schools",
        "correlated_non_centred",
        "weights_and_several_likelihoods",
        "running_sum",
        "missing_data",
    ],
)
def test_posterior_is_that_of_the_plain_model(name):
    """Means of values and of squares of everything that a result holds, within 4.5 standard errors."""
    model = CASES[name].build()
    run = {"draws": 4000, "tune": 1000, "chains": 2, "idata_kwargs": {"include_transformed": True}}
    plain = RustMC(target_accept=0.95, reparametrise=True)
    plain = plain.sample_from_init(model=model, random_seed=1, **run, **QUIET)
    found = sampled(model, True, **run)
    for group in ("posterior", "unconstrained_posterior"):
        if not hasattr(found, group):
            continue
        assert set(found[group].data_vars) == set(plain[group].data_vars)
        for variable in plain[group].data_vars:
            for power in (1, 2):
                (x, dx), (y, dy) = (
                    mean_and_error(idata[group][variable].values ** power) for idata in (plain, found)
                )
                varies = dx + dy > 1e-12  # not the diagonal of a correlation
                assert (np.abs(x - y) < 4.5 * np.hypot(dx, dy))[varies].all(), (variable, power)


def test_a_result_holds_what_it_holds_without_the_option():
    model = CASES["intercepts_non_centred"].build()
    with model:
        run = {"draws": 20, "tune": 50, "chains": 2, "random_seed": 1, "nuts_sampler": "rustmc", **QUIET}
        run |= {"idata_kwargs": {"log_likelihood": True}, "discard_tuned_samples": False}
        plain, found = (pm.sample(nuts={"marginalise": option}, **run) for option in (False, True))
    for group in ("posterior", "sample_stats", "log_likelihood", "warmup_posterior", "observed_data"):
        assert dict(found[group].sizes) == dict(plain[group].sizes), group
        for name, values in plain[group].data_vars.items():
            assert found[group][name].dims == values.dims
            assert found[group][name].dtype == values.dtype
    assert json.loads(found.sample_stats.attrs["marginalised"]) == ["mu", "slope", "z"]
    draw = found.posterior.isel(chain=1, draw=7)
    np.testing.assert_allclose(draw["a"], draw["mu"] + draw["tau"] * draw["z"], rtol=1e-12)


@pytest.mark.parametrize("name", ["intercepts_centred", "correlated_centred", "gaussian_process"])
def test_lp_is_the_density_of_the_model_as_it_is_written(name):
    model = CASES[name].build()
    compiled = compile_model(model)
    found = sampled(model, True, draws=10, tune=100, idata_kwargs={"include_transformed": True})
    values = dict(found.posterior.data_vars)
    if hasattr(found, "unconstrained_posterior"):
        values |= dict(found["unconstrained_posterior"].data_vars)
    for chain, draw in [(0, 0), (1, 9)]:
        point = {name: values[name].values[chain, draw] for name in compiled.shapes}
        lp = found.sample_stats["lp"].values[chain, draw]
        assert lp == pytest.approx(compiled.logp_dlogp(point)[0], rel=1e-9)


def test_draws_depend_on_the_seed_alone():
    model = CASES["crossed"].build()
    one = sampled(model, True, draws=30, cores=1)
    others = {
        "cores": sampled(model, True, draws=30, cores=2),
        "warm-up kept": sampled(model, True, draws=30, cores=2, discard_tuned_samples=False),
        "some variables": sampled(model, True, draws=30, var_names=["b"]),
        "compiled": compile_model(model, marginalise=True).sample(
            30, tune=200, chains=2, random_seed=5, **QUIET
        ),
    }
    for what, other in others.items():
        np.testing.assert_array_equal(one.posterior["b"].values, other.posterior["b"].values, what)
    assert (one.posterior["b"].values[0] != one.posterior["b"].values[1]).all()


def test_variables_can_be_named():
    model = CASES["intercepts_centred"].build()
    found = sampled(model, ["a"], draws=20)
    assert json.loads(found.sample_stats.attrs["marginalised"]) == ["a"]
    with pytest.raises(
        ValueError, match="'tau', which cannot be integrated out: the log density holds `exp`"
    ):
        sampled(model, ["a", "tau"])
    with pytest.raises(ValueError, match="names 'b', which is no free variable of the model: 'mu', 'tau'"):
        compile_model(model, marginalise=["b"])
    with pytest.raises(TypeError, match="`marginalise` must be True, False or a list"):
        RustMC(marginalise="a")
    with pytest.raises(ValueError, match="exclude each other"):
        RustMC(marginalise=True, reparametrise=True)
    with pytest.raises(TypeError, match="did you mean 'marginalise'"):
        RustMC(marginalize=True)


def test_what_is_done_is_said(caplog):
    explanation = compile_model(CASES["some_decline"].build(), marginalise=True).explain()
    assert explanation.marginalised == ("a", "c")
    assert explanation.not_marginalised["scale"] == 'it is a factor of "a"'
    assert explanation.not_marginalised["b"] == "the log density holds `exp` of it"
    text = str(explanation)
    assert "Integrated out, and drawn given the rest\n  a" in text
    assert "Not integrated out" in text
    with caplog.at_level(logging.INFO, "pymc.rustmc"), pm.Model():
        pm.Poisson("y", pm.math.exp(pm.Normal("rate")), observed=[1, 2])
        run = {"draws": 5, "tune": 20, "chains": 1, "progressbar": False, "nuts_sampler": "rustmc"}
        found = pm.sample(nuts={"marginalise": True}, **run)
    assert "Nothing to integrate out: rate (the log density holds `exp` of it)" in caplog.text
    assert json.loads(found.sample_stats.attrs["marginalised"]) == []


def test_too_much_work_is_declined():
    """A hundred coefficients of a regression that a few rows stand for: a matrix an evaluation is no gain."""
    x = np.random.default_rng(1).normal(size=(400, 100))
    with pm.Model() as model:
        a = pm.Normal("a", 0, pm.HalfNormal("tau"), shape=12)
        mu = a[np.arange(400) % 12] + x @ pm.Normal("beta", shape=100)
        pm.Normal("y", mu, pm.HalfNormal("sigma"), observed=x[:, 0])
    explanation = compile_model(model, marginalise=True).explain()
    assert explanation.marginalised == ("a",)
    assert "it is linked to so many others" in explanation.not_marginalised["beta"]


def data_model():
    with pm.Model(coords={"group": range(12)}) as model:
        y = pm.Data("data", np.sin(np.arange(len(GROUP))), dims="row")
        group = pm.Data("member", GROUP, dims="row")
        a = pm.Normal("a", pm.Normal("mu", 0, 3), pm.HalfNormal("tau", 1), dims="group")
        pm.Normal("y", a[group], pm.HalfNormal("sigma", 1), observed=y, dims="row")
    return model


def test_new_data_are_integrated_over():
    """After `bind` and after `pm.set_data` the draws are the same."""
    data = {"data": np.cos(np.arange(30.0)), "member": np.arange(30) % 7}
    model = data_model()
    compiled = compile_model(model, marginalise=True).bind(data)
    assert set(compiled._bound.density.marginalised) == {"a", "mu"}
    run = {"draws": 20, "tune": 100, "chains": 1, "random_seed": 3, **QUIET}
    bound = compiled.sample(**run)
    with model:
        pm.set_data(data, coords={"row": range(30)} if "row" in model.coords else None)
        written = pm.sample(nuts_sampler="rustmc", nuts={"marginalise": True}, **run)
    np.testing.assert_array_equal(bound.posterior["a"].values, written.posterior["a"].values)


def test_a_file_keeps_the_choice(tmp_path):
    compiled = compile_model(data_model(), marginalise=True)
    compiled.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded._bound.density.marginalised == compiled._bound.density.marginalised
    run = {"draws": 10, "tune": 50, "chains": 1, "random_seed": 3, "nuts": {"jitter": False}, **QUIET}
    x, y = (model.sample(**run).posterior["a"].values for model in (compiled, loaded))
    np.testing.assert_array_equal(x, y)


def test_a_batch_gives_the_draws_of_single_runs():
    rng = np.random.default_rng(4)
    data = [{"data": rng.normal(size=len(GROUP))} for _ in range(3)]
    model = data_model()
    run = {"draws": 30, "tune": 100, "chains": 2, "random_seed": 3}
    batch = sample_batch(model, data, keep="draws", marginalise=True, progressbar=False, quiet=True, **run)
    compiled = compile_model(model)
    for number in (0, 2):
        arguments = {**run, "random_seed": batch.seeds(number), **QUIET}
        single = compiled.bind(data[number]).sample(nuts={"marginalise": True}, **arguments)
        fit = batch.idata(number)
        for name in ("a", "mu", "tau"):
            np.testing.assert_array_equal(fit.posterior[name].values, single.posterior[name].values, name)
        np.testing.assert_array_equal(fit.sample_stats["lp"].values, single.sample_stats["lp"].values)


def test_chains_start_where_pathfinder_ends():
    found = RustMC(marginalise=True, init="pathfinder").sample_from_init(
        model=CASES["crossed"].build(), draws=10, tune=50, chains=2, random_seed=1, **QUIET
    )
    assert found.sample_stats.attrs["init"] == "pathfinder"
    assert np.isfinite(found.posterior["a"].values).all()


def test_modes_are_those_of_the_whole_model():
    model = CASES["eight_schools"].build()
    modes = [compile_model(model, marginalise=option).find_map(progressbar=False) for option in (False, True)]
    for name, value in modes[0].items():
        np.testing.assert_array_equal(value, modes[1][name])
