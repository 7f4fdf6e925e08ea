"""Predictions are draws from the likelihood at each kept draw and new data."""

import numpy as np
import pymc as pm
import pytensor
import pytest
import xarray as xr
from scipy import stats

from pymc_rustmc import DataSet, compile_model, load_model, sample_batch

RUN = {"draws": 500, "tune": 200, "chains": 2, "random_seed": 1, "quiet": True}
NEW = np.array([0.5, -0.3, 1.2, 0.1])

# The distribution function of a prediction, with the mass at it, given the draws of a, s, p and the new x.
CDFS = {
    "normal": lambda a, s, p, x: stats.norm(a + x, s),
    "student_t": lambda a, s, p, x: stats.t(4, a + x, s),
    "lognormal": lambda a, s, p, x: stats.lognorm(s, scale=np.exp(a + x)),
    "gamma": lambda a, s, p, x: stats.gamma(2, scale=np.exp(a + x) / 2),
    "beta": lambda a, s, p, x: stats.beta(5 * p + x + 1, 3),
    "poisson": lambda a, s, p, x: stats.poisson(np.exp(a + x)),
    "negative_binomial": lambda a, s, p, x: stats.nbinom(3, 3 / (3 + np.exp(a + x))),
    "bernoulli": lambda a, s, p, x: stats.bernoulli(p + 0 * x),
    "binomial": lambda a, s, p, x: stats.binom(7, p + 0 * x),
    "exponential": lambda a, s, p, x: stats.expon(scale=np.exp(a + x)),
}


def make_all():
    with pm.Model() as model:
        x = pm.Data("x", np.zeros(2))
        a = pm.Normal("a", 0, 0.5)
        s = pm.Gamma("s", 4, 4)
        p = pm.Beta("p", 4, 4)
        rate = pm.math.exp(a + x)
        pm.Normal("normal", a + x, s, observed=np.zeros(2))
        pm.StudentT("student_t", nu=4, mu=a + x, sigma=s, observed=np.ones(2))
        pm.LogNormal("lognormal", a + x, s, observed=np.ones(2))
        pm.Gamma("gamma", 2, 2 / rate, observed=np.ones(2))
        pm.Beta("beta", 5 * p + x + 1, 3, observed=np.full(2, 0.6))
        pm.Poisson("poisson", rate, observed=[1, 2])
        pm.NegativeBinomial("negative_binomial", mu=rate, alpha=3, observed=[1, 2])
        pm.Bernoulli("bernoulli", p + 0 * x, observed=[1, 0])
        pm.Binomial("binomial", 7, p + 0 * x, observed=[3, 4])
        pm.Exponential("exponential", 1 / rate, observed=np.ones(2))
        pm.Deterministic("rate", rate)
    return model


@pytest.fixture(scope="module")
def every():
    return sample_batch(make_all(), [{}, {"x": [0.1, 0.2]}], keep="draws", **RUN)


@pytest.fixture(scope="module")
def predicted(every):
    return every.predict(data={"x": NEW})


@pytest.mark.parametrize("name", CDFS)
def test_predictions_have_the_distribution_of_the_likelihood(every, predicted, name):
    """The distribution function at the predictions is uniform, given each draw."""
    draws = every.posterior
    assert predicted[name].dims == ("dataset", "chain", "draw", f"{name}_dim_0")
    a, s, p = (draws[v].values[..., None] for v in "asp")
    values = predicted[name].values
    if name in ("poisson", "negative_binomial", "bernoulli", "binomial"):
        assert values.dtype == np.int64
    for dataset in range(2):
        given = CDFS[name](a[dataset], s[dataset], p[dataset], NEW)
        y = values[dataset]
        mass = given.pmf(y) if hasattr(given.dist, "pmf") else 0.0
        uniform = given.cdf(y) - mass * np.random.default_rng(dataset).uniform(size=y.shape)
        # The 1 - 1e-6 quantile of the statistic at 4000 numbers is 0.043.
        assert stats.kstest(uniform.ravel(), "uniform").statistic < 0.045
        for column in np.moveaxis(uniform, -1, 0):
            assert stats.kstest(column.ravel(), "uniform").statistic < 0.09


def test_deterministics_are_exact(every):
    rate = every.predict(["rate"], data={"x": NEW}).rate
    expected = np.exp(every.posterior.a.values[..., None] + NEW)
    np.testing.assert_allclose(rate.values, expected, rtol=1e-14)


def test_draws_depend_on_seed_and_position_alone(every, predicted):
    some = every.predict(["poisson", "normal"], data={"x": NEW}, ids=[1])
    for name in some.data_vars:
        np.testing.assert_array_equal(some[name][0], predicted[name][1])
    other = every.predict(["normal"], data={"x": NEW}, random_seed=5)
    assert not np.array_equal(other.normal, predicted.normal)
    assert not np.array_equal(predicted.normal[0], predicted.normal[1])


def test_summaries_are_those_of_the_draws(every, predicted):
    summary = every.predict(data={"x": NEW}, summary=True)
    assert summary.statistic.values.tolist() == ["mean", "sd", "median", "hdi94_lb", "hdi94_ub"]
    for name in CDFS:
        draws, rows = predicted[name], summary[name]
        dims = ("chain", "draw")
        np.testing.assert_allclose(rows.sel(statistic="mean"), draws.mean(dims))
        np.testing.assert_allclose(rows.sel(statistic="sd"), draws.std(dims, ddof=1))
        np.testing.assert_allclose(rows.sel(statistic="median"), draws.median(dims))
        inside = (draws >= rows.sel(statistic="hdi94_lb")) & (draws <= rows.sel(statistic="hdi94_ub"))
        assert (inside.mean(dims) >= 0.93).all()


