"""The slow twin: variables integrated out of a density by dense matrices, from nothing but its gradients."""

import numpy as np

from pymc_rustmc.template import BoundModel


def dense_marginal(plain: BoundModel, x: np.ndarray, out: np.ndarray) -> tuple[float, np.ndarray]:
    """Log density and gradient of the entries of a position that are not in ``out``.

    With g the gradient by u = x[out], g(0) = b and g(0) - g(e_k) is a column of A. The gradient of the
    marginal is the mean of the joint's over u ~ Normal(A^-1 b, A^-1) (Fisher's identity), and what is
    quadratic has the mean of its values at mean ± sqrt(d) times the columns of a root of A^-1.
    """
    density, d = plain.density, len(out)
    kept = np.setdiff1d(np.arange(len(x)), out)

    def at(u: np.ndarray) -> tuple[float, np.ndarray]:
        moved = x.copy()
        moved[out] = u
        return density.logp_and_gradient(moved)

    b = at(np.zeros(d))[1][out]
    a = np.stack([b - at(unit)[1][out] for unit in np.eye(d)])
    lower = np.linalg.cholesky((a + a.T) / 2)
    mode = np.linalg.solve((a + a.T) / 2, b)
    logp = at(mode)[0] - np.log(np.diag(lower)).sum() + d / 2 * np.log(2 * np.pi)
    root = np.sqrt(d) * np.linalg.inv(lower)
    gradients = [at(mode + sign * step)[1][kept] for step in root for sign in (1, -1)]
    return logp, np.mean(gradients, axis=0)
