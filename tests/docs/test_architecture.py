"""The texts printed in docs/architecture.md are what the program prints for the model shown there."""

from pathlib import Path

import numpy as np
import pymc as pm
import pytest

from pymc_rustmc.arguments import checked_rewrites
from pymc_rustmc.compile import translate_model

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()


def model_of_the_page() -> pm.Model:
    source = PAGE.split("```python\n")[1].split("```")[0]
    names = {"pm": pm, "np": np}
    exec(source, names)
    return names["model"]


@pytest.fixture(scope="module")
def bound():
    return translate_model(model_of_the_page()).bind()


@pytest.mark.parametrize("stage", ["template", "bound", "plan", "plan after exact algebra"])
def test_printed_stages(bound, stage):
    plain = bound.with_rewrites(checked_rewrites(False))
    text = {
        "template": lambda: str(bound.template.graph),
        "bound": plain.density.graph_text,
        "plan": plain.density.plan_text,
        "plan after exact algebra": bound.density.plan_text,
    }[stage]()
    assert f"```\n{text.strip()}\n```" in PAGE