def test_lengths_and_coords_follow_the_new_data(shops, trend, tmp_path):
    sets = {
        "small": DataSet({"shop_index": [0, 1, 1], "y": [1.0, 2.0, 2.5]}, {"shop": ["x", "y"]}),
        "as is": {},
    }
    run = {**RUN, "draws": 10, "tune": 10, "keep": "draws"}
    result = sample_batch(shops, sets, store=tmp_path / "s", **run)
    own = result.predict()
    assert own.sales.dims == ("dataset", "chain", "draw", "obs")
    assert own.sales.shape == (2, 2, 10, 6)
    assert np.isnan(own.sales.sel(dataset="small")[..., 3:]).all()
    new = result.predict(data=DataSet({"shop_index": [0, 1, 1, 0]}, {"obs": list("abcd")}))
    assert new.sales.shape == (2, 2, 10, 4)
    assert new.obs.values.tolist() == list("abcd")
    in_memory = sample_batch(shops, sets, **run)
    xr.testing.assert_equal(in_memory.predict(), own)
    by_id = result.predict(data={"as is": {"shop_index": [2]}})
    assert by_id.dataset.values.tolist() == ["as is"]
    assert by_id.sales.shape == (1, 2, 10, 1)
    weeks = sample_batch(trend, [{}], **run).predict(["sales", "next"], data={"t": [1.0]})
    assert weeks.sales.shape == (1, 2, 10, 1)
    assert weeks.next.shape == (1, 2, 10)


def test_a_level_alone_keeps_its_length():
    with pm.Model() as model:
        y = pm.Data("y", np.zeros(3))
        other = pm.Data("other", np.zeros(2))
        mu = pm.Normal("mu")
        pm.Normal("z", mu, 1, observed=y)
        pm.Normal("w", mu + other.sum(), 1, observed=np.zeros(5))
    result = sample_batch(model, [{"y": np.ones(4)}], keep="draws", **{**RUN, "draws": 10})
    assert result.predict(["z", "w"], {"other": [1.0]}).z.shape == (1, 2, 10, 4)
    assert result.predict("z", {"y": np.ones(7)}).z.shape == (1, 2, 10, 7)


def test_pymc_draws_what_numpy_cannot():
    with pm.Model() as model:
        x = pm.Data("x", np.zeros(3))
        y = pm.Data("y", np.zeros(3, dtype=int))
        a = pm.Normal("a", 0, 0.5)
        psi = pm.Beta("psi", 4, 2)
        pm.ZeroInflatedPoisson("count", psi, pm.math.exp(a + x), observed=y)
    result = sample_batch(model, [{"y": [0, 3, 1]}], keep="draws", **RUN)
    with (
        pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""),
        pytest.warns(UserWarning, match="PyMC predicts 'count', a draw at a time"),
    ):
        predicted = result.predict(data={"x": NEW[:3]})
    a, psi = (result.posterior[name].values[0, ..., None] for name in ("a", "psi"))
    y, rate = predicted["count"].values[0], np.exp(a + NEW[:3])
    mass = psi * stats.poisson.pmf(y, rate) + (1 - psi) * (y == 0)
    below = psi * stats.poisson.cdf(y - 1, rate) + (1 - psi) * (y > 0)
    uniform = below + mass * np.random.default_rng(1).uniform(size=y.shape)
    assert stats.kstest(uniform.ravel(), "uniform").statistic < 0.05
    np.testing.assert_array_equal(model["x"].get_value(), np.zeros(3))


def test_what_cannot_be_predicted(trend, shops, tmp_path):
    run = {**RUN, "draws": 10, "tune": 10}
    result = sample_batch(trend, [{}], keep=["next", "trend"], **run)
    with pytest.raises(ValueError, match=r"need draws of 'intercept', 'sigma'.*keep='draws'"):
        result.predict()
    with pytest.raises(ValueError, match="keep='draws'"):
        sample_batch(trend, [{}], **run).predict()
    kept = sample_batch(trend, [("a", {})], keep="draws", **run)
    cases = [
        (("price",), "`var_names` names 'price'"),
        (("sales", {"z": [1.0]}), "data set 'a': the model has no data named 'z'"),
        (("sales", {"t": [np.nan]}), "data set 'a': data 't' hold 1 NaN"),
    ]
    for arguments, text in cases:
        with pytest.raises(ValueError, match=text):
            kept.predict(*arguments)
    with pytest.raises(ValueError, match=r"'sales' have the shape \(2,\), but its values have \(3,\)"):
        kept.predict("sales", {"t": [1.0, 2.0], "y": np.zeros(3)})
    with pytest.raises(KeyError, match="no data set 'b'"):
        kept.predict(ids=["b"])
    with pytest.raises(TypeError, match="must be a mapping"):
        kept.predict("sales", [1.0])
    levels = sample_batch(shops, [("b", {})], keep="draws", **run)
    with pytest.raises(ValueError, match=r"data set 'b': index 3 is out of bounds"):
        levels.predict(data={"shop_index": [3]})
    compile_model(trend).save(tmp_path / "m")
    with pytest.raises(ValueError, match="need the PyMC model"):
        sample_batch(load_model(tmp_path / "m"), [{}], keep="draws", **run).predict()
