"""Models and a short way to sample them, for the tests of the hook and its results."""

import functools
import sys
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_rustmc  # noqa: F401 (adds the sampler)

# For `benchmarks`; appended, so that the source tree does not shadow the installed package.
sys.path.append(str(Path(__file__).parents[2]))

PYMC6 = int(pm.__version__.split(".")[0]) >= 6


@pytest.fixture
def rust_sample():
    """`pm.sample` with our sampler, short and silent unless told otherwise."""
    return functools.partial(
        pm.sample,
        draws=20,
        tune=30,
        chains=2,
        random_seed=1,
        nuts_sampler="rustmc",
        quiet=True,
        compute_convergence_checks=False,
    )


@pytest.fixture
def groups():
    """Names of the groups of a result, on either PyMC."""

    def names(idata):
        return set(idata.children) if PYMC6 else set(idata.groups())

    return names


@pytest.fixture
def normal_model():
    with pm.Model() as model:
        mu = pm.Normal("mu")
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", mu, sigma, observed=np.array([0.3, -0.7, 1.1, 0.4]))
    return model


@pytest.fixture
def schools_model():
    effect = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    error = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    with pm.Model(coords={"school": list("ABCDEFGH")}) as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        theta_raw = pm.Normal("theta_raw", dims="school")
        theta = pm.Deterministic("theta", mu + tau * theta_raw, dims="school")
        pm.Normal("effect", theta, error, observed=effect, dims="school")
    return model


@pytest.fixture
def mixed_model():
    """Int, bool, constant and empty Deterministics, dims with and without coords, data of every kind."""
    with pm.Model(coords={"city": ["Bern", "Rome"], "year": [2001, 2002, 2003]}) as model:
        model.add_coord("site", length=2)
        x = pm.Data("x", np.arange(3.0), dims="year")
        pm.Data("scale", 2.0)
        y = pm.Data("y_seen", np.array([0.1, 0.2, 0.4]), dims="year")
        slope = pm.Normal("slope", dims="city")
        level = pm.Uniform("level", -1, 1, dims="site")
        width = pm.Exponential("width", 1.0)
        free = pm.Normal("free", shape=(2, 3))
        pm.Deterministic("count", (free > 0).sum(axis=0))
        pm.Deterministic("flag", width > 1)
        pm.Deterministic("constant", pt.constant(np.array([1.5, 2.5])), dims="city")
        pm.Deterministic("table", slope[:, None] * x[None, :], dims=("city", "year"))
        pm.Deterministic("nothing", free[:, :0])
        pm.Potential("tilt", -0.1 * level.sum())
        pm.Normal("y", slope[0] * x + level[1], width, observed=y, dims="year")
    return model
