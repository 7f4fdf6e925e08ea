"""Laplace's approximation is exact where the posterior is normal, and says where it is none."""

import numpy as np
import pymc as pm
import pytest

from pymc_rustmc import compile_model, find_map, fit_laplace
from pymc_rustmc.errors import NoModeError


def test_it_is_exact_on_a_normal_posterior(linear_model, linear_posterior):
    mean, covariance = linear_posterior
    idata = fit_laplace(linear_model, draws=5000, chains=2, random_seed=1, progressbar=False)
    np.testing.assert_allclose(idata["fit"]["mean_vector"], mean, rtol=1e-6)
    np.testing.assert_allclose(idata["fit"]["covariance_matrix"], covariance, rtol=1e-6, atol=1e-10)
    draws = idata["posterior"]["beta"]
    assert draws.dims == ("chain", "draw", "term")
    draws = draws.values.reshape(-1, 3)
    error = np.sqrt(np.diag(covariance) / len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * error)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(np.cov(draws.T) / scale, covariance / scale, atol=0.1)


def test_what_a_result_says(linear_model, groups):
    idata = fit_laplace(linear_model, draws=50, random_seed=1, progressbar=False)
    assert {"posterior", "sample_stats", "observed_data", "fit"} <= groups(idata)
    assert idata["posterior"].sizes["chain"] == 2
    assert idata["posterior"].sizes["draw"] == 50
    names = ["beta[one]", "beta[x]", "beta[square]"]
    assert list(idata["fit"]["rows"].values) == list(idata["fit"]["columns"].values) == names
    for group in ("posterior", "fit"):
        attrs = idata[group].attrs
        assert attrs["method"] == "laplace"
        assert attrs["pareto_k"] < 0.7
        assert attrs["converged"] == 1
        assert attrs["evaluations"] > attrs["iterations"] > 0
    beta = idata["posterior"]["beta"].values[1, 7]
    logp = linear_model.compile_logp()({"beta": beta})
    np.testing.assert_allclose(idata["sample_stats"]["lp"].values[1, 7], logp)


def test_it_rests_on_the_density_of_the_unconstrained_values():
    with pm.Model() as model:
        pm.Gamma("x", 30, 2)
    idata = fit_laplace(model, random_seed=1, idata_kwargs={"include_transformed": True}, progressbar=False)
    mode = find_map(model, jacobian=True, progressbar=False)
    np.testing.assert_allclose(idata["fit"]["mean_vector"], mode["x_log__"][None])
    # The density of log x is exp(30 z - 2 exp(z)), whose curvature at log 15 is 30.
    np.testing.assert_allclose(idata["fit"]["covariance_matrix"], [[1 / 30]], rtol=1e-8)
    draws = idata["posterior"]
    np.testing.assert_allclose(draws["x"], np.exp(draws["x_log__"]))


def test_draws_depend_on_the_seed_alone(linear_model):
    compiled = compile_model(linear_model)
    one, same, other = (
        compiled.fit_laplace(draws=20, random_seed=seed, cores=cores, progressbar=False)
        for seed, cores in ((1, 1), (1, 3), (2, 3))
    )
    np.testing.assert_array_equal(one["posterior"]["beta"], same["posterior"]["beta"])
    np.testing.assert_array_equal(one["fit"]["covariance_matrix"], same["fit"]["covariance_matrix"])
    assert not np.any(one["posterior"]["beta"].values == other["posterior"]["beta"].values)


def test_what_the_data_do_not_tell_apart_is_named():
    with pm.Model(coords={"group": ["a", "b"]}) as model:
        base = pm.Flat("base")
        offset = pm.Flat("offset", dims="group")
        known = pm.Normal("known")
        pm.Normal("y", base + offset + known, 1, observed=np.ones((5, 2)))
    with pytest.raises(NoModeError, match=r"'base', 'offset\[a\]', 'offset\[b\]'") as error:
        fit_laplace(model, progressbar=False)
    assert "'known'" not in str(error.value)


def test_a_poor_approximation_is_said_to_be_one():
    with pm.Model() as model:
        pm.StudentT("x", 1.0, shape=20)
    with pytest.warns(UserWarning, match=r"Pareto k .* above 0\.7"):
        idata = fit_laplace(model, random_seed=1, progressbar=False)
    assert idata["posterior"].attrs["pareto_k"] > 0.7


def test_wrong_arguments_are_named(linear_model):
    for arguments, text in (
        ({"draws": 0}, "`draws` must be at least 1"),
        ({"cores": 0}, "`cores` must be at least 1"),
        ({"var_names": ["gamma"]}, "'gamma'"),
    ):
        with pytest.raises(ValueError, match=text):
            fit_laplace(linear_model, progressbar=False, **arguments)
