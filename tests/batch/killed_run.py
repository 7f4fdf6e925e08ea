"""Runs a batch that streams to a store, in processes that are killed; started by test_batch_store."""

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))

from batch_templates import make_trend

from pymc_rustmc import compile_model, sample_batch
from pymc_rustmc.batch import store, zarr_arrays

RUN = {"draws": 10, "tune": 10, "chains": 2, "random_seed": 1, "quiet": True, "keep": "draws", "cores": 2}


COUNT, BAD, LAST = 1500, (7, 600), 1300


def series():
    y = np.random.default_rng(4).normal(size=(COUNT, 12))
    y[BAD, 2] = np.nan
    return y


def endless():
    """Data sets that stop coming before the end, so that no run ends."""
    for number, row in enumerate(series()):
        time.sleep(1e6 if number == LAST else 0.001)
        yield {"y": row}


def killed_after(template, path, puts):
    """Run in a process of its own, which dies in the middle of a write; whether it did."""
    child = os.fork()
    if child == 0:
        store.INTERVAL = store._COST = 0
        left = iter(range(puts))
        put = zarr_arrays.GrowingArrays.put

        def counted(*arguments, **others):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            put(*arguments, **others)

        zarr_arrays.GrowingArrays.put = counted
        sample_batch(template, endless(), store=path, resume=True, **RUN)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def killed_from_outside(template, path):
    """Run in a process of its own, look at the store as it grows, kill the process; rows seen on the way."""
    child = os.fork()
    if child == 0:
        store.INTERVAL = store._COST = 0
        sample_batch(template, endless(), store=path, resume=True, **RUN)
        os._exit(1)
    seen = [0]
    while seen[-1] < LAST / 2:
        summary = xr.open_zarr(path, group="summary")
        posterior = xr.open_zarr(path, group="posterior")
        assert np.isfinite(summary.to_array().sel(statistic="mean")).all()
        assert np.isfinite(posterior.to_array()).all()
        ids = [number for number in range(COUNT) if number not in BAD]
        assert summary.dataset.values.tolist() == ids[: summary.sizes["dataset"]]
        seen.append(summary.sizes["dataset"])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return seen


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork in a process with threads
    path = sys.argv[1]
    template = compile_model(make_trend())
    for puts in (0, 60, 77):
        assert killed_after(template, path, puts), puts
    print(*killed_from_outside(template, path))
