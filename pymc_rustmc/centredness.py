"""The choice of each group's form from draws and gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDS = 5
"""Rounds of the reweighted regression; its weights depend on the result only weakly."""


def fit_forms(x: Array, loc: Array, scale: Array, gradient: Array) -> tuple[Array, Array]:
    """Choose p and q of `pymc_rustmc.groups.Forms` for every element of a group.

    With h = d log(density)/dx + (x - mu) / s², what is known of x beside its group, the gradient by z differs
    from that of a standard normal by dx/dz (h - (q - p x)). p and q minimise the mean square of this over the
    draws, the Fisher divergence of x given all else (the loss of the metric; Seyboldt, Carlson and Carpenter
    2026, arXiv:2603.18845): a linear regression of h on x with weights (dx/dz)² = s² / (1 + p s²), repeated
    as these depend on p. Without data h = 0 and p = 0; n data of variance v give p = n / v.

    Parameters
    ----------
    x, loc, scale, gradient
        Draws of x, mu, s, and of the log density's derivative by x, all other coordinates held;
        ``(n, *shape)``, or for mu and s such as broadcast to it.

    Returns
    -------
    p, q
        Of shape ``shape``; NaN where the draws say nothing. p is 0 where the log density is convex in x.
    """
    with np.errstate(all="ignore"):
        h = gradient + (x - loc) / scale**2
        p = np.zeros(x.shape[1:])
        for _ in range(_ROUNDS):
            weight = np.broadcast_to(scale**2 / (1 + p * scale**2), x.shape)
            weight = weight / weight.sum(0)
            mean_x, mean_h = (weight * x).sum(0), (weight * h).sum(0)
            dx = x - mean_x
            p = np.maximum(-(weight * dx * h).sum(0) / (weight * dx**2).sum(0), 0)
        p = np.where((x != x[:1]).any(axis=0), p, np.nan)  # not left to rounding
        return p, mean_h + p * mean_x
