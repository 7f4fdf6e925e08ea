"""The example of docs/hierarchies.md runs, and has the attributes that the page names."""

import re
from pathlib import Path

import pymc as pm

import pymc_rustmc  # noqa: F401 (adds the sampler)

PAGE = (Path(__file__).parents[2] / "docs" / "hierarchies.md").read_text()


def test_example():
    names = {
        "pm": pm,
        "effect": [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0],
        "error": [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0],
    }
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, names)
    stats = names["idata"].sample_stats
    assert not stats.diverging.any()
    for attribute in re.findall(r'`sample_stats.attrs\["(\w+)"\]`', PAGE):
        assert attribute in stats.attrs
