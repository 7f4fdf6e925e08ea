"""The times of translation are put together right, over entries of the tests' catalogue."""

import pytest

from benchmarks import translation
from benchmarks.translation import Timing


def test_an_entry_is_timed_apart_from_pymcs_own_work():
    timing = translation.time_entry("Normal", translation.catalogue()["Normal, likelihood"], repeats=1)
    assert timing.pymc > 0
    assert timing.bind > 0
    assert timing.nodes > 10
    assert timing.ours == timing.translate + timing.bind


def test_table_has_the_slowest_and_the_share_under_the_limit():
    timings = [Timing("fast", 0.1, 0.01, 0.001, 20), Timing("slow", 0.1, 0.2, 0.1, 30)]
    header, slow, _, summary = translation.table(timings, shown=1).splitlines()
    assert header.split("  ")[0] == "entry"
    assert slow.split() == ["slow", "100.0", "200.0", "100.0", "300.0", "75%", "30"]
    assert summary.startswith("2 entries: median 155.5 ms, 61% of")
    assert "50.0% under 150 ms" in summary


def test_a_failing_entry_is_named_and_the_others_are_timed(monkeypatch):
    class Failing:
        refused = ""

        def model(self):
            raise RuntimeError("no such model")

    good = translation.catalogue()["Normal, likelihood"]
    monkeypatch.setattr(translation, "catalogue", lambda: {"Normal, likelihood": good, "bad": Failing()})
    text = translation.report(repeats=1, shown=3)
    assert "1 entries" in text
    assert text.splitlines()[-1] == "bad: RuntimeError: no such model"


@pytest.mark.parametrize("name", ["PolyaGamma", "simulator"])
def test_refused_entries_are_left_out(name):
    assert name not in translation.catalogue()
