"""What PyMC's own tests ask of an external NUTS sampler, asked of ours."""

import gc
import logging
import warnings

import numpy as np
import pymc as pm
import pytest
from conftest import PYMC6
from pymc.exceptions import SamplingError

pytestmark = pytest.mark.filterwarnings("error")


def test_data_groups_attributes_and_seed(rust_sample, recwarn):
    kwargs = {"draws": 60, "tune": 70, "random_seed": 123, "initvals": {"x": 0.0}}
    with pm.Model():
        x = pm.Normal("x", 100, 5)
        y = pm.Data("y", [1.0, 2.0, 3.0, 4.0])
        pm.Data("z", [100.0, 190.0, 310.0, 405.0])
        pm.Normal("L", mu=x, sigma=0.1, observed=y)
        first = rust_sample(**kwargs)
        again = rust_sample(**kwargs)
        reference = _pymc_reference()

    assert not recwarn
    assert {"y", "z"} <= set(first.constant_data.data_vars)
    assert set(first.observed_data.data_vars) == {"L"}
    assert dict(first.posterior.sizes) == {"chain": 2, "draw": 60}
    np.testing.assert_array_equal(first.posterior["x"], again.posterior["x"])
    assert set(first.posterior.attrs) == set(reference.posterior.attrs)
    assert first.posterior.attrs["tuning_steps"] == 70
    assert first.posterior.attrs["inference_library"] == "pymc_rustmc"


def _pymc_reference():
    return pm.sample(
        draws=5,
        tune=5,
        chains=1,
        nuts_sampler="pymc",
        compile_kwargs={"mode": "FAST_COMPILE"},
        quiet=True,
        compute_convergence_checks=False,
    )


@pytest.mark.parametrize("depth", ["max_treedepth", "max_tree_depth", "maxdepth"])
def test_target_accept_and_tree_depth(rust_sample, depth):
    with pm.Model():
        pm.Normal("a", shape=5)
        idata = rust_sample(draws=300, tune=400, target_accept=0.5, nuts={depth: 4})
    assert float(idata.sample_stats["acceptance_rate"].mean()) == pytest.approx(0.5, abs=0.15)
    assert int(idata.sample_stats["tree_depth"].max()) <= 4


def test_var_names_select_and_leave_the_draws_alone(rust_sample):
    with pm.Model():
        mu = pm.Normal("mu")
        sigma = pm.HalfNormal("sigma")
        pm.Deterministic("twice", 2 * mu)
        pm.Normal("y", mu, sigma, observed=np.zeros(3))
        whole = rust_sample()
        part = rust_sample(var_names=["twice", "sigma"])
    assert list(part.posterior.data_vars) == ["sigma", "twice"]
    for name in part.posterior.data_vars:
        np.testing.assert_array_equal(part.posterior[name], whole.posterior[name])


class TestInitvals:
    """A density that is finite only far from the default start."""

    @staticmethod
    def _model():
        with pm.Model() as model:
            x = [pm.Exponential(f"x{i}", scale=1) for i in (1, 2)]
            for i, value in enumerate(x, start=1):
                pm.Potential(f"far{i}", pm.math.switch(value < 500, -np.inf, 0.0))
        return model

    def test_without_initvals_the_error_has_the_table(self, rust_sample):
        with self._model(), pytest.raises(SamplingError, match=r"(?s)Initial evaluation.*far1"):
            rust_sample()

    @pytest.mark.parametrize(
        "initvals",
        [
            {"x1": 1e4, "x2": 1e4},
            {"x1_log__": np.log(1e4), "x2": 1e4},
            [{"x1": 1e4, "x2": 1e4}, {"x1": 2e4, "x2": 2e4}],
        ],
        ids=["constrained", "unconstrained", "one a chain"],
    )
    def test_start_is_where_the_user_says(self, rust_sample, initvals):
        with self._model():
            idata = rust_sample(
                draws=2, tune=2, initvals=initvals, discard_tuned_samples=False, nuts={"jitter": False}
            )
        assert float(idata.posterior["x1"].min()) > 500

    def test_partial_initvals_are_not_enough(self, rust_sample):
        with self._model(), pytest.raises(SamplingError):
            rust_sample(initvals={"x1": 1e4})

    def test_variables_as_keys(self, rust_sample):
        model = self._model()
        with model:
            rust_sample(draws=2, tune=2, initvals={model["x1"]: 1e4, model["x2"]: 1e4})


