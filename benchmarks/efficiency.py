"""Counts the gradients that samplers need for an effective draw, each with its own defaults.

A process measures one model with one package: the model is compiled once for all settings and seeds of it.
Each case leaves a JSON, so that a comparison can be completed in several invocations.
"""

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.case import one_thread_environment, run_with_workers
from benchmarks.geometries import GEOMETRIES
from benchmarks.measure import all_gradients, gradients_of, statistics
from benchmarks.models import MODELS

BUILDERS: dict[str, Callable[[], Any]] = {
    **{name: model.build for name, model in MODELS.items()},
    **GEOMETRIES,
}
"""What builds each model of the comparison."""

CORES = 2

Run = Callable[..., tuple[Any, int]]
"""Takes seed, chains, draws and a setting's options; returns the result and the gradients of warm-up."""


@dataclass(frozen=True)
class Setting:
    """A sampler as the comparison runs it: the package and the options that are not its defaults."""

    package: str
    options: dict[str, Any]


SETTINGS = {
    "rustmc": Setting("pymc_rustmc", {}),
    "nutpie": Setting("nutpie", {}),
    "nutpie_low_rank": Setting("nutpie", {"adaptation": "low_rank"}),
    "nutpie_low_rank_400": Setting("nutpie", {"adaptation": "low_rank", "tune": 400}),
    "pymc": Setting("pymc", {}),
    "numpyro": Setting("numpyro", {}),
}
"""Tuning lengths are the samplers' own: of nutpie 400, with low_rank 800; of PyMC and NumPyro 1000."""


def installed() -> list[str]:
    """Return the settings whose package is there."""
    return [name for name, setting in SETTINGS.items() if importlib.util.find_spec(setting.package)]


def version(package: str) -> str:
    """Return the version of a package; that of rustmc ends in a digest of the compiled sampler."""
    if package != "pymc_rustmc":
        return metadata.version(package)
    from pymc_rustmc import _core

    return f"{_core.__version__}+{hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:8]}"


def _rustmc(model: Any) -> Run:
    from pymc_rustmc.sample import RustMC

    def run(seed: int, chains: int, draws: int, **options: Any) -> tuple[Any, int]:
        result = RustMC(**options).sample_from_init(
            model=model,
            draws=draws,
            tune=None,
            chains=chains,
            cores=CORES,
            random_seed=seed,
            progressbar=False,
            quiet=True,
            discard_tuned_samples=False,
            compute_convergence_checks=False,
        )
        return result, all_gradients(result) - gradients_of(result, "sample_stats")

    return run


def _nutpie(model: Any) -> Run:
    import nutpie

    compiled = nutpie.compile_pymc_model(model)

    def run(seed: int, chains: int, draws: int, **options: Any) -> tuple[Any, int]:
        more = {"save_warmup": True, "progress_bar": False}
        result = nutpie.sample(
            compiled, draws=draws, chains=chains, cores=CORES, seed=seed, **more, **options
        )
        return result, gradients_of(result, "warmup_sample_stats")

    return run


def _pymc(model: Any) -> Run:
    def run(seed: int, chains: int, draws: int, **options: Any) -> tuple[Any, int]:
        result = _pm_sample(model, "pymc", seed, chains, draws, discard_tuned_samples=False, **options)
        return result, gradients_of(result, "warmup_sample_stats")

    return run


def _numpyro(model: Any) -> Run:
    """Run NumPyro as PyMC does, but in two calls, so that it tells the steps of its warm-up."""
    import jax
    from numpyro.infer import MCMC

    plain_run = MCMC.run
    warmup_steps: list[int] = []

    def run_in_two(sampler: Any, keys: Any, **arguments: Any) -> None:
        with mock.patch.object(MCMC, "run", plain_run):
            starts = arguments["init_params"]
            sampler.warmup(keys, init_params=starts, extra_fields=("num_steps",), collect_warmup=True)
            warmup_steps.append(int(np.sum(sampler.get_extra_fields()["num_steps"])))
            plain_run(sampler, jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys), **arguments)

    def run(seed: int, chains: int, draws: int, **options: Any) -> tuple[Any, int]:
        with mock.patch.object(MCMC, "run", run_in_two):
            result = _pm_sample(model, "numpyro", seed, chains, draws, **options)
        return result, warmup_steps.pop()

    return run


