"""The example of docs/demand-forecast.md runs, at a smaller size, and its plots are those of the page."""

import re
from pathlib import Path

import matplotlib
import numpy as np

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "demand-forecast.md").read_text()


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    assert "ARTICLES, AHEAD = 1000, 12" in code
    names = {}
    exec(code.replace("ARTICLES, AHEAD = 1000, 12", "ARTICLES, AHEAD = 40, 12"), names)
    plots = re.findall(r"!\[.*?\]\((.*?)\)", PAGE)
    assert sorted(plots) == sorted(path.name for path in tmp_path.glob("*.svg"))
    assert all((DOCS / plot).exists() for plot in plots)
    assert not names["result"].failures
    # 480 held-back counts, correlated within an article: the share may be off by 0.05 by chance.
    assert 0.8 < names["inside"].mean() < 1
    assert np.isfinite(names["estimate"].to_numpy()).mean() > 0.8
