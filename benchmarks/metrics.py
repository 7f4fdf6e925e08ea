"""Gradients that each kind of metric needs on a model, to judge the automatic choice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import pymc_rustmc
from benchmarks.efficiency import BUILDERS
from benchmarks.efficiency_table import number
from benchmarks.measure import all_gradients
from pymc_rustmc import diagnostics

MOST_DENSE = 128
"""Dimensions above which the dense metric is left out, as ``auto`` does."""
OTHERS = ("diag", "dense", "low_rank", "draw_diag")
"""The kinds that ``auto`` is held against."""
SLOW = ("latent_gp", "large_regression", "more_columns_than_rows")
"""Models of the efficiency comparison whose runs take minutes."""
MODELS = tuple(name for name in BUILDERS if name not in SLOW)


@dataclass(frozen=True)
class Cost:
    """Gradients, warm-up included, per minimum bulk ESS: geometric mean over the seeds, and its error.

    Attributes
    ----------
    mean
        The geometric mean.
    error
        Standard error of its logarithm.
    """

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{number(self.mean)} ± {100 * self.error:.0f} %"


def cost_of(logs: NDArray[np.float64]) -> Cost:
    """Return the cost whose logarithms, one a seed, are given."""
    return Cost(float(np.exp(logs.mean())), float(logs.std(ddof=1) / len(logs) ** 0.5))


def measured(model: str, seeds: int) -> dict[str, Cost]:
    """Measure every kind on a model, each with 4 chains of 1000 draws and the default warm-up."""
    built = BUILDERS[model]()
    free = [variable.name for variable in built.free_RVs]
    compiled = pymc_rustmc.compile_model(built, var_names=free)
    dim = sum(value.size for value in built.initial_point().values())

    def log_cost(kind: str, seed: int) -> float:
        idata = compiled.sample(
            1000,
            chains=4,
            random_seed=seed,
            nuts={"metric": kind},
            discard_tuned_samples=False,
            compute_convergence_checks=False,
            quiet=True,
        )
        gradients = all_gradients(idata)
        least = min(float(np.min(diagnostics.ess(idata["posterior"][name].values))) for name in free)
        return float(np.log(gradients / least))

    kinds = [kind for kind in ("auto", *OTHERS) if kind != "dense" or dim <= MOST_DENSE]
    return {kind: cost_of(np.array([log_cost(kind, seed) for seed in range(1, seeds + 1)])) for kind in kinds}


def table(models: Sequence[str], seeds: int) -> Iterator[str]:
    """Yield the lines of a Markdown table, each as soon as it is measured.

    The last column is the cost of ``auto`` over the least of the others, with the standard error of that
    ratio. The least of four noisy figures is below the least of their expectations, so that the ratio is
    above 1 by some noise where all kinds are equal.
    """
    yield "| model | auto | diag | dense | low_rank | draw_diag | auto / best |"
    yield f"|{' --- |' * 7}"
    logs = []
    for model in models:
        costs = measured(model, seeds)
        auto = costs["auto"]
        best = min((costs[kind] for kind in OTHERS if kind in costs), key=lambda cost: cost.mean)
        ratio = auto.mean / best.mean
        logs.append(np.log(ratio))
        cells = [str(costs.get(kind, "")) for kind in ("auto", *OTHERS)]
        error = 100 * np.hypot(auto.error, best.error)
        yield f"| {' | '.join([model, *cells, f'{ratio:.2f} ± {error:.0f} %'])} |"
    yield f"\nauto / best, geometric mean over {len(logs)} models: {np.exp(np.mean(logs)):.3f}"
