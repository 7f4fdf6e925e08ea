"""Data sets in the forms that people have them in."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

from pymc_rustmc import DataSet, sample_batch

RUN = {"draws": 10, "tune": 10, "chains": 1, "random_seed": 1, "keep": "draws", "quiet": True}
T0 = np.arange(12) / 12


@pytest.fixture
def expected(trend, series):
    return sample_batch(trend, [{"y": y, "t": T0} for y in series], **RUN).posterior


def frame_of(series):
    rows = [
        {"sku": f"sku-{number}", "week": t, "sales": value}
        for number, y in enumerate(series)
        for t, value in zip(T0, y, strict=True)
    ]
    return pd.DataFrame(rows)


def assert_same_draws(posterior, expected, ids):
    assert posterior.dataset.values.tolist() == list(ids)
    xr.testing.assert_equal(posterior.drop_vars("dataset"), expected.drop_vars("dataset"))


SKUS = [f"sku-{number}" for number in range(9)]


@pytest.mark.parametrize(
    ("form", "ids"),
    [
        (lambda y: {"y": y}, range(9)),
        (lambda y: {"y": y.tolist()}, range(9)),
        (lambda y: ({"y": row} for row in y), range(9)),
        (lambda y: [DataSet({"y": row.astype("f4").astype("f8") * 0 + row}) for row in y], range(9)),
        (lambda y: dict(zip(SKUS, ({"y": row} for row in y), strict=True)), SKUS),
        (lambda y: [(key, {"y": row}) for key, row in zip(SKUS, y, strict=True)], SKUS),
        (
            lambda y: [((1, key), {"y": row}) for key, row in zip(SKUS, y, strict=True)],
            [(1, s) for s in SKUS],
        ),
    ],
)
def test_plain_forms(trend, series, expected, form, ids):
    assert_same_draws(sample_batch(trend, form(series), **RUN).posterior, expected, ids)


def test_ids_beside_the_data(trend, series, expected):
    assert_same_draws(sample_batch(trend, {"y": series}, ids=SKUS, **RUN).posterior, expected, SKUS)
    stream = ({"y": row} for row in series)
    assert_same_draws(sample_batch(trend, stream, ids=iter(SKUS), **RUN).posterior, expected, SKUS)


@pytest.mark.parametrize("shared_time", [True, False])
def test_a_dataset_with_a_dim_to_split(trend, series, expected, shared_time):
    time = ("week", T0) if shared_time else (("week", "sku"), np.tile(T0[:, None], (1, 9)))
    data = xr.Dataset({"sales": (("week", "sku"), series.T), "t": time}, coords={"sku": SKUS})
    columns = {"y": "sales", "t": "t"}
    result = sample_batch(trend, data, dim="sku", columns=columns, **RUN)
    assert_same_draws(result.posterior, expected, SKUS)


@pytest.mark.parametrize("package", ["pandas", "polars"])
@pytest.mark.parametrize("by", ["sku", ["sku"]])
def test_a_group_by(trend, series, expected, package, by):
    frame = frame_of(series)
    if package == "pandas":
        groups = frame.groupby(by)
    else:
        groups = pytest.importorskip("polars").from_pandas(frame).group_by(by, maintain_order=True)
    result = sample_batch(trend, groups, columns={"t": "week", "y": "sales"}, **RUN)
    assert_same_draws(result.posterior, expected, SKUS)


def test_columns_that_make_a_matrix(series):
    rng = np.random.default_rng(1)
    with pm.Model() as model:
        x = pm.Data("x", np.zeros((3, 2)))
        y = pm.Data("y", np.zeros(3))
        beta = pm.Normal("beta", 0, 1, shape=2)
        pm.Normal("obs", x @ beta, 1, observed=y)
    frame = pd.DataFrame(rng.normal(size=(20, 3)), columns=["a", "b", "y"]).assign(key=np.repeat([1, 2], 10))
    result = sample_batch(model, frame.groupby("key"), columns={"x": ["a", "b"], "y": "y"}, **RUN)
    sets = {key: {"x": part[["a", "b"]].to_numpy(), "y": part["y"]} for key, part in frame.groupby("key")}
    xr.testing.assert_equal(result.posterior, sample_batch(model, sets, **RUN).posterior)


def test_lengths_may_differ(trend):
    rng = np.random.default_rng(2)
    sets = [{"t": np.arange(n) / n, "y": rng.normal(size=n)} for n in (2, 30, 7, 30)]
    result = sample_batch(trend, sets, **RUN)
    assert not result.failures
    assert result.idata(1).observed_data.sales.shape == (30,)
    assert result.summary.trend.shape == (4, 10)


def test_a_generator_is_consumed_as_it_is_needed(trend, series):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            if len(taken) > 3000:
                raise RuntimeError("enough")
            yield {"y": series[0]}

    with pytest.raises(RuntimeError, match="enough"):
        sample_batch(trend, endless(), **{**RUN, "keep": "summary"}, cores=1)


@pytest.mark.parametrize(
    ("datasets", "arguments", "text"),
    [
        (3, {}, "must be an iterable"),
        ({"z": np.zeros((2, 12))}, {}, r"no data named 'z'; it has 't', 'y'"),
        ({"y": np.zeros((2, 12)), "t": np.zeros((3, 12))}, {}, "different lengths"),
        ({"y": [[1.0], [1.0, 2.0]]}, {}, "inhomogeneous|list of mappings"),
        ({"y": np.zeros((2, 12))}, {"ids": ["a"]}, "1 ids for 2 data sets"),
        ({"y": np.zeros((2, 12))}, {"ids": ["a", "a"]}, "two data sets have the id 'a'"),
        ([{}, {}], {"ids": ["a"]}, "fewer"),
        ([{}], {"dim": "sku"}, "splits an xarray.Dataset"),
        ([{}], {"columns": {"y": "sales"}}, "belongs to"),
        (pd.DataFrame({"y": [1.0]}), {}, r"frame.groupby"),
        (pd.DataFrame({"k": [1]}).groupby("k"), {"columns": {"z": "k"}}, "`columns` names 'z'"),
        (xr.Dataset({"y": ("sku", [1.0])}), {}, "`dim` must name"),
        (xr.Dataset({"y": ("sku", [1.0])}), {"dim": "sku", "columns": {"y": "s"}}, "no variable 's'"),
    ],
)
def test_what_is_none_of_these_forms_is_refused(trend, datasets, arguments, text):
    with pytest.raises((TypeError, ValueError), match=text):
        sample_batch(trend, datasets, **RUN, **arguments)
