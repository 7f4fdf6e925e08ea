"""Data sets that cannot be fitted are named, and cost nothing else."""

import re

import numpy as np
import pandas as pd
import pymc as pm
import pytest

from pymc_rustmc import DataSet, sample_batch
from pymc_rustmc.errors import DataSetError

RUN = {"draws": 10, "tune": 10, "chains": 2, "random_seed": 1, "progressbar": False}
GOOD = {"y": np.linspace(0, 1, 12)}

BAD = {
    "unknown": ({"z": [1.0]}, "no data named 'z'; it has 't', 'y'"),
    "rank": ({"y": np.zeros((12, 1))}, "data 'y' have 2 axes, but the model needs 1"),
    "nan": ({"y": np.full(12, np.nan)}, "data 'y' hold 12 NaN"),
    "infinite": ({"y": np.full(12, np.inf)}, "observed data 'y' hold infinite values"),
    "text": ({"y": ["a"] * 12}, "data 'y' must hold real numbers"),
    "length": ({"y": np.zeros(5)}, "do not broadcast"),
    "no mapping": (3, "must be a mapping"),
}


@pytest.mark.parametrize("cores", [1, 2])
def test_each_is_reported_by_its_id(trend, cores):
    sets = [pair for key, (data, _) in BAD.items() for pair in ((f"good {key}", GOOD), (key, data))]
    with pytest.warns(UserWarning, match=r"7 data sets were not fitted \('unknown': .* and 2 more\)"):
        result = sample_batch(trend, sets, cores=cores, **RUN)
    assert result.ids == [f"good {key}" for key in BAD]
    assert list(result.failures) == list(BAD)
    for key, (_, text) in BAD.items():
        assert text in result.failures[key]
    with pytest.raises(KeyError, match="was not fitted: data 'y' hold 12 NaN"):
        result.idata("nan")
    with pytest.raises(KeyError, match="no data set 'other'"):
        result.idata("other")


def test_the_fits_are_those_of_a_run_without_failures(trend, series):
    stack = np.array(series)
    whole = sample_batch(trend, {"y": stack}, quiet=True, **RUN)
    stack[4, 3] = np.nan
    result = sample_batch(trend, {"y": stack}, quiet=True, **RUN)
    assert list(result.failures) == [4]
    assert result.summary.equals(whole.summary.drop_sel(dataset=4))


def test_the_first_is_raised_if_asked(trend, series):
    sets = [GOOD, {"y": [np.nan]}, {"z": 1}]
    with pytest.raises(DataSetError, match=r"data set 'b': data 'y' hold 1 NaN") as error:
        sample_batch(trend, sets, ids="abc", errors="raise", **RUN)
    assert error.value.id == "b"


def test_lengths_of_dims_must_agree(shops):
    sets = {
        "one": {"y": np.zeros(4)},
        "coords": DataSet({}, {"obs": [1, 2]}),
        "index": {"shop_index": [0, 1, 7], "y": np.zeros(3)},
        "truncated": {"shop_index": [0, 1.5, 0], "y": np.zeros(3)},
        "dim": DataSet({}, {"town": [1]}),
    }
    result = sample_batch(shops, sets, quiet=True, **RUN)
    assert not result.ids
    texts = ["give all data of that dim the same length"] * 2
    texts += ["out of range|out of bounds", "must be int64", "no dim 'town'"]
    for key, text in zip(sets, texts, strict=True):
        assert re.search(text, result.failures[key]), result.failures[key]


def test_a_missing_column(trend):
    frame = pd.DataFrame({"sku": ["a"], "y": [1.0]})
    result = sample_batch(trend, frame.groupby("sku"), quiet=True, **RUN)
    assert "no column 't'; the columns are 'sku', 'y'" in result.failures["a"]


def test_no_density_at_the_start():
    with pm.Model() as model:
        y = pm.Data("y", np.ones(3))
        rate = pm.HalfNormal("rate", 1)
        pm.Exponential("wait", rate, observed=y)
    result = sample_batch(model, {"good": {"y": [1.0]}, "bad": {"y": [-1.0]}}, quiet=True, **RUN)
    assert result.ids == ["good"]
    assert "log density is -inf at the starting point in 11 tries" in result.failures["bad"]


def test_nothing_was_fitted(trend):
    result = sample_batch(trend, [], quiet=True, **RUN)
    assert (result.ids, result.failures, result.flagged()) == ([], {}, {})
    with pytest.raises(ValueError, match="no fits"):
        _ = result.summary


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"errors": "ignore"}, "`errors` must be"),
        ({"keep": "all"}, "`keep` must be"),
        ({"keep": ["slope"]}, "`keep` names 'slope'"),
        ({"keep": {"thin": 0}}, "at least 1"),
        ({"keep": {"thinning": 2}}, "'thin' and 'var_names'"),
        ({"interval": "ci"}, "`interval` must be"),
        ({"prob": 1.5}, "`prob` must lie"),
        ({"draws": 0}, "Not enough samples"),
        ({"cores": 0}, "`cores` must be"),
        ({"init": "pathfinder"}, "init='jitter'"),
        ({"reparametrise": True}, "as it is written"),
        ({"target_acept": 0.9}, "did you mean 'target_accept'"),
        ({"target_accept": 2.0}, "target_accept must lie"),
        ({"var_names": ["slope"]}, "'slope'"),
    ],
)
def test_impossible_arguments_are_refused(trend, arguments, text):
    with pytest.raises((TypeError, ValueError), match=text):
        sample_batch(trend, [GOOD], **{**RUN, **arguments})
