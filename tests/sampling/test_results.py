"""The result is what PyMC's own sampler returns: groups, dims, coords, dtypes, attributes."""

import json

import numpy as np
import pymc as pm
import pytest
from conftest import PYMC6

# Statistics of PyMC's NUTS that say nothing about the draws of another sampler.
_PYMC_ONLY_STATS = {"largest_eigval", "smallest_eigval", "process_time_diff", "perf_counter_start"}


@pytest.fixture
def both(mixed_model, rust_sample, groups):
    """Run both samplers on the mixed model; return ``name -> (ours, PyMC's)`` of all groups."""

    def sample(**kwargs):
        short = {"draws": 12, "tune": 10, **kwargs}
        with mixed_model:
            ours = rust_sample(**short)
            reference = rust_sample(
                **short, nuts_sampler="pymc", cores=1, compile_kwargs={"mode": "FAST_COMPILE"}
            )
        assert groups(ours) == groups(reference)
        return {name: (_dataset(ours, name), _dataset(reference, name)) for name in groups(ours)}

    return sample


def _dataset(idata, group):
    return idata[group].to_dataset() if PYMC6 else idata[group]


@pytest.mark.filterwarnings("error:::pymc_rustmc")
def test_everything_as_pymc_returns_it(both):
    pairs = both(discard_tuned_samples=False)
    assert {"posterior", "warmup_posterior", "sample_stats", "observed_data", "constant_data"} <= set(pairs)
    for name, (ours, reference) in pairs.items():
        stats = name.endswith("sample_stats")
        unique = _PYMC_ONLY_STATS if stats else set()
        expected = [str(variable) for variable in reference.data_vars if variable not in unique]
        if stats:
            assert set(ours.data_vars) == set(expected)
            assert set(ours.attrs) == {*reference.attrs, "inference_library_settings"}
        else:
            assert list(ours.data_vars) == expected
            assert list(ours.attrs) == list(reference.attrs)
        for variable in expected:
            assert ours[variable].dims == reference[variable].dims, variable
            assert ours[variable].dtype == reference[variable].dtype, variable
            assert ours[variable].shape == reference[variable].shape, variable
        assert set(ours.coords) == set(reference.coords)
        for coord in ours.coords:
            np.testing.assert_array_equal(ours[coord], reference[coord])
            assert ours[coord].dtype == reference[coord].dtype


def test_transformed_values_on_request(both):
    ours, reference = both(idata_kwargs={"include_transformed": True})["posterior"]
    assert list(ours.data_vars) == list(reference.data_vars)
    np.testing.assert_allclose(np.exp(ours["width_log__"]), ours["width"], rtol=1e-14)


def test_no_object_dtype_and_netcdf_round_trip(mixed_model, rust_sample, tmp_path):
    with mixed_model:
        idata = rust_sample(discard_tuned_samples=False, keep_warning_stat=True)
    assert not [name for name, stat in idata.sample_stats.data_vars.items() if stat.dtype == object]
    path = tmp_path / "draws.nc"
    if PYMC6:
        import xarray

        idata.to_netcdf(path)
        back = xarray.open_datatree(path)
    else:
        import arviz

        idata.to_netcdf(str(path))
        back = arviz.from_netcdf(str(path))
    for name in ("slope", "count", "flag"):
        np.testing.assert_array_equal(back.posterior[name], idata.posterior[name])
    assert dict(back.posterior["table"].sizes) == {"chain": 2, "draw": 20, "city": 2, "year": 3}


def test_settings_are_kept_with_the_draws(normal_model, rust_sample):
    with normal_model:
        idata = rust_sample(nuts={"target_accept": np.float64(0.9), "max_treedepth": np.int64(7)})
    settings = json.loads(idata.sample_stats.attrs["inference_library_settings"])
    assert (settings["target_accept"], settings["max_treedepth"]) == (0.9, 7)
    assert (settings["draws"], settings["tune"]) == (20, 30)


def test_default_tune_is_the_samplers_own(normal_model, rust_sample):
    with normal_model:
        idata = rust_sample(tune=None)
    settings = json.loads(idata.sample_stats.attrs["inference_library_settings"])
    assert idata.posterior.attrs["tuning_steps"] == settings["tune"] > 0


def test_log_likelihood_and_log_prior(normal_model, rust_sample):
    with normal_model:
        idata = rust_sample(idata_kwargs={"log_likelihood": True, "log_prior": True})
    mu, sigma = idata.posterior["mu"].values[..., None], idata.posterior["sigma"].values[..., None]
    data = np.array([0.3, -0.7, 1.1, 0.4])
    expected = -0.5 * ((data - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(idata.log_likelihood["y"], expected, rtol=1e-12)
    assert set(idata.log_prior.data_vars) == {"mu", "sigma"}


def test_coords_dims_and_attrs_of_the_user(rust_sample):
    with pm.Model():
        pm.Normal("x", shape=2)
        idata = rust_sample(
            idata_kwargs={
                "coords": {"side": ["left", "right"]},
                "dims": {"x": ["side"]},
                "attrs": {"study": "pilot", "posterior": {"remark": "short"}},
            }
        )
    assert list(idata.posterior["side"].values) == ["left", "right"]
    assert idata.posterior["x"].dims == ("chain", "draw", "side")
    assert idata.attrs["study"] == "pilot"
    assert idata.posterior.attrs["remark"] == "short"


def test_no_data_no_constant_group(rust_sample, groups):
    with pm.Model():
        pm.Normal("x")
        idata = rust_sample()
    assert groups(idata) - {"observed_data"} == {"posterior", "sample_stats"}


def test_statistics_make_sense(schools_model, rust_sample):
    with schools_model:
        idata = rust_sample(draws=200, tune=300, nuts={"max_treedepth": 6})
    stats = idata.sample_stats
    steps, depth = stats["n_steps"].values, stats["tree_depth"].values
    assert (steps >= 1).all()
    assert (steps < 2.0 ** (depth + 1)).all()
    assert (depth <= 6).all()
    assert ((stats["acceptance_rate"] >= 0) & (stats["acceptance_rate"] <= 1)).all()
    assert (stats["step_size"] > 0).all()
    np.testing.assert_array_equal(stats["divergences"], np.cumsum(stats["diverging"], axis=1))
    lp = schools_model.compile_logp(mode="FAST_COMPILE", sum=True)
    last = {
        value.name: idata.posterior[rv.name].values[0, -1]
        for rv, value in schools_model.rvs_to_values.items()
        if rv in schools_model.free_RVs
    }
    last["tau_log__"] = np.log(idata.posterior["tau"].values[0, -1])
    last = {value.name: last.get(value.name) for value in schools_model.value_vars}
    assert float(stats["lp"][0, -1]) == pytest.approx(float(lp(last)), rel=1e-10)
