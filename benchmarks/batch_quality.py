"""Whether a batch is right: reference model 7 against quadrature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import pymc_rustmc
from benchmarks.batch import POINTS, TIME, Series, series, template
from benchmarks.report import aligned

_X = np.stack([np.ones(POINTS), TIME], axis=1)
_PRECISION = np.diag([200.0**-2, 20.0**-2])
_SCALE = 10.0

Moments = NDArray[np.float64]


def exact(y: Series) -> Moments:
    """Return the posterior means and standard deviations of intercept, trend and sigma, ``(2, 3)``.

    Given sigma, intercept and trend are normal; what is left is an integral over log sigma, taken by the
    trapezoidal rule, whose error falls exponentially with the step for a smooth integrand that vanishes at
    both ends.
    """
    fitted = _X @ np.linalg.lstsq(_X, y, rcond=None)[0]
    middle = 0.5 * np.log(((y - fitted) ** 2).sum() / (POINTS - 2))
    log_sigma = middle + np.arange(-0.8, 1.5, 0.004)
    sigma = np.exp(log_sigma)
    precision = _X.T @ _X / sigma[:, None, None] ** 2 + _PRECISION
    covariance = np.linalg.inv(precision)
    means = np.einsum("kij,j->ki", covariance, _X.T @ y) / sigma[:, None] ** 2
    squares = ((y - means @ _X.T) ** 2).sum(1) / sigma**2 + ((means @ _PRECISION) * means).sum(1)
    log_weights = (1 - POINTS) * log_sigma - 0.5 * (squares + np.linalg.slogdet(precision)[1])
    log_weights -= 0.5 * (sigma / _SCALE) ** 2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    centres = np.column_stack([means, sigma])
    variances = np.column_stack([covariance[:, 0, 0], covariance[:, 1, 1], np.zeros_like(sigma)])
    mean = weights @ centres
    return np.stack([mean, np.sqrt(weights @ (variances + (centres - mean) ** 2))])


def table(count: int, cores: int | None) -> str:
    """Compare the summaries of some series with exact moments, in Monte Carlo standard errors.

    Parameters
    ----------
    count
        Number of series.
    cores
        Threads of `sample_batch`; all processors by default.
    """
    data = series(count)
    result = pymc_rustmc.sample_batch(
        template(),
        {"y": data},
        draws=1000,
        tune=300,
        chains=4,
        cores=cores,
        random_seed=2,
        progressbar=False,
        quiet=True,
    )
    wanted = np.array([exact(y) for y in data])
    rows = [["of 4 x 1000 draws", "root mean square z", "largest z", "beyond 3", "beyond 4"]]
    for number, name in enumerate(("intercept", "trend", "sigma")):
        summary = result.summary[name]
        for row, moment in enumerate(("mean", "sd")):
            errors = summary.sel(statistic=moment).values - wanted[:, row, number]
            z = np.abs(errors / summary.sel(statistic=f"mcse_{moment}").values)
            counts = [f"{(z > bound).sum()} of {count}" for bound in (3, 4)]
            rms = f"{np.sqrt((z**2).mean()):.2f}"
            rows.append([f"{moment} of {name}", rms, f"{z.max():.2f}", *counts])
    return aligned(rows)
