"""One chain on several cores draws what it draws on one."""

import json

import numpy as np
import pymc as pm
import pytest

from pymc_rustmc.compile import translate_model


def _model():
    rng = np.random.default_rng(3)
    n, groups = 30_011, 40
    x, group = rng.normal(size=(n, 5)), rng.integers(groups, size=n)
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=5)
        scale = pm.HalfNormal("scale")
        effect = pm.Normal("effect", 0, scale, shape=groups)
        pm.StudentT("y", nu=4, mu=x @ beta + effect[group], sigma=1, observed=rng.normal(size=n))
    return model


@pytest.mark.parametrize("chains", [1, 2])
def test_draws_do_not_depend_on_the_cores(chains):
    density = translate_model(_model()).bind().density
    starts = np.zeros((chains, density.dim))
    settings = json.dumps({"tune": 3, "draws": 4, "max_treedepth": 3})
    found = []
    for cores in (1, 2, 3, 4):
        run = density.sample(settings, starts, list(range(chains)), cores)
        assert run.wait(60)
        found.append(run.result()["positions"])
    assert len(np.unique(found[0])) > 4 * chains * 5
    for positions in found[1:]:
        np.testing.assert_array_equal(positions, found[0])
