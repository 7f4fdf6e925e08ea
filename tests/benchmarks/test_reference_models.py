"""The reference models are the ones that their docstrings describe."""

import numpy as np
import pytest

from benchmarks.models import MODELS


def logp_and_gradient(model):
    """Return log density and gradient as functions of the point of value variables, without a compiler."""
    logp = model.compile_logp(mode="FAST_COMPILE")
    return logp, model.compile_dlogp(mode="FAST_COMPILE")


def test_normal_regression_has_the_stated_posterior():
    logp, gradient = logp_and_gradient(MODELS["normal_regression"].build())
    mean, sd = 2.457728, 0.032287
    assert gradient({"beta": np.array(mean)}) == pytest.approx(0, abs=1e-6 / sd**2)
    # The density is exactly Normal: one standard deviation away it has fallen by 1/2.
    fall = logp({"beta": np.array(mean)}) - logp({"beta": np.array(mean + sd)})
    assert fall == pytest.approx(0.5, rel=1e-4)


def test_sparse_logistic_has_the_stated_density_at_zero():
    model = MODELS["sparse_logistic"].build()
    logp, gradient = logp_and_gradient(model)
    zero = {"tau_log__": np.array(0.0), "lambda_log__": np.zeros(30), "beta": np.zeros(30)}
    assert logp(zero) == pytest.approx(-465.955996, abs=1e-6)
    assert np.linalg.norm(gradient(zero)) == pytest.approx(803.63724, abs=1e-5)


PARAMETERS_AND_ROWS = {
    "normal_regression": (1, 1000),
    "eight_schools": (10, 8),
    "varying_intercepts": (89, 919),
    "varying_intercepts_noncentred": (89, 919),
    "sparse_logistic": (61, 569),
    "latent_gp": (104, 100),
    "large_regression": (11, 100_000),
    "garch": (3, 200),
    "arma": (4, 200),
    "hmm": (4, None),
    "ar5": (6, 200),
    "small_simple": (2, 50),
    "small_medium": (5, 60),
    "small_stress": (8, 120),
    "correlated_regression": (5, 100),
    "micro_normal": (2, 100),
    "micro_regression": (3, 100),
    "micro_hierarchical": (12, 160),
    "micro_gp": (3, 50),
}


@pytest.mark.parametrize("name", MODELS)
def test_sizes(name):
    model = MODELS[name].build()
    parameters, rows = PARAMETERS_AND_ROWS[name]
    assert sum(np.size(value) for value in model.initial_point().values()) == parameters
    observed = [model.rvs_to_values[rv].type.shape for rv in model.observed_RVs]
    assert observed == ([] if rows is None else [(rows,)])
