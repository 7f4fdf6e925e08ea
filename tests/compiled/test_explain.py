"""The account of a compiled model: complete, readable, and true of small models."""

import re
import warnings

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pytensor.graph.op import Op
from test_compiled import regression

from pymc_rustmc import compile_model, load_model
from pymc_rustmc.errors import SaveError


@pytest.fixture(scope="module")
def compiled():
    return compile_model(regression())


@pytest.fixture(scope="module")
def explanation(compiled):
    return compiled.explain()


def test_parameters_and_outputs(explanation):
    found = [(v.name, v.value_name, v.shape, v.transform) for v in explanation.parameters]
    assert found == [
        ("alpha", "alpha", (3,), None),
        ("share", "share_simplex__", (2,), "SimplexTransform"),
        ("bias", "bias", (2,), None),
        ("sigma", "sigma_log__", (), "LogTransform"),
    ]
    assert explanation.outputs == {"share": (3,), "sigma": (), "mu": (8,)}


def test_graphs_shrink(explanation, compiled):
    assert explanation.template_nodes == len(compiled._bound.template.graph)
    assert explanation.planned_nodes < explanation.bound_nodes


def test_rules_are_counted():
    with pm.Model() as model:
        x = pm.Flat("x", shape=300)
        pm.Potential("p", pm.math.sum(-pm.math.sqr(x * 1.0 + 0.0)))
    rewrites = compile_model(model).explain().rewrites
    assert rewrites["sum(-x) = -sum(x)"] == 1
    assert rewrites["sum(x y) = dot(x, y)"] == 1
    assert list(rewrites.values()) == sorted(rewrites.values(), reverse=True)


def test_steps_are_those_of_the_plan(explanation, compiled):
    lines = [line for step in explanation.steps for line in step.instructions]
    plan = compiled._bound.density.plan_text()
    assert [line.strip() for line in plan.splitlines() if not line.startswith("pass")] == [
        f"whole: {step.instructions[0]}" if step.size is None else line
        for step in explanation.steps
        for line in step.instructions
    ]
    assert lines
    assert all(step.seconds > 0 for step in explanation.steps)
    assert explanation.seconds == pytest.approx(sum(step.seconds for step in explanation.steps))
    assert explanation.foreign == {}


def test_memory_grows_with_data():
    def account(n):
        with pm.Model() as model:
            pm.Normal("y", pm.Normal("mu"), 1, observed=np.arange(n) / n)
        return compile_model(model, rewrites=False).explain()

    few, many = account(1000), account(3000)
    assert many.constant_bytes - few.constant_bytes >= 2000 * 8
    assert many.arena_bytes < 10_000  # the residuals never leave the cache
    assert many.register_bytes >= 256 * 8


class Slow(Op):
    """The square, as an Op without a rule."""

    itypes = [pt.dvector]  # noqa: RUF012
    otypes = [pt.dvector]  # noqa: RUF012

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.square(inputs[0])

    def pullback(self, inputs, outputs, gradients):
        return [2 * inputs[0] * gradients[0]]

    L_op = pullback


@pytest.fixture(scope="module")
def foreign():
    with pm.Model() as model:
        x = pm.Normal("x", shape=3)
        pm.Potential("p", -Slow()(x).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it runs slowly
        return compile_model(model)


def test_foreign_nodes_have_their_share(foreign):
    explanation = foreign.explain()
    (share,) = explanation.foreign.values()
    assert 0.5 < share <= 1
    assert "Slow" in next(iter(explanation.foreign))
    assert re.search(r"Evaluated by PyTensor\n +\S*Slow\S* +\d+% of the time", str(explanation))


def test_foreign_nodes_cannot_be_saved(foreign, tmp_path):
    with pytest.raises(SaveError, match=r"Slow.*cannot be stored"):
        foreign.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_text_names_everything(explanation):
    text = str(explanation)
    for pattern in (
        r"alpha +\(3,\)\n",
        r"share +\(2,\) +SimplexTransform \(value share_simplex__\)",
        r"mu +\(8,\)",
        rf"template +{explanation.template_nodes} ",
        rf"bound +{explanation.bound_nodes} ",
        rf"planned +{explanation.planned_nodes} ",
        r"Rules applied",
        r"A gradient takes [\d.]+ us \(each step measured by itself\)",
        r"pass over \d+: \d+ instructions",
        r"values +[\d.]+ kB +a thread",
    ):
        assert re.search(pattern, text), pattern
    assert explanation._repr_html_().startswith("<pre>Free variables")
    assert repr(explanation) == text
    assert max(map(len, text.splitlines())) < 120


def test_a_file_explains_the_same(compiled, explanation, tmp_path):
    compiled.save(tmp_path / "model")
    found = load_model(tmp_path / "model").explain()
    assert found.parameters == explanation.parameters
    assert found.rewrites == explanation.rewrites
    assert [step.instructions for step in found.steps] == [step.instructions for step in explanation.steps]
