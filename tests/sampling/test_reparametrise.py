"""Partial non-centring: the density is the model's own, the posteriors are right, the forms fit the data."""

import json
import logging
from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor
import pytest
from conftest import PYMC6
from scipy import stats

from benchmarks.hierarchies import FORMS, build, cost
from pymc_rustmc import compile_model, load_model
from pymc_rustmc.centredness import fit_forms
from pymc_rustmc.compile import translate_model
from pymc_rustmc.groups import LOG_JACOBIAN, find_groups
from pymc_rustmc.pilot import choose_forms, in_forms

if PYMC6:
    from arviz_stats import ess
else:
    from arviz import ess


NAMES = {
    "eight schools": ["mu", "tau", "theta"],
    "2 data a group": ["mu", "tau", "alpha", "sigma"],
    "100 data a group": ["mu", "tau", "alpha", "sigma"],
    "intercepts and slopes": ["mu_a", "tau_a", "alpha", "mu_b", "tau_b", "beta", "sigma"],
    "nested groups": ["mu", "s1", "s2", "regions", "countries", "sigma"],
}
"""Models whose posteriors are compared, and their variables whatever the form."""


def funnel(centred=True):
    return build("funnel", centred)


def schools(centred=True):
    return build("eight schools", centred)


def nested(centred=True):
    return build("nested groups", centred)


def sample(model, reparametrise="auto", **kwargs):
    return compile_model(model).sample(
        **{"draws": 2000, "tune": 400, "chains": 4, "cores": 2, "random_seed": 3, **kwargs},
        reparametrise=reparametrise,
        quiet=True,
        compute_convergence_checks=False,
    )


def elements(idata, names):
    """Draws of each element, ``(chains, draws)``, by name and index."""
    for name in names:
        values = idata.posterior[name].values
        flat = values.reshape(*values.shape[:2], -1)
        for index in range(flat.shape[2]):
            yield f"{name}[{index}]", flat[..., index]


def mean_with_error(draws):
    return draws.mean(), draws.std() / np.sqrt(float(ess(draws, method="mean")))


def centredness(idata):
    return {
        name: np.array(values) for name, values in json.loads(idata.sample_stats.attrs["centredness"]).items()
    }


