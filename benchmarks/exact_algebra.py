"""Times log density and gradient with and without the rules of exact algebra, alternately in one process."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm

from benchmarks.models import large_regression, normal_regression, varying_intercepts
from benchmarks.report import aligned

N = 20_000


def _random() -> np.random.Generator:
    return np.random.default_rng(7)


def known_weights() -> Any:
    """Regression on two columns whose residual scales are known up to a factor."""
    random = _random()
    x, y, weights = random.normal(size=(N, 2)), random.normal(size=N), random.uniform(0.5, 2, N)
    with pm.Model() as model:
        b = pm.Normal("b", shape=2)
        pm.Normal("y", b[0] * x[:, 0] + b[1] * x[:, 1], pm.HalfNormal("s") * weights, observed=y)
    return model


def columns_far_from_zero() -> Any:
    """Regression on ten columns whose means are a million times their spread: the compensated path."""
    random = _random()
    x, y = 1e6 + random.normal(size=(N, 10)), random.normal(size=N)
    with pm.Model() as model:
        mean = pm.Normal("a") + x @ pm.Normal("b", shape=10)
        pm.Normal("y", mean, pm.HalfNormal("s"), observed=y)
    return model


def slopes_of_groups() -> Any:
    """Give 200 groups intercepts and slopes, beside four common slopes."""
    random = _random()
    x, y, group = random.normal(size=(N, 5)), random.normal(size=N), random.integers(0, 200, N)
    with pm.Model() as model:
        a, b = pm.Normal("a", shape=200), pm.Normal("b", shape=200)
        mean = a[group] + b[group] * x[:, 0] + x[:, 1:] @ pm.Normal("c", shape=4)
        pm.Normal("y", mean, pm.HalfNormal("s"), observed=y)
    return model


def scales_of_groups() -> Any:
    """Give 200 groups a mean and a scale each."""
    random = _random()
    y, group = random.normal(size=N), random.integers(0, 200, N)
    with pm.Model() as model:
        mean, scale = pm.Normal("mean", shape=200), pm.HalfNormal("scale", shape=200)
        pm.Normal("y", mean[group], scale[group], observed=y)
    return model


def poisson() -> Any:
    """Explain counts by ten continuous columns."""
    random = _random()
    x, y = random.normal(size=(N, 10)), random.poisson(3, N)
    with pm.Model() as model:
        pm.Poisson("y", pm.math.exp(pm.Normal("a") + x @ pm.Normal("b", shape=10)), observed=y)
    return model


def poisson_with_exposures() -> Any:
    """Explain counts by 200 groups, each row with an exposure of its own."""
    random = _random()
    y, group, exposure = random.poisson(3, N), random.integers(0, 200, N), random.uniform(1, 9, N)
    with pm.Model() as model:
        pm.Poisson("y", exposure * pm.math.exp(pm.Normal("a", shape=200)[group]), observed=y)
    return model


def logistic_with_factors() -> Any:
    """Explain a binary outcome by two factors with 30 and 12 levels."""
    random = _random()
    y, one, other = random.integers(0, 2, N), random.integers(0, 30, N), random.integers(0, 12, N)
    with pm.Model() as model:
        logit = pm.Normal("a", shape=30)[one] + pm.Normal("b", shape=12)[other]
        pm.Bernoulli("y", logit_p=logit, observed=y)
    return model


def negative_binomial() -> Any:
    """Overdispersed counts on ten continuous columns."""
    random = _random()
    x, y = random.normal(size=(N, 10)), random.negative_binomial(2, 0.3, N)
    with pm.Model() as model:
        eta = pm.Normal("a") + x @ pm.Normal("b", shape=10)
        pm.NegativeBinomial("y", mu=pm.math.exp(eta), alpha=pm.Exponential("alpha", 1), observed=y)
    return model


BUILDERS: dict[str, Callable[[], Any]] = {
    builder.__name__: builder
    for builder in (
        normal_regression,
        varying_intercepts,
        large_regression,
        known_weights,
        columns_far_from_zero,
        slopes_of_groups,
        scales_of_groups,
        poisson,
        poisson_with_exposures,
        logistic_with_factors,
        negative_binomial,
    )
}


def measure(build: Callable[[], Any], repeats: int) -> tuple[list[str], list[float], list[float]]:
    """Return the rules applied to a model, and seconds without and with them: of a gradient, and of binding.

    They are medians, those of binding of the processor's time.
    """
    from pymc_rustmc import compile_model
    from pymc_rustmc._core import REWRITE_RULES

    model = build()
    compiled = [compile_model(model, rewrites=on) for on in (False, True)]
    gradients: list[list[float]] = [[], []]
    binds: list[list[float]] = [[], []]
    rules: list[str] = []
    for _ in range(repeats):
        for one, gradient, bind in zip(compiled, gradients, binds, strict=True):
            explanation = one.explain()
            gradient.append(explanation.seconds)
            rules = [rule for rule in REWRITE_RULES if rule in explanation.rewrites]
            start = time.thread_time()
            one.bind()
            bind.append(time.thread_time() - start)
    medians = [[statistics.median(times) for times in both] for both in (gradients, binds)]
    return rules, medians[0], medians[1]


def table(repeats: int, builders: dict[str, Callable[[], Any]] = BUILDERS) -> str:
    """Return the table of all models."""
    rows = [["model", "rules", "plain us", "exact us", "ratio", "bind ms", "with rules ms"]]
    for name, build in builders.items():
        rules, (plain, exact), binds = measure(build, repeats)
        times = [f"{1e6 * time:.3g}" for time in (plain, exact)] + [f"{plain / exact:.3g}"]
        rows.append([name, ", ".join(rules), *times, *(f"{1e3 * bind:.1f}" for bind in binds)])
    return aligned(rows)
