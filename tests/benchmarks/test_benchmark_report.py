"""The tables say what the results say; ratios are paired by seed and above 1 where rustmc is better."""

import json

import pytest

from benchmarks.report import figures_table, load, ratios, ratios_table


def result(sampler, seed, call=2.0, sampling=1.0, warmup=100, draws=300, bulk=400.0, tail=500.0):
    return {
        "model": "eight_schools",
        "sampler": sampler,
        "seed": seed,
        "cache": "warm",
        "started": f"2026-01-01T00:00:{seed:02}",
        "status": "ok",
        "whole_call_s": call,
        "sampling_s": sampling,
        "gradients": {"warmup": warmup, "draws": draws},
        "ess": {"bulk": bulk, "tail": tail},
        "rhat": 1.001,
        "divergences": 0,
    }


def test_ratios_are_how_many_times_better():
    ours = result("rustmc", 1, call=0.5, sampling=0.1, warmup=100, draws=100, bulk=400.0, tail=800.0)
    theirs = result("nutpie", 1, call=4.0, sampling=0.2, warmup=100, draws=300, bulk=200.0, tail=800.0)
    assert ratios(ours, theirs) == pytest.approx(
        {"time": 8.0, "bulk ESS/s": 4.0, "tail ESS/s": 2.0, "ESS/gradient": 4.0}
    )


def test_warm_up_gradients_count_only_where_both_tell_them():
    ours = result("rustmc", 1, warmup=900, draws=100)
    theirs = result("numpyro", 1, warmup=None, draws=100)
    assert ratios(ours, theirs)["ESS/gradient"] == pytest.approx(1.0)


def test_ratios_table_pairs_by_seed():
    results = [
        result("rustmc", 1, call=1.0),
        result("rustmc", 2, call=1.0),
        result("nutpie", 1, call=4.0),
        result("nutpie", 2, call=16.0),
        result("nutpie", 3, call=1000.0),
    ]
    header, row = ratios_table(results).splitlines()
    assert header.split()[:5] == ["model", "cache", "against", "seeds", "time"]
    assert row.split()[:6] == ["eight_schools", "warm", "nutpie", "2", "8", "(4-16)"]


def test_ratios_table_without_a_pair():
    assert ratios_table([result("nutpie", 1)]) == "no seed that both rustmc and a rival ran: no ratios"


def test_figures_table_shows_medians_and_what_failed():
    failed = {**result("rustmc", 4), "status": "failed", "message": "Traceback\nValueError: no such thing\n"}
    lines = figures_table([result("rustmc", seed, call=seed) for seed in (1, 2, 3)] + [failed]).splitlines()
    assert " ".join(lines[1].split()) == "eight_schools warm rustmc 3/4 2 1 400 400 500 1.001 0"
    assert " ".join(lines[2].split()) == "eight_schools warm rustmc failed ValueError: no such thing"


def test_load_reads_a_folder_in_the_order_of_measuring(tmp_path):
    for name, seed in (("a", 2), ("b", 1)):
        (tmp_path / f"{name}.json").write_text(json.dumps(result("rustmc", seed)))
    assert [found["seed"] for found in load(tmp_path)] == [1, 2]
