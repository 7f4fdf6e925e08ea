"""The example of docs/diagnostics.md runs, and its table lists the public functions."""

import re
from pathlib import Path

from pymc_rustmc import diagnostics

PAGE = (Path(__file__).parents[2] / "docs" / "diagnostics.md").read_text()


def test_example():
    names = {}
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, names)
    assert names["interval"].shape == (3, 2)
    assert (names["error"] < 0.1).all()


def test_table_lists_the_public_functions():
    (table,) = re.findall(r"\| function \| value \|\n(.*?)\n\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)\(", table)) == set(diagnostics.__all__)
