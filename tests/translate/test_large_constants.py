"""Large constants are kept from PyTensor's rewrites, and the density is what it is when they are not."""

import warnings

import numpy as np
import pymc as pm
import pytest
from catalogue import CATALOGUE
from oracle import assert_same
from pytensor.graph.traversal import ancestors

from pymc_rustmc import compile as compiling
from pymc_rustmc.compile import canonical, translate_model

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 3))


def both_ways(model, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = translate_model(model).bind()
        monkeypatch.setattr(compiling, "LARGE", 2)
        return translate_model(model).bind(), seen


TAKEN = [name for name, entry in CATALOGUE.items() if not entry.refused]


@pytest.mark.parametrize("name", TAKEN[7::40])
def test_catalogue_models(name, monkeypatch):
    entry = CATALOGUE[name]
    assert_same(*both_ways(entry.model(), monkeypatch), entry.rtol[0])


def test_masks_positions_and_truth_values(monkeypatch):
    groups, mask = RNG.integers(0, 5, 40), X[:, 0] > 0
    with pm.Model() as model:
        effect = pm.Normal("effect", 0, 1, shape=5)
        slope = pm.Normal("slope", 0, 1, shape=3)
        mean = pm.math.switch(mask, effect[groups], X @ slope)
        pm.Normal("y", mean, pm.math.exp(slope[0]), observed=X[:, 1])
        pm.Poisson("n", pm.math.exp((X @ slope)[mask]), observed=groups[mask])
        pm.Deterministic("fitted", mean[mask])
    assert_same(*both_ways(model, monkeypatch), 1e-12)


def test_what_no_rewrite_sees_comes_back_once(monkeypatch):
    monkeypatch.setattr(compiling, "LARGE", 100)
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 1, shape=3)
        pm.Normal("y", pm.math.exp(X @ slope), 1, observed=X[:, 1])
        pm.Normal("z", X @ slope, 1, observed=X[:, 2])
    read = set(ancestors(canonical([model.logp()]).outputs))
    designs = [variable for variable in read if getattr(variable.type, "shape", None) == X.shape]
    assert [np.asarray(design.data).shape for design in designs] == [X.shape]
