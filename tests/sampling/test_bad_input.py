"""Bad input is answered by an error that names it."""

import numpy as np
import pymc as pm
import pytest
from conftest import PYMC6
from pymc.exceptions import SamplingError

from pymc_rustmc import RustMC


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"chains": 0}, ValueError, "`chains` must be at least 1, got 0"),
        ({"cores": 0}, ValueError, "`cores` must be at least 1, got 0"),
        ({"draws": 0}, ValueError, "`draws=0` leaves nothing to return"),
        ({"draws": 0, "tune": 0, "discard_tuned_samples": False}, ValueError, "Not enough samples"),
        ({"draws": -1}, ValueError, "`draws` must be at least 0, got -1"),
        ({"tune": -5}, ValueError, "`tune` must be at least 0, got -5"),
        ({"draws": 10.5}, TypeError, r"`draws` must be an integer, got 10\.5"),
        ({"draws": True}, TypeError, "`draws` must be an integer, got True"),
        ({"var_names": "mu"}, TypeError, r"list of names, such as \['mu'\]"),
        ({"var_names": ["mu", "nu"]}, ValueError, "`var_names` holds 'nu'.*'mu', 'sigma'"),
        ({"idata_kwargs": {"loglik": True}}, TypeError, "Unknown keys in `idata_kwargs`: loglik.*log_lik"),
        ({"random_seed": -1}, ValueError, "(?i)seed"),
        ({"progressbar": "wide", "quiet": False}, ValueError, "Invalid value for `progressbar`"),
        ({"nuts": {"target_acept": 0.9}}, TypeError, "'target_acept' .did you mean 'target_accept'"),
        ({"nuts": {"target_accept": 1.5}}, ValueError, "target_accept must lie between 0 and 1"),
        ({"nuts": {"kind": "gibbs"}}, ValueError, "gibbs"),
        ({"nuts": {"n_steps": 5}}, ValueError, "n_steps"),
        ({"nuts": {"maxdepth": 5, "max_treedepth": 6}}, TypeError, "more than once"),
        ({"nuts": {"metric": object()}}, TypeError, "`metric` must be a string"),
        ({"nuts": {"max_treedepth": "deep"}}, TypeError, "`max_treedepth` must be an integer, got 'deep'"),
        ({"nuts": {"target_accept": np.nan}}, TypeError, "`target_accept` must be a finite number"),
        ({"nuts": {"jitter": "no"}}, TypeError, "`jitter` must be True or False"),
        ({"nuts": {"schedule": {"windows": 9}}}, TypeError, "'windows' .did you mean 'window'"),
        ({"nuts": {"schedule": {"window": 9.5}}}, TypeError, "`window` must be an integer"),
        ({"jitter_max_retries": -1}, ValueError, "`jitter_max_retries` must be at least 0"),
        ({"max_treedepth": 12}, TypeError, r"'max_treedepth'.*`nuts=\{\.\.\.\}`"),
        ({"metropolis": {"scaling": 2}, "frog": 1}, TypeError, "'frog', 'metropolis'"),
        ({"model": "regression"}, TypeError, "`model` must be a PyMC model, got str"),
    ],
)
def test_argument(normal_model, rust_sample, arguments, error, text):
    with normal_model, pytest.raises(error, match=text):
        rust_sample(**arguments)


def test_no_warmup_at_all_works(normal_model, rust_sample):
    with normal_model:
        idata = rust_sample(tune=0)
    assert idata.posterior.attrs["tuning_steps"] == 0
    assert np.isfinite(idata.posterior["mu"]).all()


def test_model_without_free_variables(rust_sample):
    with pm.Model() as model:
        pm.Deterministic("two", pm.math.exp(2.0))
        pm.Normal("y", 0, 1, observed=[1.0])
        with pytest.raises(SamplingError, match="free variables"):
            rust_sample()
    with pytest.raises(SamplingError, match="free variables"):
        RustMC().sample_from_init(model=model)


def test_discrete_free_variable(rust_sample):
    with pm.Model():
        pm.Poisson("count", 3)
        pm.Normal("x")
        with pytest.raises(NotImplementedError, match=r"discrete here: 'count'.*nuts_sampler='pymc'"):
            rust_sample()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_are_not_finite(rust_sample, bad):
    with pm.Model():
        y = pm.Data("y", [0.0, 0.0])
        y.set_value(np.array([0.0, bad]))
        pm.Normal("L", pm.Normal("mu"), 1, observed=y)
        with pytest.raises(ValueError, match="'y'"):
            rust_sample()


@pytest.mark.parametrize(
    ("predictor", "text"),
    [
        (lambda: np.array([np.nan, 1.0]), "NaN or infinite values in: an array used by 'L'"),
        (lambda: pm.Data("x", [np.inf, 1.0]), "NaN or infinite values in: data 'x'"),
    ],
    ids=["NaN", "infinite"],
)
def test_predictors_that_are_not_finite(rust_sample, predictor, text):
    with pm.Model():
        pm.Normal("L", pm.Normal("mu") * predictor(), 1, observed=[0.0, 0.0])
        with pytest.raises(SamplingError, match=text):
            rust_sample()


def test_new_data_of_another_length(rust_sample):
    with pm.Model(coords={"row": range(3)}) as model:
        x = pm.Data("x", np.zeros(3))
        pm.Normal("y", x * pm.Normal("b"), 1, observed=pm.Data("seen", np.zeros(3)))
        model["x"].set_value(np.zeros(4))
        with pytest.raises(ValueError, match=r"(?i)shape|length"):
            rust_sample()


def test_minibatch(rust_sample):
    with pm.Model():
        batch = pm.Minibatch(np.zeros(100), batch_size=10)
        pm.Normal("y", pm.Normal("mu"), 1, observed=batch, total_size=100)
        with pytest.raises(NotImplementedError, match=r"(?i)minibatch"):
            rust_sample()


def test_scale_that_turns_negative_diverges(rust_sample):
    with pm.Model():
        sigma = pm.Normal("sigma", 1, 1)
        pm.Normal("x", 0, sigma)
        idata = rust_sample(draws=200, tune=200)
    assert (idata.posterior["sigma"] > 0).all()
    assert int(idata.sample_stats["diverging"].sum()) > 0


@pytest.mark.parametrize("options", [{"target_acept": 0.9}, {"max_depth": 5, "frog": 1}])
def test_configuration_object_names_unknown_options(options):
    with pytest.raises(TypeError, match="Accepted options: kind, target_accept, max_treedepth") as error:
        RustMC(**options)
    for name in options:
        assert repr(name) in str(error.value)


def test_configuration_object_checks_its_model():
    with pytest.raises(TypeError, match="`model` must be a PyMC model, got int"):
        RustMC().sample_from_init(model=3)


@pytest.mark.skipif(not PYMC6, reason="PyMC 5 has no `backend`")
def test_backend_is_ignored_with_a_warning(normal_model, rust_sample):
    with normal_model, pytest.warns(UserWarning, match="nothing is compiled"):
        rust_sample(backend="numba")
