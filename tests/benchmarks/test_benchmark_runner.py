"""A case runs in a process of its own and always leaves one JSON behind: figures, or why there are none."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

import benchmarks.startup
from benchmarks.__main__ import case_of, main, parser
from benchmarks.case import Case, figures_of, run_in_fresh_process, run_with_workers
from benchmarks.measure import measure
from benchmarks.models import MODELS, ReferenceModel
from benchmarks.startup import Stopwatch

CASE = Case("small_simple", "pymc", seed=3, cache="cold", chains=2, cores=1, tune=20, draws=30)
FIGURES = {"whole_call_s", "sampling_s", "gradients", "ess", "rhat", "divergences"}


@pytest.fixture(scope="module")
def normal():
    with pm.Model() as model:
        pm.Normal("x", 0, 1, shape=3)
    return model


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_measure_has_the_figures_of_a_case(normal):
    figures = measure(normal, "pymc", 3, CASE.length)
    assert set(figures) == FIGURES
    assert figures["whole_call_s"] > figures["sampling_s"] > 0
    assert figures["gradients"]["warmup"] >= CASE.chains * CASE.tune
    assert figures["gradients"]["draws"] >= CASE.chains * CASE.draws
    assert 0 < figures["ess"]["bulk"] < 1000
    assert json.loads(json.dumps(figures)) == figures


def test_fresh_process_that_dies_leaves_a_failed_result(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = run_in_fresh_process(CASE, tmp_path / "caches", tmp_path / "out", timeout=60)
    assert result["status"] == "failed"
    written = json.loads((tmp_path / "out" / "small_simple-pymc-cold-3.json").read_text())
    assert written == result
    assert {"schema", "started", "versions", "machine", "message", "model", "sampler"} <= set(written)
    assert written["versions"]["numpy"] == np.__version__
    assert written["machine"]["cpus"] == os.cpu_count()


def test_fresh_process_gets_the_caches_and_gives_its_figures(tmp_path, monkeypatch):
    stand_in = tmp_path / "python"
    stand_in.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "names = ('PYTENSOR_FLAGS', 'NUMBA_CACHE_DIR', 'JAX_COMPILATION_CACHE_DIR')\n"
        "figures = {'status': 'ok', 'environment': [os.environ[name] for name in names]}\n"
        "json.dump({**figures, 'request': json.loads(sys.argv[3])}, open(sys.argv[4], 'w'))\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    result = run_in_fresh_process(CASE, tmp_path / "caches", tmp_path / "out", timeout=60)
    assert result["status"] == "ok"
    assert all(str(tmp_path / "caches") in value for value in result["environment"])
    assert Case(**result["request"]) == CASE


@pytest.mark.parametrize(
    ("error", "status"), [(NotImplementedError("no Cholesky"), "unsupported"), (ValueError("odd"), "failed")]
)
def test_errors_are_told_from_unsupported_models(monkeypatch, error, status):
    def raise_error():
        raise error

    monkeypatch.setitem(MODELS, "small_simple", ReferenceModel("small_simple", raise_error))
    figures = figures_of(CASE)
    assert figures == {"status": status, "message": f"{type(error).__name__}: {error}"}


def test_order_of_samplers_turns_round_from_seed_to_seed(monkeypatch):
    order = []

    def note(case, caches, output, timeout):
        order.append((case.seed, case.sampler))
        return {**asdict(case), "status": "failed", "message": "no"}

    monkeypatch.setattr(benchmarks.__main__, "run_in_fresh_process", note)
    main(
        ["run", "--models", "small_simple", "--samplers", "pymc", "nutpie", "--seeds", "2", "--cache", "cold"]
    )
    assert order == [(1, "pymc"), (1, "nutpie"), (2, "nutpie"), (2, "pymc")]


def test_warm_case_is_run_once_before_it_is_timed(tmp_path, monkeypatch):
    caches_seen = []

    def note(case, caches, output, timeout):
        caches_seen.append((case.seed, caches, output == tmp_path))
        return {**asdict(case), "status": "failed", "message": "no"}

    monkeypatch.setattr(benchmarks.__main__, "run_in_fresh_process", note)
    arguments = ["--models", "small_simple", "--samplers", "pymc", "--seeds", "2", "--output", str(tmp_path)]
    main(["run", *arguments])
    assert [(seed, kept) for seed, _, kept in caches_seen] == [(1, False), (1, True), (2, True)]
    assert len({caches for _, caches, _ in caches_seen}) == 1


def test_options_override_the_usual_length():
    options = parser().parse_args(["run", "--draws", "7", "--cores", "3"])
    case = case_of(options, "latent_gp", "pymc", 1, "warm")
    assert (case.chains, case.cores, case.tune, case.draws) == (4, 3, 1000, 7)
    assert case_of(options, "small_simple", "pymc", 1, "warm").cores == 1


def test_stopwatch_counts_time_for_the_innermost_call(monkeypatch):
    ticks = iter([1.0, 1.5, 4.0, 6.0, 10.0, 11.0])
    monkeypatch.setattr(benchmarks.startup, "time", SimpleNamespace(process_time=lambda: next(ticks)))
    watch = Stopwatch()
    inner = watch.wrap("inner", lambda x: 2 * x)
    outer = watch.wrap("outer", lambda x: inner(x) + 1)
    assert [outer(1), inner(3)] == [3, 6]
    assert watch.seconds == {"inner": 2.5 + 1.0, "outer": 2.5}


def test_workers_end_with_a_process_that_takes_too_long(tmp_path):
    told = tmp_path / "worker"
    worker = "import time; time.sleep(60)"
    parent = (
        f"import pathlib, subprocess, sys\n"
        f"worker = subprocess.Popen([sys.executable, '-c', {worker!r}])\n"
        f"pathlib.Path({str(told)!r}).write_text(str(worker.pid))\n"
        f"worker.wait()\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        run_with_workers([sys.executable, "-c", parent], dict(os.environ), timeout=5)
    assert ends(int(told.read_text()))


def ends(process):
    """Whether a process is gone within ten seconds, or waits to be buried."""
    status = Path(f"/proc/{process}/status")
    for _ in range(100):
        try:
            if "State:\tZ" in status.read_text():
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False
