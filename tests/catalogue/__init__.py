"""The catalogue: small models that hold every distribution, transform, process and form that PyMC offers.

Each entry is built, compared with PyTensor and sampled by `test_catalogue.py`, and timed by
``python -m benchmarks translation``.
"""

from catalogue import (
    gaussian_processes,
    mixtures,
    multivariate,
    named_dims,
    special_models,
    time_series,
    transforms,
    univariate,
)
from catalogue.entry import Entry

FAMILIES = (
    univariate,
    multivariate,
    time_series,
    mixtures,
    transforms,
    gaussian_processes,
    special_models,
    named_dims,
)

CATALOGUE: dict[str, Entry] = {name: entry for family in FAMILIES for name, entry in family.ENTRIES.items()}
