"""What pooling the chains' metric and ending warm-up early save, and whether disagreement is still told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

import pymc_rustmc
from benchmarks.efficiency import BUILDERS
from benchmarks.efficiency_table import number
from benchmarks.measure import all_gradients
from pymc_rustmc import diagnostics

OPTIONS: Mapping[str, Mapping[str, bool]] = {
    "default": {},
    "pool": {"pool": True},
    "early_stop": {"early_stop": True},
    "both": {"pool": True, "early_stop": True},
}
"""What is compared, by name."""

CHAINS = 4


def _modes(weights: Sequence[float], means: Sequence[float], scales: Sequence[float]) -> pm.Model:
    """Mixture of normals in three dimensions, which differ along the first."""
    with pm.Model() as model:
        x = pm.Flat("x", shape=3)
        logps = [
            np.log(weight)
            + pm.logp(pm.Normal.dist(mean, scale), x[0])
            + pm.logp(pm.Normal.dist(0, scale), x[1:]).sum()
            for weight, mean, scale in zip(weights, means, scales, strict=True)
        ]
        pm.Potential("mixture", pt.logsumexp(pt.stack(logps)))
    return model


def _starts(first: Sequence[float]) -> list[dict[str, NDArray[np.float64]]]:
    return [{"x": np.array([value, 0.0, 0.0])} for value in first]


@dataclass(frozen=True)
class Trap:
    """A posterior in which chains get stuck.

    Attributes
    ----------
    build
        Makes the model.
    initvals
        Initial values by chain; PyMC's own if left out.
    """

    build: Callable[[], pm.Model]
    initvals: list[dict[str, NDArray[np.float64]]] | None = None


TRAPS = {
    "funnel": Trap(BUILDERS["funnel"]),
    "eight_schools_centred": Trap(BUILDERS["eight_schools_centred"]),
    "two_modes": Trap(lambda: _modes([0.5, 0.5], [-4, 4], [1, 1]), _starts([-4, -4, 4, 4])),
    "near_modes": Trap(lambda: _modes([0.5, 0.5], [-2.5, 2.5], [1, 1]), _starts([-3, -3, 3, 3])),
    "narrow_and_wide": Trap(lambda: _modes([0.5, 0.5], [-8, 4], [0.2, 2]), _starts([-8, 4, 4, 4])),
    "one_astray": Trap(lambda: _modes([0.999, 0.001], [0, 12], [1, 0.5]), _starts([12, 0, 0, 0])),
}
"""Posteriors whose chains disagree, by name."""


@dataclass(frozen=True)
class Outcome:
    """What a run cost and what it says of itself.

    Attributes
    ----------
    bulk, tail
        Logarithms of gradients, warm-up included, per minimum ESS.
    r_hat
        The greatest R-hat.
    divergences
        Divergent draws after warm-up.
    tune
        Draws of warm-up.
    """

    bulk: float
    tail: float
    r_hat: float
    divergences: int
    tune: int


def outcome(
    compiled: Any, free: Sequence[str], options: Mapping[str, bool], seed: int, **more: Any
) -> Outcome:
    """Run four chains of 1000 draws."""
    idata = compiled.sample(
        1000,
        chains=CHAINS,
        random_seed=seed,
        nuts=dict(options),
        discard_tuned_samples=False,
        compute_convergence_checks=False,
        quiet=True,
        **more,
    )
    gradients = all_gradients(idata)
    draws = [idata["posterior"][name].values for name in free]

    def log_cost(method: Literal["bulk", "tail"]) -> float:
        least = min(float(np.min(diagnostics.ess(values, method=method))) for values in draws)
        return float(np.log(gradients / least))

    return Outcome(
        bulk=log_cost("bulk"),
        tail=log_cost("tail"),
        r_hat=max(float(np.max(diagnostics.rhat(values))) for values in draws),
        divergences=int(idata["sample_stats"]["diverging"].sum()),
        tune=idata["warmup_posterior"].sizes["draw"],
    )


def measured(model: pm.Model, seeds: int, **more: Any) -> dict[str, list[Outcome]]:
    """Run every option with every seed; by option, in the order of seeds."""
    free = [variable.name for variable in model.free_RVs]
    compiled = pymc_rustmc.compile_model(model, var_names=free)
    return {
        name: [outcome(compiled, free, options, seed, **more) for seed in range(1, seeds + 1)]
        for name, options in OPTIONS.items()
    }


def _ratio(logs: Sequence[float]) -> str:
    """Geometric mean, with the standard error of its logarithm in percent where there are several."""
    if len(logs) == 1:
        return f"{np.exp(logs[0]):.2f}"
    error = 100 * np.std(logs, ddof=1) / len(logs) ** 0.5
    return f"{np.exp(np.mean(logs)):.2f} ± {error:.0f} %"


def table(models: Sequence[str], traps: Sequence[str], seeds: int, tune: int | None = None) -> Iterator[str]:
    """Yield the lines of two Markdown tables, each as soon as it is measured.

    ``tune`` is the most that warm-up may take. The first has the cost of the default, and ratios to it, seed
    by seed; the second the R-hats of chains that get stuck.
    """
    others = [name for name in OPTIONS if name != "default"]
    ratios = [f"{name}, {kind}" for kind in ("bulk", "tail") for name in others]
    tunes = [f"warm-up, {name}" for name in ("early_stop", "both")]
    header = ["model", "default: bulk", "tail", *ratios, *tunes, "divergences"]
    if models:
        yield f"| {' | '.join(header)} |"
        yield f"|{' --- |' * len(header)}"
    logs: dict[tuple[str, str], list[float]] = {}
    for model in models:
        found = measured(BUILDERS[model](), seeds, tune=tune)
        cells = [model]
        for kind in ("bulk", "tail"):
            cells.append(number(float(np.exp(np.mean([getattr(run, kind) for run in found["default"]])))))
        for kind in ("bulk", "tail"):
            for name in others:
                pairs = zip(found[name], found["default"], strict=True)
                change = [getattr(a, kind) - getattr(b, kind) for a, b in pairs]
                logs.setdefault((name, kind), []).append(float(np.mean(change)))
                cells.append(_ratio(change))
        for name in ("early_stop", "both"):
            cells.append(f"{np.mean([run.tune for run in found[name]]):.0f}")
        totals = [np.mean([run.divergences for run in runs]) for runs in found.values()]
        cells.append(" / ".join(f"{total:.3g}" for total in totals))
        yield f"| {' | '.join(cells)} |"
    if models:
        cells = [f"geometric mean over {len(models)} models", "", ""]
        cells += [_ratio(logs[name, kind]) for kind in ("bulk", "tail") for name in others]
        yield f"| {' | '.join([*cells, '', '', ''])} |"
    if traps:
        yield f"\n| chains that get stuck | {' | '.join(f'R-hat, {name}' for name in OPTIONS)} |"
        yield f"|{' --- |' * (1 + len(OPTIONS))}"
    for trap in traps:
        runs = measured(TRAPS[trap].build(), seeds, tune=tune, initvals=TRAPS[trap].initvals)
        cells = [trap]
        for found_runs in runs.values():
            values = sorted(run.r_hat for run in found_runs)
            flagged = sum(value > 1.01 for value in values)
            spread = " ... ".join(f"{value:.2f}" for value in (values[0], np.median(values), values[-1]))
            cells.append(f"{spread}, {flagged} above 1.01")
        yield f"| {' | '.join(cells)} |"
