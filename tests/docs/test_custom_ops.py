"""The code on docs/custom-ops.md runs, and what is said to be logged is logged."""

import logging
import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "custom-ops.md").read_text()


def test_the_page(caplog):
    foreign, native = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (told,) = re.findall(r"```\n(Python evaluates.*)\n```", PAGE)
    names = {"__name__": "page"}
    with caplog.at_level(logging.WARNING, logger="pymc.rustmc"):
        exec(foreign, names)
        assert told in caplog.messages
        caplog.clear()
        exec(native, names)
    assert told not in caplog.messages
