"""Summaries are the diagnostics of the draws; what is kept is what was asked for."""

import logging
import signal
import threading

import numpy as np
import pymc as pm
import pytest

from pymc_rustmc import compile_model, diagnostics, sample_batch
from pymc_rustmc.batch.chunks import Joined

RUN = {"draws": 60, "tune": 60, "chains": 2, "random_seed": 1, "quiet": True}


@pytest.fixture(scope="module")
def result(trend):
    y = np.random.default_rng(5).normal(size=(5, 12))
    return sample_batch(trend, {"y": y}, keep="draws", interval="eti", prob=0.8, **RUN)


def test_summaries_are_the_diagnostics_of_the_draws(result):
    for name, draws in result.posterior.data_vars.items():
        for number in range(5):
            values = draws[number].values
            low, high = diagnostics.eti(values, 0.8)
            expected = [
                values.mean(),
                values.std(ddof=1),
                np.median(values),
                low,
                high,
                diagnostics.mcse(values),
                diagnostics.mcse(values, method="sd"),
                diagnostics.ess(values),
                diagnostics.ess(values, method="tail"),
                diagnostics.rhat(values),
            ]
            np.testing.assert_allclose(result.summary[name][number], expected, rtol=1e-12)
    assert result.summary.statistic.values.tolist() == [
        *("mean", "sd", "median", "eti80_lb", "eti80_ub"),
        *("mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", "r_hat"),
    ]


def test_statistics_of_chains_are_those_of_the_draws(result):
    stats, draws = result.stats, result.sample_stats
    np.testing.assert_array_equal(stats.divergences, draws.diverging.sum("draw"))
    np.testing.assert_array_equal(stats.reached_max_treedepth, draws.reached_max_treedepth.sum("draw"))
    np.testing.assert_allclose(stats.tree_depth, draws.tree_depth.mean("draw"))
    np.testing.assert_allclose(stats.n_steps, draws.n_steps.mean("draw"))
    np.testing.assert_allclose(stats.acceptance_rate, draws.acceptance_rate.mean("draw"))
    np.testing.assert_array_equal(stats.step_size, draws.step_size_bar[..., -1])
    for number in range(5):
        np.testing.assert_allclose(stats.bfmi[number], diagnostics.bfmi(draws.energy[number].values))
    assert (stats.gradients > draws.n_steps.sum("draw")).all()
    assert (stats.total_seconds > 0).all()


def test_flags(result):
    worst = result.summary.to_array().sel(statistic="r_hat").max("variable")
    bound = float(np.sort(worst)[2])
    flagged = result.flagged(r_hat=bound, ess=0, divergences=1000)
    assert sorted(flagged) == sorted(worst.dataset.values[worst > bound].tolist())
    assert all("r_hat" in reason for reason in flagged.values())
    assert len(result.flagged(ess=1e9)) == 5
    assert "divergences" in " ".join(result.flagged(r_hat=99, ess=0, divergences=-1).values())
    assert result.flagged(r_hat=99, ess=0, divergences=1000) == {}


def test_what_is_kept(trend):
    y = np.random.default_rng(5).normal(size=(2, 12))
    full = sample_batch(trend, {"y": y}, keep="draws", **RUN)
    thin = sample_batch(trend, {"y": y}, keep={"thin": 7}, **RUN)
    some = sample_batch(trend, {"y": y}, keep=["trend", "next"], **RUN)
    both = sample_batch(trend, {"y": y}, keep={"thin": 7, "var_names": ["sigma"]}, **RUN)
    none = sample_batch(trend, {"y": y}, **RUN)
    every = full.posterior.isel(draw=slice(None, None, 7))
    assert thin.posterior.equals(every)
    assert thin.sample_stats.lp.equals(full.sample_stats.lp.isel(draw=slice(None, None, 7)))
    assert some.posterior.equals(full.posterior[["trend", "next"]])
    assert both.posterior.equals(every[["sigma"]])
    for result in (thin, some, both, none):
        assert result.summary.equals(full.summary)
    assert list(thin.idata(1).posterior.data_vars) == list(full.posterior.data_vars)
    with pytest.raises(ValueError, match=r"keep='draws'.*random_seed=result\.seeds"):
        _ = none.posterior
    with pytest.raises(ValueError, match="keep='draws'"):
        none.idata(0)


def test_variables_of_the_result(trend):
    result = sample_batch(trend, [{}], var_names=["next"], **RUN)
    assert list(result.summary.data_vars) == ["next"]


