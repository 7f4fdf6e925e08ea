"""The bounds of the hardware, and the plot with them."""

import pytest

from benchmarks.scaling import MODELS, Hardware, draw, gradient_seconds, table

_MACHINE = Hardware(flops=1e9, bandwidth={8000: 1e9, 80_000: 1e8})


def test_the_bound_is_that_of_bandwidth_or_flops():
    # 100 rows of 2 columns and 1 more value, 2400 bytes in the first cache; 800 operations.
    assert _MACHINE.bound(100, 2, others=1) == pytest.approx(2400 / 1e9)
    # 88 columns: 71 200 bytes from the second level, which are slower than 35 200 operations.
    assert _MACHINE.bound(100, 88, others=1) == pytest.approx(71_200 / 1e8)
    # More than any cache: as the greatest that was measured.
    assert _MACHINE.bound(10_000, 88, others=1) == pytest.approx(7_120_000 / 1e8)
    assert Hardware(1e6, _MACHINE.bandwidth).bound(100, 2, others=1) == pytest.approx(800 / 1e6)


def test_gradients_are_timed_and_drawn(tmp_path):
    points = [(50, 2), (400, 2)]
    build, rewrites = MODELS["hierarchical"]
    seconds = [gradient_seconds(build(*point), rewrites=rewrites) for point in points]
    assert min(seconds) > 0
    curves = [
        {
            "model": "hierarchical",
            "along": along,
            "points": points,
            "seconds": seconds,
            "bounds": [1e-7, 1e-6],
        }
        for along in ("rows", "columns")
    ]
    assert len(table(curves).splitlines()) >= 1 + 2 * len(points)
    draw(curves, tmp_path / "plot.svg")
    assert "seconds a gradient" in (tmp_path / "plot.svg").read_text()
