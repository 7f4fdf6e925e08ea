"""The comparison of a batch with rivals in a loop."""

import re

from benchmarks import batch


def test_the_table_counts_every_series():
    table = batch.table(4, 1, [], 0)
    assert re.search(r"rustmc, sample_batch\s+\d+\.\d s\s+\d+\.\d\d ms\s+\d+\.\d\d\s+included", table)
    assert "4 series" in table
    assert "0 failures" in table


def test_series_are_those_of_the_model():
    data = batch.series(2000)
    assert data.shape == (2000, batch.POINTS)
    # The mean over a year has the variance of the intercept, a quarter of the trend's and a little noise.
    assert abs(data.mean(1).std() / (200**2 + 20**2 / 4) ** 0.5 - 1) < 0.06
