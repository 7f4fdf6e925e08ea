"""The hook: found however PyMC was imported, and invisible to everybody else."""

import importlib.util
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pymc as pm
import pymc.sampling.mcmc as mcmc
import pytest
from conftest import PYMC6

import pymc_rustmc

needs_bambi = pytest.mark.skipif(importlib.util.find_spec("bambi") is None, reason="needs bambi")


def _run(code):
    """Run code in a process of its own, where import order is ours to choose."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_registering_twice_changes_nothing():
    names = ("modelcontext", "assign_step_methods", "_sample_external_nuts")
    before = [getattr(mcmc, name)._rustmc_original for name in names]
    finders = len(sys.meta_path)
    pymc_rustmc.register()
    assert [getattr(mcmc, name)._rustmc_original for name in names] == before
    assert not any(hasattr(original, "_rustmc_original") for original in before)
    assert len(sys.meta_path) == finders


def test_other_names_reach_pymc(normal_model):
    with normal_model, pytest.raises(ValueError, match="Sampler nonsense not found"):
        pm.sample(nuts_sampler="nonsense", progressbar=False)


def test_step_assignment_of_other_samplers_is_pymcs():
    with pm.Model() as model:
        pm.Normal("x")
        pm.Poisson("k", 3)
    _, steps = mcmc.assign_step_methods(model)
    assert {step.__name__: [v.name for v in variables] for step, variables in steps.items()} == {
        "NUTS": ["x"],
        "Metropolis": ["k"],
    }


def test_pymcs_own_sampler_still_runs(normal_model):
    with normal_model:
        idata = pm.sample(
            draws=4,
            tune=4,
            chains=1,
            step=pm.Metropolis(compile_kwargs={"mode": "FAST_COMPILE"}),
            compile_kwargs={"mode": "FAST_COMPILE"},
            progressbar=False,
            compute_convergence_checks=False,
        )
    assert idata.posterior.attrs["inference_library"] == "pymc"


@pytest.mark.skipif(not PYMC6, reason="PyMC 5 always chooses its own sampler")
def test_pymcs_automatic_choice_is_untouched(normal_model, monkeypatch):
    chosen = []
    monkeypatch.setattr(mcmc, "_sample_external_nuts", lambda sampler, **_: chosen.append(sampler))
    monkeypatch.setattr(mcmc, "NUTPIE_INSTALLED", True)
    monkeypatch.setattr(mcmc, "_nutpie_meets_min_version", lambda: True)
    with normal_model:
        pm.sample(draws=4, tune=4, backend="numba", progressbar=False)
    assert chosen == ["nutpie"]


def test_gradients_are_not_built_to_choose_a_step(normal_model, rust_sample, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("PyMC built a gradient graph")

    monkeypatch.setattr(mcmc.tg, "grad", fail)
    with normal_model:
        rust_sample()


def test_user_dictionaries_are_not_changed(normal_model, rust_sample):
    options = {"target_accept": 0.9, "maxdepth": 6}
    idata_kwargs = {"include_transformed": True, "attrs": {"a": 1}}
    initvals = {"mu": 0.5}
    with normal_model:
        rust_sample(nuts=options, idata_kwargs=idata_kwargs, initvals=initvals)
    assert options == {"target_accept": 0.9, "maxdepth": 6}
    assert idata_kwargs == {"include_transformed": True, "attrs": {"a": 1}}
    assert initvals == {"mu": 0.5}


def test_direct_call_gives_the_same_draws(normal_model, rust_sample):
    with normal_model:
        hooked = rust_sample(nuts={"target_accept": 0.85})
    sampler = pymc_rustmc.RustMC(target_accept=0.85)
    kwargs = {"draws": 20, "tune": 30, "chains": 2, "quiet": True, "compute_convergence_checks": False}
    direct = sampler.sample_from_init(model=normal_model, random_seed=1, **kwargs)
    again = sampler.sample_from_init(model=normal_model, random_seed=1, **kwargs)
    np.testing.assert_array_equal(hooked.posterior["mu"], direct.posterior["mu"])
    np.testing.assert_array_equal(direct.posterior["mu"], again.posterior["mu"])


def test_threads_do_not_mix(rust_sample):
    """Several models at once, each with options of its own, from several threads."""

    def fit(center, results):
        with pm.Model():
            pm.Normal("x", center, 1e-3)
            results[center] = rust_sample(nuts={"max_treedepth": center}, random_seed=center)

    alone, together = {}, {}
    for center in (3, 4, 5):
        fit(center, alone)
    threads = [threading.Thread(target=fit, args=(center, together)) for center in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for center, idata in alone.items():
        np.testing.assert_array_equal(idata.posterior["x"], together[center].posterior["x"])
        assert f'"max_treedepth":{center}' in together[center].sample_stats.attrs[
            "inference_library_settings"
        ].replace(" ", "")


_FIT = """
    def fit(sample):
        with pm.Model():
            pm.Normal("x")
            idata = sample(draws=5, tune=5, chains=2, nuts_sampler="rustmc", quiet=True,
                           compute_convergence_checks=False)
        assert idata.posterior.attrs["inference_library"] == "pymc_rustmc"
"""


def test_import_order_and_reload():
    _run(
        f"""
        import pymc as pm
        from pymc import sample as early
        import importlib
        import warnings
        warnings.simplefilter("error")
        import pymc_rustmc
        warnings.resetwarnings()
        import pymc.sampling.mcmc as mcmc
        {textwrap.indent(_FIT, "    ")}
        fit(early)
        importlib.reload(mcmc)
        fit(early)
        fit(mcmc.sample)
        importlib.reload(importlib.import_module("pymc_rustmc.register")).register()
        fit(pm.sample)
        """
    )


def _bambi_fit(bambi, inference_method="rustmc", **kwargs):
    import pandas as pd

    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=30), "g": list("abc") * 10})
    data["y"] = 1 + 2 * data["x"] + rng.normal(size=30)
    return bambi.Model("y ~ x + (1|g)", data).fit(
        draws=50,
        tune=100,
        chains=2,
        random_seed=1,
        progressbar=False,
        inference_method=inference_method,
        **kwargs,
    )


@needs_bambi
@pytest.mark.filterwarnings("ignore")
def test_bambi_imported_later():
    import bambi

    idata = _bambi_fit(bambi, target_accept=0.9)
    assert idata.posterior.attrs["inference_library"] == "pymc_rustmc"
    assert {"Intercept", "x", "1|g", "sigma"} <= set(idata.posterior.data_vars)
    with pytest.raises(ValueError, match="not a supported inference method"):
        _bambi_fit(bambi, inference_method="rust")


@needs_bambi
def test_bambi_imported_before():
    _run(
        """
        import bambi.backend.pymc as backend
        assert "rustmc" not in backend._SUPPORTED_METHODS
        import pymc_rustmc
        assert "rustmc" in backend._SUPPORTED_METHODS
        import importlib
        importlib.reload(backend)
        assert "rustmc" in backend._SUPPORTED_METHODS
        """
    )
