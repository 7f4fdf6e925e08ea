"""The messages at the end of a run are PyMC's own for the same result."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest
from chains import autoregressive
from pymc.stats.convergence import run_convergence_checks

from pymc_rustmc.convergence import convergence_warnings

PYMC6 = int(pm.__version__.split(".")[0]) >= 6


def _result(posterior, diverging=None, reached_max_treedepth=None):
    chains, draws = next(iter(posterior.values())).shape[:2]
    none = np.zeros((chains, draws), dtype=bool)
    stats = {
        "diverging": none if diverging is None else diverging,
        "reached_max_treedepth": none if reached_max_treedepth is None else reached_max_treedepth,
    }
    groups = {"posterior": posterior, "sample_stats": stats}
    if PYMC6:
        from arviz_base import from_dict

        return from_dict(groups)
    from arviz import from_dict

    return from_dict(**groups)


def _normal(*shape):
    return np.random.default_rng(11).normal(size=shape)


def _first(chains, draws, count):
    """True in the first ``count`` draws of all chains but the first."""
    flags = np.zeros((chains, draws), dtype=bool)
    flags[1:, :count] = True
    return flags


def _slow():
    return autoregressive(np.random.default_rng(12), 4, 1000, 0.9)


_MOVED = _normal(4, 1000, 3) + np.array([0, 0, 0, 1.0])[:, None, None]
_STILL = np.where(np.arange(3) == 1, 0.5, _normal(4, 1000, 3))

RESULTS = {
    "good": ({"x": _normal(4, 1000), "z": _normal(4, 1000, 2, 2)}, {}),
    "a bad element": ({"x": _normal(4, 1000), "z": _MOVED}, {}),
    "few effective draws": ({"x": _slow(), "z": _normal(4, 1000)}, {}),
    "both": ({"x": _slow() + np.arange(4)[:, None]}, {}),
    "one divergence": ({"x": _normal(2, 500)}, {"diverging": _first(2, 500, 1)}),
    "divergences": ({"x": _normal(4, 500)}, {"diverging": _first(4, 500, 7)}),
    "5 % at the maximum tree depth": ({"x": _normal(4, 500)}, {"reached_max_treedepth": _first(4, 500, 25)}),
    "above 5 %": ({"x": _normal(4, 500)}, {"reached_max_treedepth": _first(4, 500, 26)}),
    "one chain": ({"x": _slow()[:1]}, {"diverging": _first(1, 1000, 1)}),
    "two chains": ({"x": _normal(2, 1000)}, {}),
    "99 draws": ({"x": _slow()[:, :99]}, {"diverging": _first(4, 99, 2)}),
    "100 draws": ({"x": _normal(4, 100)}, {}),
    "a constant element": ({"x": _STILL}, {}),
    "a NaN": ({"x": np.where(_STILL == 0.5, np.nan, _STILL)}, {}),
    "only a Deterministic is bad": ({"x": _normal(4, 1000), "deterministic": _slow()}, {}),
}


@pytest.mark.parametrize("name", RESULTS)
def test_the_same_messages_as_pymc(name):
    posterior, stats = RESULTS[name]
    idata = _result(posterior, **stats)
    # "w" stands for a free variable that `var_names` left out.
    names = [variable for variable in posterior if variable != "deterministic"] + ["w"]
    model = SimpleNamespace(free_RVs=[SimpleNamespace(name=name) for name in names], deterministics=[])
    theirs = run_convergence_checks(idata, model)
    ours = convergence_warnings(idata, names)
    assert [(w.kind, w.level, w.message) for w in ours] == [(w.kind, w.level, w.message) for w in theirs]
    for mine, reference in zip(ours, theirs, strict=True):
        for variable, values in (mine.extra or {}).items():
            np.testing.assert_allclose(values, reference.extra[variable].values, rtol=1e-10)


def test_the_results_cover_all_messages():
    said = {
        w.message.split(" ")[0]
        for p, s in RESULTS.values()
        for w in convergence_warnings(_result(p, **s), ["x", "z"])
    }
    assert said == {"There", "Chain", "Only", "We", "The"}


def test_a_result_without_free_variables_or_elements_says_nothing():
    idata = _result({"deterministic": _slow(), "empty": np.empty((4, 1000, 0))})
    assert convergence_warnings(idata, ["w", "empty"]) == []


@pytest.mark.skipif(not PYMC6, reason="PyMC 5 imports all of ArviZ itself")
def test_no_statistics_of_arviz_are_imported():
    code = """if True:
        import sys
        import pymc as pm
        import pymc_rustmc

        with pm.Model():
            pm.Normal("x")
            pm.sample(nuts_sampler="rustmc", draws=200, tune=100, chains=4, progressbar=False)
        print([name for name in sys.modules if name.startswith("arviz_stats.base")])
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
