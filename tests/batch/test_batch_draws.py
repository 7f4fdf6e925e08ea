"""Draws of a batch are those of single runs, bit for bit, whatever the order and the threads."""

import numpy as np
import pymc as pm
import pytest

import pymc_rustmc
from pymc_rustmc import DataSet, compile_model, load_model, sample_batch

RUN = {"draws": 20, "tune": 40, "chains": 2}
QUIET = {"quiet": True, "progressbar": False}


def single(compiled, seeds, **run):
    """Run one data set in the coordinates of the model as it is written, as a batch does."""
    return compiled.sample(
        random_seed=seeds,
        reparametrise=False,
        quiet=True,
        compute_convergence_checks=False,
        **{**RUN, **run},
    )


def assert_same(one, other):
    """Two results of `pm.sample` hold the same, but for times."""
    for group in ("posterior", "sample_stats", "observed_data", "constant_data"):
        ours, reference = one[group], other[group]
        assert list(ours.data_vars) == list(reference.data_vars)
        for name in set(ours.data_vars) - {"perf_counter_diff"}:
            assert ours[name].dims == reference[name].dims
            assert ours[name].dtype == reference[name].dtype
            np.testing.assert_array_equal(ours[name], reference[name], err_msg=f"{group} {name}")
        assert {dim: list(v.values) for dim, v in ours.coords.items()} == {
            dim: list(v.values) for dim, v in reference.coords.items()
        }


@pytest.mark.parametrize("cores", [1, 3])
def test_draws_are_those_of_single_runs(trend, series, cores):
    data = [{"y": y} for y in series]
    result = sample_batch(trend, data, keep="draws", cores=cores, random_seed=5, **RUN, **QUIET)
    compiled = compile_model(trend)
    for number in (0, 4, 8):
        reference = single(compiled.bind(data[number]), result.seeds(number))
        assert_same(result.idata(number), reference)
        for name in reference.posterior.data_vars:
            np.testing.assert_array_equal(
                result.posterior[name].sel(dataset=number), reference.posterior[name]
            )


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("chains", [1, 3])
def test_chains_meet_as_in_single_runs(trend, series, chains, cores):
    run, nuts = {"draws": 20, "tune": 200, "chains": chains}, {"pool": True, "early_stop": True}
    data = [{"y": y} for y in series]
    result = sample_batch(trend, data, keep="draws", cores=cores, random_seed=5, **run, **nuts, **QUIET)
    compiled = compile_model(trend)
    for number in (0, 4, 8):
        reference = single(compiled.bind(data[number]), result.seeds(number), nuts=nuts, **run)
        assert_same(result.idata(number), reference)
        steps = reference.posterior.attrs["tuning_steps"]
        assert result.idata(number).posterior.attrs["tuning_steps"] == steps
        assert (result.stats.tune.sel(dataset=number) == steps).all()
    assert (result.stats.tune < 200).any()


def test_starts_at_the_jittered_values_of_others_are_those_of_single_runs(shops):
    sets = {
        "small": DataSet({"shop_index": [0, 1, 1], "y": [1.0, 2.0, 2.5]}, {"shop": ["x", "y"]}),
        "large": DataSet(
            {"shop_index": np.arange(8) % 4, "y": np.linspace(0, 2, 8)}, {"shop": ["p", "q", "r", "s"]}
        ),
        "as is": {},
    }
    result = sample_batch(shops, sets, keep="draws", cores=2, random_seed=1, **RUN, **QUIET)
    assert not result.failures
    compiled = compile_model(shops)
    for key, data in sets.items():
        given = data if isinstance(data, DataSet) else DataSet(data)
        bound = compiled.bind(given.data, coords=given.coords)
        assert_same(result.idata(key), single(bound, result.seeds(key)))
    assert result.posterior.level.shape == (3, 2, 20, 4)
    assert np.isnan(result.posterior.level.sel(dataset="small")[..., 2:]).all()
    assert np.isfinite(result.summary.level.sel(dataset="large", statistic="mean")).all()


def test_counts_with_covariates_of_different_lengths():
    rng = np.random.default_rng(4)
    with pm.Model() as model:
        x = pm.Data("x", np.zeros((5, 4)))
        y = pm.Data("y", np.zeros(5, dtype=int))
        beta = pm.Normal("beta", 0, 1, shape=4)
        intercept = pm.Normal("intercept", 0, 1)
        pm.Poisson("count", pm.math.exp(intercept + x @ beta), observed=y)
    sets = [{"x": rng.normal(size=(n, 4)), "y": rng.poisson(2, size=n)} for n in (20, 7, 40)]
    result = sample_batch(model, sets, keep="draws", random_seed=9, **RUN, **QUIET)
    compiled = compile_model(model)
    for number, data in enumerate(sets):
        assert_same(result.idata(number), single(compiled.bind(data), result.seeds(number)))


def test_draws_depend_on_the_position_alone(trend, series):
    run = {"keep": "draws", "random_seed": 2, **RUN, **QUIET}
    whole = sample_batch(trend, {"y": series}, cores=2, **run)
    part = sample_batch(trend, [{"y": y} for y in series[:2]], cores=1, **run)
    xr_equal = part.posterior.equals(whole.posterior.isel(dataset=slice(2)))
    assert xr_equal
    other = sample_batch(trend, {"y": series[:1]}, **{**run, "random_seed": 3})
    assert not np.array_equal(other.posterior.trend[0], whole.posterior.trend[0])
    assert len({seed for key in whole.ids for seed in whole.seeds(key)}) == 18


def test_a_model_from_a_file(trend, series, tmp_path):
    compile_model(trend).save(tmp_path / "trend")
    compiled = load_model(tmp_path / "trend")
    result = sample_batch(compiled, {"y": series[:2]}, keep="draws", random_seed=4, **RUN, **QUIET)
    assert_same(result.idata(1), single(compiled.bind({"y": series[1]}), result.seeds(1)))


def test_a_start_that_is_drawn_again():
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(2))
        x = pm.Normal("x", 0, 1)
        pm.Potential("bound", pm.math.switch(x > 0.0, 0.0, -np.inf))
        pm.Normal("z", x, 1, observed=y)
    result = sample_batch(model, {"y": np.ones((6, 2))}, keep="draws", random_seed=1, **RUN, **QUIET)
    assert len(result.ids) == 6
    compiled = compile_model(model).bind({"y": np.ones(2)})
    for key in result.ids:
        assert_same(result.idata(key), single(compiled, result.seeds(key)))


@pytest.mark.parametrize("child", [None, 0, 5])
@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**63 - 1])
def test_jitter_is_numpys(seed, child):
    sequence = np.random.SeedSequence(seed)
    if child is not None:
        sequence = sequence.spawn(child + 1)[child]
    expected = np.random.Generator(np.random.PCG64(sequence)).uniform(-1, 1, size=4)
    np.testing.assert_array_equal(pymc_rustmc._core.numpy_jitter(seed, child, 4), expected)
