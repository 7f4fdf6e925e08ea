"""Tables of the efficiency comparison: gradients for an effective draw, and our ratios to rivals."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

Result = dict[str, Any]
Kind = Literal["bulk", "tail"]
BySeed = dict[int, Result]

OURS = "rustmc"

RIVALS = {
    "nutpie": ("nutpie",),
    "nutpie low_rank": ("nutpie_low_rank",),
    "better of the two": ("nutpie", "nutpie_low_rank"),
    "best of the three": ("nutpie", "nutpie_low_rank", "nutpie_low_rank_400"),
    "PyMC": ("pymc",),
    "NumPyro": ("numpyro",),
}
"""What ours is held against: of several settings the one that needs fewest gradients on the model."""

UNCONVERGED = 1.05
"""R-hat above which a figure is marked: the effective sample size of such chains says little."""


def gradients_per_draw(result: Result, kind: Kind) -> float:
    """Return gradients, those of warm-up included, per minimum effective sample size."""
    return float((result["gradients"]["warmup"] + result["gradients"]["draws"]) / result["ess"][kind])


def by_model(results: Iterable[Result]) -> dict[str, dict[str, BySeed]]:
    """Return the results that have figures by model, sampler and seed."""
    grouped: dict[str, dict[str, BySeed]] = defaultdict(lambda: defaultdict(dict))
    for result in results:
        if result["status"] == "ok":
            grouped[result["model"]][result["sampler"]][result["seed"]] = result
    return grouped


def best(samplers: dict[str, BySeed], settings: Sequence[str], kind: Kind) -> BySeed:
    """Return the results of the setting with fewest gradients, by geometric mean over its seeds.

    Of settings that were not all measured none is called best, and the result is empty.
    """
    if any(name not in samplers for name in settings):
        return {}
    return min((samplers[name] for name in settings), key=lambda results: _over_seeds(results, kind))


def ratios(
    samplers: dict[str, BySeed], settings: Sequence[str], kind: Kind, warmup: bool = False
) -> dict[int, float]:
    """Return by seed how many times fewer gradients ours needs than the best setting; above 1 is better.

    With ``warmup`` the gradients of warm-up alone are compared, against the same setting.
    """
    ours, theirs = samplers.get(OURS, {}), best(samplers, settings, kind)

    def cost(result: Result) -> float:
        return float(result["gradients"]["warmup"]) if warmup else gradients_per_draw(result, kind)

    return {seed: cost(theirs[seed]) / cost(ours[seed]) for seed in ours if seed in theirs}


def figures(results: Iterable[Result]) -> str:
    """Return a Markdown table of gradients per minimum bulk and tail ESS, model by sampler."""
    grouped = by_model(results)
    names = list(dict.fromkeys(name for samplers in grouped.values() for name in samplers))
    rows = [
        [model, *(_figure(samplers[name]) if name in samplers else "" for name in names)]
        for model, samplers in grouped.items()
    ]
    return _markdown(["model", *names], rows)


def comparison(results: Iterable[Result]) -> str:
    """Return a Markdown table of what ours saves on each model, with the range over the seeds."""
    header = [
        "model",
        "bulk, nutpie",
        "bulk, better of the two",
        "bulk, best of the three",
        "tail, better of the two",
        "warm-up, better of the two",
        "divergences: rustmc",
        "nutpie",
        "low_rank",
    ]
    rows = []
    for model, samplers in by_model(results).items():
        two = RIVALS["better of the two"]
        if OURS not in samplers or not best(samplers, RIVALS["nutpie"], "bulk"):
            continue
        columns = [
            ratios(samplers, RIVALS["nutpie"], "bulk"),
            ratios(samplers, two, "bulk"),
            ratios(samplers, RIVALS["best of the three"], "bulk"),
            ratios(samplers, two, "tail"),
            ratios(samplers, two, "bulk", warmup=True),
        ]
        divergences = [_divergences(samplers.get(name, {})) for name in (OURS, *two)]
        rows.append([model, *(_mean_and_range(list(column.values())) for column in columns), *divergences])
    return _markdown(header, rows)


def summary(results: Iterable[Result]) -> str:
    """Return a Markdown table of geometric means over the models, ranges over the seeds and worst models."""
    grouped = by_model(results)
    header = ["against", "models", "bulk", "tail", "warm-up", "worst in bulk", "worst in tail"]
    rows = []
    for rival, settings in RIVALS.items():
        bulk = _over_models(grouped, settings, "bulk")
        tail = _over_models(grouped, settings, "tail")
        warmup = _over_models(grouped, settings, "bulk", warmup=True)
        if not bulk:
            continue
        means = [_mean_over_models(column) for column in (bulk, tail, warmup)]
        rows.append([rival, str(len(bulk)), *means, _worst(bulk), _worst(tail)])
    return _markdown(header, rows)


def _over_models(
    grouped: dict[str, dict[str, BySeed]], settings: Sequence[str], kind: Kind, warmup: bool = False
) -> dict[str, dict[int, float]]:
    """Return the ratios of each model that has them for as many seeds as any has."""
    found = {name: ratios(samplers, settings, kind, warmup) for name, samplers in grouped.items()}
    most = max(map(len, found.values()), default=0)
    return {name: by_seed for name, by_seed in found.items() if by_seed and len(by_seed) == most}


def converged(results: Sequence[Result]) -> list[Result]:
    """Return the results of the models on which no chains of ours or nutpie's were marked."""
    grouped = by_model(results)
    compared = (OURS, *RIVALS["best of the three"])
    good = {
        model
        for model, samplers in grouped.items()
        if not any(_marked(samplers[name]) for name in compared if name in samplers)
    }
    return [result for result in results if result["model"] in good]


