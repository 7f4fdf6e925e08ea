"""Draws are stored once, and what is not asked for not at all."""

from benchmarks.memory import FACTOR, in_fresh_process

_WIDE = "wide Deterministic"


def test_peak_memory_grows_by_the_arrays_returned():
    short = in_fresh_process(_WIDE, draws=50)
    long = in_fresh_process(_WIDE, draws=500)
    returned = long["returned"] - short["returned"]
    assert returned > 140e6
    assert long["peak"] - short["peak"] < FACTOR * returned
    # Without the Deterministic nothing of its size is there, warm-up or not.
    narrow = in_fresh_process(_WIDE, draws=500, var_names=["beta"], discard_tuned_samples=False)
    assert narrow["peak"] - short["peak"] < 0.2 * returned


def test_large_data_stay_within_the_bound():
    found = in_fresh_process("1 000 000 rows")
    assert found["data"] == 88_000_000
    assert found["peak"] <= found["bound"]
