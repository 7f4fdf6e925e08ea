"""Peak memory of whole calls of pm.sample with rustmc, each in a fresh process, beyond importing PyMC.

What xarray imports for its first dataset counts as PyMC's: with the package `sparse` installed these are
numba and LLVM, 90 MB. PyMC's own results need them as well.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import process_environment
from benchmarks.report import aligned

FIXED = 100e6
"""Bytes that a run may need whatever its size."""

FACTOR = 1.3
"""Bytes that it may need for each byte of the arrays that it returns and of the data."""


@dataclass(frozen=True)
class Workload:
    """A model and a run of it.

    Attributes
    ----------
    build
        Makes the model, and tells the bytes of its data.
    arguments
        Of ``pm.sample``.
    """

    build: Callable[[], tuple[Any, int]]
    arguments: dict[str, Any] = field(default_factory=dict)


def regression(rows: int, columns: int, wide: bool = False) -> tuple[Any, int]:
    """Logistic regression; if `wide`, the probability of every row is a Deterministic."""
    import pymc as pm

    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, columns))
    y = (rng.random(rows) < 0.5).astype(float)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=columns)
        eta = x @ beta
        if wide:
            pm.Deterministic("p", pm.math.sigmoid(eta))
        pm.Bernoulli("y", logit_p=eta, observed=y)
    return model, x.nbytes + y.nbytes


def scales(number: int) -> tuple[Any, int]:
    """Independent positive variables, each transformed."""
    import pymc as pm

    with pm.Model() as model:
        pm.Gamma("scale", 2, 1, shape=number)
    return model, 0


WORKLOADS = {
    "many draws": Workload(lambda: scales(200), {"draws": 20_000}),
    "warm-up kept": Workload(
        lambda: scales(200), {"draws": 10_000, "tune": 10_000, "discard_tuned_samples": False}
    ),
    "wide Deterministic": Workload(lambda: regression(10_000, 5, wide=True), {"draws": 1000}),
    "wide Deterministic, not asked for": Workload(
        lambda: regression(10_000, 5, wide=True), {"draws": 1000, "var_names": ["beta"]}
    ),
    "100 000 rows": Workload(lambda: regression(100_000, 10), {"tune": 100, "draws": 200}),
    "1 000 000 rows": Workload(lambda: regression(1_000_000, 10), {"tune": 10, "draws": 20}),
}
"""What is measured, by name."""


def peak() -> int:
    """Return the most bytes that this process has had in memory."""
    status = Path("/proc/self/status")
    if status.exists():  # what `resource` tells there begins with the parent's peak
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(name: str, changes: Mapping[str, Any]) -> dict[str, float]:
    """Run a workload in this process, which should be fresh, and return bytes.

    Parameters
    ----------
    name
        Of the workload.
    changes
        Arguments of ``pm.sample`` beside or in place of the workload's.

    Returns
    -------
    dict
        ``peak`` beyond that of ``import pymc``; ``returned`` of all arrays of draws and statistics, ``data``,
        and the ``bound`` that they set.
    """
    import pymc as pm
    import xarray as xr

    xr.Dataset({"x": ("draw", np.zeros(1))})
    before = peak()
    import pymc_rustmc  # noqa: F401

    workload = WORKLOADS[name]
    model, data = workload.build()
    with model:
        idata = pm.sample(
            nuts_sampler="rustmc",
            random_seed=1,
            chains=4,
            progressbar=False,
            **{**workload.arguments, **changes},
        )
    grown = peak() - before
    returned = sum(
        variable.nbytes
        for group in ("posterior", "sample_stats", "warmup_posterior", "warmup_sample_stats")
        if hasattr(idata, group)
        for variable in idata[group].data_vars.values()
    )
    bound = FACTOR * (returned + data) + FIXED
    return {"peak": grown, "returned": returned, "data": data, "bound": bound}


def in_fresh_process(name: str, **changes: Any) -> dict[str, float]:
    """Return `measure` of a process of its own.

    Raises
    ------
    RuntimeError
        If it fails; with what it wrote.
    """
    command = [sys.executable, "-m", "benchmarks.memory", name, json.dumps(changes)]
    done = subprocess.run(command, env=process_environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(names: Sequence[str]) -> str:
    """Return megabytes of each workload."""
    rows = [["workload", "returned MB", "data MB", "peak MB", "bound MB", "met"]]
    for name in names:
        found = in_fresh_process(name)
        columns = [f"{found[key] / 1e6:.0f}" for key in ("returned", "data", "peak", "bound")]
        rows.append([name, *columns, "yes" if found["peak"] <= found["bound"] else "no"])
    return aligned(rows)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], json.loads(sys.argv[2]))))
