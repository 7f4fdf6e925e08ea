"""Measures one sampler on one model in this process: times, gradients, effective samples."""

import importlib
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

IMPORTS = {
    "rustmc": "pymc_rustmc",
    "nutpie": "nutpie",
    "numpyro": "numpyro",
    "blackjax": "blackjax",
    "pymc": "pymc",
}
"""The samplers by the name that ``pm.sample`` knows, and the package that each comes from."""


def measure(model: Any, sampler: str, seed: int, length: dict[str, int]) -> dict[str, Any]:
    """Run a sampler twice on a model and return the figures of a case.

    The first run gives the time of the whole call and the draws; imports are done before. The second, in the
    then warm process, gives the time of sampling alone and the number of gradients.

    Parameters
    ----------
    model
        The ``pm.Model``.
    sampler
        A key of `IMPORTS`.
    seed
        Random seed of both runs.
    length
        ``chains``, ``cores``, ``tune`` and ``draws``.

    Returns
    -------
    dict
        ``whole_call_s`` and ``sampling_s`` in seconds; ``gradients`` with ``warmup`` (None where the sampler
        does not tell) and ``draws``; ``ess`` with ``bulk`` and ``tail``, the minima over the elements of the
        free variables; ``rhat``, the maximum over them (None for one chain); ``divergences`` after warm-up.
    """
    importlib.import_module(IMPORTS[sampler])
    start = time.perf_counter()
    idata = _sample(model, sampler, seed, length)
    whole_call = time.perf_counter() - start
    sampling, warmup_gradients = sampling_alone(model, sampler, seed, length)
    return {
        "whole_call_s": whole_call,
        "sampling_s": sampling,
        "gradients": {"warmup": warmup_gradients, "draws": gradients_of(idata, "sample_stats")},
        **statistics(idata, [variable.name for variable in model.free_RVs]),
    }


def statistics(idata: Any, names: list[str]) -> dict[str, Any]:
    """Return the statistics of the draws of the named variables that a case holds."""
    import arviz as az

    posterior = _dataset(idata, "posterior")

    def extreme(diagnostic: Any, pick: Any) -> float:
        return float(pick([pick(diagnostic[name].values) for name in names]))

    one_chain = posterior.sizes["chain"] == 1
    return {
        "ess": {
            kind: extreme(az.ess(posterior, var_names=names, method=kind), np.min)
            for kind in ("bulk", "tail")
        },
        "rhat": None if one_chain else extreme(az.rhat(posterior, var_names=names), np.max),
        "divergences": int(_dataset(idata, "sample_stats")["diverging"].sum()),
    }


def _dataset(idata: Any, group: str) -> Any:
    """Return a group as an xarray Dataset, from ArviZ's InferenceData or xarray's DataTree."""
    found = idata[group]
    return found.to_dataset() if hasattr(found, "to_dataset") else found


def _sample(model: Any, sampler: str, seed: int, length: dict[str, int], **more: Any) -> Any:
    import pymc as pm

    with model:
        return pm.sample(
            nuts_sampler=sampler,
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
            **length,
            **more,
        )


def sampling_alone(model: Any, sampler: str, seed: int, length: dict[str, int]) -> tuple[float, int | None]:
    """Return seconds of warm-up and draws together, and the gradients of warm-up (None if not told).

    Of nutpie and rustmc the time is the median of repeated runs through their own interfaces: without
    compiling and without the making of the result, but with the draws put back on the model's scale.
    Of the others it is what they report, which for the JAX samplers holds tracing and compiling too.
    """
    if sampler == "nutpie":
        return _median_time(_prepared_nutpie(model, seed, length))
    if sampler == "rustmc":
        return _median_time(_prepared_rustmc(model, seed, length))
    idata = _sample(model, sampler, seed, length, discard_tuned_samples=False)
    told = hasattr(idata, "warmup_sample_stats")
    warmup_gradients = gradients_of(idata, "warmup_sample_stats") if told else None
    return float(_dataset(idata, "posterior").attrs["sampling_time"]), warmup_gradients


def gradients_of(idata: Any, group: str) -> int:
    """Gradients of the draws of a group of statistics."""
    return int(_dataset(idata, group)["n_steps"].sum())


def all_gradients(idata: Any) -> int:
    """Gradients of a run of ours that kept its warm-up, that and a pilot run's included."""
    pilot = int(_dataset(idata, "sample_stats").attrs.get("pilot_gradients", 0))
    return gradients_of(idata, "warmup_sample_stats") + gradients_of(idata, "sample_stats") + pilot


def _median_time(run: Callable[[], int]) -> tuple[float, int]:
    """Time up to five equal runs, of a second in all; return with it the number that they return."""
    times: list[float] = []
    while len(times) < 5 and sum(times) < 1:
        start = time.perf_counter()
        warmup_gradients = run()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), warmup_gradients


def _prepared_nutpie(model: Any, seed: int, length: dict[str, int]) -> Callable[[], int]:
    import nutpie

    with model:
        compiled = nutpie.compile_pymc_model(model)

    def run() -> int:
        raw = nutpie.sample(compiled, seed=seed, progress_bar=False, return_raw_trace=True, **length)
        statistics = raw.get_arrow_trace()[1]
        return sum(
            int(np.asarray(chain.column("n_steps"))[np.asarray(chain.column("tuning"))].sum())
            for chain in statistics
        )

    return run


def _prepared_rustmc(model: Any, seed: int, length: dict[str, int]) -> Callable[[], int]:
    from pymc.util import get_random_generator

    from pymc_rustmc import RustMC

    # As pm.sample derives them, so that these are the chains of the first run.
    seeds = [int(rng.integers(2**30)) for rng in get_random_generator(seed).spawn(length["chains"])]
    sampler = RustMC()
    written, first = sampler._start(model, None, seeds)
    settings = json.dumps({"tune": length["tune"], "draws": length["draws"], "save_warmup": True})
    cores = length["cores"]

    def run() -> int:
        bound, starts, attributes = sampler._with_forms(written, first, seeds, cores, length["tune"])
        outputs = list(bound.density.output_shapes())
        chains = bound.density.sample(settings, starts, seeds, cores)
        while not chains.wait(1.0):
            pass
        result = chains.result()
        bound.density.evaluate(outputs, result["positions"].reshape(-1, bound.density.dim))
        warmup = result["stats"]["n_steps"][:, : result["warmup_draws"]]
        return int(warmup.sum()) + int(attributes.get("pilot_gradients", 0))

    return run
