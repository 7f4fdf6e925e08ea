"""Terms of one form are rewritten once, and the density is that of rewriting each."""

import warnings

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import scipy.sparse
from catalogue import CATALOGUE
from oracle import assert_same
from pytensor import sparse

from pymc_rustmc import repeats
from pymc_rustmc.compile import translate_model

RNG = np.random.default_rng(5)
COUNTS = RNG.poisson(3, (6, 4))
VALUES = RNG.normal(size=(6, 4))


def scalars():
    scale = pm.HalfNormal("scale", 1)
    for i in range(6):
        x = pm.Normal(f"x{i}", 0, 1)
        pm.Normal(f"y{i}", x, scale, observed=VALUES[i])


def priors_of_their_own():
    for i, (location, width) in enumerate([(0, 1), (1, 1), (0.3, 2.2), (0.7, 0.4), (-0.2, 1.1), (0.9, 1.3)]):
        pm.Gamma(f"x{i}", pm.Normal(f"m{i}", location, width) ** 2 + 1, 1.5 + width)


def elements_of_a_vector():
    effect = pm.Normal("effect", 0, 1, shape=6)
    slope = pm.Normal("slope")
    for i in range(6):
        pm.Poisson(f"n{i}", pm.math.exp(effect[i] + slope * VALUES[i]), observed=COUNTS[i])


def arrays_of_equal_elements():
    rate = pm.Exponential("rate", 1)
    for i, counts in enumerate([np.zeros(4, int), np.ones(4, int), *COUNTS]):
        pm.NegativeBinomial(f"n{i}", rate * (1.1 + i / 3), 2.5, observed=counts)


def chain_of_variables():
    location = 0.0
    for i in range(8):
        location = pm.Normal(f"x{i}", location, 1 + 0.1 * i)
    pm.Normal("y", location, 1, observed=1.0)


def stable_forms():
    for i in range(5):
        x = pm.Normal(f"x{i}", 0, 1, shape=3)
        pm.Potential(f"p{i}", pm.math.log(1 + pm.math.exp(x * (i + 0.25))))
        pm.Potential(f"q{i}", pt.log(pt.exp(x * VALUES[i, :3]).sum()))
        pm.Potential(f"one{i}", pm.math.log(pm.math.exp(x) + i))


def deterministics():
    scale = pm.HalfNormal("scale", 1)
    for i in range(6):
        x = pm.Normal(f"x{i}", 0, 1, shape=4)
        pm.Deterministic(f"d{i}", pt.log1p(pt.exp(scale * x - VALUES[i])))
        pm.Deterministic(f"e{i}", pm.math.log(1 - pm.math.invlogit(x)))
        pm.Deterministic(f"f{i}", x[i % 4] + (x**2).sum())


def mixtures_with_data():
    for i in range(4):
        x = pm.Data(f"x{i}", VALUES[i])
        weights = pm.Dirichlet(f"w{i}", np.ones(2))
        ends = pm.Normal(f"mu{i}", [-1, 1], 1)
        pm.NormalMixture(f"y{i}", weights, ends, 0.7, observed=x)


def lengths_of_their_own():
    for i in range(12):
        x = pm.Normal(f"x{i}", 0, 1, shape=1 + i % 3)
        pm.Normal(f"y{i}", x.sum(), 1, observed=VALUES.ravel()[: 2 + i])


def steps_of_a_scan():
    for i in range(4):
        rho = pm.Uniform(f"rho{i}", -1, 1)
        pm.AR(f"y{i}", rho[None], sigma=1.5, init_dist=pm.Normal.dist(0, 1), steps=3, observed=VALUES[i])


def indexed_by_data():
    for i in range(5):
        effect = pm.Normal(f"effect{i}", 0, 1, shape=3)
        pm.Normal(f"y{i}", effect[RNG.integers(0, 3, 4)], 1.5, observed=VALUES[i])


