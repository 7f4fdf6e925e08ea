"""The table of exact algebra names the rules that were applied, and its ratios are those of its times."""

from benchmarks import exact_algebra


def test_table():
    builders = {"quick start": exact_algebra.normal_regression}
    header, row = exact_algebra.table(repeats=1, builders=builders).splitlines()
    assert header.split()[0] == "model"
    assert "sums_of_squares" in row
    plain, exact, ratio = (float(field) for field in row.split()[-5:-2])
    assert 0.8 * ratio < plain / exact < 1.25 * ratio