def _pm_sample(model: Any, sampler: str, seed: int, chains: int, draws: int, **more: Any) -> Any:
    import pymc as pm

    return pm.sample(
        model=model,
        nuts_sampler=sampler,
        draws=draws,
        chains=chains,
        cores=CORES,
        random_seed=seed,
        progressbar=False,
        compute_convergence_checks=False,
        **more,
    )


PREPARE = {"pymc_rustmc": _rustmc, "nutpie": _nutpie, "pymc": _pymc, "numpyro": _numpyro}
"""By package, what makes a model ready to run."""


@dataclass(frozen=True)
class Case:
    """A sampler on a model with a seed, and the length of the run after warm-up."""

    model: str
    sampler: str
    seed: int
    chains: int
    draws: int

    @property
    def file_name(self) -> str:
        """Name of the result, one a case."""
        return f"{self.model}-{self.sampler}-{self.seed}.json"

    def result(self, **found: Any) -> dict[str, Any]:
        """Return the content of the JSON."""
        package = SETTINGS[self.sampler].package
        taken = datetime.now(UTC).isoformat(timespec="seconds")
        return {**vars(self), "version": version(package), "taken": taken, **found}

    def write(self, folder: Path, **found: Any) -> None:
        """Write the JSON."""
        (folder / self.file_name).write_text(json.dumps(self.result(**found), indent=1) + "\n")

    def cached(self, folder: Path) -> dict[str, Any] | None:
        """Return the result taken before, if it is of this version of the sampler and this length."""
        path = folder / self.file_name
        if not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        expected = self.result()
        same = all(found[key] == expected[key] for key in (*vars(self), "version"))
        return found if same else None


def measure(cases: Sequence[Case], folder: Path) -> None:
    """Measure cases of one model and one package in this process, and write each as it is done."""
    model = BUILDERS[cases[0].model]()
    run = PREPARE[SETTINGS[cases[0].sampler].package](model)
    names = [variable.name for variable in model.free_RVs]
    for case in cases:
        try:
            result, warmup = run(case.seed, case.chains, case.draws, **SETTINGS[case.sampler].options)
            gradients = {"warmup": warmup, "draws": gradients_of(result, "sample_stats")}
            case.write(folder, status="ok", gradients=gradients, **statistics(result, names))
        except Exception as error:
            case.write(folder, status="failed", message=f"{type(error).__name__}: {error}")


def run(cases: Iterable[Case], folder: Path, timeout: float) -> list[dict[str, Any]]:
    """Return the results of cases, measuring those that were not taken before.

    Parameters
    ----------
    cases
        What to compare.
    folder
        Where the results are and go.
    timeout
        Seconds for the process of one model and one package; cases not done by then count as failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cases = list(cases)
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        if case.cached(folder) is None:
            groups.setdefault((case.model, SETTINGS[case.sampler].package), []).append(case)
    for (model, package), missing in groups.items():
        print(f"{model}, {package}: {len(missing)} cases", file=sys.stderr, flush=True)
        request = json.dumps([vars(case) for case in missing])
        command = [sys.executable, "-m", "benchmarks.efficiency", request, str(folder)]
        try:
            done = run_with_workers(command, one_thread_environment(), timeout)
            failure = (done.stderr.strip().splitlines() or ["died"])[-1]
        except subprocess.TimeoutExpired:
            failure = f"not done after {timeout:g} s"
        for case in missing:
            if case.cached(folder) is None:
                case.write(folder, status="failed", message=failure)
    return [result for case in cases if (result := case.cached(folder))]


if __name__ == "__main__":
    measure([Case(**case) for case in json.loads(sys.argv[1])], Path(sys.argv[2]))
