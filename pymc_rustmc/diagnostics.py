"""Convergence diagnostics of arrays of draws, computed in Rust on all cores.

Values are those of ArviZ 1.x (of 0.2x too, but for ties at a quantile): the formulas of Vehtari, Gelman,
Simpson, Carpenter, Bürkner (2021), Bayesian Analysis 16(2), `arXiv:1903.08008
<https://arxiv.org/abs/1903.08008>`_. Draws have the shape ``(chain, draw, *shape)``; the result has one
value for each element of ``shape``, or two at the end for an interval.

What cannot be computed is NaN: with a NaN among the draws, fewer than four draws a chain, or, for R-hat,
a single chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_rustmc import _core

__all__ = ["bfmi", "ess", "eti", "hdi", "mcse", "rhat"]

_TAILS = (0.05, 0.95)


def rhat(draws: ArrayLike) -> NDArray[np.float64]:
    """Rank-normalised split R-hat, the greater of that of the bulk and that of the folded draws.

    1 where all halves of chains look alike; above 1.01 the chains should not be trusted.

    Parameters
    ----------
    draws
        Numbers of shape ``(chain, draw, *shape)``.

    Returns
    -------
    array of shape ``shape``
        NaN where all draws are equal; infinite where chains stand still at different values.

    Raises
    ------
    ValueError
        If there is no axis of chains and of draws, or the draws are no real numbers.
    """
    return _measure(draws, "rhat")


def ess(
    draws: ArrayLike,
    *,
    method: Literal["bulk", "tail", "mean", "sd", "median", "quantile"] = "bulk",
    prob: float | Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """Effective sample size: how many independent draws would estimate as well.

    Parameters
    ----------
    draws
        Numbers of shape ``(chain, draw, *shape)``.
    method
        What is estimated: the ``"bulk"`` of the distribution (by ranks), its ``"tail"`` (the lesser of two
        quantiles' ESS), its ``"mean"``, ``"sd"``, ``"median"`` or a ``"quantile"``.
    prob
        Probability of the quantile. For the tail, two probabilities, or one that stands for itself and its
        complement; 0.05 and 0.95 by default, as in the paper and ArviZ 0.2x (for datasets, ArviZ 1.x takes
        the two of its option ``stats.ci_prob``, by default 0.11 and 0.89).

    Returns
    -------
    array of shape ``shape``
        The number of draws where what is estimated is constant.

    Raises
    ------
    TypeError
        If ``prob`` is missing for a quantile, or given where it has no meaning.
    ValueError
        If the method is unknown, a probability is outside of [0, 1], or the draws have no chains and draws.
    """
    if method == "tail":
        tails = _TAILS if prob is None else (prob, 1 - prob) if isinstance(prob, (int, float)) else prob
        if len(tails) != 2:
            raise ValueError(f"The tail has two probabilities, (low, high); got {prob!r}.")
        low, high = (_probability(p) for p in tails)
        return _measure(draws, "ess_tail", low, high)
    name, probabilities = _estimate(method, ("bulk", "mean", "sd", "median", "quantile"), prob)
    return _measure(draws, f"ess_{name}", *probabilities)


def mcse(
    draws: ArrayLike,
    *,
    method: Literal["mean", "sd", "median", "quantile"] = "mean",
    prob: float | None = None,
) -> NDArray[np.float64]:
    """Monte Carlo standard error of an estimate from the draws.

    Parameters
    ----------
    draws
        Numbers of shape ``(chain, draw, *shape)``.
    method
        What is estimated: ``"mean"``, ``"sd"``, ``"median"`` or ``"quantile"``.
    prob
        Probability of the quantile.

    Returns
    -------
    array of shape ``shape``
        In the unit of the draws.

    Raises
    ------
    TypeError
        If ``prob`` is missing for a quantile, or given where it has no meaning.
    ValueError
        If the method is unknown, the probability is outside of [0, 1], or the draws have no chains and draws.
    """
    name, probabilities = _estimate(method, ("mean", "sd", "median", "quantile"), prob)
    return _measure(draws, f"mcse_{name}", *probabilities)


def hdi(draws: ArrayLike, prob: float) -> NDArray[np.float64]:
    """Highest-density interval of a distribution with one mode: the shortest with ``prob`` of the draws.

    Parameters
    ----------
    draws
        Numbers of shape ``(chain, draw, *shape)``.
    prob
        Share of the draws, in (0, 1].

    Returns
    -------
    array of shape ``(*shape, 2)``
        Lower and upper bound; both are NaN with a NaN among the draws.

    Raises
    ------
    ValueError
        If ``prob`` is outside of (0, 1], or the draws have no chains and draws.
    """
    return _measure(draws, "hdi", _share(prob))


def eti(draws: ArrayLike, prob: float) -> NDArray[np.float64]:
    """Equal-tailed interval: the quantiles at ``(1 - prob) / 2`` and 1 minus that.

    Parameters
    ----------
    draws
        Numbers of shape ``(chain, draw, *shape)``.
    prob
        Share of the draws, in (0, 1].

    Returns
    -------
    array of shape ``(*shape, 2)``
        Lower and upper bound; both are NaN with a NaN among the draws.

    Raises
    ------
    ValueError
        If ``prob`` is outside of (0, 1], or the draws have no chains and draws.
    """
    return _measure(draws, "eti", _share(prob))


def bfmi(energy: ArrayLike) -> NDArray[np.float64]:
    """Estimated Bayesian fraction of missing information of each chain of Hamiltonian Monte Carlo.

    Values below 0.3 mean that resampling the momentum explores the energies slowly (Betancourt 2016,
    `arXiv:1604.00695 <https://arxiv.org/abs/1604.00695>`_).

    Parameters
    ----------
    energy
        ``sample_stats["energy"]``, of shape ``(chain, draw)``.

    Returns
    -------
    array of shape ``(chain,)``
        NaN for constant energy or fewer than two draws.

    Raises
    ------
    ValueError
        If the energies are not of shape ``(chain, draw)``, or no real numbers.
    """
    array = _checked(energy)
    if array.ndim != 2:
        raise ValueError(f"Energies must have the shape (chain, draw), got {array.shape}.")
    return _core.bfmi(array)


def convergence(draws: Sequence[ArrayLike]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """R-hat and bulk ESS of each of several arrays of draws, all in one pass."""
    arrays = [_checked(array) for array in draws]
    results = _core.diagnose([_flat(array) for array in arrays], [("rhat", []), ("ess_bulk", [])])
    shapes = [array.shape[2:] for array in arrays]
    columns = [(*values.T,) for values in results]
    return [(r.reshape(shape), n.reshape(shape)) for (r, n), shape in zip(columns, shapes, strict=True)]


def _measure(draws: ArrayLike, name: str, *probabilities: float) -> NDArray[np.float64]:
    array = _checked(draws)
    (values,) = _core.diagnose([_flat(array)], [(name, list(probabilities))])
    shape = array.shape[2:]
    return values.reshape(shape + values.shape[1:]) if name in ("hdi", "eti") else values.reshape(shape)


def _flat(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the draws one axis of elements."""
    return array.reshape(*array.shape[:2], int(np.prod(array.shape[2:])))


def _checked(draws: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(draws)
    if array.ndim < 2:
        raise ValueError(f"Draws must have the shape (chain, draw, *shape), got {array.shape}.")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"Draws must be real numbers, got an array of {array.dtype}.")
    array = np.asarray(array, dtype=np.float64)
    if all(chain.flags.c_contiguous for chain in array[:1]):
        return array  # as where warm-up is kept: chains are apart in memory
    return np.ascontiguousarray(array)


def _estimate(method: str, methods: Sequence[str], prob: object) -> tuple[str, list[float]]:
    """Name and probabilities of the diagnostic that a method stands for."""
    if method not in methods:
        known = ", ".join(repr(name) for name in methods)
        raise ValueError(f"There is no method {method!r}; there are {known}.")
    if (prob is None) == (method == "quantile"):
        raise TypeError(
            "`prob` is missing." if prob is None else f"`prob` has no meaning for the method {method!r}."
        )
    if method == "median":
        return "quantile", [0.5]
    return method, [] if prob is None else [_probability(prob)]


def _probability(prob: object) -> float:
    if not isinstance(prob, (int, float, np.number)) or not 0 <= prob <= 1:
        raise ValueError(f"A probability must lie between 0 and 1, got {prob!r}.")
    return float(prob)


def _share(prob: float) -> float:
    if _probability(prob) == 0:
        raise ValueError("`prob` must be greater than 0.")
    return float(prob)
