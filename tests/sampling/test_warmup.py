"""Warm-up that ends early and chains that pool their metric: what the result says, on any number of cores."""

import json

import numpy as np
import pytest

BOTH = {"pool": True, "early_stop": True}


@pytest.fixture
def early(normal_model, rust_sample):
    """Runs the model with both options and the default warm-up."""

    def run(**arguments):
        with normal_model:
            return rust_sample(tune=200, nuts=BOTH, **arguments)

    return run


def test_an_early_end_is_told_everywhere(early, groups):
    idata = early(discard_tuned_samples=False)
    tune = idata.warmup_posterior.sizes["draw"]
    assert 60 < tune < 200
    assert idata.warmup_sample_stats.sizes["draw"] == tune
    for group in ("posterior", "sample_stats"):
        assert idata[group].sizes["draw"] == 20
    assert idata.posterior.attrs["tuning_steps"] == tune
    settings = json.loads(idata.sample_stats.attrs["inference_library_settings"])
    assert (settings["tune"], settings["early_stop"], settings["pool"]) == (200, True, True)
    # The step size no longer adapts.
    assert np.ptp(idata.sample_stats["step_size_bar"].values, axis=1).tolist() == [0, 0]

    discarded = early()
    assert "warmup_posterior" not in groups(discarded)
    assert discarded.posterior.attrs["tuning_steps"] == tune
    np.testing.assert_array_equal(discarded.posterior["mu"], idata.posterior["mu"])


def test_draws_do_not_depend_on_cores(early):
    results = [early(chains=3, cores=cores) for cores in (1, 2, 3)]
    for other in results[1:]:
        for group in ("posterior", "sample_stats"):
            for name in set(results[0][group].data_vars) - {"perf_counter_diff"}:
                np.testing.assert_array_equal(results[0][group][name], other[group][name], err_msg=name)


def test_the_options_are_refused_where_they_are_no_flags(normal_model, rust_sample):
    with normal_model, pytest.raises(TypeError, match="early_stop"):
        rust_sample(nuts={"early_stop": 1.5})
