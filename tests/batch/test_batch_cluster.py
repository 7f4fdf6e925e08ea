"""Fits on the workers of a Dask cluster are those of a run on this machine, also when a worker dies."""

import os
import signal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from pytensor.graph.op import Op

from pymc_rustmc import DataSet, compile_model, load_model, sample_batch
from pymc_rustmc.batch import cluster as batch_cluster
from pymc_rustmc.batch.cluster import fit_on
from pymc_rustmc.batch.data_sets import source_of
from pymc_rustmc.errors import SaveError

distributed = pytest.importorskip("distributed")

RUN = {"draws": 20, "tune": 20, "chains": 2, "random_seed": 1, "quiet": True, "keep": "draws"}


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "memory_limit": None}
    with (
        distributed.LocalCluster(**options, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    monkeypatch.setattr(batch_cluster, "_MOST", 8)


def assert_same(result, local):
    assert result.ids == local.ids
    assert result.failures == local.failures
    for group in ("summary", "posterior"):
        xr.testing.assert_equal(getattr(result, group).load(), getattr(local, group))


def test_fits_are_those_of_a_local_run(client, trend, series, tmp_path):
    data = np.tile(series, (4, 1))
    data[5, 3] = np.nan
    local = sample_batch(trend, {"y": data}, **RUN)
    assert_same(sample_batch(trend, {"y": data}, client=client, **RUN), local)
    stored = sample_batch(trend, {"y": data[:20]}, client=client, store=tmp_path / "s", **RUN)
    assert list(stored.failures) == [5]
    sets = ({"y": row} for row in data)
    assert_same(sample_batch(trend, sets, client=client, store=tmp_path / "s", resume=True, **RUN), local)


def test_starts_at_jittered_values_of_others(client, shops):
    sets = {
        "small": DataSet({"shop_index": [0, 1, 1], "y": [1.0, 2.0, 2.5]}, {"shop": ["x", "y"]}),
        "bad": {"y": [1.0]},
        "large": DataSet(
            {"shop_index": np.arange(8) % 4, "y": np.linspace(0, 2, 8)}, {"shop": ["p", "q", "r", "s"]}
        ),
        "as is": {},
    }
    local = sample_batch(shops, sets, **RUN)
    result = sample_batch(shops, sets, client=client, **RUN)
    assert_same(result, local)
    xr.testing.assert_equal(result.idata("large").constant_data, local.idata("large").constant_data)


def test_starts_that_pytensor_computes(client):
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(2))
        rate = pm.Exponential("rate", 1)
        pm.Normal("z", pm.Gamma("x", rate, 2), 1, observed=y)  # x starts at exp of a jittered value
    sets = {"y": np.ones((12, 2))}
    assert_same(sample_batch(model, sets, client=client, **RUN), sample_batch(model, sets, **RUN))


def test_starts_that_are_drawn_again(client):
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(2))
        mu = pm.Normal("mu", 0, 1)
        level = pm.Normal("level", mu, 1)
        pm.Potential("bound", pm.math.switch(mu > 0.0, 0.0, -np.inf))
        pm.Normal("z", level, 1, observed=y)
    sets = {"y": np.ones((12, 2))}
    assert_same(sample_batch(model, sets, client=client, **RUN), sample_batch(model, sets, **RUN))


def test_a_model_from_a_file(client, trend, series, tmp_path):
    compile_model(trend).save(tmp_path / "trend")
    compiled = load_model(tmp_path / "trend")
    local = sample_batch(compiled, {"y": series}, **RUN)
    assert_same(sample_batch(compiled, {"y": series}, client=client, **RUN), local)


def test_a_worker_is_killed(client, trend):
    data = np.random.default_rng(6).normal(size=(160, 12))
    client.wait_for_workers(2, timeout=300)
    pids = client.run(os.getpid)

    def source():
        for number, row in enumerate(data):
            if number == 80:
                os.kill(next(iter(pids.values())), signal.SIGKILL)
            yield {"y": row}

    result = sample_batch(trend, source(), client=client, **RUN)
    assert_same(result, sample_batch(trend, {"y": data}, **RUN))
    client.wait_for_workers(2, timeout=300)
    assert set(client.run(os.getpid).values()) != set(pids.values())


def test_ctrl_c_and_resume(client, trend, tmp_path):
    data = np.random.default_rng(7).normal(size=(120, 12))

    def source(interrupted):
        for number, row in enumerate(data):
            if number == 80 and interrupted:
                signal.raise_signal(signal.SIGINT)
            yield {"y": row}

    part = sample_batch(trend, source(True), client=client, store=tmp_path / "s", **RUN)
    assert part.interrupted
    assert part.ids == list(range(len(part.ids)))
    assert 0 < len(part.ids) < 120
    whole = sample_batch(trend, source(False), client=client, store=tmp_path / "s", resume=True, **RUN)
    assert_same(whole, sample_batch(trend, {"y": data}, **RUN))


def test_data_are_taken_as_workers_need_them(client, trend):
    taken = []
    settings = sample_batch(trend, [{}], **RUN).settings
    sets = ({"y": np.ones(12)} for _ in iter(lambda: taken.append(0), 1))
    source = source_of(sets, ["t", "y"], [])
    fits = fit_on(client, compile_model(trend)._bound, source, settings, threads=1)
    got = 0
    while got < 100:
        got += len(next(fits)["id"])
        assert len(taken) - got <= 8 * (2 * len(client.nthreads()) + 3)
    fits.close()


def test_what_cannot_be_sent(client, trend):
    with pytest.raises(TypeError, match=r"dask\.distributed\.Client"):
        sample_batch(trend, [{}], client="tcp://localhost:1234", **RUN)

    class Double(Op):
        itypes = (pt.dscalar,)
        otypes = (pt.dscalar,)

        def perform(self, node, inputs, outputs):
            outputs[0][0] = 2 * inputs[0]

    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Deterministic("d", Double()(x))
        pm.Normal("z", x, 1, observed=pm.Data("y", [0.0]))
    with pytest.raises(SaveError, match="cannot be saved"):
        sample_batch(model, [{}], client=client, **RUN)