def test_funnel_has_its_exact_margin():
    idata = sample(funnel(), True, draws=10_000)
    assert not idata.sample_stats.diverging.any()
    v, exact = idata.posterior["v"].values, stats.norm(0, 3)
    functions = {"mean": (v, 0), "square": (v**2, 9)}
    functions |= {f"below {q}": (v < exact.ppf(q), q) for q in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)}
    for name, (values, expected) in functions.items():
        mean, error = mean_with_error(values.astype(float))
        assert abs(mean - expected) < 4 * error, name
    assert (centredness(idata)["x"] < 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_posterior_is_that_of_the_form_written_by_hand(name):
    """Means of values and of squares agree, and none diverges."""
    names = NAMES[name]
    ours = sample(build(name, True), True)
    by_hand = sample(build(name, False), False, target_accept=0.95)
    assert not ours.sample_stats.diverging.any()
    for (element, x), (_, y) in zip(elements(ours, names), elements(by_hand, names), strict=True):
        center = y.mean()
        for power in (1, 2):
            (a, error_a), (b, error_b) = (mean_with_error((z - center) ** power) for z in (x, y))
            assert abs(a - b) < 4 * np.hypot(error_a, error_b), (element, power)


@pytest.mark.parametrize("name", NAMES)
def test_takes_no_more_gradients_than_the_better_form_by_hand(name):
    centred, non_centred, ours = (cost(name, form, seeds=1, draws=2000) for form in list(FORMS)[:3])
    assert ours.divergences == 0
    assert ours.bulk < 1.3 * min(centred.bulk, non_centred.bulk)


def test_forms_follow_the_data():
    idata = sample(build("1 or 150 data a group", True), True, draws=50)
    few, much = np.split(centredness(idata)["alpha"], 2)
    assert (few < 0.7).all()
    assert (much > 0.95).all()


def test_fit_finds_a_measurement():
    """x with the measurements 3 of precision 4, and none; mu and s vary."""
    rng = np.random.default_rng(0)
    mu, s = rng.normal(size=(200, 1)), np.exp(rng.normal(size=(200, 1)))
    p, y = np.array([4.0, 0.0]), np.array([3.0, 0.0])
    x = (mu / s**2 + p * y) / (p + s**-2) + rng.normal(size=(200, 2)) / np.sqrt(p + s**-2)
    found = fit_forms(x, mu, s, p * (y - x) - (x - mu) / s**2)
    np.testing.assert_allclose(found, [p, p * y], atol=1e-9)


def test_fit_says_where_draws_say_nothing():
    stuck = np.ones((10, 2))
    assert np.isnan(fit_forms(stuck, stuck, stuck, stuck)).all()
    empty = np.empty((0, 2))
    assert np.isnan(fit_forms(empty, empty, empty, empty)).all()


@pytest.mark.parametrize("make", [funnel, schools, nested])
def test_density_is_that_of_the_model_in_any_form(make):
    """Density and gradient by z are those by x, times the Jacobian: at a random point, in random forms."""
    built = make()
    plain, template = translate_model(built).bind(), translate_model(built, forms=True)
    rng = np.random.default_rng(0)
    shapes = plain.shapes
    forms = {}
    for group in template.groups:
        shape = shapes[group.value_name]
        forms |= {group.precision: rng.gamma(1, size=shape), group.pull: rng.normal(size=shape)}
    bound = template.bind().with_forms(forms)
    x = rng.normal(size=(1, plain.density.dim))
    z = in_forms(bound, x)
    (excess,) = bound.evaluate([LOG_JACOBIAN], z).values()
    logp, gradient = bound.density.logp_and_gradient(z[0])
    np.testing.assert_allclose(logp - excess[0], plain.density.logp_and_gradient(x[0])[0], rtol=1e-10)
    step = 1e-6 * np.eye(z.size)
    differences = [
        (bound.density.logp_and_gradient(z[0] + h)[0] - bound.density.logp_and_gradient(z[0] - h)[0]) / 2e-6
        for h in step
    ]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["eight schools", "2 data a group", "funnel", "horseshoe"])
def test_by_default_groups_that_say_little_get_forms(name):
    idata = sample(build(name, True), draws=50)
    chosen = sample(build(name, True), True, draws=50)
    assert idata.sample_stats.attrs["centredness"] == chosen.sample_stats.attrs["centredness"]
    for variable in idata.posterior.data_vars:
        np.testing.assert_array_equal(idata.posterior[variable], chosen.posterior[variable])


def test_by_default_groups_with_many_data_stay_as_they_are():
    model = build("100 data a group", True)
    idata, plain = sample(model, draws=50), sample(model, False, draws=50)
    assert "centredness" not in idata.sample_stats.attrs
    assert idata.sample_stats.attrs["pilot_gradients"] > 0
    assert "pilot_gradients" not in plain.sample_stats.attrs
    np.testing.assert_array_equal(idata.posterior["alpha"], plain.posterior["alpha"])


@pytest.mark.parametrize(
    "options",
    [{"tune": 0}, {"initial_metric": np.ones(10)}, {"marginalise": True}, {"marginalise": ["theta"]}],
)
def test_by_default_nothing_that_refers_to_the_models_coordinates_changes(options):
    idata = sample(schools(), draws=20, **options)
    assert not {"centredness", "pilot_gradients"} & set(idata.sample_stats.attrs)


def test_by_default_a_model_from_a_file_is_sampled_as_it_is(tmp_path):
    compile_model(schools()).save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    idata = loaded.sample(draws=20, random_seed=1, quiet=True, compute_convergence_checks=False)
    assert "centredness" not in idata.sample_stats.attrs


