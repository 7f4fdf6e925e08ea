"""The examples of docs/hierarchies.md run, and have the attributes that the page names."""

import re
from pathlib import Path

import pymc as pm

import pymc_rustmc

PAGE = (Path(__file__).parents[2] / "docs" / "hierarchies.md").read_text()


def test_examples(capsys):
    names = {
        "pm": pm,
        "pymc_rustmc": pymc_rustmc,
        "effect": [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0],
        "error": [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0],
    }
    attributes = set()
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
        stats = names["idata"].sample_stats
        assert not stats.diverging.any()
        attributes |= set(stats.attrs)
    assert attributes.issuperset(re.findall(r'`sample_stats.attrs\["(\w+)"\]`', PAGE))
    assert "Integrated out, and drawn given the rest\n  mu\n  theta" in capsys.readouterr().out
