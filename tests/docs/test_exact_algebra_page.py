"""The rules in the table of docs/exact-algebra.md are those that can be switched, and its example runs."""

import re
from pathlib import Path

import numpy as np
import pymc as pm

import pymc_rustmc
from pymc_rustmc._core import REWRITE_RULES

PAGE = (Path(__file__).parents[2] / "docs" / "exact-algebra.md").read_text()


def test_rules():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == REWRITE_RULES


def test_example(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    x = np.linspace(-1, 1, 50)
    exec(block, {"pm": pm, "pymc_rustmc": pymc_rustmc, "x": x, "y": np.sin(x)})
    assert "sums_of_squares" in capsys.readouterr().out
