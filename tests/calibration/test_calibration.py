"""The small size of ``python -m tests.calibration``, with fixed seeds, and the test of uniformity itself."""

import numpy as np
import pytest

from .models import CASES
from .simulate import LEVELS, choices, ranks
from .uniformity import p_value

FITS = 12
ALARM = 1e-8
"""Of one test; there are about a hundred."""


def _assert_calibrated(model, nuts, fits=FITS, **how):
    for name, found in ranks(CASES[model], fits, 1, nuts, **how).items():
        assert len(found) == fits
        assert p_value(found, LEVELS) > ALARM, name


@pytest.mark.parametrize("model", CASES)
def test_calibrated(model):
    _assert_calibrated(model, {})


@pytest.mark.parametrize("metric", choices("metric"))
@pytest.mark.parametrize("kind", choices("kind"))
def test_every_metric_and_kind_is_calibrated(metric, kind):
    _assert_calibrated("linear_regression", {"metric": metric, "kind": kind})


@pytest.mark.parametrize("model", ["series_with_a_trend", "poisson_regression", "hierarchical_centred"])
@pytest.mark.parametrize("warm_start", [False, True])
def test_batches_are_calibrated(model, warm_start):
    _assert_calibrated(model, {"warm_start": warm_start}, fits=200, batch=True)


@pytest.mark.parametrize("chains", [1, 3])
def test_chains_that_meet_are_calibrated(chains):
    _assert_calibrated("linear_regression", {"pool": True, "early_stop": True}, chains=chains)


@pytest.mark.parametrize("model", ["hierarchical_centred", "linear_regression", "crossed_effects"])
def test_calibrated_with_variables_integrated_out(model):
    _assert_calibrated(model, {"marginalise": True})


def test_p_values_of_uniform_ranks():
    """The p-value is exact: below alpha with probability alpha at most, and little less."""
    rng = np.random.default_rng(1)
    p = np.array([p_value(rng.integers(0, 8, 40), 8) for _ in range(400)])
    for alpha in (0.05, 0.2, 0.5):
        assert abs((p <= alpha).mean() - alpha) < 5 * np.sqrt(alpha * (1 - alpha) / 400) + 0.03


def test_p_value_of_all_ranks_equal_is_that_of_the_binomial():
    # One of two levels: the band is left where the count is 0 or n.
    assert p_value(np.zeros(10, dtype=int), 2) == pytest.approx(2 * 0.5**10)


@pytest.mark.parametrize(
    "posterior",
    [
        pytest.param(lambda truth, z: 0.65 * z, id="too narrow"),
        pytest.param(lambda truth, z: 1.6 * z, id="too wide"),
        pytest.param(lambda truth, z: z + 0.3, id="moved"),
        pytest.param(lambda truth, z: np.abs(truth)[:, None] * np.abs(z), id="of another sign"),
    ],
)
def test_wrong_posteriors_are_found_in_the_full_size(posterior):
    rng = np.random.default_rng(2)
    truth, z = rng.normal(size=500), rng.normal(size=(500, LEVELS - 1))
    assert p_value((z < truth[:, None]).sum(axis=1), LEVELS) > 0.01
    assert p_value((posterior(truth, z) < truth[:, None]).sum(axis=1), LEVELS) < ALARM
