"""Times what `pm.sample` does around sampling with rustmc, stage by stage, each time in a fresh process.

In processor time: nothing here waits or has threads, and the machine may be shared.
"""

import contextlib
import importlib
import json
import logging
import pkgutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unittest import mock

from benchmarks.case import process_environment
from benchmarks.models import MODELS
from benchmarks.report import aligned

_CALLS = {
    "pymc": ("pymc.Model.logp", "pymc_rustmc.starts.make_initial_point_expression"),
    "canonical": ("pymc_rustmc.compile.canonical",),
    "translate": ("pymc_rustmc.begin.translate_model",),
    "bind": ("pymc_rustmc.template.Template.bind",),
    "starts": tuple(
        f"pymc_rustmc.begin.{name}" for name in ("start_functions", "starts_under", "checked_starts")
    ),
    "result": ("pymc_rustmc.sample.to_inference_data", "pymc_rustmc.sample.report_convergence"),
    "sampling": ("pymc_rustmc.sample.watch",),
}
"""What each stage spends its time in. Time counts for the innermost of these calls."""

STAGES = ("pymc", "canonical", "translate", "bind", "starts", "result", "other")
"""``pymc`` is PyMC's own: log density and starting points as expressions. ``canonical`` are PyTensor's
rewrites of the former and of the variables returned, ``result`` is what follows sampling, ``other`` the rest
of `pm.sample` without the few draws."""


class Stopwatch:
    """Adds up by stage the time spent in the functions that it wraps, without that in others inside."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: list[float] = []

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            self._inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - start
                own = spent - self._inside.pop()
                self.seconds[stage] = self.seconds.get(stage, 0.0) + own
                if self._inside:
                    self._inside[-1] += spent

        return timed


def time_stages(name: str) -> dict[str, float]:
    """Return the seconds of each stage for a model in this process, which should be fresh."""
    import pymc as pm

    importlib.import_module("pymc_rustmc")
    logging.disable()
    warnings.simplefilter("ignore")
    model = LARGE[name]() if name in LARGE else MODELS[name].build()
    watch = Stopwatch()
    with contextlib.ExitStack() as stack:
        for stage, paths in _CALLS.items():
            for path in paths:
                name_of_owner, _, attribute = path.rpartition(".")
                owner = pkgutil.resolve_name(name_of_owner)
                if hasattr(owner, attribute):  # not every version has all
                    timed = watch.wrap(stage, getattr(owner, attribute))
                    stack.enter_context(mock.patch.object(owner, attribute, timed))
        sample = watch.wrap("other", pm.sample)
        sample(
            nuts_sampler="rustmc",
            model=model,
            tune=20,
            draws=20,
            chains=2,
            cores=1,
            random_seed=1,
            progressbar=False,
        )
    return {stage: watch.seconds.get(stage, 0.0) for stage in STAGES}


def many_likelihoods(number: int) -> Any:
    """Return a model with as many scalar variables and likelihoods, and a tenth of scales."""
    import numpy as np
    import pymc as pm

    rng = np.random.default_rng(1)
    with pm.Model() as model:
        scales = [pm.HalfNormal(f"scale{i}", 1) for i in range(max(1, number // 10))]
        for i in range(number):
            mean = pm.Normal(f"mean{i}", 0, 1)
            pm.Normal(f"y{i}", mean, scales[i % len(scales)], observed=rng.normal(size=5))
    return model


def deep_hierarchy(levels: int) -> Any:
    """Return a model in which each variable is the location of the next."""
    import pymc as pm

    with pm.Model() as model:
        location = 0.0
        for i in range(levels):
            location = pm.Normal(f"x{i}", location, 1)
        pm.Normal("y", location, 1, observed=1.0)
    return model


def many_groups(number: int) -> Any:
    """Return a model with as many groups of seven variables, and two likelihoods each."""
    import numpy as np
    import pymc as pm

    rng = np.random.default_rng(2)
    with pm.Model() as model:
        for i in range(number):
            mean = pm.Normal(f"mean{i}", 0, 1)
            scale = pm.HalfCauchy(f"scale{i}", 1)
            effect = pm.Normal(f"effect{i}", mean, scale, shape=4)
            noise = pm.Gamma(f"noise{i}", 2, 1)
            chance = pm.Beta(f"chance{i}", 2, 2)
            weight = pm.Dirichlet(f"weight{i}", np.ones(3))
            nu = pm.Exponential(f"nu{i}", 0.1)
            location = effect[np.arange(8) % 4] + pm.math.dot(weight, np.arange(3.0))
            pm.StudentT(f"y{i}", nu=nu + 1, mu=location, sigma=noise, observed=rng.normal(size=8))
            pm.Bernoulli(f"z{i}", chance, observed=rng.integers(0, 2, 6))
    return model


def many_deterministics(number: int) -> Any:
    """Return a model with as many effects with dims, and three Deterministics of each."""
    import numpy as np
    import pymc as pm

    rng = np.random.default_rng(3)
    with pm.Model(coords={f"dim{i}": np.arange(5) for i in range(20)}) as model:
        for i in range(number):
            dim = f"dim{i % 20}"
            mean, scale = pm.Normal(f"mean{i}", 0, 1), pm.HalfNormal(f"scale{i}", 1)
            effect = mean + scale * pm.Normal(f"z{i}", 0, 1, dims=dim)
            pm.Deterministic(f"effect{i}", effect, dims=dim)
            pm.Deterministic(f"rate{i}", pm.math.log1pexp(effect), dims=dim)
            pm.Deterministic(f"norm{i}", (effect**2).sum())
            pm.Poisson(f"y{i}", pm.math.exp(effect), dims=dim, observed=rng.poisson(2, 5))
    return model


LARGE = {
    f"{build.__name__}({size})": partial(build, size)
    for build, sizes in (
        (many_likelihoods, (50, 300)),
        (deep_hierarchy, (100,)),
        (many_groups, (10, 50)),
        (many_deterministics, (100,)),
    )
    for size in sizes
}
"""Models of many nodes by name: how the times grow."""


def table(names: Sequence[str], repeats: int) -> str:
    """Return minima in milliseconds over fresh processes, for each model."""
    rows = [["model", *(f"{stage} ms" for stage in STAGES), "all ms"]]
    for name in names:
        command = [sys.executable, "-m", "benchmarks.startup", name]
        runs = []
        for _ in range(repeats):
            done = subprocess.run(command, env=process_environment(), capture_output=True, text=True)
            if done.returncode:
                rows.append([name, (done.stderr.strip().splitlines() or ["failed"])[-1]])
                break
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        else:
            stages = [1000 * min(run[stage] for run in runs) for stage in STAGES]
            whole = 1000 * min(sum(run.values()) for run in runs)
            rows.append([name, *(f"{value:.1f}" for value in (*stages, whole))])
    return aligned(rows)


if __name__ == "__main__":
    print(json.dumps(time_stages(sys.argv[1])))
