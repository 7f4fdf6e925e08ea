"""Warm starts: fits depend on the pilot as on a setting, can be had alone, on disk and on a cluster."""

import json

import numpy as np
import pytest
import xarray as xr
from test_batch_draws import assert_same, single

from pymc_rustmc import DataSet, compile_model, open_batch, sample_batch
from pymc_rustmc.errors import StoreError

RUN = {"draws": 20, "tune": 40, "chains": 2}
QUIET = {"quiet": True, "progressbar": False}
WARM = {"keep": "draws", "random_seed": 5, "warm_start": 4, **RUN, **QUIET}


def test_draws_are_those_of_single_runs(trend, series):
    data = [{"y": y} for y in series]
    result = sample_batch(trend, data, cores=2, **WARM)
    assert (result.stats.warm_start == 1).all()
    options = result.warm_start(7)
    assert np.shape(options["initial_metric"]) == (3, 3)
    compiled = compile_model(trend)
    for number in (0, 7):
        bound = compiled.bind(data[number])
        alone = single(bound, result.seeds(number), nuts=result.warm_start(number))
        assert_same(result.idata(number), alone)
        attribute = "inference_library_settings"
        assert result.idata(number).sample_stats.attrs[attribute] == alone.sample_stats.attrs[attribute]
        ordinary = single(bound, result.seeds(number))
        assert not np.array_equal(ordinary.posterior.trend, alone.posterior.trend)


def test_draws_do_not_depend_on_threads_or_later_data_sets(trend, series):
    data = [{"y": y} for y in series]
    whole = sample_batch(trend, (item for item in data), cores=3, **WARM)
    part = sample_batch(trend, {"y": series[:5]}, cores=1, **WARM)
    assert part.posterior.equals(whole.posterior.isel(dataset=slice(5)))
    assert part.warm_start(0) == whole.warm_start(8)


def test_other_shapes_begin_with_an_ordinary_warm_up(shops):
    sets = {
        "as is": {},
        "large": DataSet({"shop_index": np.arange(8) % 4, "y": np.linspace(0, 2, 8)}, {"shop": list("pqrs")}),
        "other": {"y": [1.0, 2.0, 3.5, 1.4, 1.8, 2.9]},
    }
    result = sample_batch(shops, sets, **{**WARM, "warm_start": 1})
    assert not result.failures
    assert result.stats.warm_start.values[:, 0].tolist() == [1, 0, 1]
    assert result.warm_start("large") == {}
    compiled = compile_model(shops)
    for key, data in sets.items():
        given = data if isinstance(data, DataSet) else DataSet(data)
        bound = compiled.bind(given.data, coords=given.coords)
        alone = single(bound, result.seeds(key), nuts=result.warm_start(key))
        assert_same(result.idata(key), alone)


def test_a_pilot_that_fails_changes_nothing(trend, series):
    series[:2] = np.nan
    result = sample_batch(trend, {"y": series}, **{**WARM, "warm_start": 2})
    assert list(result.failures) == [0, 1]
    assert (result.stats.warm_start == 0).all()
    assert result.posterior.equals(
        sample_batch(trend, {"y": series}, **{**WARM, "warm_start": False}).posterior
    )


def test_a_store_holds_the_pilot(trend, series, tmp_path):
    pytest.importorskip("zarr")
    result = sample_batch(trend, {"y": series}, **WARM)
    path = tmp_path / "s"
    sample_batch(trend, {"y": series[:6]}, store=path, **WARM)
    stored = sample_batch(trend, {"y": series}, store=path, resume=True, **WARM)
    xr.testing.assert_equal(stored.posterior.load(), result.posterior)
    assert open_batch(path, trend).warm_start(3) == result.warm_start(3)
    with pytest.raises(StoreError, match="warm_start was 4 and is now 2"):
        sample_batch(trend, {"y": series}, store=path, resume=True, **{**WARM, "warm_start": 2})
    with pytest.raises(StoreError, match="warm_start was 4 and is now None"):
        sample_batch(trend, {"y": series}, store=path, resume=True, **{**WARM, "warm_start": False})


def test_a_cluster_gives_the_same(trend, series):
    distributed = pytest.importorskip("distributed")
    local = sample_batch(trend, {"y": series}, **WARM)
    with distributed.Client(processes=False, dashboard_address=None, n_workers=1) as client:
        result = sample_batch(trend, {"y": series}, client=client, **WARM)
    xr.testing.assert_equal(result.posterior, local.posterior)


@pytest.mark.parametrize(("wrong", "error"), [("yes", TypeError), (-1, ValueError), (2.0, TypeError)])
def test_arguments(trend, series, wrong, error):
    with pytest.raises(error, match="warm_start"):
        sample_batch(trend, {"y": series}, **{**WARM, "warm_start": wrong})


@pytest.mark.parametrize(
    "metric", [[[1.0, 2.0]], [[1.0, 0.5], [0.0, 1.0]], [], [np.nan], "diag", [[[1.0]]]], ids=str
)
def test_a_first_metric_that_is_none(trend, metric):
    with pytest.raises(ValueError, match="`initial_metric` must be variances"):
        single(compile_model(trend), 1, nuts={"initial_metric": metric})


def test_a_first_metric_of_other_dimensions(trend):
    with pytest.raises(ValueError, match="must be the 3 variances"):
        single(compile_model(trend), 1, nuts={"initial_metric": [1.0, 2.0]})


def test_a_first_metric_is_in_the_settings(trend):
    idata = single(compile_model(trend), [1, 2], nuts={"initial_metric": np.diag([1.0, 2.0, 3.0])})
    settings = json.loads(idata.sample_stats.attrs["inference_library_settings"])
    assert settings["initial_metric"] == [1, 0, 0, 0, 2, 0, 0, 0, 3]
