"""Random graphs and models: values and gradients equal PyTensor's, under two data sets each.

``RANDOM_CASES=10000 pytest -n 2 tests/random_graphs`` runs more of them than usual; each block of cases has a
seed of its own, the same in every run.
"""

import os

import pytest
from compare import compare_graphs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from leaves import new_parameter
from models import MODEL_STEPS, Model, compare_models, finish
from program import BINDINGS, Program
from steps import STEPS

from pymc_rustmc.interpreted import no_compiler
from pymc_rustmc.translate import elementwise

CASES = int(os.environ.get("RANDOM_CASES", "320"))
BLOCK = 32  # cases of one test, which runs in one process
MODELS = max(CASES // 16 // BLOCK, 1)  # blocks of models, which take ten times as long as graphs
SEEDS = st.integers(0, 2**16)


@st.composite
def programs(draw):
    with no_compiler():
        program = Program(draw)
        new_parameter(program)
        for _ in range(program.integer(2, 12)):
            program.step(STEPS)
    return program


@st.composite
def models(draw):
    with no_compiler():
        program = Model(draw)
        new_parameter(program)
        for _ in range(program.integer(2, 12)):
            program.step(MODEL_STEPS)
        finish(program)
    return program


def run(compare, block, *strategies):
    """Compare one block of cases, and demand that most points could be compared."""
    compared = []

    @seed(block)
    @settings(
        max_examples=BLOCK,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.tuples(*strategies))
    def check(case):
        with no_compiler():
            compared.append(compare(*case))

    check()
    assert sum(compared) > BINDINGS * len(compared) / 2


@pytest.mark.parametrize("block", range(max(CASES // BLOCK - MODELS, 1)))
def test_graphs(block):
    run(compare_graphs, block, programs(), st.booleans(), SEEDS)


@pytest.mark.parametrize("block", range(MODELS))
def test_models(block):
    run(compare_models, block, models(), SEEDS)


def test_a_wrong_translation_is_found(monkeypatch):
    monkeypatch.setitem(elementwise._SAME, "Tanh", "sin")
    with pytest.raises(AssertionError, match=r"under binding"):
        run(compare_graphs, 0, programs(), st.booleans(), SEEDS)
