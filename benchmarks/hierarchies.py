"""Cost of hierarchical models: centred, non-centred, and with the options for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm

import pymc_rustmc
from benchmarks.measure import all_gradients, statistics
from benchmarks.report import aligned
from pymc_rustmc.groups import non_centred

FORMS: Mapping[str, tuple[bool, dict[str, bool]]] = {
    "centred": (True, {"reparametrise": False}),
    "non-centred": (False, {}),
    "reparametrise": (True, {"reparametrise": True}),
    "marginalise": (True, {"marginalise": True}),
}
"""Whether the model is written centred, and the options."""


def group(name: str, mu: Any, s: Any, centred: bool, shape: int) -> Any:
    """Make x ~ Normal(mu, s), written in one form or the other."""
    if centred:
        return pm.Normal(name, mu, s, shape=shape)
    return pm.Deterministic(name, mu + s * pm.Normal(f"{name}_raw", shape=shape))


def funnel(centred: bool) -> None:
    """Neal's funnel, whose v is Normal(0, 3)."""
    v = pm.Normal("v", 0, 3)
    group("x", 0, pm.math.exp(v / 2), centred, 9)


def schools(centred: bool) -> None:
    """Eight schools."""
    theta = group("theta", pm.Normal("mu", 0, 5), pm.HalfCauchy("tau", 5), centred, 8)
    error = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]
    pm.Normal("y", theta, error, observed=[28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])


def intercepts(centred: bool, sizes: list[int], spread: float, noise: float) -> None:
    """Varying intercepts, with groups of these sizes."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(len(sizes)), sizes)
    y = 2 + spread * rng.normal(size=len(sizes))[of] + noise * rng.normal(size=of.size)
    alpha = group("alpha", pm.Normal("mu", 0, 10), pm.HalfNormal("tau", 2), centred, len(sizes))
    pm.Normal("y", alpha[of], pm.HalfNormal("sigma", 2), observed=y)


def slopes(centred: bool) -> None:
    """Varying intercepts and slopes: 20 groups of 8 data."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(20), 8)
    t = rng.normal(size=160)
    a, b = 2 + 0.5 * rng.normal(size=20), -1 + 0.5 * rng.normal(size=20)
    alpha = group("alpha", pm.Normal("mu_a", 0, 10), pm.HalfNormal("tau_a", 2), centred, 20)
    beta = group("beta", pm.Normal("mu_b", 0, 10), pm.HalfNormal("tau_b", 2), centred, 20)
    y = a[of] + b[of] * t + rng.normal(size=160)
    pm.Normal("y", alpha[of] + beta[of] * t, pm.HalfNormal("sigma", 2), observed=y)


def nested(centred: bool) -> None:
    """40 countries of 4 data in 8 regions, whose means have a mean."""
    rng = np.random.default_rng(0)
    region, country = np.repeat(np.arange(8), 5), np.repeat(np.arange(40), 4)
    y = 1 + (rng.normal(size=8)[region] + 0.3 * rng.normal(size=40))[country] + rng.normal(size=160)
    regions = group("regions", pm.Normal("mu", 0, 10), pm.HalfNormal("s1", 2), centred, 8)
    countries = group("countries", regions[region], pm.HalfNormal("s2", 2), centred, 40)
    pm.Normal("y", countries[country], pm.HalfNormal("sigma", 2), observed=y)


def crossed(centred: bool) -> None:
    """600 data of 60 groups crossed with 12 items."""
    rng = np.random.default_rng(3)
    of, item = rng.integers(0, 60, 600), rng.integers(0, 12, 600)
    y = 1 + rng.normal(size=60)[of] + 0.5 * rng.normal(size=12)[item] + rng.normal(size=600)
    groups = group("groups", pm.Normal("mu", 0, 10), pm.HalfNormal("s1", 2), centred, 60)
    items = group("items", 0, pm.HalfNormal("s2", 2), centred, 12)
    pm.Normal("y", groups[of] + items[item], pm.HalfNormal("sigma", 2), observed=y)


def poisson(centred: bool) -> None:
    """Poisson counts of 30 groups, with a covariate of the groups."""
    rng = np.random.default_rng(1)
    u = rng.normal(size=30)
    y = rng.poisson(np.exp(0.2 + 0.5 * u + 0.6 * rng.normal(size=30)), size=(4, 30))
    mean = pm.Normal("a", 0, 2) + pm.Normal("b", 0, 2) * u
    alpha = group("alpha", mean, pm.HalfNormal("tau", 1), centred, 30)
    pm.Poisson("y", pm.math.exp(alpha), observed=y)


