"""Logarithms of sums of exponentials are one op, however a model writes them."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from oracle import check_model

from pymc_rustmc.compile import translate_model

VALUES = np.random.default_rng(4).normal(size=(6, 3))

FORMS = {
    "rows": lambda x: pt.log(pt.exp(x).sum(axis=1)),
    "all": lambda x: pt.log(pt.exp(x).sum()),
    "with the axis kept": lambda x: x - pt.log(pt.exp(x).sum(axis=0, keepdims=True)),
    "two": lambda x: pt.log(pt.exp(x[:, 0]) + pt.exp(x[:, 1])),
    "three of several shapes": lambda x: pt.log(pt.exp(x) + pt.exp(x[0]) + pt.exp(2 * x[:, :1])),
    "pm.math": lambda x: pm.math.logsumexp(x, axis=1),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form):
    with pm.Model() as model:
        x = pm.Normal("x", 0, 3, shape=3)
        pm.Potential("total", FORMS[form](x * VALUES).sum())
    bound = translate_model(model).bind()
    assert " eq(" not in bound.density.graph_text()
    check_model(model)
    assert np.isfinite(bound.logp_and_gradient(np.full(3, 1e4))[0])
