"""Time of a gradient against the number of rows and of columns, beside what the hardware could do at best.

All on one thread, and in its processor time: the least of several.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import one_thread_environment
from benchmarks.report import aligned

GROUPS = 100
"""Groups of the hierarchical model."""


def linear(rows: int, columns: int) -> Any:
    """Return a normal regression."""
    import pymc as pm

    x, rng = _design(rows, columns)
    y = x @ rng.normal(size=columns) + rng.normal(size=rows)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=columns)
        pm.Normal("y", x @ beta, pm.HalfNormal("sigma", 1), observed=y)
    return model


def logistic(rows: int, columns: int) -> Any:
    """Return a logistic regression."""
    import pymc as pm

    x, rng = _design(rows, columns)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=columns)
        pm.Bernoulli("y", logit_p=x @ beta, observed=(rng.random(rows) < 0.5).astype(float))
    return model


def hierarchical(rows: int, columns: int) -> Any:
    """Return a Student-t regression with an effect of each of `GROUPS` groups."""
    import pymc as pm

    x, rng = _design(rows, columns)
    group = rng.integers(GROUPS, size=rows)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=columns)
        effect = pm.Normal("effect", 0, pm.HalfNormal("scale", 1), shape=GROUPS)
        mean = x @ beta + effect[group]
        pm.StudentT("y", nu=4, mu=mean, sigma=pm.HalfNormal("sigma", 1), observed=rng.normal(size=rows))
    return model


def _design(rows: int, columns: int) -> tuple[Any, np.random.Generator]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(rows, columns)), rng


MODELS: dict[str, tuple[Callable[[int, int], Any], bool]] = {
    "linear": (linear, True),
    "linear, rewrites=False": (linear, False),
    "logistic": (logistic, True),
    "hierarchical": (hierarchical, True),
}
"""What is measured, by name: a model, and whether the rules of exact algebra are on."""

ROWS = [10**k for k in range(2, 8)]
"""Rows, at `FEW_COLUMNS` columns."""

COLUMNS = [1, 2, 5, 10, 20, 50, 100, 200, 500]
"""Columns, at `SOME_ROWS` rows."""

FEW_COLUMNS, SOME_ROWS = 2, 10_000


@dataclass(frozen=True)
class Hardware:
    """What one core of this machine does at best.

    Attributes
    ----------
    flops
        Floating-point operations a second, in products of matrices that stay in cache.
    bandwidth
        Bytes a second, by the bytes that are read again and again.
    """

    flops: float
    bandwidth: dict[int, float]

    def bound(self, rows: int, columns: int, *, others: int) -> float:
        """Least seconds of a gradient that reads X once and multiplies it twice.

        Parameters
        ----------
        rows, columns
            Of X.
        others
            Other values read for each row: data and positions of groups.
        """
        size = 8 * rows * (columns + others)
        level = min((known for known in self.bandwidth if known >= size), default=max(self.bandwidth))
        return max(4 * rows * columns / self.flops, size / self.bandwidth[level])


def hardware() -> Hardware:
    """Measure this machine by BLAS: products of matrices, and dot products of arrays of growing size."""
    a = np.random.default_rng(1).normal(size=(256, 256))
    out = np.empty_like(a)
    flops = 2 * 256**3 / _least_seconds(partial(np.matmul, a, a, out=out))
    bandwidth = {}
    for power in range(10, 27, 2):
        values = np.ones(2**power)
        # With itself: each value comes once from memory.
        bandwidth[values.nbytes] = values.nbytes / _least_seconds(partial(np.dot, values, values))
    return Hardware(flops, bandwidth)


def _least_seconds(work: Callable[[], Any]) -> float:
    """Return the least of several times of at least a millisecond: what other load disturbed least."""
    work()
    repeats = 1
    least, spent = float("inf"), 0.0
    while spent < 0.5:
        began = time.thread_time()
        for _ in range(repeats):
            work()
        took = time.thread_time() - began
        if took < 1e-3:
            repeats *= 2
        else:
            least = min(least, took / repeats)
            spent += took
    return least


def gradient_seconds(model: Any, *, rewrites: bool = True) -> float:
    """Return seconds of a log density with gradient, with or without the rules of exact algebra."""
    from pymc_rustmc.arguments import checked_rewrites
    from pymc_rustmc.compile import translate_model

    density = translate_model(model, rewrites=checked_rewrites(rewrites)).bind().density
    position = np.zeros(density.dim)
    return _least_seconds(lambda: density.logp_and_gradient(position))


def measure(most_rows: int) -> dict[str, Any]:
    """Return the times of all models along rows and columns, and the hardware's bounds."""
    machine = hardware()
    paths = {
        "rows": [(rows, FEW_COLUMNS) for rows in ROWS if rows <= most_rows],
        "columns": [(SOME_ROWS, columns) for columns in COLUMNS],
    }
    curves = [
        {
            "model": name,
            "along": along,
            "points": points,
            "seconds": [gradient_seconds(build(*point), rewrites=rewrites) for point in points],
            "bounds": [machine.bound(*point, others=1 + (build is hierarchical)) for point in points],
        }
        for name, (build, rewrites) in MODELS.items()
        for along, points in paths.items()
    ]
    return {"flops": machine.flops, "bandwidth": machine.bandwidth, "curves": curves}


def on_one_thread(most_rows: int) -> dict[str, Any]:
    """Return `measure` of a process whose BLAS has one thread.

    Raises
    ------
    RuntimeError
        If it fails; with what it wrote.
    """
    command = [sys.executable, "-m", "benchmarks.scaling", str(most_rows)]
    done = subprocess.run(command, env=one_thread_environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(curves: Sequence[dict[str, Any]]) -> str:
    """Return microseconds of a gradient, and of the bound."""
    rows = [["model", "rows", "columns", "us", "bound us", "times the bound"]]
    for curve in curves:
        for point, seconds, bound in zip(curve["points"], curve["seconds"], curve["bounds"], strict=True):
            figures = [f"{1e6 * seconds:.3g}", f"{1e6 * bound:.3g}", f"{seconds / bound:.3g}"]
            rows.append([curve["model"], *map(str, point), *figures])
    return aligned(rows)


def draw(curves: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot the curves with the bounds, dashed, into a file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, along in zip(figure.subplots(1, 2), ("rows", "columns"), strict=True):
        for number, curve in enumerate(curve for curve in curves if curve["along"] == along):
            x = [point[along == "columns"] for point in curve["points"]]
            color = f"C{number}"
            axes.loglog(x, curve["seconds"], "o-", color=color, markersize=3, label=curve["model"])
            axes.loglog(x, curve["bounds"], "--", color=color, linewidth=1)
        other = f"{FEW_COLUMNS} columns" if along == "rows" else f"{SOME_ROWS:_} rows".replace("_", " ")
        axes.set(xlabel=f"{along} ({other})", ylabel="seconds a gradient")
        axes.grid(alpha=0.3)
    axes.legend(title="dashed: bound of the hardware")
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "scaling"}):
        figure.savefig(path)


def report(most_rows: int, output: Path | None) -> str:
    """Measure, draw into `output` if given, and return the table."""
    found = on_one_thread(most_rows)
    if output:
        draw(found["curves"], output)
    rates = [
        f"{rate / 1e9:.3g} GB/s at {int(size) / 1e6:.3g} MB" for size, rate in found["bandwidth"].items()
    ]
    return f"{table(found['curves'])}\n\n{found['flops'] / 1e9:.3g} Gflop/s; {', '.join(rates)}"


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
