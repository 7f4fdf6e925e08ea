"""ArviZ's functions of one array of draws, by one set of names for ArviZ 0.2x and 1.x."""

import importlib.metadata
import warnings

import numpy as np

NEW = int(importlib.metadata.version("pymc").split(".")[0]) >= 6
"""Whether PyMC, and so the tests, use ArviZ 1.x."""

if NEW:
    from arviz_stats.base import array_stats
else:
    import arviz

    arviz.Numba.disable_numba()  # its variances are less exact


def call(function, draws, **arguments):
    """Value of ArviZ's ``function`` for draws of shape ``(chain, draw)``, without its warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if NEW:
            axes = {"axis": (0, 1)} if function in ("hdi", "eti") else {}
            return np.asarray(getattr(array_stats, function)(draws, **axes, **arguments))
        if function == "hdi":
            return np.asarray(arviz.hdi(draws.ravel(), hdi_prob=arguments["prob"]))
        if function == "eti":  # ArviZ 0.2x has none; ArviZ 1.x takes it from NumPy.
            tail = (1 - arguments["prob"]) / 2
            return np.quantile(draws, [tail, 1 - tail])
        return np.asarray(getattr(arviz, function)(draws, **arguments))
