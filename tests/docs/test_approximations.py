"""The examples of docs/approximations.md run, and give what the comments say."""

import re
from pathlib import Path

import pymc_rustmc

PAGE = (Path(__file__).parents[2] / "docs" / "approximations.md").read_text()


def test_examples():
    names = {}
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, names)
    checks = re.findall(r"^(.+?)  # (.*)$", block, re.MULTILINE)
    assert len(checks) == 4
    for code, wanted in checks:
        assert eval(code, names) == eval(wanted), code


def test_public_functions_are_on_the_page():
    for name in ("find_map", "fit_laplace", "fit_pathfinder"):
        assert f"## `pymc_rustmc.{name}`" in PAGE
        assert name in pymc_rustmc.__all__