def test_forms_in_which_nothing_can_start_are_not_taken(monkeypatch):
    def nowhere(bound, pilot):
        chosen = choose_forms(bound, pilot)
        return replace(chosen, starts=np.full_like(chosen.starts, np.nan))

    monkeypatch.setattr("pymc_rustmc.sample.choose_forms", nowhere)
    idata, plain = sample(schools(), draws=20), sample(schools(), False, draws=20)
    assert "centredness" not in idata.sample_stats.attrs
    np.testing.assert_array_equal(idata.posterior["theta"], plain.posterior["theta"])


def test_wrong_choice_is_refused():
    with pytest.raises(TypeError, match="`reparametrise` must be True, False or 'auto', got 'yes'"):
        sample(schools(), "yes")


def test_negative_scale_is_refused():
    with pm.Model() as model:
        scale = pm.Normal("scale")
        pm.Normal("x", 0, scale, shape=2)
    density = translate_model(model, forms=True).bind().density
    assert density.logp_and_gradient(np.array([-1.0, 0.3, 0.2]))[0] == -np.inf
    assert np.isfinite(density.logp_and_gradient(np.array([1.0, 0.3, 0.2]))[0])


def test_groups_are_normals_with_parameters_and_nothing_else():
    with pm.Model() as model:
        a = pm.Normal("a")
        pm.Normal("b", pm.math.exp(a), 1)
        s = pm.HalfNormal("s")
        pm.Normal("c", 0, s, shape=3)
        pm.HalfNormal("d", s)
        pm.Normal("e", a, s, transform=pm.distributions.transforms.ordered, shape=2)
        pm.StudentT("f", nu=4, mu=a, sigma=s)
        pm.Normal("y", a, s, observed=1.0)
    assert [group.name for group in find_groups(model)] == ["b", "c"]


def test_result_has_the_names_and_density_of_the_model():
    model = nested()
    before = dict(model.rvs_to_values), dict(model.rvs_to_transforms)
    kwargs = {"draws": 30, "tune": 60, "random_seed": 5}
    idata_kwargs = {"include_transformed": True, "log_likelihood": True}
    ours = sample(model, True, **kwargs, idata_kwargs=idata_kwargs, discard_tuned_samples=False)
    plain = sample(model, False, **kwargs, idata_kwargs=idata_kwargs, discard_tuned_samples=False)
    assert (dict(model.rvs_to_values), dict(model.rvs_to_transforms)) == before
    assert set(ours.posterior.data_vars) == set(plain.posterior.data_vars)
    assert ours.posterior.sizes == plain.posterior.sizes
    assert set(ours.sample_stats.data_vars) == set(plain.sample_stats.data_vars)
    assert ours.log_likelihood["y"].shape == plain.log_likelihood["y"].shape
    assert ours.warmup_posterior.sizes["draw"] == 60
    compiled = compile_model(model)
    for draw in (0, 29):
        point = {name: ours.posterior[name].values[1, draw] for name in compiled.shapes}
        np.testing.assert_allclose(
            compiled.logp_dlogp(point)[0], ours.sample_stats.lp.values[1, draw], rtol=1e-9
        )


def test_same_draws_on_any_cores_and_from_pm_sample(rust_sample):
    results = [sample(schools(), True, draws=20, tune=30, chains=2, cores=cores) for cores in (1, 2)]
    with schools():
        results.append(rust_sample(nuts={"reparametrise": True}, random_seed=3))
    for other in results[1:]:
        np.testing.assert_array_equal(other.posterior["theta"], results[0].posterior["theta"])


def test_only_wanted_variables_are_kept():
    idata = sample(schools(), True, draws=20, tune=30, var_names=["mu"])
    assert list(idata.posterior.data_vars) == ["mu"]