class TestRefusedArguments:
    @pytest.mark.parametrize("argument", [{"trace": object()}, {"callback": lambda **_: None}])
    def test_trace_and_callback(self, normal_model, rust_sample, argument):
        (name,) = argument
        with normal_model, pytest.raises(ValueError, match=f"`?{name}`?.*nuts_sampler='rustmc'"):
            rust_sample(**argument)

    def test_multitrace(self, normal_model, rust_sample):
        warnings.simplefilter("ignore", FutureWarning)  # of PyMC 6 about this argument
        with normal_model, pytest.raises(ValueError, match=r"return_inferencedata=False.*rustmc"):
            rust_sample(return_inferencedata=False)

    def test_step_that_is_not_nuts(self, normal_model, rust_sample):
        with normal_model:
            step = pm.Metropolis()
            with pytest.raises(ValueError, match=r"nuts_sampler='rustmc'|NUTS alone"):
                rust_sample(step=step)

    def test_nuts_step_is_ignored_with_a_warning(self, normal_model, rust_sample):
        with normal_model:
            step = pm.NUTS(compile_kwargs={"mode": "FAST_COMPILE"})
            with pytest.warns(UserWarning, match="step` is ignored by `nuts_sampler='rustmc'"):
                rust_sample(step=step)

    def test_init_is_ignored_with_a_warning(self, normal_model, rust_sample):
        with normal_model, pytest.warns(UserWarning, match="init='adapt_diag'` is ignored") as record:
            rust_sample(init="adapt_diag")
        assert record[0].filename == __file__

    def test_compile_kwargs_are_ignored_with_a_warning(self, normal_model, rust_sample):
        with normal_model, pytest.warns(UserWarning, match="nothing is compiled"):
            rust_sample(compile_kwargs={"mode": "FAST_COMPILE"})


def test_seeds(normal_model, rust_sample):
    def draws(seed):
        with normal_model:
            return rust_sample(random_seed=seed).posterior["mu"].values

    seeded, again, other, free, freer = draws(456), draws(456), draws(457), draws(None), draws(None)
    np.testing.assert_array_equal(seeded, again)
    assert not np.array_equal(seeded, other)
    assert not np.array_equal(free, freer)
    assert not np.array_equal(seeded[0], seeded[1])


def test_generator_as_seed_and_global_state_untouched(normal_model, rust_sample):
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    with normal_model:
        first = rust_sample(random_seed=np.random.default_rng(5))
        second = rust_sample(random_seed=np.random.default_rng(5))
    np.testing.assert_array_equal(first.posterior["mu"], second.posterior["mu"])
    assert np.random.random() == expected


def test_partially_observed(rust_sample):
    data = np.ma.masked_invalid([0.25, 0.5, np.nan])
    with pm.Model():
        mu = pm.Normal("mu")
        with pytest.warns(Warning, match="(?i)impute"):
            pm.Normal("y", mu, observed=data)
        idata = rust_sample()
    assert idata.posterior["y_unobserved"].shape == (2, 20, 1)
    np.testing.assert_array_equal(idata.posterior["y"][..., :2], np.broadcast_to([0.25, 0.5], (2, 20, 2)))
    np.testing.assert_array_equal(idata.posterior["y"][..., 2], idata.posterior["y_unobserved"][..., 0])
    np.testing.assert_array_equal(idata.observed_data["y_observed"], [0.25, 0.5])


def test_deterministics_are_functions_of_the_draws(rust_sample):
    with pm.Model():
        x = pm.Normal("x", shape=3)
        s = pm.HalfNormal("s")
        pm.Deterministic("norm", (x**2).sum())
        pm.Deterministic("ratio", x / s)
        idata = rust_sample()
    x, s = idata.posterior["x"].values, idata.posterior["s"].values
    np.testing.assert_allclose(idata.posterior["norm"], (x**2).sum(axis=-1), rtol=1e-13)
    np.testing.assert_allclose(idata.posterior["ratio"], x / s[..., None], rtol=1e-13)


