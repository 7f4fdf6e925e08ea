"""Times what comes before sampling with rustmc, stage by stage, each time in a fresh process.

In processor time: nothing here waits or has threads, and the machine may be shared.
"""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

from benchmarks.case import process_environment
from benchmarks.models import MODELS
from benchmarks.report import aligned

STAGES = ("pymc", "translate", "bind", "starts")
"""``pymc`` is PyMC's own work, building and canonicalising the log density and writing down the starting
point; the others are ours, the canonical form of the variables returned included."""


class Stopwatch:
    """Adds up the time spent in the functions that it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, function: Callable[..., Any], calls: int = 1) -> Callable[..., Any]:
        """Return the function with its first calls timed."""
        left = [None] * calls

        def timed(*args: Any, **kwargs: Any) -> Any:
            if not left:
                return function(*args, **kwargs)
            left.pop()
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - start

        return timed


def time_stages(name: str) -> dict[str, float]:
    """Return the seconds of each stage for a model in this process, which should be fresh."""
    import pymc as pm
    from pymc.initial_point import make_initial_point_expression
    from pymc.pytensorf import rewrite_pregrad

    from pymc_rustmc import starts
    from pymc_rustmc.compile import translate_model

    model, chains = (LARGE[name](), 4) if name in LARGE else (MODELS[name].build(), MODELS[name].chains)
    gc.disable()  # as in `pm.sample`
    marks = [time.process_time()]
    pymcs_own = Stopwatch()
    with (
        mock.patch.object(pm.Model, "logp", pymcs_own.wrap(pm.Model.logp)),
        mock.patch("pymc_rustmc.compile.rewrite_pregrad", pymcs_own.wrap(rewrite_pregrad)),
    ):
        template = translate_model(model)
    marks.append(time.process_time())
    starts_own = Stopwatch()
    expressions = starts_own.wrap(make_initial_point_expression)
    with mock.patch("pymc_rustmc.starts.make_initial_point_expression", expressions):
        functions = starts.start_functions(model, None, chains, jitter=True)
    shapes = {variable: value.shape for variable, value in functions[0](0).items()}
    marks.append(time.process_time())
    bound = template.bind(shapes=shapes)
    marks.append(time.process_time())

    def density(point: Any) -> Any:
        return bound.density.logp_and_gradient(bound.position(point))

    starts.checked_starts(functions, range(chains), density, retries=10, explain=lambda *_: "")
    marks.append(time.process_time())
    translate, points, bind, checks = (end - start for start, end in pairwise(marks))
    return {
        "pymc": pymcs_own.seconds + starts_own.seconds,
        "translate": translate - pymcs_own.seconds,
        "bind": bind,
        "starts": points + checks - starts_own.seconds,
        "nodes": len(template.graph),
    }


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


LARGE = {
    f"{build.__name__}({size})": partial(build, size)
    for build, sizes in ((many_likelihoods, (25, 50, 100, 200)), (deep_hierarchy, (25, 50, 100)))
    for size in sizes
}
"""Models of many nodes by name: how the times grow."""


def table(names: Sequence[str], repeats: int) -> str:
    """Return medians in milliseconds over fresh processes, for each model."""
    rows = [["model", "nodes", *(f"{stage} ms" for stage in STAGES), "ours ms"]]
    ours: list[float] = []
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
            stages = [1000 * statistics.median(run[stage] for run in runs) for stage in STAGES]
            ours.append(1000 * statistics.median(sum(run[stage] for stage in STAGES[1:]) for run in runs))
            figures = [f"{value:.1f}" for value in (*stages, ours[-1])]
            rows.append([name, str(runs[0]["nodes"]), *figures])
    return f"{aligned(rows)}\n\nours: median {statistics.median(ours):.1f} ms"


if __name__ == "__main__":
    print(json.dumps(time_stages(sys.argv[1])))
