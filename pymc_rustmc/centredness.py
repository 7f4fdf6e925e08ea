"""The choice of each group's form from draws and gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GRID = np.linspace(0, 1, 21)
_CHUNK = 2**21
"""Numbers in an array of draws that are worked on at a time."""


def choose_centredness(x: Array, loc: Array, log_scale: Array, gradient: Array) -> tuple[Array, Array]:
    """Choose a and b of `pymc_rustmc.groups.Forms` for every element of a group.

    The draws and gradients of a normal with diagonal metric have Var(z_k) Var(g_k) = 1 in each coordinate k; this
    product is the variance inflation 1 / (1 - R_k²) of a coordinate that correlates with others, and
    sum_k (Var(z_k) Var(g_k))^(1/2) - 1 is the Fisher divergence of the best diagonal metric (Seyboldt, Carlson and
    Carpenter 2026, arXiv:2603.18845). Here an element of a group and its own mu and t = log s count, each with the
    part of its gradient that the form of this element decides, so that elements are chosen one by one:

        L(a, b) = Var(z) Var(g_z) + n (Var(mu) Var(g_mu) + Var(t) Var(g_t))

    with n elements that share mu and t, and, for r = exp((1-b) (t - c)), e = (x - mu) / s, g the derivative of the
    log density by x and h = g + e / s that without its own Normal term,

        z = (x - mu) / r + a mu,  g_z = g r,
        g_mu = h - a g r,  g_t = e² - 1 + (1-b) (g (x - mu) + 1).

    L is quadratic in a; b is found on a grid. For data of precision p on x and s known, g_mu is the same for all x at
    a = p / (p + 1/s²), the partial non-centring of Papaspiliopoulos, Roberts and Sköld (2007, section 3): 0 without
    data, 1 with much.

    Parameters
    ----------
    x, loc, log_scale, gradient
        Draws of x, mu and t and of the log density's derivative by x, all else held; ``(n, *shape)``,
        or for mu and t such as broadcast to it.

    Returns
    -------
    a, b
        Of shape ``shape``; NaN where the draws say nothing.
    """
    shape = x.shape[1:]
    x, loc, t, g = (np.broadcast_to(a, x.shape).reshape(len(x), -1) for a in (x, loc, log_scale, gradient))
    step = max(1, _CHUNK // max(1, len(x)))
    chosen = [np.empty((2, 0))]
    for first in range(0, x.shape[1], step):
        draws = (a[:, first : first + step] for a in (x, loc, t, g))
        chosen.append(_choose(*draws, n=x.shape[1]))
    a, b = np.concatenate(chosen, axis=1)
    return a.reshape(shape), b.reshape(shape)


def _choose(x: Array, loc: Array, t: Array, g: Array, n: int) -> Array:
    with np.errstate(all="ignore"):
        c, s = t.mean(0), np.exp(t)
        e = (x - loc) / s
        h = g + e / s
        var_loc, var_t = loc.var(0), t.var(0)

        def best(b: float) -> tuple[Array, Array]:
            """Loss and a for this b."""
            r = np.exp((1 - b) * (t - c))
            y, g_z = (x - loc) / r, g * r
            var_g = g_z.var(0)
            a = (n * _cov(h, g_z) / var_g - _cov(y, loc) / var_loc) / (n + 1)
            a = np.where(var_loc > 0, np.clip(a, 0, 1), 0)
            g_t = e**2 - 1 + (1 - b) * (g * (x - loc) + 1)
            parents = var_loc * (h - a * g_z).var(0) + var_t * g_t.var(0)
            return (y + a * loc).var(0) * var_g + n * parents, a

        losses, levels = (np.stack(found) for found in zip(*map(best, _GRID), strict=True))
        losses[~np.isfinite(losses)] = np.inf
        which = losses.argmin(0)
        chosen = np.stack([np.take_along_axis(levels, which[None], 0)[0], _GRID[which]])
        return np.where(np.isfinite(losses.min(0)), chosen, np.nan)


def _cov(x: Array, y: Array) -> Array:
    return ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