def failures(results: Iterable[Result]) -> str:
    """Return a line for each case without figures, which says why."""
    return "\n".join(
        f"- {found['model']}, {found['sampler']}, seed {found['seed']}: {found['message'].splitlines()[0]}"
        for found in results
        if found["status"] != "ok"
    )


def report(results: Sequence[Result]) -> str:
    """Return all tables."""
    tables = (
        figures(results),
        comparison(results),
        f"All models:\n\n{summary(results)}",
        f"Models without \\* for rustmc and nutpie:\n\n{summary(converged(results))}",
        failures(results),
    )
    return "\n\n".join(filter(None, tables))


def _geometric_mean(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))


def _over_seeds(results: BySeed, kind: Kind) -> float:
    return _geometric_mean(gradients_per_draw(result, kind) for result in results.values())


def _figure(results: BySeed) -> str:
    mark = "\\*" if _marked(results) else ""
    return f"{number(_over_seeds(results, 'bulk'))} / {number(_over_seeds(results, 'tail'))}{mark}"


def _marked(results: BySeed) -> bool:
    return any((result["rhat"] or 1) > UNCONVERGED for result in results.values())


def _divergences(results: BySeed) -> str:
    return f"{np.mean([result['divergences'] for result in results.values()]):.0f}" if results else ""


def _mean_and_range(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean, least, most = map(number, (_geometric_mean(values), min(values), max(values)))
    return f"{mean} ({least}-{most})"


def number(value: float) -> str:
    """Return a figure with three digits, or in full above 1000."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _mean_over_models(column: dict[str, dict[int, float]]) -> str:
    """Return the geometric mean over models and seeds, and the range of the seeds' means over models."""
    by_seed = zip(*(found.values() for found in column.values()), strict=True)
    return _mean_and_range([_geometric_mean(ratios) for ratios in by_seed])


def _worst(column: dict[str, dict[int, float]]) -> str:
    means = {model: _geometric_mean(found.values()) for model, found in column.items()}
    model = min(means, key=means.__getitem__)
    return f"{model} {means[model]:.2f}"


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
