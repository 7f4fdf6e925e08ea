"""Tables from results: the figures of each sampler, and rustmc's ratios to each rival, paired by seed."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Result = dict[str, Any]

OURS = "rustmc"


def load(folder: Path) -> list[Result]:
    """Read all results of a folder, in the order in which they were taken."""
    results = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted(results, key=lambda result: result["started"])


def ess_per_second(result: Result, kind: str) -> float:
    """Return the minimum effective sample size per second of sampling alone."""
    return float(result["ess"][kind] / result["sampling_s"])


def ess_per_gradient(result: Result, with_warmup: bool) -> float:
    """Return the minimum bulk effective sample size per gradient, those of warm-up included or not."""
    gradients = result["gradients"]
    return float(result["ess"]["bulk"] / (gradients["draws"] + (gradients["warmup"] if with_warmup else 0)))


def ratios(ours: Result, theirs: Result) -> dict[str, float]:
    """Return how many times better ours is than theirs in each respect; above 1 is better."""
    with_warmup = ours["gradients"]["warmup"] is not None and theirs["gradients"]["warmup"] is not None
    return {
        "time": theirs["whole_call_s"] / ours["whole_call_s"],
        "bulk ESS/s": ess_per_second(ours, "bulk") / ess_per_second(theirs, "bulk"),
        "tail ESS/s": ess_per_second(ours, "tail") / ess_per_second(theirs, "tail"),
        "ESS/gradient": ess_per_gradient(ours, with_warmup) / ess_per_gradient(theirs, with_warmup),
    }


def figures_table(results: Iterable[Result]) -> str:
    """Return medians over the seeds for each model, cache and sampler, or why there are none."""
    columns: dict[str, Callable[[Result], float]] = {
        "call s": lambda result: result["whole_call_s"],
        "sampling s": lambda result: result["sampling_s"],
        "gradients": lambda result: (result["gradients"]["warmup"] or 0) + result["gradients"]["draws"],
        "bulk ESS": lambda result: result["ess"]["bulk"],
        "tail ESS": lambda result: result["ess"]["tail"],
        "R-hat": lambda result: result["rhat"] or np.nan,
        "divergences": lambda result: result["divergences"],
    }
    rows = [["model", "cache", "sampler", "seeds", *columns]]
    for (model, cache, sampler), cases in _grouped(results, "model", "cache", "sampler").items():
        good = [case for case in cases if case["status"] == "ok"]
        if good:
            medians = [f"{np.median([column(case) for case in good]):.4g}" for column in columns.values()]
            rows.append([model, cache, sampler, f"{len(good)}/{len(cases)}", *medians])
        for case in cases:
            if case["status"] != "ok":
                last_line = case["message"].strip().splitlines()[-1:]
                rows.append([model, cache, sampler, case["status"], *last_line])
    return aligned(rows)


def ratios_table(results: Iterable[Result]) -> str:
    """Return rustmc's ratios to each rival: geometric mean over the seeds that both ran, and the range."""
    rows: list[list[str]] = []
    for (model, cache), cases in _grouped(results, "model", "cache").items():
        by_sampler: dict[str, dict[int, Result]] = defaultdict(dict)
        for case in cases:
            if case["status"] == "ok":
                by_sampler[case["sampler"]][case["seed"]] = case
        ours = by_sampler.pop(OURS, {})
        for rival, theirs in by_sampler.items():
            pairs = [ratios(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
            if not pairs:
                continue
            if not rows:
                rows.append(["model", "cache", "against", "seeds", *pairs[0]])
            cells = [_mean_and_range([pair[name] for pair in pairs]) for name in pairs[0]]
            rows.append([model, cache, rival, str(len(pairs)), *cells])
    return aligned(rows) if rows else f"no seed that both {OURS} and a rival ran: no ratios"


def _mean_and_range(values: Sequence[float]) -> str:
    mean = np.exp(np.mean(np.log(values)))
    return f"{mean:.3g} ({min(values):.3g}-{max(values):.3g})"


def _grouped(results: Iterable[Result], *keys: str) -> dict[tuple[str, ...], list[Result]]:
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in results:
        groups[tuple(result[key] for key in keys)].append(result)
    return groups


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text with columns as wide as their cells; a row that is cut short ends in free text."""
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[i]) for row in full) for i in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
