"""Chains of every kind, by name: good ones, slow ones, and what breaks diagnostics."""

import numpy as np


def autoregressive(rng, chains, draws, phi):
    x = rng.normal(size=(chains, draws))
    for t in range(1, draws):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * x[:, t]
    return x


def _with(x, index, value):
    x = x.copy()
    x[index] = value
    return x


def _normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


_STUCK = np.array([[0.1], [0.7]])

CHAINS = {
    **{f"{chains} chains": _normal(chains, 200) for chains in range(1, 9)},
    **{f"{draws} draws": _normal(4, draws) for draws in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 101, 251, 1000)},
    **{
        f"autoregressive {phi}": autoregressive(np.random.default_rng(3), 4, 500, phi)
        for phi in (-0.99, -0.9, -0.5, 0.3, 0.9, 0.99, 0.999)
    },
    "heavy tails": np.random.default_rng(4).standard_cauchy(size=(4, 300)),
    "skewed": np.exp(3 * _normal(3, 401)),
    "far from 0": 1e6 + _normal(4, 200),
    "huge": 1e150 * _normal(4, 200),
    "small": 1e-12 * _normal(4, 200),
    "a trend": _normal(4, 300) + np.linspace(0, 3, 300),
    "another mean": _normal(4, 300) + np.array([[0], [0], [0], [2]]),
    "another spread": _normal(4, 300) * np.array([[1], [1], [1], [9]]),
    "ties": np.round(_normal(4, 250), 1),
    "three values": np.random.default_rng(5).integers(0, 3, size=(4, 250)),
    "booleans": np.random.default_rng(6).random(size=(4, 250)) < 0.3,
    "a rare event": np.random.default_rng(7).random(size=(4, 250)) < 0.002,
    "a stuck chain": _with(_normal(4, 200), 2, 0.25),
    "a chain stuck from the middle on": _with(_normal(4, 200), (2, slice(70, None)), 0.25),
    "constant": np.full((4, 100), 0.1),
    "all 0": np.zeros((3, 50)),
    "constant integers": np.full((2, 50), 7),
    "two chains stuck apart": np.broadcast_to(_STUCK, (2, 120)),
    "two chains almost stuck apart": _STUCK + 1e-6 * _normal(2, 120),
    "a NaN": _with(_normal(4, 100), (1, 50), np.nan),
    "a chain of NaN": _with(_normal(4, 100), 1, np.nan),
    "all NaN": np.full((4, 100), np.nan),
    "an infinity": _with(_normal(4, 100), (1, 50), np.inf),
    "infinities of both signs": _with(
        _with(_normal(4, 100), (1, slice(0, 9)), np.inf), (3, slice(0, 8)), -np.inf
    ),
    "half of it infinite": _with(_normal(4, 100), slice(0, 2), np.inf),
    "mostly infinite": _with(_normal(4, 100), slice(0, 3), np.inf),
    "no chain": np.empty((0, 100)),
    "no draw": np.empty((4, 0)),
}
