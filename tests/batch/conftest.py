"""What the tests of batches share."""

import numpy as np
import pytest
from batch_templates import T0, make_shops, make_trend


@pytest.fixture(scope="session")
def trend():
    return make_trend()


@pytest.fixture(scope="session")
def shops():
    return make_shops()


@pytest.fixture
def series():
    """Sales of nine articles, ``(9, 12)``."""
    rng = np.random.default_rng(3)
    return rng.normal(rng.normal(size=(9, 1)) + rng.normal(size=(9, 1)) * T0, 0.4)