def horseshoe(centred: bool) -> None:
    """Regression on 15 covariates, of which 3 count, with a scale for each coefficient."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 15))
    scale = pm.HalfCauchy("tau", 0.3) * pm.HalfStudentT("lam", nu=3, sigma=1, shape=15)
    beta = group("beta", 0, scale, centred, 15)
    y = x[:, :3] @ [2, -1.5, 1] + rng.normal(size=60)
    pm.Normal("y", pm.math.dot(x, beta), pm.HalfNormal("sigma", 2), observed=y)


MODELS: Mapping[str, Callable[[bool], None]] = {
    "funnel": funnel,
    "eight schools": schools,
    "2 data a group": lambda centred: intercepts(centred, [2] * 20, 0.5, 1.5),
    "100 data a group": lambda centred: intercepts(centred, [100] * 20, 1, 1),
    "1 or 150 data a group": lambda centred: intercepts(centred, [1] * 10 + [150] * 10, 1, 1),
    "200 groups of 2 data": lambda centred: intercepts(centred, [2] * 200, 0.5, 1.5),
    "intercepts and slopes": slopes,
    "nested groups": nested,
    "crossed groups": crossed,
    "counts": poisson,
    "horseshoe": horseshoe,
}


def build(name: str, centred: bool) -> pm.Model:
    """Build a model of `MODELS`."""
    with pm.Model() as built:
        MODELS[name](centred)
    return built


@dataclass(frozen=True)
class Cost:
    """What runs of one model in one form cost: geometric means over seeds, and all divergences.

    Attributes
    ----------
    bulk, tail
        Gradients, warm-up and pilot included, per bulk and tail effective sample of the worst element.
    divergences
        Divergent draws after warm-up.
    gradient
        Seconds that a gradient takes, the least of several measurements.
    """

    bulk: float
    tail: float
    divergences: int
    gradient: float

    @property
    def microseconds(self) -> float:
        """Time of the gradients per bulk effective sample."""
        return 1e6 * self.bulk * self.gradient


def cost(name: str, form: str, seeds: int, draws: int = 1000) -> Cost:
    """Measure one model in one form, with 4 chains."""
    centred, options = FORMS[form]
    compiled = pymc_rustmc.compile_model(build(name, centred))
    logs, divergences = [], 0
    for seed in range(1, seeds + 1):
        idata = compiled.sample(
            draws,
            tune=400,
            chains=4,
            random_seed=seed,
            nuts=options,
            discard_tuned_samples=False,
            compute_convergence_checks=False,
            quiet=True,
        )
        gradients = all_gradients(idata)
        names = [name for name in idata["posterior"].data_vars if not name.endswith("_raw")]
        found = statistics(idata, names)
        logs.append([np.log(gradients / found["ess"][kind]) for kind in ("bulk", "tail")])
        divergences += found["divergences"]
    bulk, tail = np.exp(np.mean(logs, axis=0))
    return Cost(float(bulk), float(tail), divergences, _gradient_seconds(build(name, centred), options))


def _gradient_seconds(model: pm.Model, options: Mapping[str, bool]) -> float:
    """Time a gradient at the starting point, a hundred at a time."""
    bound = pymc_rustmc.compile_model(model, marginalise=options.get("marginalise", False))._bound
    if options.get("reparametrise"):
        forms = non_centred(bound.template.groups, bound.shapes)
        bound = bound.reparametrised.with_forms({name: np.ones_like(form) for name, form in forms.items()})
    position = bound.sampled(bound.position(model.initial_point()))
    return min(bound.density.time_gradient(position, 100) for _ in range(100)) / 100


def table(seeds: int) -> str:
    """Measure all models in all forms; return a table."""
    figures = ("bulk", "tail", "divergences", "us")
    rows = [["model", *(f"{form}: {what}" for form in FORMS for what in figures)]]
    for name in MODELS:
        costs = [cost(name, form, seeds) for form in FORMS]
        shown = (
            (f"{c.bulk:.1f}", f"{c.tail:.1f}", str(c.divergences), f"{c.microseconds:.2f}") for c in costs
        )
        rows.append([name, *(figure for row in shown for figure in row)])
    return aligned(rows)
