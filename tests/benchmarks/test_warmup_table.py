"""The tables of what pooling and an early end of warm-up save: a tiny run."""

from benchmarks import warmup


def test_every_option_has_its_columns():
    header, _, row, mean, traps, _, trap = warmup.table(["micro_normal"], ["two_modes"], 2)
    names = [cell.strip() for cell in header.strip("|").split("|")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == len(names) == 12
    found = dict(zip(names, cells, strict=True))
    assert found["model"] == "micro_normal"
    assert 0.3 < float(found["both, bulk"].split(" ± ")[0]) < 3
    assert 60 < float(found["warm-up, both"]) <= 200
    assert mean.startswith("| geometric mean over 1 models |")
    assert traps.count("R-hat") == len(warmup.OPTIONS)
    assert trap.startswith("| two_modes | ")
    assert trap.count(" above 1.01") == len(warmup.OPTIONS)