@pytest.mark.parametrize(
    ("loc", "scale", "shape"),
    [((), (), ()), ((), (), 1), ((), (), 0), (1, (3, 1), (3, 1)), (2, (3, 1), (3, 2))],
)
def test_shapes(loc, scale, shape):
    with pm.Model() as built:
        m = pm.Normal("m", shape=loc)
        x = pm.Normal("x", m, pm.HalfNormal("s", shape=scale), shape=shape)
        pm.Normal("y", x.sum(), 1, observed=2.0)
    idata = sample(built, True, draws=20, tune=30)
    shape = (shape,) if isinstance(shape, int) else shape
    assert idata.posterior["x"].shape == (4, 20, *shape)
    assert centredness(idata)["x"].shape == shape


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"), pm.Model() as built:
        x = pm.Normal("x", pm.Normal("m"), pm.HalfNormal("s"), shape=3)
        pm.Normal("y", x, 1, observed=np.ones(3, dtype="float32"))
    idata, plain = (sample(built, option, draws=20, tune=30) for option in (True, False))
    assert idata.posterior["x"].dtype == plain.posterior["x"].dtype == np.float32


def test_new_data_of_other_lengths():
    with pm.Model(coords={"group": range(3)}) as model:
        y = pm.Data("y", np.array([1.0, 2.0, 3.0]), dims="group")
        alpha = pm.Normal("alpha", pm.Normal("mu"), pm.HalfNormal("tau"), dims="group")
        pm.Normal("obs", alpha, 1, observed=y, dims="group")
    compiled = compile_model(model).bind({"y": np.arange(5.0)})
    idata = compiled.sample(draws=20, tune=30, nuts={"reparametrise": True}, quiet=True, random_seed=1)
    assert idata.posterior["alpha"].sizes["group"] == 5
    np.testing.assert_array_equal(idata.observed_data["obs"], np.arange(5.0))


def test_without_groups_the_option_does_nothing_and_says_so(rust_sample, caplog, normal_model):
    caplog.set_level(logging.INFO)
    with normal_model:
        plain = rust_sample()
        other = rust_sample(nuts={"reparametrise": True}, quiet=False, progressbar=False)
    np.testing.assert_array_equal(plain.posterior["mu"], other.posterior["mu"])
    assert "Nothing to reparametrise" in caplog.text
    assert "centredness" not in other.sample_stats.attrs


def test_forms_are_logged(rust_sample, caplog):
    caplog.set_level(logging.INFO)
    with schools():
        rust_sample(nuts={"reparametrise": True}, quiet=False, progressbar=False)
    assert "Reparametrised (0 is non-centred, 1 centred): theta 0." in caplog.text


def test_divergences_name_the_remedy(caplog):
    def messages(model, reparametrise):
        caplog.clear()
        # Long steps: those of a cautious run may not reach the neck of the funnel.
        compile_model(model).sample(
            draws=500,
            tune=200,
            chains=4,
            random_seed=1,
            target_accept=0.6,
            reparametrise=reparametrise,
            progressbar=False,
        )
        return caplog.text

    assert 'divergences: x. nuts={"reparametrise": True}' in messages(funnel(), False)
    assert "reparametrise" not in messages(funnel(), True)
    assert "reparametrise" not in messages(funnel(centred=False), False)


def test_needs_warm_up():
    with pytest.raises(ValueError, match="needs warm-up, but `tune` is 0"):
        sample(schools(), True, tune=0)


def test_needs_the_model(tmp_path):
    compile_model(schools()).save(tmp_path / "model")
    with pytest.raises(ValueError, match="needs the PyMC model, but this model is from a file"):
        load_model(tmp_path / "model").sample(nuts={"reparametrise": True}, quiet=True)


def test_interruption_in_the_pilot(monkeypatch):
    def interrupted(run, bar, patience):
        run.abort()
        return True

    monkeypatch.setattr("pymc_rustmc.pilot.watch", interrupted)
    with pytest.raises(KeyboardInterrupt, match="before the end of warm-up"):
        sample(schools(), True)