def test_types_and_coords(shops):
    result = sample_batch(shops, [{}], keep="draws", **RUN)
    assert result.summary.level.dims == ("dataset", "shop", "statistic")
    assert result.summary.shop.values.tolist() == ["a", "b", "c"]
    assert result.posterior.level.dims == ("dataset", "chain", "draw", "shop")
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Deterministic("is_positive", x > 0)
        pm.Normal("z", x, 1, observed=pm.Data("y", [0.0]))
    draws = sample_batch(model, [{}], keep="draws", **RUN).posterior
    assert draws.is_positive.dtype == bool
    np.testing.assert_array_equal(draws.is_positive, draws.x > 0)


def test_the_exact_posterior():
    """A normal mean with a known scale has a normal posterior."""
    rng = np.random.default_rng(8)
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(4))
        mu = pm.Normal("mu", 1, 2)
        pm.Normal("obs", mu, 0.5, observed=y)
    data = [rng.normal(rng.normal(1, 2), 0.5, size=n) for n in rng.integers(1, 30, size=60)]
    result = sample_batch(
        model, [{"y": y} for y in data], draws=300, tune=200, chains=2, random_seed=3, quiet=True
    )
    precision = np.array([1 / 4 + len(y) / 0.25 for y in data])
    mean = np.array([1 / 4 + y.sum() / 0.25 for y in data]) / precision
    summary = result.summary.mu
    error = summary.sel(statistic="mean") - mean
    assert (abs(error) < 4 * summary.sel(statistic="mcse_mean")).all()
    spread = summary.sel(statistic="sd") - precision**-0.5
    assert (abs(spread) < 4 * summary.sel(statistic="mcse_sd")).all()


def test_calibration():
    """Ranks of the true values among draws from data that they made are uniform."""
    rng = np.random.default_rng(12)
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(5))
        mu = pm.Normal("mu", 0, 1)
        sigma = pm.Gamma("sigma", 4, 4)
        pm.Normal("obs", mu, sigma, observed=y)
    count, levels = 400, 10
    truth = {"mu": rng.normal(size=count), "sigma": rng.gamma(4, 1 / 4, size=count)}
    data = rng.normal(truth["mu"][:, None], truth["sigma"][:, None], size=(count, 5))
    run = {"draws": 990, "tune": 200, "chains": 1, "random_seed": 6, "target_accept": 0.9, "quiet": True}
    posterior = sample_batch(model, {"y": data}, keep={"thin": 10}, **run).posterior
    for name, values in truth.items():
        ranks = (posterior[name].values[:, 0] < values[:, None]).sum(1)
        counts = np.bincount(ranks // levels, minlength=levels)
        statistic = ((counts - count / levels) ** 2).sum() / (count / levels)
        assert statistic < 27.9, (name, counts)  # the 99.9 % quantile of chi2 with 9 degrees of freedom


def test_joined_chunks_are_the_chunks(result):
    fits = result._fits
    joined = Joined()
    for _ in range(9):
        joined.add(fits)
    whole = joined.all()
    assert whole["id"] == fits["id"] * 9
    for key in ("summary", "shapes", "chains", "draws", "sample_stats"):
        for name, array in fits[key].items():
            np.testing.assert_array_equal(whole[key][name], np.concatenate([array] * 9))


def test_ctrl_c_keeps_what_is_done(trend):
    started = threading.Event()

    def data():
        for number in range(10**6):
            if number == 300:
                threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
                started.set()
            yield {}

    run = {**RUN, "quiet": False, "progressbar": False}
    with pytest.warns(UserWarning, match="was interrupted: the result has the"):
        result = sample_batch(trend, data(), **run)
    assert started.is_set()
    assert result.interrupted
    assert 0 < len(result.ids) < 10**6
    reference = compile_model(trend).sample(
        draws=60, tune=60, chains=2, random_seed=result.seeds(0), quiet=True, compute_convergence_checks=False
    )
    np.testing.assert_allclose(
        result.summary.trend.sel(dataset=0, statistic="mean"), reference.posterior.trend.mean()
    )


def test_flags_are_logged(trend, caplog):
    with caplog.at_level(logging.WARNING, logger="pymc.rustmc"):
        sample_batch(trend, [{}], **{**RUN, "quiet": False, "progressbar": False})
    assert "1 of 1 data sets" in caplog.text
    assert "see result.flagged(ess=200)" in caplog.text