def test_new_data_move_the_posterior(rust_sample):
    with pm.Model():
        y = pm.Data("y", np.full(50, 10.0))
        mu = pm.Normal("mu", 0, 100)
        pm.Normal("L", mu, 1, observed=y)
        near = rust_sample(draws=100, tune=200)
        pm.set_data({"y": np.full(60, 20.0)})
        far = rust_sample(draws=100, tune=200)
    assert float(near.posterior["mu"].mean()) == pytest.approx(10, abs=0.5)
    assert float(far.posterior["mu"].mean()) == pytest.approx(20, abs=0.5)


def test_transform_that_depends_on_a_variable(rust_sample):
    with pm.Model():
        upper = pm.Exponential("upper", 1)
        pm.Uniform("x", 0, upper)
        idata = rust_sample(draws=50)
    assert bool((idata.posterior["x"] <= idata.posterior["upper"]).all())


def test_start_without_jitter(rust_sample):
    with pm.Model():
        pm.Normal("x", 3, 1e-3, initval=2.5)
        kept = {"draws": 2, "tune": 2, "discard_tuned_samples": False}
        jittered = rust_sample(**kept)
        plain = rust_sample(**kept, nuts={"jitter": False})
    starts = [idata.warmup_posterior["x"][:, 0] for idata in (jittered, plain)]
    assert not np.array_equal(*starts)


def test_only_warmup_can_be_kept(rust_sample, groups):
    with pm.Model():
        pm.Normal("x")
        initvals = [{"x": 5.0}, {"x": -5.0}]
        idata = rust_sample(draws=0, tune=5, initvals=initvals, discard_tuned_samples=False)
    assert {"warmup_posterior", "warmup_sample_stats"} <= groups(idata)
    assert "posterior" not in groups(idata)
    assert idata.warmup_posterior["x"].shape == (2, 5)


def test_divergences_are_reported_once(rust_sample, caplog):
    with caplog.at_level(logging.WARNING, logger="pymc"), pm.Model():
        x = pm.Normal("x")
        pm.Potential("wall", pm.math.switch(x > 0.5, -np.inf, 0.0))
        rust_sample(draws=120, quiet=False, progressbar=False, compute_convergence_checks=True)
    messages = [record.getMessage() for record in caplog.records if "divergence" in record.getMessage()]
    assert len(messages) == 1
    assert messages[0].startswith("There w")


def test_float32(rust_sample):
    with pm.Model():
        x = pm.Normal("x", dtype="float32")
        pm.Normal("y", x, 1, observed=np.zeros(3, dtype="float32"))
        idata = rust_sample()
    assert idata.posterior["x"].dtype == np.float32


@pytest.mark.skipif(not PYMC6, reason="nuts_sampler_kwargs is the way of PyMC 5")
def test_old_spelling_of_options_on_pymc6(normal_model, rust_sample):
    with normal_model, pytest.warns(FutureWarning, match="nuts_sampler_kwargs"):
        rust_sample(nuts_sampler_kwargs={"max_treedepth": 5})


@pytest.mark.skipif(PYMC6, reason="PyMC 5 drops these arguments on the way to the sampler")
def test_pymc5_passes_everything(normal_model, rust_sample, groups):
    with normal_model:
        idata = rust_sample(
            target_accept=0.7,
            nuts_sampler_kwargs={"max_treedepth": 3},
            discard_tuned_samples=False,
            cores=1,
        )
        with pytest.raises(ValueError, match=r"Given twice.*max_treedepth"):
            rust_sample(nuts={"max_treedepth": 3}, nuts_sampler_kwargs={"max_treedepth": 4})
    assert "warmup_posterior" in groups(idata)
    settings = idata.sample_stats.attrs["inference_library_settings"]
    assert '"target_accept":0.7' in settings.replace(" ", "")
    assert '"max_treedepth":3' in settings.replace(" ", "")


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_left_as_found(normal_model, rust_sample, enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        with normal_model:
            rust_sample()
            assert gc.isenabled() == enabled
            with pytest.raises(ValueError, match="initvals"):
                rust_sample(initvals={"nobody": 1.0})
            assert gc.isenabled() == enabled
    finally:
        gc.enable()
