"""Exact moments of reference model 7, and fits with and without a warm start against them."""

import numpy as np
import pymc_rustmc

from benchmarks.batch import POINTS, TIME, series, template
from benchmarks.batch_quality import exact, table


def test_exact_moments_are_those_of_a_grid():
    """A slow twin: all three dimensions on a grid."""
    y = series(3)[1]
    mean, sd = exact(y)
    axes = [np.linspace(m - 7 * s, m + 9 * s, 81) for m, s in zip(mean, sd, strict=True)]
    intercept, trend, sigma = np.meshgrid(*axes, indexing="ij")
    sigma = np.where(sigma > 0, sigma, np.nan)
    # Sums of squares from few numbers, since the grid is large.
    n, st, stt = POINTS, TIME.sum(), (TIME**2).sum()
    sy, syt, syy = y.sum(), (y * TIME).sum(), (y**2).sum()
    squares = syy + n * intercept**2 + stt * trend**2 - 2 * intercept * sy - 2 * trend * syt + 2 * intercept * trend * st
    logp = -n * np.log(sigma) - 0.5 * squares / sigma**2
    logp -= 0.5 * ((intercept / 200) ** 2 + (trend / 20) ** 2 + (sigma / 10) ** 2)
    weights = np.nan_to_num(np.exp(logp - np.nanmax(logp)))
    weights /= weights.sum()
    for axis, (m, s) in enumerate(zip(mean, sd, strict=True)):
        margin = weights.sum(axis=tuple({0, 1, 2} - {axis}))
        found = margin @ axes[axis]
        assert abs(found - m) < 1e-3 * s
        assert abs(np.sqrt(margin @ (axes[axis] - found) ** 2) / s - 1) < 1e-3


def test_table():
    header, *rows = table(4, None).splitlines()
    assert len(rows) == 6
    assert all(float(row.split()[-7]) < 6 for row in rows)


def test_fewer_gradients_for_the_same_answers():
    """Of 40 series: half the gradients of warm-up or less with a third of the draws, and means as close to exact ones."""
    data = series(40)
    wanted = np.array([exact(y)[0] for y in data])
    run = {"draws": 500, "chains": 2, "random_seed": 1, "quiet": True, "progressbar": False}
    ordinary = pymc_rustmc.sample_batch(template(), {"y": data}, tune=300, **run)
    warm = pymc_rustmc.sample_batch(template(), {"y": data}, tune=100, warm_start=True, **run)
    gradients = [float(result.stats.gradients.mean()) for result in (ordinary, warm)]
    assert gradients[1] < 0.65 * gradients[0]
    assert int(warm.stats.divergences.sum()) <= int(ordinary.stats.divergences.sum()) + 5
    for result in (ordinary, warm):
        for number, name in enumerate(("intercept", "trend", "sigma")):
            table = result.summary[name]
            z = (table.sel(statistic="mean") - wanted[:, number]) / table.sel(statistic="mcse_mean")
            assert float(abs(z).max()) < 5.5
            assert float((z**2).mean() ** 0.5) < 1.6


