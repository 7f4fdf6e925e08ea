"""The examples of docs/compiled-models.md run, and give what the comments say."""

import re
from pathlib import Path

import pymc_rustmc
from pymc_rustmc import compile_model, load_model
from pymc_rustmc.explanation import Explanation

PAGE = (Path(__file__).parents[2] / "docs" / "compiled-models.md").read_text()


def test_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    checked = 0
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
        for line in block.splitlines():
            if wanted := re.fullmatch(r"(\S+)  # (.*)", line):
                assert eval(wanted[1], names) == eval(wanted[2]), line
                checked += 1
    assert checked == 3
    assert "Rules applied" in capsys.readouterr().out
    assert names["idata"].posterior.sizes["group"] == 4


def test_attributes_of_an_explanation():
    listed = re.search(r"The parts are attributes:(.*?)\n\n", PAGE, re.DOTALL)[1]
    fields = set(Explanation.__dataclass_fields__) | {"foreign", "seconds"}
    assert set(re.findall(r"`(\w+)`", listed)) == fields


def test_public_functions_are_on_the_page():
    for function in (compile_model, load_model):
        assert f"pymc_rustmc.{function.__name__}" in PAGE
        assert function.__name__ in pymc_rustmc.__all__
