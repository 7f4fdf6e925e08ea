"""The efficiency comparison: a tiny run, what it keeps of it, and tables that say what the results say."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import efficiency, efficiency_table
from benchmarks.__main__ import main
from benchmarks.efficiency import Case
from benchmarks.geometries import GEOMETRIES

CASE = Case("small_simple", "rustmc", seed=1, chains=2, draws=40)


def result(sampler, seed, gradients=(100, 300), bulk=100.0, tail=200.0, model="funnel", rhat=1.0):
    return {
        "model": model,
        "sampler": sampler,
        "seed": seed,
        "status": "ok",
        "gradients": dict(zip(("warmup", "draws"), gradients, strict=True)),
        "ess": {"bulk": bulk, "tail": tail},
        "rhat": rhat,
        "divergences": 3,
    }


def test_a_run_is_measured_once_and_its_tables_are_printed(tmp_path, capsys, monkeypatch):
    command = "efficiency --models small_simple funnel_noncentred --samplers rustmc --seeds 1 --chains 2"
    arguments = [*command.split(), "--draws", "40", "--output", str(tmp_path)]
    main(arguments)
    first = capsys.readouterr()
    assert first.err.splitlines() == [
        f"{name}, pymc_rustmc: 1 cases" for name in ("small_simple", "funnel_noncentred")
    ]
    header, _, *rows = first.out.split("\n\n")[0].splitlines()
    assert header == "| model | rustmc |"
    assert [row.split()[1] for row in rows] == ["small_simple", "funnel_noncentred"]
    found = json.loads((tmp_path / CASE.file_name).read_text())
    assert found["status"] == "ok"
    assert found["gradients"]["draws"] >= 2 * 40
    assert found["gradients"]["warmup"] > 2 * 40
    assert 0 < found["ess"]["bulk"] < 1000

    monkeypatch.setattr(efficiency, "run_with_workers", None)  # a second measurement would fail
    main(arguments)
    again = capsys.readouterr()
    assert again.out == first.out
    assert not again.err


def test_another_version_or_length_is_not_taken_for_this_one(tmp_path, monkeypatch):
    CASE.write(tmp_path, status="ok")
    assert CASE.cached(tmp_path)["status"] == "ok"
    assert replace(CASE, draws=50).cached(tmp_path) is None
    monkeypatch.setattr(efficiency, "version", lambda package: "another")
    assert CASE.cached(tmp_path) is None


def test_a_case_that_does_not_finish_is_kept_as_failed(tmp_path):
    (found,) = efficiency.run([CASE], tmp_path, timeout=0.01)
    assert (found["status"], found["message"]) == ("failed", "not done after 0.01 s")
    assert efficiency_table.failures([found]) == "- small_simple, rustmc, seed 1: not done after 0.01 s"


def test_a_run_that_raises_is_kept_as_failed_and_the_others_go_on(tmp_path, monkeypatch):
    def refuse(model):
        def run(seed, chains, draws):
            raise ValueError(f"no seed {seed}")

        return run

    monkeypatch.setitem(efficiency.PREPARE, "pymc_rustmc", refuse)
    cases = [CASE, replace(CASE, seed=2)]
    efficiency.measure(cases, tmp_path)
    assert [case.cached(tmp_path)["message"] for case in cases] == [
        "ValueError: no seed 1",
        "ValueError: no seed 2",
    ]


def test_ratios_are_times_fewer_gradients_than_the_better_setting():
    results = [
        result("rustmc", 1, gradients=(50, 150)),  # 2 gradients an effective draw
        result("rustmc", 2, gradients=(50, 350)),  # 4
        result("nutpie", 1, gradients=(400, 400)),  # 8
        result("nutpie", 2, gradients=(400, 1200)),  # 16
        result("nutpie_low_rank", 1, gradients=(200, 200), tail=10.0),  # 4
        result("nutpie_low_rank", 2, gradients=(200, 2200), tail=10.0),  # 24: the mean is the smaller one
        result("nutpie_low_rank", 3),
    ]
    samplers = efficiency_table.by_model(results)["funnel"]
    two = efficiency_table.RIVALS["better of the two"]
    assert efficiency_table.ratios(samplers, ("nutpie",), "bulk") == pytest.approx({1: 4, 2: 4})
    assert efficiency_table.ratios(samplers, two, "bulk") == pytest.approx({1: 2, 2: 6})
    assert efficiency_table.ratios(samplers, two, "tail") == pytest.approx({1: 4, 2: 4})
    assert efficiency_table.ratios(samplers, two, "bulk", warmup=True) == pytest.approx({1: 4, 2: 4})


def test_tables_have_means_over_models_the_worst_and_marks():
    results = [
        result("rustmc", 1),
        result("nutpie", 1, gradients=(400, 1200), rhat=1.2),
        result("rustmc", 1, model="collinear"),
        result("nutpie", 1, model="collinear"),
    ]
    rows = efficiency_table.figures(results).splitlines()[2:]
    assert rows == ["| funnel | 4 / 2 | 16 / 8\\* |", "| collinear | 4 / 2 | 4 / 2 |"]
    nutpie = efficiency_table.summary(results).splitlines()[2]
    assert nutpie == "| nutpie | 2 | 2 (2-2) | 2 (2-2) | 2 (2-2) | collinear 1.00 | collinear 1.00 |"
    funnel = efficiency_table.comparison(results).splitlines()[2]
    assert funnel.split(" | ")[1:3] == ["4 (4-4)", ""]  # low_rank is missing: no better of the two


PARAMETERS = {
    "eight_schools_centred": 10,
    "funnel": 10,
    "funnel_noncentred": 10,
    "uncentred": 12,
    "collinear": 8,
    "polynomial": 7,
    "interactions": 12,
    "badly_scaled": 12,
    "logistic_correlated": 11,
    "poisson_uncentred": 5,
    "student_t_collinear": 8,
    "factors_60": 62,
    "heavy_tailed_priors": 9,
    "horseshoe": 42,
    "varying_slopes": 185,
    "logistic_factors_150": 151,
    "pharmacokinetics": 4,
    "scales_and_tails": 20,
    "negative_binomial": 5,
    "logistic_years": 5,
    "poisson_dummies": 13,
    "student_t_interaction": 8,
    "more_columns_than_rows": 42,
    "varying_slopes_noncentred": 35,
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometries_have_their_parameters_and_a_finite_gradient(name):
    from pymc_rustmc.compile import translate_model

    model = GEOMETRIES[name]()
    point = model.initial_point()
    assert sum(np.size(value) for value in point.values()) == PARAMETERS[name]
    bound = translate_model(model).bind(shapes={variable: value.shape for variable, value in point.items()})
    logp, gradient = bound.density.logp_and_gradient(bound.position(point))
    assert np.isfinite(logp)
    assert np.isfinite(gradient).all()
