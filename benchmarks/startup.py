"""Times what comes before sampling with rustmc, stage by stage, each time in a fresh process."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any
from unittest import mock

from benchmarks.case import process_environment
from benchmarks.models import MODELS
from benchmarks.report import aligned

STAGES = ("build_logp", "translate", "bind", "starts")
"""``build_logp`` is PyMC's own work, building and canonicalising the log density; the others are ours."""


class Stopwatch:
    """Adds up the time spent in the functions that it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its calls timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def time_stages(name: str) -> dict[str, float]:
    """Return the seconds of each stage for a model in this process, which should be fresh."""
    import pymc as pm
    from pymc.pytensorf import rewrite_pregrad

    from pymc_rustmc.compile import translate_model
    from pymc_rustmc.starts import checked_starts, start_functions

    usual = MODELS[name]
    model = usual.build()
    marks = [time.perf_counter()]
    pymcs_own = Stopwatch()
    with (
        mock.patch.object(pm.Model, "logp", pymcs_own.wrap(pm.Model.logp)),
        mock.patch("pymc_rustmc.compile.rewrite_pregrad", pymcs_own.wrap(rewrite_pregrad)),
    ):
        template = translate_model(model)
    marks.append(time.perf_counter())
    functions = start_functions(model, None, usual.chains, jitter=True)
    shapes = {variable: value.shape for variable, value in functions[0](0).items()}
    marks.append(time.perf_counter())
    bound = template.bind(shapes=shapes)
    marks.append(time.perf_counter())

    def density(point: Any) -> Any:
        return bound.density.logp_and_gradient(bound.position(point))

    checked_starts(functions, range(usual.chains), density, retries=10, explain=lambda *_: "")
    marks.append(time.perf_counter())
    translate, points, bind, checks = (end - start for start, end in pairwise(marks))
    return {
        "build_logp": pymcs_own.seconds,
        "translate": translate - pymcs_own.seconds,
        "bind": bind,
        "starts": points + checks,
    }


def table(names: Sequence[str], repeats: int) -> str:
    """Return medians in milliseconds over fresh processes, for each model."""
    rows = [["model", *(f"{stage} ms" for stage in STAGES), "ours ms"]]
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
            ours = 1000 * statistics.median(sum(run.values()) - run["build_logp"] for run in runs)
            rows.append([name, *(f"{value:.1f}" for value in (*stages, ours))])
    return aligned(rows)


if __name__ == "__main__":
    print(json.dumps(time_stages(sys.argv[1])))
