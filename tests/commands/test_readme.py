"""The README's table of options is the list of options."""

import re
from pathlib import Path

from pymc_rustmc.sample import option_names

README = Path(__file__).parents[2] / "README.md"


def test_readme_lists_every_option():
    table = re.search(r"\| option \|.*?\n\n", README.read_text(), re.DOTALL).group()
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:] if line]
    assert sorted(re.findall(r"`(\w+)`", " ".join(first_cells))) == sorted(option_names())
