"""The table of the kinds of metric: a tiny run, and the figures of a cost."""

import numpy as np
import pytest

from benchmarks import metrics


def test_a_cost_is_a_geometric_mean_with_the_error_of_its_logarithm():
    cost = metrics.cost_of(np.log([2.0, 8.0]))
    assert cost.mean == pytest.approx(4)
    assert cost.error == pytest.approx(np.log(2))
    assert str(cost) == "4 ± 69 %"


def test_every_kind_has_a_column():
    header, _, row, mean = metrics.table(["small_simple"], 2)
    assert header == "| model | auto | diag | dense | low_rank | draw_diag | auto / best |"
    name, *costs, ratio = (cell.strip() for cell in row.strip("|").split("|"))
    assert name == "small_simple"
    assert all(1 < float(cost.split(" ± ")[0]) < 20 for cost in costs)
    assert 0.3 < float(ratio.split(" ± ")[0]) < 3
    assert mean.startswith("\nauto / best, geometric mean over 1 models: ")
