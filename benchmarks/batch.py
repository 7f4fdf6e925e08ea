"""Reference model 7: thousands of short series, one trend each; rustmc's batch against rivals in a loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
from numpy.typing import NDArray

import pymc_rustmc
from benchmarks.report import aligned

POINTS, TUNE, DRAWS = 52, 300, 500
TIME = np.arange(POINTS) / POINTS

Series = NDArray[np.float64]


def template() -> pm.Model:
    """Return the model of one series."""
    with pm.Model() as model:
        t = pm.Data("t", TIME)
        y = pm.Data("y", np.zeros(POINTS))
        intercept = pm.Normal("intercept", 0, 200)
        trend = pm.Normal("trend", 0, 20)
        sigma = pm.HalfNormal("sigma", 10)
        pm.Normal("sales", intercept + trend * t, sigma, observed=y)
    return model


def series(count: int) -> Series:
    """Return series that the model itself makes, ``(count, POINTS)``."""
    rng = np.random.default_rng(7)
    intercept, trend = rng.normal(0, 200, (count, 1)), rng.normal(0, 20, (count, 1))
    sigma = np.abs(rng.normal(0, 10, (count, 1)))
    return intercept + trend * TIME + sigma * rng.normal(size=(count, POINTS))


def table(count: int, cores: int | None, rivals: list[str], looped: int) -> str:
    """Fit all series by `sample_batch`, and some of them by each rival; return a table.

    Compiling and the first fit are not counted for rivals, translation is counted for rustmc. Rivals take one
    series after the other, on one core.

    Parameters
    ----------
    count
        Number of series.
    cores
        Threads of `sample_batch`; all processors by default.
    rivals
        ``"nutpie"`` and ``"numpyro"``.
    looped
        How many series rivals fit; their time is extrapolated to all.
    """
    data = series(count)
    rows = [("", f"{count} series", "a series", "processor ms a series", "with summaries")]
    start, used = time.perf_counter(), time.process_time()
    model = template()
    result = pymc_rustmc.sample_batch(
        model,
        {"y": data},
        draws=DRAWS,
        tune=TUNE,
        chains=1,
        cores=cores,
        random_seed=1,
        progressbar=False,
        quiet=True,
    )
    seconds, used = time.perf_counter() - start, time.process_time() - used
    rows.append(
        (
            "rustmc, sample_batch",
            f"{seconds:.1f} s",
            f"{1e3 * seconds / count:.2f} ms",
            f"{1e3 * used / count:.2f}",
            "included",
        )
    )
    for rival in rivals:
        fit = RIVALS[rival](model)
        summarise(fit(data[0]))
        times = []
        for y in data[:looped]:
            start, used_before = time.perf_counter(), time.process_time()
            posterior = fit(y)
            between, processors = time.perf_counter(), time.process_time() - used_before
            summarise(posterior)
            times.append((between - start, processors, time.perf_counter() - start))
        alone, processors, both = np.mean(times, axis=0)
        rows.append(
            (
                f"{rival}, loop over {looped}",
                f"{alone * count:.0f} s (extrapolated)",
                f"{1e3 * alone:.1f} ms",
                f"{1e3 * processors:.1f}",
                f"{both * count:.0f} s",
            )
        )
    gradients = result.stats.gradients.values.mean()
    note = (
        f"rustmc: {used:.1f} s of processors in all, {1e3 * used / count:.2f} ms and {gradients:.0f} "
        f"gradients a series; {len(result.failures)} failures, {len(result.flagged())} flagged."
    )
    return f"{aligned(rows)}\n\n{note}"


def summarise(posterior: dict[str, Series]) -> None:
    """Compute what `sample_batch` does, by ArviZ."""
    import arviz as az

    az.summary(az.from_dict({"posterior": {name: value[None] for name, value in posterior.items()}}))


def _nutpie(model: pm.Model) -> Callable[[Series], dict[str, Series]]:
    import nutpie

    compiled = nutpie.compile_pymc_model(model)

    def fit(y: Series) -> dict[str, Series]:
        found = nutpie.sample(
            compiled.with_data(y=y),
            draws=DRAWS,
            tune=TUNE,
            chains=1,
            seed=1,
            progress_bar=False,
        )
        posterior = found.posterior
        return {name: posterior[name].values[0] for name in ("intercept", "trend", "sigma")}

    return fit


def _numpyro(_: pm.Model) -> Callable[[Series], dict[str, Series]]:
    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)

    def model(y: Any) -> None:
        intercept = numpyro.sample("intercept", dist.Normal(0, 200))
        trend = numpyro.sample("trend", dist.Normal(0, 20))
        sigma = numpyro.sample("sigma", dist.HalfNormal(10))
        numpyro.sample("sales", dist.Normal(intercept + trend * TIME, sigma), obs=y)

    def run(y: Any) -> Any:
        chain = MCMC(NUTS(model), num_warmup=TUNE, num_samples=DRAWS, progress_bar=False)
        chain.run(jax.random.PRNGKey(1), y)
        return chain.get_samples()

    samples = jax.jit(run)  # compiled once, since all series are of one length
    return lambda y: {name: np.asarray(value) for name, value in samples(y).items()}


RIVALS: dict[str, Callable[[pm.Model], Callable[[Series], dict[str, Series]]]] = {
    "nutpie": _nutpie,
    "numpyro": _numpyro,
}
"""Makes a function that fits one series, by the name of the sampler."""
