"""Fits in a store are those in memory, however often the run was stopped on the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from killed_run import BAD, COUNT
from killed_run import RUN as KILLED_RUN
from killed_run import series as killed_series

from pymc_rustmc import DataSet, compile_model, open_batch, sample_batch
from pymc_rustmc.batch import store as batch_store
from pymc_rustmc.batch.store import id_of, id_text
from pymc_rustmc.errors import DataSetError, StoreError

pytest.importorskip("zarr")

RUN = {"draws": 10, "tune": 10, "chains": 2, "random_seed": 1, "quiet": True}
TIMES = ["seconds", "total_seconds", "draw_time"]


def assert_same(stored, result):
    """Two results hold the same, but for times."""
    assert stored.ids == result.ids
    assert stored.failures == result.failures
    assert stored.flagged() == result.flagged()
    for key in (*result.ids, *result.failures):
        assert stored.seeds(key) == result.seeds(key)
    groups = ["summary", "stats", *(["posterior", "sample_stats"] if result.settings.kept else [])]
    for group in groups:
        ours, other = getattr(stored, group), getattr(result, group)
        xr.testing.assert_equal(
            ours.drop_vars(TIMES, errors="ignore").load(), other.drop_vars(TIMES, errors="ignore")
        )


def assert_same_idata(one, other):
    for group in ("posterior", "sample_stats", "observed_data", "constant_data"):
        for name in set(one[group].data_vars) - {"perf_counter_diff"}:
            xr.testing.assert_equal(one[group][name], other[group][name])


KEEPS = ["summary", "draws", {"thin": 3}, ["trend", "next"]]


@pytest.mark.parametrize("keep", KEEPS, ids=str)
def test_fits_in_a_store_are_those_in_memory(trend, series, tmp_path, keep):
    series[3, 0] = np.nan
    result = sample_batch(trend, {"y": series}, keep=keep, **RUN)
    stored = sample_batch(trend, {"y": series}, keep=keep, store=tmp_path / "s", **RUN)
    assert_same(stored, result)
    assert_same(open_batch(tmp_path / "s", trend), result)
    names = ["summary", "stats", "failures"] + (["posterior", "sample_stats"] if keep != "summary" else [])
    assert set(names) <= {
        group.strip("/") for group in xr.open_datatree(tmp_path / "s", engine="zarr").groups
    }
    if keep == "draws":
        assert_same_idata(stored.idata(4), result.idata(4))
    if keep == "summary":
        with pytest.raises(ValueError, match="keep='draws'"):
            _ = stored.posterior


def test_shapes_and_coords_that_differ(shops, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_store, "INTERVAL", 0)
    sets = {
        "small": DataSet({"shop_index": [0, 1, 1], "y": [1.0, 2.0, 2.5]}, {"shop": ["x", "y"]}),
        "as is": {},
        ("large", 2): DataSet({"shop_index": np.arange(8) % 4, "y": np.ones(8)}, {"shop": list("pqrs")}),
    }
    result = sample_batch(shops, sets, keep="draws", **RUN)
    first = dict(list(sets.items())[:1])
    sample_batch(shops, first, keep="draws", store=tmp_path / "s", **RUN)
    stored = sample_batch(shops, sets, keep="draws", store=tmp_path / "s", resume=True, **RUN)
    assert stored.ids == list(sets)
    for group in ("summary", "posterior"):
        ours, other = getattr(stored, group).load(), getattr(result, group)
        xr.testing.assert_equal(ours.drop_vars("dataset"), other.drop_vars("dataset"))
    for key in sets:
        assert_same_idata(stored.idata(key), result.idata(key))
    same = sample_batch(shops, [{}, {}], keep="draws", store=tmp_path / "t", **RUN)
    assert same.posterior.shop.values.tolist() == ["a", "b", "c"]


def test_nothing_was_fitted(trend, tmp_path):
    stored = sample_batch(trend, [{"z": 1}], store=tmp_path / "s", **RUN)
    assert (stored.ids, list(stored.failures), stored.flagged()) == ([], [0], {})
    with pytest.raises(ValueError, match="no fits"):
        _ = stored.summary


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_run_goes_on(trend, tmp_path):
    """The processes of `killed_run` die with kill -9, in the middle of writes and at any moment."""
    path = tmp_path / "s"
    package = Path(batch_store.__file__).parents[2]
    run = subprocess.run(
        timeout=300,
        args=[sys.executable, Path(__file__).with_name("killed_run.py"), path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])},
    )
    assert run.returncode == 0, run.stderr
    seen = list(map(int, run.stdout.split()))
    assert seen == sorted(seen)
    assert seen[-1] <= len(open_batch(path, trend).ids) < COUNT - len(BAD)
    sets = [{"y": row} for row in killed_series()]
    stored = sample_batch(trend, sets, store=path, resume=True, **KILLED_RUN)
    assert list(stored.failures) == list(BAD)
    result = sample_batch(trend, sets, **KILLED_RUN)
    assert_same(stored, result)
    assert_same_idata(stored.idata(900), result.idata(900))


def test_ctrl_c_and_resume(trend, tmp_path):
    def data(interrupted):
        for number in range(600):
            if number == 400 and interrupted:
                signal.raise_signal(signal.SIGINT)
            yield {"y": np.full(12, number / 600)}

    run = {**RUN, "store": tmp_path / "s", "cores": 1}
    with pytest.warns(UserWarning, match="resume=True goes on"):
        part = sample_batch(trend, data(True), **{**run, "quiet": False, "progressbar": False})
    assert part.interrupted
    assert len(part.ids) < 600
    assert part.ids == list(range(len(part.ids)))
    whole = sample_batch(trend, data(False), resume=True, **run)
    assert not whole.interrupted
    assert_same(whole, sample_batch(trend, data(False), **RUN))


def test_a_seed_of_its_own_is_that_of_the_first_run(trend, series, tmp_path):
    run = {**RUN, "random_seed": None, "store": tmp_path / "s"}
    first = sample_batch(trend, {"y": series[:3]}, **run)
    both = sample_batch(trend, {"y": series}, resume=True, **run)
    assert both.settings == first.settings
    whole = sample_batch(trend, {"y": series}, **{**RUN, "random_seed": first.settings.seed})
    assert_same(both, whole)


def test_another_run_is_refused(trend, shops, series, tmp_path):
    data, path = {"y": series}, tmp_path / "s"
    sample_batch(trend, data, store=path, **RUN)
    with pytest.raises(StoreError, match="is there already; continue it with resume=True"):
        sample_batch(trend, data, store=path, **RUN)
    refused = [
        (trend, data, {"draws": 11}, "draws was 10 and is now 11"),
        (trend, data, {"random_seed": 2}, "seed was 1 and is now 2"),
        (trend, data, {"keep": "draws"}, "thin was 0 and is now 1"),
        (trend, data, {"target_accept": 0.9}, "target_accept was .* and is now 0.9"),
        (shops, [{}], {}, "the template has other .*log density"),
        (compile_model(trend).bind({"t": np.zeros(12)}), data, {}, "the template has other data of its own;"),
        (trend, {"y": series[:4]}, {}, "holds 9 data sets, but now there are 4 in all"),
    ]
    for template, sets, changed, text in refused:
        with pytest.raises(StoreError, match=text):
            sample_batch(template, sets, store=path, resume=True, **{**RUN, **changed})
    with pytest.raises(StoreError, match='has the id 1 for the data set number 1, which now has the id "b"'):
        sample_batch(trend, data, ids=[0, "b", *range(2, 9)], store=path, resume=True, **RUN)
    with pytest.raises(StoreError, match="is of another template"):
        open_batch(path, shops)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    for action in (lambda path: sample_batch(trend, data, store=path, **RUN), lambda p: open_batch(p, trend)):
        with pytest.raises(StoreError, match="is not the store of a batch"):
            action(tmp_path / "other")
    with pytest.raises(StoreError, match="is not the store of a batch"):
        open_batch(tmp_path / "none", trend)
    with pytest.raises(TypeError, match="give its path as `store`"):
        sample_batch(trend, data, resume=True, **RUN)


def test_an_error_loses_nothing(trend, series, tmp_path):
    series[5, 0] = np.nan
    with pytest.raises(DataSetError, match="data set 5"):
        sample_batch(trend, {"y": series}, store=tmp_path / "s", errors="raise", **RUN)
    stored = sample_batch(trend, {"y": series}, store=tmp_path / "s", resume=True, **RUN)
    assert_same(stored, sample_batch(trend, {"y": series}, **RUN))


def test_without_zarr(trend, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"pip install 'pymc_rustmc\[store\]'"):
        sample_batch(trend, [{}], store=tmp_path / "s", **RUN)


@pytest.mark.parametrize("key", [3, "sku", ("a", 1), (("a", 2.5), None), True, 2.5, 'with "quotes"'])
def test_ids_come_back(key):
    assert id_of(id_text(key)) == key
    assert type(id_of(id_text(key))) is type(key)


def test_ids_without_a_form_of_their_own_are_texts():
    assert id_of(id_text(np.int64(3))) == 3
    assert id_of(id_text(np.datetime64("2020-01-01"))) == "2020-01-01"
