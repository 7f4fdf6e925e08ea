"""Models with known modes and posteriors."""

import numpy as np
import pymc as pm
import pytest

PYMC6 = int(pm.__version__.split(".")[0]) >= 6
X = np.linspace(-1, 1, 40)[:, None] ** [0, 1, 2]
NOISE = 0.3
Y = X @ [0.5, -1.0, 2.0] + NOISE * np.sin(7.0 * np.arange(40))
PRIOR_SD = 2.0


@pytest.fixture
def linear_model():
    """A linear regression with known noise: its posterior is `linear_posterior`."""
    with pm.Model(coords={"term": ["one", "x", "square"]}) as model:
        beta = pm.Normal("beta", 0, PRIOR_SD, dims="term")
        pm.Normal("y", X @ beta, NOISE, observed=Y)
    return model


@pytest.fixture
def linear_posterior():
    """Mean and covariance of `linear_model`."""
    covariance = np.linalg.inv(X.T @ X / NOISE**2 + np.eye(3) / PRIOR_SD**2)
    return covariance @ X.T @ Y / NOISE**2, covariance


@pytest.fixture
def funnel_model():
    with pm.Model() as model:
        scale = pm.Normal("scale", 0, 3)
        pm.Normal("x", 0, pm.math.exp(scale / 2), shape=9)
    return model


@pytest.fixture
def groups():
    """Names of the groups of a result, on either PyMC."""

    def names(idata):
        return set(idata.children) if PYMC6 else set(idata.groups())

    return names
