"""Exact moments of reference model 7; what a warm start gains."""

import numpy as np

import pymc_rustmc
from benchmarks.batch import POINTS, TIME, series
from benchmarks.batch_quality import exact, table
from benchmarks.batch_sizes import measurements


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
    squares = (
        syy
        + n * intercept**2
        + stt * trend**2
        - 2 * intercept * sy
        - 2 * trend * syt
        + 2 * intercept * trend * st
    )
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
    _, *rows = table(4, None).splitlines()
    assert len(rows) == 6
    assert all(float(row.split()[-7]) < 6 for row in rows)


def test_a_pilot_makes_a_short_warm_up_enough():
    """Where the metric takes long to learn: 21 dimensions, strongly correlated, 40 draws of warm-up."""
    model, sets, truths = measurements(10)
    run = {"draws": 300, "tune": 40, "random_seed": 1, "quiet": True, "progressbar": False}
    compiled = pymc_rustmc.compile_model(model)
    cold, warm = (pymc_rustmc.sample_batch(compiled, sets, warm_start=on, **run) for on in (False, True))
    assert float(warm.stats.gradients.mean()) < 0.7 * float(cold.stats.gradients.mean())
    least = [float(result.summary.beta.sel(statistic="ess_bulk").min()) for result in (cold, warm)]
    assert least[1] > 200 > least[0]
    z = [
        (table.sel(statistic="mean").values - truth["beta"]) / table.sel(statistic="sd").values
        for table, truth in zip(warm.summary.beta, truths, strict=True)
    ]
    assert 0.7 < np.sqrt(np.mean(np.square(z))) < 1.4
