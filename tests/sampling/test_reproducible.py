"""One seed, one set of draws: on any number of cores, whatever is kept, as often as asked."""

import numpy as np
import pytest


@pytest.fixture
def draws(schools_model, rust_sample):
    def sample(**kwargs):
        with schools_model:
            idata = rust_sample(draws=100, tune=150, chains=4, random_seed=20, **kwargs)
        return idata.posterior["theta"].values, idata.sample_stats["energy"].values

    return sample


@pytest.mark.parametrize(
    "change",
    [
        {"cores": 1},
        {"cores": 2},
        {"var_names": ["theta"]},
        {"discard_tuned_samples": False},
        {"quiet": False, "progressbar": "combined"},
        {},
    ],
    ids=str,
)
def test_bits_do_not_depend_on(draws, change):
    for ours, reference in zip(draws(**change), draws(cores=4), strict=True):
        np.testing.assert_array_equal(ours, reference)


def test_a_chain_does_not_depend_on_the_others(normal_model, rust_sample):
    with normal_model:
        two = rust_sample(chains=2).posterior["mu"].values
        four = rust_sample(chains=4).posterior["mu"].values
    np.testing.assert_array_equal(two, four[:2])
    assert len(np.unique(four[:, 0])) == 4