def sparse_designs():
    for i in range(5):
        design = sparse.as_sparse_variable(scipy.sparse.csr_matrix(np.round(VALUES[: 5 + i // 4])))
        effect = pm.Normal(f"effect{i}", 0, 1, shape=4)
        mean = sparse.dot(design, effect[:, None])[:, 0]
        pm.Normal(f"y{i}", mean, 1.5, observed=VALUES.T[i % 4, : 5 + i // 4])


LOOPS = [
    *(scalars, priors_of_their_own, elements_of_a_vector, arrays_of_equal_elements, chain_of_variables),
    *(stable_forms, deterministics, mixtures_with_data, lengths_of_their_own, steps_of_a_scan),
    indexed_by_data,
]


def bound_both_ways(model, monkeypatch):
    found = []

    def find(outputs):
        result = find_repeats(outputs)
        found.extend(result)
        return result

    find_repeats = repeats.find_repeats
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.setattr("pymc_rustmc.compile.find_repeats", find)
        once = translate_model(model).bind()
        monkeypatch.setattr("pymc_rustmc.compile.find_repeats", lambda outputs: [])
        each = translate_model(model).bind()
    return once, each, found


@pytest.mark.parametrize("build", LOOPS)
def test_loops(build, monkeypatch):
    with pm.Model() as model:
        build()
    once, each, found = bound_both_ways(model, monkeypatch)
    assert found
    assert once.density.foreign_times() == each.density.foreign_times() == []
    assert_same(once, each, 1e-12)


def test_sparse_matrices_are_part_of_the_form(monkeypatch):
    with pm.Model() as model:
        sparse_designs()
    once, each, found = bound_both_ways(model, monkeypatch)
    assert found
    assert_same(once, each, 1e-10)


@pytest.mark.parametrize("name", list(CATALOGUE)[::40])
def test_copies_of_a_catalogue_model(name, monkeypatch):
    assert_same_copies(name, monkeypatch)


def assert_same_copies(name, monkeypatch):
    entry = CATALOGUE[name]
    if entry.refused:
        return
    with warnings.catch_warnings(), pm.Model() as model:
        warnings.simplefilter("ignore")
        for i in range(repeats.FEWEST):
            with pm.Model(name=f"copy{i}"):
                if isinstance(entry.build(), pm.Model):
                    return
    once, each, _ = bound_both_ways(model, monkeypatch)
    assert_same(once, each, entry.rtol[0])


def test_numbers_that_rewrites_look_at_are_part_of_the_form():
    with pm.Model() as model:
        for i, shift in enumerate([1, 1, 1, 1, 0, 0, 0, 0, 0.37, 0.41, 0.43, 0.47]):
            pm.Potential(f"p{i}", pm.math.log(pm.math.exp(pm.Flat(f"x{i}")) + shift))
    found = repeats.find_repeats(repeats.terms(model.logp()))
    sizes = sorted(len(repeat.members) for repeat in found)
    assert sizes == [4, 4, 4, 12]  # the twelve are the densities of the variables
    position = np.full(12, -40.0)
    logp, _ = translate_model(model).bind().logp_and_gradient(position)
    shifted = np.log(np.array([0.37, 0.41, 0.43, 0.47]))
    np.testing.assert_allclose(logp, 4 * np.exp(-40.0) - 160.0 + shifted.sum(), rtol=1e-15)


def test_terms_with_much_in_common_are_left_alone(monkeypatch):
    common = pt.dscalar()
    for _ in range(30):
        common = pt.tanh(common)
    summands = [(common - (0.37 + i / 3)) ** 2 for i in range(20)]
    (found,) = repeats.find_repeats(summands)
    assert found.members == list(range(20))
    monkeypatch.setattr(repeats, "MOST_VISITS", 5)
    assert repeats.find_repeats(summands) == []


def test_new_data_reach_every_term():
    def build(values):
        with pm.Model() as model:
            for i in range(4):
                pm.Normal(f"y{i}", pm.Normal(f"x{i}"), 1, observed=pm.Data(f"data{i}", values[i]))
        return model

    other = {f"data{i}": VALUES[i + 2, :3] for i in range(4)}
    bound = translate_model(build(VALUES)).bind(other)
    expected = translate_model(build(VALUES[2:, :3])).bind()
    position = np.array([0.1, -0.2, 0.3, 0.4])
    assert bound.logp_and_gradient(position)[0] == expected.logp_and_gradient(position)[0]
