"""Times a gradient on one core and on two, by turns: what threads without a chain save the one that has it.

A busy machine lends the second core for moments only, so the least of many short turns counts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.report import aligned
from benchmarks.scaling import logistic

TURNS = 400
"""How often one core and two take turns."""

SLICE = 0.002
"""Seconds that a turn is to take on one core: less than a busy machine gives to a thread at once."""


def varying_intercepts(rows: int, groups: int) -> Any:
    """Return a logistic regression on two covariates with an intercept of each group."""
    import pymc as pm

    rng = np.random.default_rng(1)
    group = np.sort(rng.integers(groups, size=rows))
    x = rng.normal(size=(rows, 2))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=2)
        intercept = pm.Normal("intercept", 0, pm.HalfNormal("scale", 1), shape=groups)
        eta = x @ beta + intercept[group]
        pm.Bernoulli("y", logit_p=eta, observed=(rng.random(rows) < 0.5).astype(float))
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "logistic regression, 100 000 rows of 10 columns": lambda: logistic(100_000, 10),
    "logistic regression, 100 000 rows of 100 columns": lambda: logistic(100_000, 100),
    "varying intercepts, 100 000 rows in 1000 groups": lambda: varying_intercepts(100_000, 1000),
}
"""What is measured, by name."""


def measure(name: str) -> dict[str, float]:
    """Return the least seconds of an evaluation on one core and on two, and how often two were faster."""
    from pymc_rustmc.compiled import compile_model

    model = MODELS[name]()
    bound = compile_model(model)._bound
    position = bound.position(model.initial_point())

    def seconds(cores: int, repeats: int) -> float:
        return bound.density.time_gradient(position, repeats, cores) / repeats

    repeats = max(1, round(SLICE / min(seconds(1, 1) for _ in range(5))))
    turns = np.array([(seconds(1, repeats), seconds(2, repeats)) for _ in range(TURNS)])
    one, two = turns.min(axis=0).tolist()
    return {"one": one, "two": two, "faster": float(np.mean(turns[:, 1] < turns[:, 0]))}


def report() -> str:
    """Return the table of all models: milliseconds on one core and on two, and their ratio."""
    rows = [["model", "one core ms", "two cores ms", "ratio", "turns won by two"]]
    for name in MODELS:
        found = measure(name)
        rows.append(
            [
                name,
                f"{1e3 * found['one']:.3g}",
                f"{1e3 * found['two']:.3g}",
                f"{found['one'] / found['two']:.2f}",
                f"{found['faster']:.0%}",
            ]
        )
    return aligned(rows)
