"""Shapes, dtypes and errors of the public functions."""

import numpy as np
import pytest

from pymc_rustmc.diagnostics import bfmi, ess, eti, hdi, mcse, rhat


@pytest.fixture
def draws():
    return np.random.default_rng(1).normal(size=(4, 60, 3, 5))


@pytest.mark.parametrize("function", [rhat, ess, mcse], ids=lambda function: function.__name__)
def test_one_value_an_element(function, draws):
    values = function(draws)
    assert values.shape == (3, 5)
    assert values[2, 1] == function(draws[:, :, 2, 1])
    assert function(draws[:, :, 0, 0]).shape == ()
    assert function(draws[:, :, :, :0]).shape == (3, 0)


@pytest.mark.parametrize("function", [hdi, eti], ids=lambda function: function.__name__)
def test_intervals_have_two_values_an_element(function, draws):
    values = function(draws, 0.8)
    assert values.shape == (3, 5, 2)
    np.testing.assert_array_equal(values[2, 1], function(draws[:, :, 2, 1], 0.8))
    assert function(draws[:, :, :0], 0.8).shape == (0, 5, 2)


def test_draws_in_any_order_and_of_any_dtype(draws):
    expected = ess(draws)
    np.testing.assert_array_equal(ess(np.asfortranarray(draws)), expected)
    np.testing.assert_array_equal(ess(np.repeat(draws, 2, axis=1)[:, ::2]), expected)
    np.testing.assert_array_equal(ess(draws > 0), ess((draws > 0).astype(float)))
    np.testing.assert_array_equal(ess(draws.tolist()), expected)
    np.testing.assert_array_equal(ess(np.round(draws).astype(np.int8)), ess(np.round(draws)))


def test_bfmi_of_each_chain(draws):
    assert bfmi(draws[:, :, 0, 0]).shape == (4,)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: rhat(np.zeros(10)), ValueError, r"shape \(chain, draw, \*shape\), got \(10,\)"),
        (lambda: rhat(np.zeros((2, 10), dtype=complex)), ValueError, "complex128"),
        (lambda: rhat(np.full((2, 10), "a")), ValueError, "real numbers"),
        (lambda: ess(np.zeros((2, 10)), method="bull"), ValueError, "no method 'bull'"),
        (lambda: ess(np.zeros((2, 10)), method="quantile"), TypeError, "`prob` is missing"),
        (lambda: ess(np.zeros((2, 10)), prob=0.5), TypeError, "no meaning for the method 'bulk'"),
        (lambda: ess(np.zeros((2, 10)), method="tail", prob=(0.1, 1.2)), ValueError, "got 1.2"),
        (lambda: ess(np.zeros((2, 10)), method="tail", prob=(0.1,)), ValueError, "two probabilities"),
        (lambda: mcse(np.zeros((2, 10)), method="quantile", prob=-1), ValueError, "got -1"),
        (lambda: mcse(np.zeros((2, 10)), method="quantile", prob=np.nan), ValueError, "got nan"),
        (lambda: hdi(np.zeros((2, 10)), 0), ValueError, "greater than 0"),
        (lambda: eti(np.zeros((2, 10)), 95), ValueError, "got 95"),
        (lambda: bfmi(np.zeros((2, 10, 1))), ValueError, r"\(chain, draw\), got \(2, 10, 1\)"),
    ],
)
def test_errors_name_what_is_wrong(call, error, text):
    with pytest.raises(error, match=text):
        call()
