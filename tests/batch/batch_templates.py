"""Templates of the tests of batches, also for processes that tests start."""

import numpy as np
import pymc as pm

T0 = np.arange(12) / 12


def make_trend():
    """Weekly sales with a trend, whose data have no dims."""
    rng = np.random.default_rng(7)
    with pm.Model() as model:
        t = pm.Data("t", T0)
        y = pm.Data("y", rng.normal(1 + T0, 0.3))
        intercept = pm.Normal("intercept", 0, 5)
        trend = pm.Normal("trend", 0, 5)
        sigma = pm.HalfNormal("sigma", 1)
        pm.Deterministic("next", intercept + 1.1 * trend)
        pm.Normal("sales", intercept + trend * t, sigma, observed=y)
    return model


def make_shops():
    """Shops with levels of their own around a common one: lengths are those of dims."""
    with pm.Model() as model:
        model.add_coord("shop", ["a", "b", "c"], length=3)
        model.add_coord("obs", length=6)
        shop = pm.Data("shop_index", [0, 1, 2, 0, 1, 2], dims="obs")
        y = pm.Data("y", np.array([1.0, 2.0, 3.0, 1.2, 1.9, 3.1]), dims="obs")
        mu = pm.Normal("mu", 0, 3)
        tau = pm.HalfNormal("tau", 1)
        level = pm.Normal("level", mu, tau, dims="shop")
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("sales", level[shop], sigma, observed=y, dims="obs")
    return model
