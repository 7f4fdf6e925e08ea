"""A batch at full size: ragged data sets, warm starts, memory that stays, and a data set that is no good."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

import pymc_rustmc
from benchmarks.batch import DRAWS, TUNE, series, template
from benchmarks.case import process_environment
from benchmarks.memory import peak
from benchmarks.report import aligned

QUIET: dict[str, Any] = {"progressbar": False, "quiet": True}

Data = dict[str, Any] | pymc_rustmc.DataSet
Truth = dict[str, Any]
Made = tuple[pm.Model, Sequence[Data], list[Truth]]


def counts(number: int) -> Made:
    """Return a Poisson regression on 4 covariates, data sets of 20 to 400 rows, and the truth."""
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        x = pm.Data("x", np.zeros((20, 4)))
        y = pm.Data("y", np.zeros(20, dtype=int))
        intercept = pm.Normal("intercept", 1, 1)
        beta = pm.Normal("beta", 0, 0.5, shape=4)
        pm.Poisson("count", pm.math.exp(intercept + x @ beta), observed=y)
    sets, truths = [], []
    for _ in range(number):
        truth: Truth = {"intercept": rng.normal(1, 1), "beta": rng.normal(0, 0.5, 4)}
        design = rng.normal(size=(rng.integers(20, 401), 4))
        rate = np.exp(truth["intercept"] + design @ truth["beta"])
        sets.append({"x": design, "y": rng.poisson(rate)})
        truths.append(truth)
    return model, sets, truths


def shops(number: int) -> Made:
    """Return a hierarchical template, data sets of 20 to 400 rows with 3 to 12 groups, and the truth."""
    rng = np.random.default_rng(2)
    with pm.Model() as model:
        model.add_coord("shop", ["a", "b", "c"], length=3)
        model.add_coord("sale", length=20)
        shop = pm.Data("shop_index", np.arange(20) % 3, dims="sale")
        y = pm.Data("y", np.zeros(20), dims="sale")
        mu = pm.Normal("mu", 0, 3)
        tau = pm.Gamma("tau", 4, 4)
        level = pm.Normal("level", mu, tau, dims="shop")
        sigma = pm.HalfNormal("sigma", 0.5)
        pm.Normal("sales", level[shop], sigma, observed=y, dims="sale")
    sets, truths = [], []
    for _ in range(number):
        rows = int(rng.integers(20, 401))
        groups = int(rng.integers(3, min(12, rows // 5) + 1))
        index = np.arange(rows) % groups
        truth: Truth = {"mu": rng.normal(0, 3), "tau": rng.gamma(4, 1 / 4), "sigma": abs(rng.normal(0, 0.5))}
        levels = rng.normal(truth["mu"], truth["tau"], groups)
        data = {"shop_index": index, "y": rng.normal(levels[index], truth["sigma"])}
        coords = {"shop": [f"shop {k}" for k in range(groups)]}
        sets.append(pymc_rustmc.DataSet(data, coords))
        truths.append(truth)
    return model, sets, truths


def measurements(number: int) -> Made:
    """Return a heavy-tailed regression on 20 correlated covariates, data sets of 200 rows, and the truth.

    Posteriors differ little from data set to data set but for where they lie: errors are of one instrument.
    """
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(20, 20))
    with pm.Model() as model:
        x = pm.Data("x", np.zeros((200, 20)))
        y = pm.Data("y", np.zeros(200))
        beta = pm.Normal("beta", 0, 1, shape=20)
        sigma = pm.HalfNormal("sigma", 2)
        pm.StudentT("value", nu=4, mu=x @ beta, sigma=sigma, observed=y)
    sets, truths = [], []
    for _ in range(number):
        truth: Truth = {"beta": rng.normal(0, 1, 20), "sigma": rng.lognormal(0, 0.1)}
        design = rng.normal(size=(200, 20)) @ mixing + 5
        sets.append({"x": design, "y": design @ truth["beta"] + truth["sigma"] * rng.standard_t(4, 200)})
        truths.append(truth)
    return model, sets, truths


RAGGED: dict[str, Callable[[int], Made]] = {"counts": counts, "shops": shops}
"""Templates of which data sets differ in length, by name."""


def ragged(number: int, cores: int | None) -> str:
    """Fit data sets of 20 to 400 rows, 2 chains of 300 + 500 draws each; return a table.

    True values are draws from the prior, so the 94 % intervals hold 94 % of them, a little less since the
    shortest interval of few draws is too short.
    """
    rows = [
        [
            "data sets",
            "s",
            "processor ms a set",
            "failed",
            "divergent",
            "R-hat > 1.05",
            "ESS < 100",
            "inside 94 %",
        ]
    ]
    for name, make in RAGGED.items():
        model, sets, truths = make(number)
        began, used = time.perf_counter(), time.process_time()
        result = pymc_rustmc.sample_batch(
            model, sets, draws=DRAWS, tune=TUNE, chains=2, cores=cores, random_seed=1, **QUIET
        )
        seconds, used = time.perf_counter() - began, time.process_time() - used
        inside = [
            ((low <= truth[key]) & (truth[key] <= high)).ravel()
            for key in truths[0]
            for truth, low, high in zip(
                truths,
                result.summary[key].sel(statistic="hdi94_lb").values,
                result.summary[key].sel(statistic="hdi94_ub").values,
                strict=True,
            )
        ]
        divergent = int((result.stats.divergences.sum("chain") > 0).sum())
        flags = [
            len(result.flagged(r_hat=bound, ess=ess, divergences=10**9))
            for bound, ess in ((1.05, 0), (np.inf, 100))
        ]
        rows.append(
            [
                f"{number} of {name}",
                f"{seconds:.1f}",
                f"{1e3 * used / number:.1f}",
                *map(str, (len(result.failures), divergent, *flags)),
                f"{100 * np.concatenate(inside).mean():.2f} %",
            ]
        )
    return aligned(rows)


def warm_starts(number: int, cores: int | None) -> str:
    """Compare gradients and effective sample sizes with and without a pilot, for ever shorter warm-ups."""
    made: dict[str, Made] = {
        "series": (template(), [{"y": y} for y in series(number)], []),
        "counts": counts(number),
        "shops": shops(number),
        "measurements": measurements(number),
    }
    rows = [["data sets", "tune", "pilot", "warm-up", "all", "bulk ESS", "least", "R-hat", "divergences"]]
    for name, (model, sets, _) in made.items():
        compiled = pymc_rustmc.compile_model(model)
        for tune, warm_start in ((200, False), (100, False), (100, True), (50, False), (50, True)):
            result = pymc_rustmc.sample_batch(
                compiled,
                sets,
                draws=DRAWS,
                tune=tune,
                chains=2,
                cores=cores,
                random_seed=1,
                warm_start=warm_start,
                **QUIET,
            )
            stats = result.stats
            everything = float(stats.gradients.mean())
            bulk, r_hat = (
                np.concatenate([v.sel(statistic=key).values.ravel() for v in result.summary.values()])
                for key in ("ess_bulk", "r_hat")
            )
            figures = [
                f"{everything - DRAWS * float(stats.n_steps.mean()):.0f}",
                f"{everything:.0f}",
                f"{np.nanmedian(bulk):.0f}",
                f"{np.nanmin(bulk):.0f}",
                f"{np.nanmax(r_hat):.2f}",
                f"{int(stats.divergences.sum())}",
            ]
            rows.append([f"{number} {name}", str(tune), "yes" if warm_start else "no", *figures])
    return aligned(rows)


def one_bad(number: int, cores: int | None) -> str:
    """Fit that many series, of which one in the middle is full of NaN; say what came back."""
    data = series(number)
    data[number // 2] = np.nan
    result = pymc_rustmc.sample_batch(
        template(), {"y": data}, draws=DRAWS, tune=TUNE, chains=1, cores=cores, random_seed=1, **QUIET
    )
    return f"{number} series: {len(result.ids)} fits, failures {result.failures}"


def generated(number: int) -> Iterator[Data]:
    """Yield series one by one."""
    rng = np.random.default_rng(9)
    for _ in range(number):
        yield {"y": series_like(rng)}


def series_like(rng: np.random.Generator) -> Any:
    """Return one series."""
    time = np.arange(52) / 52
    return rng.normal(0, 200) + rng.normal(0, 20) * time + abs(rng.normal(0, 10)) * rng.normal(size=52)


def measure(number: int, stored: bool) -> dict[str, float]:
    """Fit series from a generator in this process, which should be fresh; return bytes."""
    compiled = pymc_rustmc.compile_model(template())
    run: dict[str, Any] = {"draws": 50, "tune": 50, "chains": 1, "cores": 2, "random_seed": 1, **QUIET}
    pymc_rustmc.sample_batch(compiled, {"y": series(100)}, **run)
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "fits" if stored else None
        result = pymc_rustmc.sample_batch(compiled, generated(number), store=store, **run)
        held = 0 if stored else sum(v.nbytes for d in (result.summary, result.stats) for v in d.values())
        return {"peak": peak(), "grown": peak() - before, "result": held}


def memory(numbers: list[int]) -> str:
    """Return the peak memory of batches from a generator, summaries in memory or in a store; a process each.

    Runs are short, 50 + 50 draws, since the length of chains changes nothing for what is kept.
    """
    rows = [["data sets", "store", "peak MB", "beyond the first 100", "result MB"]]
    for stored in (False, True):
        for number in numbers:
            command = [sys.executable, "-m", "benchmarks.batch_sizes", str(number), str(int(stored))]
            done = subprocess.run(command, env=process_environment(), capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-4000:])
            found = json.loads(done.stdout.splitlines()[-1])
            columns = [f"{found[key] / 1e6:.0f}" for key in ("peak", "grown", "result")]
            rows.append([str(number), "yes" if stored else "no", *columns])
    return aligned(rows)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), bool(int(sys.argv[2])))))
