"""Every entry of the catalogue equals PyTensor's density, gradient and outputs, and samples."""

import ast
import inspect
import warnings

import numpy as np
import pymc as pm
import pytest
from oracle import Oracle, assert_same_density

import pymc_rustmc  # noqa: F401 (adds the sampler)
from catalogue import CATALOGUE, FAMILIES, gaussian_processes, univariate
from pymc_rustmc.compile import translate_model
from pymc_rustmc.errors import UnsupportedOpError

POINTS = 4


@pytest.mark.parametrize("name", CATALOGUE)
def test_entry(name):
    entry = CATALOGUE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyMC, about experimental and outdated parts of it
        model = entry.model()
    if entry.refused:
        with pytest.raises(UnsupportedOpError, match=entry.refused):
            translate_model(model).bind()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"(pymc|pytensor)\.")
        bound = translate_model(model).bind()
    assert {node["name"] for node in bound.density.foreign_times()} == set(entry.foreign)
    centre, scale = _places(bound, entry.points)
    assert_same_density(bound, Oracle(model), centre=centre, scale=scale, points=POINTS, rtol=entry.rtol)
    if not entry.unsampled:
        _assert_finite_draws(model, entry)


def _places(bound, points):
    """Mean and standard deviation of the random positions, each of shape (dim,)."""
    moments = [
        np.broadcast_to(np.reshape(points.get(name, (0.0, 1.0)), (2, 1)), (2, int(np.prod(shape))))
        for name, shape in bound.shapes.items()
    ]
    return np.concatenate(moments, axis=1)


def _assert_finite_draws(model, entry):
    with model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idata = pm.sample(
            draws=20,
            tune=20,
            chains=1,
            random_seed=1,
            nuts_sampler="rustmc",
            quiet=True,
            compute_convergence_checks=False,
            initvals=entry.initvals,
        )
    assert np.isfinite(idata.sample_stats["lp"]).all()
    for variable in model.free_RVs:
        assert np.isfinite(idata.posterior[variable.name]).all(), variable.name
    for variable in model.deterministics:
        assert not np.isnan(idata.posterior[variable.name]).any(), variable.name


def _names_in(modules):
    """All names that the source of the modules takes from other modules: X of `pm.X` and of `tr.X`."""
    trees = [ast.parse(inspect.getsource(module)) for module in modules]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


ABSTRACT = {"Continuous", "Discrete", "Distribution", "SymbolicRandomVariable"}


def test_every_distribution_has_an_entry():
    exported = {name for name in pm.distributions.__all__ if callable(getattr(pm.distributions, name))}
    assert exported - ABSTRACT <= _names_in(FAMILIES)


def test_every_univariate_continuous_distribution_is_tried_as_prior_and_as_likelihood():
    from pymc.distributions import continuous

    exported = {name for name in continuous.__all__ if name != "Continuous"}
    assert exported - set(univariate.CONTINUOUS) == {"PolyaGamma"}  # has no gradient


def test_every_transform_has_an_entry():
    from pymc.distributions import transforms

    assert set(transforms.__all__) <= _names_in(FAMILIES)


def test_every_gaussian_process_covariance_and_mean_has_an_entry():
    def classes(module, base):
        return {
            name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, base)
        }

    named = _names_in([gaussian_processes]) | set(gaussian_processes.COVARIANCES)
    abstract = {"Base", "BaseCovariance", "Covariance", "Combination", "Stationary", "Mean"}
    sums = {"Add", "Prod"}  # of means: written with operators
    assert classes(pm.gp.cov, pm.gp.cov.BaseCovariance) - abstract - named <= sums
    assert classes(pm.gp.mean, pm.gp.mean.Mean) - abstract - named <= sums
    assert classes(pm.gp, pm.gp.gp.Base) - abstract <= named


def test_every_distribution_of_the_dims_module_has_an_entry():
    from catalogue import named_dims

    dims = named_dims.pmd.distributions
    exported = {
        name
        for name, value in vars(dims).items()
        if inspect.isclass(value)
        and hasattr(value, "dist")
        and not name.endswith("DimDistribution")
        and not name.startswith("Regular")
    }
    assert exported <= _names_in([named_dims])
