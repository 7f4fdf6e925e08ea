"""What PyMC and ArviZ compute from a result afterwards works on ours."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
from conftest import PYMC6

DATA = np.array([0.1, -0.2, 0.4, 0.3, 0.9, 1.0])
X = np.linspace(-1, 1, 6)


def _fast():
    """Arguments of PyMC's functions, which add to them; compiling in the default mode takes seconds."""
    return {"compile_kwargs": {"mode": "FAST_COMPILE"}}


def _silent():
    return {"progressbar": False, **_fast()}


@pytest.fixture
def model():
    with pm.Model(coords={"obs": range(6)}) as model:
        x = pm.Data("x", X, dims="obs")
        slope, sigma = pm.Normal("slope"), pm.HalfNormal("sigma")
        mu = pm.Deterministic("mu", slope * x, dims="obs")
        pm.Normal("y", mu, sigma, observed=DATA, dims="obs")
    return model


@pytest.fixture
def idata(model, rust_sample):
    with model:
        return rust_sample(draws=60, tune=100, random_seed=4)


def _normal_logp(value, mu, sigma):
    return -0.5 * ((value - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)


def _pointwise(posterior):
    return _normal_logp(DATA, posterior["mu"].values, posterior["sigma"].values[..., None])


def test_pointwise_log_likelihood_and_log_prior(model, idata):
    with model:
        pm.compute_log_likelihood(idata, **_silent())
        pm.compute_log_prior(idata, **_silent())
    likelihood = idata.log_likelihood["y"]
    assert likelihood.dims == ("chain", "draw", "obs")
    np.testing.assert_allclose(likelihood, _pointwise(idata.posterior), rtol=1e-10)
    slope = idata.posterior["slope"].values
    np.testing.assert_allclose(idata.log_prior["slope"], _normal_logp(slope, 0, 1), rtol=1e-10)


@pytest.mark.filterwarnings("ignore")  # ArviZ warns that the run is short
def test_leave_one_out_and_comparison(model, idata):
    with model:
        pm.compute_log_likelihood(idata, **_silent())
    criteria = [az.loo, *([] if PYMC6 else [az.waic])]
    # A plug-in estimate, which both criteria lie below, and not far.
    draws = _pointwise(idata.posterior).reshape(-1, DATA.size)
    plug_in = float(np.log(np.exp(draws).mean(axis=0)).sum())
    for criterion in criteria:
        result = criterion(idata)
        elpd = float(result.elpd if PYMC6 else result.iloc[0])
        assert plug_in - 5 < elpd < plug_in
    table = az.compare({"one": idata, "other": idata})
    assert list(table["rank"]) == [0, 1]


def test_posterior_predictive_in_and_out_of_sample(model, idata):
    with model:
        pm.sample_posterior_predictive(idata, extend_inferencedata=True, random_seed=1, **_silent())
    predicted = idata.posterior_predictive["y"]
    assert predicted.dims == ("chain", "draw", "obs")
    posterior = idata.posterior
    residuals = (predicted.values - posterior["mu"].values) / posterior["sigma"].values[..., None]
    assert abs(residuals.mean()) < 0.15  # 720 of them: standard error 0.04
    assert abs(residuals.std() - 1) < 0.1

    with model:
        pm.set_data({"x": np.array([10.0, 20.0])}, coords={"obs": [6, 7]})
        later = pm.sample_posterior_predictive(
            idata, var_names=["mu"], predictions=True, random_seed=1, **_silent()
        )
    expected = posterior["slope"].values[..., None] * [10.0, 20.0]
    np.testing.assert_allclose(later.predictions["mu"], expected, rtol=1e-12)


def test_prior_predictive_joins_the_result(model, idata, groups):
    with model:
        prior = pm.sample_prior_predictive(30, random_seed=1, **_fast())
    (idata.update if PYMC6 else idata.extend)(prior)
    assert {"posterior", "sample_stats", "prior", "prior_predictive"} <= groups(idata)
    assert idata.prior["mu"].shape == (1, 30, 6)
    assert idata.posterior["mu"].shape == (2, 60, 6)


def test_summaries(idata):
    summary = az.summary(idata, var_names=["slope", "sigma"])
    assert list(summary.index) == ["slope", "sigma"]
    assert float(summary["mean"]["slope"]) == pytest.approx(float(idata.posterior["slope"].mean()), abs=0.01)
    assert az.extract(idata)["mu"].sizes == {"obs": 6, "sample": 120}
    for statistic in (az.ess, az.rhat, az.mcse):
        values = statistic(idata)
        assert np.isfinite(np.asarray(values["mu"])).all()


def test_predictive_samples_of_an_imputed_and_transformed_model(rust_sample):
    with pm.Model() as model:
        share = pm.Dirichlet("share", np.ones(3))
        level = pm.Normal("level", [-1, 0, 1], 1, transform=pm.distributions.transforms.ordered)
        with pytest.warns(Warning, match="(?i)impute"):
            pm.NormalMixture("y", share, level, 1.0, observed=np.array([0.1, np.nan, 0.5]))
        idata = rust_sample(nuts={"jitter": False}, initvals={"level": [-1.0, 0.0, 1.0]})
    predicted = pm.sample_posterior_predictive(idata, model=model, random_seed=1, **_silent())
    assert np.isfinite(predicted.posterior_predictive["y_observed"]).all()
    pm.compute_log_likelihood(idata, model=model, **_silent())
    assert idata.log_likelihood["y_observed"].shape == (2, 20, 2)
