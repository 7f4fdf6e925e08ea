"""Single evaluations are compared at usable positions, by turns, and the table says which goals are met."""

import numpy as np
import pytest

from benchmarks import gradient


def test_positions_move_less_until_they_are_usable():
    start = np.array([1.0, -1.0])
    free = gradient.position_of(start, 3, lambda position: True)
    near = gradient.position_of(start, 3, lambda position: np.abs(position - start).max() < 0.1)
    assert np.abs(free - start).max() > 0.1
    move = (near - start) / (free - start)
    np.testing.assert_allclose(move, move[0])
    assert np.log2(move[0]) == pytest.approx(round(np.log2(move[0])))
    np.testing.assert_array_equal(gradient.position_of(start, 3, lambda position: False), start)


def test_a_comparison_takes_turns(monkeypatch):
    monkeypatch.setattr(gradient, "ROUNDS", 5)
    turns = []

    def took(name, seconds):
        def run(repeats):
            turns.append(name)
            return repeats * seconds

        return run

    timing = gradient.compare(7, took("ours", 1e-6), took("theirs", 4e-6))
    assert turns[-10:] == ["ours", "theirs"] * 5
    assert (timing.seed, timing.ours, timing.theirs, timing.ratio) == pytest.approx((7, 1e-6, 4e-6, 4))


def test_densities_that_differ_are_not_timed():
    ours = (-12.5, np.array([1.0, 2.0]))
    gradient.check_agreement(ours, (-12.5, np.array([1.0, 2.0]), 0))
    with pytest.raises(AssertionError):
        gradient.check_agreement(ours, (-12.6, np.array([1.0, 2.0]), 0))
    with pytest.raises(AssertionError):
        gradient.check_agreement(ours, (-12.5, np.array([1.0, 2.1]), 0))


def result(model, *ratios):
    timings = [{"seed": k, "ours": 1e-6, "theirs": 1e-6 * r, "ratio": r} for k, r in enumerate(ratios)]
    return {"model": model, "status": "ok", "dim": 3, "timings": timings}


def test_table_has_the_mean_ratio_and_the_goal():
    failed = {"model": "hmm", "status": "failed", "message": "no such thing"}
    text = gradient.table([result("eight_schools", 2.0, 8.0), result("garch", 2.0, 8.0), failed])
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert rows[1] == "eight_schools 3 1 5 4 (2-8) 1"
    assert rows[2] == "garch 3 1 5 4 (2-8) 10, missed"
    assert rows[3] == "hmm failed: no such thing"


def test_results_are_kept(tmp_path):
    (tmp_path / "garch.json").write_text('{"model": "garch"}')
    assert gradient.load(["hmm", "garch"], tmp_path) == [{"model": "garch"}]
