"""The mode is that of `pm.find_MAP`."""

import warnings

import numpy as np
import pymc as pm
import pytest

import pymc_rustmc
from pymc_rustmc import compile_model, find_map, load_model

RNG = np.random.default_rng(3)
PYMC6 = int(pm.__version__.split(".")[0]) >= 6


def scales():
    with pm.Model() as model:
        mu = pm.Normal("mu", 1, 2)
        sigma = pm.HalfNormal("sigma", 2)
        pm.Deterministic("ratio", mu / sigma)
        pm.Normal("y", mu, sigma, observed=RNG.normal(3, 0.5, size=30))
    return model


def shares():
    with pm.Model() as model:
        p = pm.Beta("p", 2, 3)
        share = pm.Dirichlet("share", [2.0, 3.0, 4.0])
        pm.Binomial("heads", 20, p, observed=13)
        pm.Multinomial("counts", 60, share, observed=[10, 20, 30])
    return model


def correlations():
    with pm.Model() as model:
        chol, *_ = pm.LKJCholeskyCov("chol", n=3, eta=3.0, sd_dist=pm.Gamma.dist(3, 2))
        pm.MvNormal("y", np.zeros(3), chol=chol, observed=RNG.normal(size=(40, 3)) @ np.triu(np.ones((3, 3))))
    return model


def ordered_and_bounded():
    with pm.Model(coords={"unit": list("abc")}) as model:
        cut = pm.Normal("cut", [-1, 0, 1], 3, transform=pm.distributions.transforms.ordered)
        level = pm.Uniform("level", -3, 5, dims="unit")
        nu = pm.Gamma("nu", 4, 0.5)
        x = pm.Data("x", RNG.normal(size=(20, 3)))
        pm.StudentT("y", nu, mu=level * x + cut, sigma=1, observed=RNG.normal([-1, 1, 4], size=(20, 3)))
    return model


def pymc_map(model):
    """PyMC's mode, as exact as SciPy can make it."""
    tolerances = {"options": {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pm.find_MAP(model=model, progressbar=False, **tolerances)


@pytest.mark.parametrize("make", [scales, shares, correlations, ordered_and_bounded])
def test_the_mode_is_that_of_pymc(make):
    model = make()
    reference = pymc_map(model)
    found = find_map(model, progressbar=False)
    assert set(found) == set(reference)
    for name, value in reference.items():
        assert found[name].dtype == np.asarray(value).dtype
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_density_is_that_of_the_constrained_values():
    # Of Gamma(3, 2), whose mode is (3 - 1) / 2; that of its logarithm is 3 / 2.
    with pm.Model() as model:
        pm.Gamma("x", 3, 2)
    np.testing.assert_allclose(find_map(model, progressbar=False)["x"], 1.0, rtol=1e-8)
    np.testing.assert_allclose(find_map(model, jacobian=True, progressbar=False)["x"], 1.5, rtol=1e-8)


def test_a_linear_model_has_its_exact_mode(linear_model, linear_posterior):
    found = find_map(linear_model, progressbar=False)
    np.testing.assert_allclose(found["beta"], linear_posterior[0], rtol=1e-8)


def test_the_model_of_the_context_and_its_start():
    with pm.Model():
        # Two modes, at -2 and 2.
        x = pm.Normal("x", 0, 10)
        pm.Potential("wells", -10 * (x**2 - 4) ** 2)
        low = find_map(initvals={"x": -1.0}, progressbar=False)
        high = find_map(initvals={"x": 1.0}, progressbar=False)
        one, same, other = (
            find_map(jitter=True, random_seed=seed, progressbar=False)["x"] for seed in (1, 1, 3)
        )
    np.testing.assert_allclose([low["x"], high["x"]], [-2, 2], atol=1e-2)
    assert one == same
    assert {int(np.round(one)), int(np.round(other))} == {-2, 2}


def test_transformed_values_can_be_left_out():
    assert set(find_map(scales(), include_transformed=False, progressbar=False)) == {"mu", "sigma", "ratio"}


def test_a_compiled_model_has_the_mode_of_its_data():
    model = ordered_and_bounded()
    compiled = compile_model(model)
    data = {"x": RNG.normal(size=(20, 3))}
    bound = compiled.bind(data).find_map(progressbar=False)
    before = compiled.find_map(progressbar=False)
    np.testing.assert_array_equal(before["level"], find_map(model, progressbar=False)["level"])
    with model:
        pm.set_data(data)
    for name, value in find_map(model, progressbar=False).items():
        np.testing.assert_array_equal(bound[name], value)
    assert not np.allclose(bound["level"], before["level"])
    restricted = compile_model(model, var_names=["level"]).find_map(progressbar=False)
    assert set(restricted) == {"cut_ordered__", "level_interval__", "nu_log__", "level"}


def test_a_model_from_a_file(tmp_path):
    compile_model(scales()).save(tmp_path / "model.rustmc")
    loaded = load_model(tmp_path / "model.rustmc")
    with pytest.raises(ValueError, match="jacobian=True"):
        loaded.find_map(progressbar=False)
    assert loaded.find_map(jacobian=True, progressbar=False)["sigma"] > 0


def test_a_density_without_mode_is_said_to_have_none():
    with pm.Model() as model:
        tau = pm.HalfFlat("tau")
        pm.Normal("theta", 0, tau, shape=5)
    with pytest.warns(UserWarning, match=r"No mode was found.*'(tau_log__|theta\[\d\])'"):
        find_map(model, progressbar=False)


def test_too_few_steps_are_reported():
    with pytest.warns(UserWarning, match="after 1 steps"):
        find_map(scales(), maxiter=1, progressbar=False)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"maxiter": 0}, ValueError, "`maxiter` must be at least 1"),
        ({"maxiter": 2.5}, TypeError, "`maxiter` must be an integer"),
        ({"jitter": "yes"}, TypeError, "`jitter` must be True or False"),
        ({"initvals": {"nu": 1.0}}, ValueError, "'nu'"),
        ({"model": 3}, TypeError, "must be a PyMC model"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, text):
    with pytest.raises(error, match=text):
        find_map(**{"model": scales(), "progressbar": False, **arguments})


def test_a_model_that_fails_names_itself():
    with pm.Model() as model:
        pm.Normal("x")
        pm.Poisson("n", 2)
    with pytest.raises(pymc_rustmc.errors.UnsupportedModelError, match="'n'"):
        find_map(model, progressbar=False)


def test_a_progress_bar_is_shown(capsys):
    find_map(scales(), progressbar=True)
    assert "Mode" in capsys.readouterr().out
