"""Whether ranks are uniform: a simultaneous band around their empirical distribution function.

Säilynoja, Bürkner, Vehtari (2022), "Graphical test for discrete uniformity and its applications in
goodness-of-fit evaluation and multiple sample comparison", Statistics and Computing 32, arXiv:2103.10522.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def p_value(ranks: NDArray[np.int64], levels: int) -> float:
    """Probability that uniform ranks leave the narrowest band that these leave.

    Of n ranks on 0, ..., K - 1, those below i are Binomial(n, i / K). The band is where no tail of these
    distributions is below gamma / 2, with the gamma of the most extreme of the given counts. The counts are a
    Markov chain in i: of the n - c that are not below i, each is i with probability 1 / (K - i). So the
    probability of leaving the band first at i is summed exactly.
    """
    n = len(ranks)
    below = np.cumsum(np.bincount(ranks, minlength=levels))[:-1]
    shares = np.arange(1, levels) / levels
    counts = np.arange(n + 1)
    tails = np.minimum(
        stats.binom.cdf(counts, n, shares[:, None]), stats.binom.sf(counts - 1, n, shares[:, None])
    )
    gamma = tails[np.arange(levels - 1), below].min()
    inside = tails > gamma * (1 + 1e-9)
    left, mass = 0.0, np.zeros(n + 1)
    mass[0] = 1.0
    for i in range(levels - 1):
        (start,) = np.nonzero(mass)
        steps = stats.binom.pmf(counts - start[:, None], n - start[:, None], 1 / (levels - i))
        mass = mass[start] @ steps
        left += mass[~inside[i]].sum()
        mass[~inside[i]] = 0.0
    return float(min(left, 1.0))
