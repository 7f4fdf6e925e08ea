"""Eight schools, sampled in Rust: prints the summary and where the time went. `./run` runs it."""

import time

import arviz as az
import numpy as np
import pymc as pm

import pymc_rustmc  # noqa: F401  (makes "rustmc" known to PyMC)
from pymc_rustmc.compile import translate_model

# Effects of coaching on test scores and their standard errors (Rubin 1981).
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

with pm.Model(coords={"school": list("ABCDEFGH")}) as model:
    mu = pm.Normal("mu", 0, 5)
    tau = pm.HalfCauchy("tau", 5)
    z = pm.Normal("z", 0, 1, dims="school")
    theta = pm.Deterministic("theta", mu + tau * z, dims="school")
    pm.Normal("effect", theta, STANDARD_ERRORS, observed=EFFECTS, dims="school")

start = time.perf_counter()
translate_model(model)
translation = time.perf_counter() - start

start = time.perf_counter()
with model:
    idata = pm.sample(nuts_sampler="rustmc", chains=4, random_seed=1, discard_tuned_samples=False)
whole_call = time.perf_counter() - start


def longest_chain(stats):
    """Return the seconds that the slowest chain spent on its draws."""
    return float(stats["perf_counter_diff"].sum("draw").max())


print(az.summary(idata, var_names=["mu", "tau", "theta"]).to_string())
print(f"translation of the model to Rust    {1000 * translation:.1f} ms")
print(f"warm-up, longest chain              {1000 * longest_chain(idata['warmup_sample_stats']):.1f} ms")
print(f"sampling, longest chain             {1000 * longest_chain(idata['sample_stats']):.1f} ms")
print(f"pm.sample as a whole                {1000 * whole_call:.1f} ms")
