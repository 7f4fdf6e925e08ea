"""Times one evaluation of log density and gradient, ours against nutpie's compiled function.

Both are called in tight loops without Python, by turns in one process; compilation is timed apart. Each model
is measured in a process of its own and leaves a JSON.
"""

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.case import one_thread_environment
from benchmarks.efficiency import BUILDERS, version
from benchmarks.report import aligned

Position = NDArray[np.float64]

ROUNDS = 101
"""How often ours and theirs take turns at a position."""

SLICE = 0.0005
"""Seconds that one turn is to take: less than what a busy machine gives to one process."""

GOALS = {
    **dict.fromkeys(("micro_normal", "micro_regression", "micro_hierarchical", "micro_gp"), 5.0),
    **dict.fromkeys(("sparse_logistic", "latent_gp"), 4.0),
    **dict.fromkeys(("garch", "arma", "hmm"), 10.0),
}
"""How many times faster than nutpie's an evaluation is to be; 1 for all others."""


@dataclass(frozen=True)
class Timing:
    """What an evaluation takes at the position of one seed.

    Attributes
    ----------
    seed
        Of the position.
    ours, theirs
        Seconds, the least of all turns.
    ratio
        How many times faster ours is: the median over pairs of turns, which a busy machine slows alike.
    """

    seed: int
    ours: float
    theirs: float
    ratio: float


def position_of(start: Position, seed: int, is_usable: Callable[[Position], bool]) -> Position:
    """Return the starting point, moved by up to 1 in each entry, by less where that leads out."""
    move = np.random.default_rng(seed).uniform(-1, 1, len(start))
    for _ in range(20):
        if is_usable(start + move):
            return np.asarray(start + move)
        move /= 2
    return start


def nutpies_loop(compiled: Any) -> Callable[[Position, int], tuple[float, Position, int]]:
    """Return a compiled loop over nutpie's function: gives log density, gradient and status at a position."""
    import numba

    pointer = ctypes.c_void_p
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, pointer, pointer, pointer, pointer)
    function = signature(compiled.compiled_logp_func.address)
    data = compiled.user_data.ctypes.data

    @numba.njit  # type: ignore[untyped-decorator]
    def loop(position: Any, gradient: Any, logp: Any, data: Any, repeats: int) -> int:
        status = 0
        for _ in range(repeats):
            status |= function(
                position.size, position.ctypes.data, gradient.ctypes.data, logp.ctypes.data, data
            )
        return status

    def evaluate(position: Position, repeats: int) -> tuple[float, Position, int]:
        gradient, logp = np.empty_like(position), np.empty(1)
        status = loop(position, gradient, logp, data, repeats)
        return float(logp[0]), gradient, status

    return evaluate


def compare(seed: int, run: Callable[[int], float], other: Callable[[int], float]) -> Timing:
    """Time two functions by turns; they return the seconds of a number of repeats."""
    repeats = np.array([_repeats(run), _repeats(other)])
    rounds = np.array([(run(repeats[0]), other(repeats[1])) for _ in range(ROUNDS)]) / repeats
    ours, theirs = rounds.min(axis=0).tolist()
    return Timing(seed, ours, theirs, float(np.median(rounds[:, 1] / rounds[:, 0])))


def _repeats(run: Callable[[int], float]) -> int:
    repeats = 1
    while (seconds := run(repeats)) < SLICE / 4:
        repeats *= 2
    return max(1, round(repeats * SLICE / seconds))


def measure(name: str, seeds: int) -> dict[str, Any]:
    """Compile a model both ways in this process, check that they agree and time both.

    Parameters
    ----------
    name
        Of the model in `BUILDERS`.
    seeds
        How many positions.

    Returns
    -------
    dict
        The result, as in the JSON; times in seconds.
    """
    import nutpie

    from pymc_rustmc.compiled import compile_model

    model = BUILDERS[name]()
    began = time.perf_counter()
    bound = compile_model(model)._bound
    translated = time.perf_counter() - began
    theirs = nutpie.compile_pymc_model(model)
    evaluate = nutpies_loop(theirs)
    start = bound.position(model.initial_point())
    evaluate(start, 1)
    compiled = time.perf_counter() - began - translated

    def is_usable(position: Position) -> bool:
        return evaluate(position, 1)[2] == 0

    timings = []
    for seed in range(1, seeds + 1):
        position = position_of(start, seed, is_usable)
        check_agreement(bound.density.logp_and_gradient(position), evaluate(position, 1))

        def ours_at(repeats: int, position: Position = position) -> float:
            return bound.density.time_gradient(position, repeats)

        def theirs_at(repeats: int, position: Position = position) -> float:
            begun = time.perf_counter()
            evaluate(position, repeats)
            return time.perf_counter() - begun

        timings.append(compare(seed, ours_at, theirs_at))
    return {
        "model": name,
        "status": "ok",
        "dim": bound.density.dim,
        "translate_s": translated,
        "nutpie_compile_s": compiled,
        "versions": {package: version(package) for package in ("pymc_rustmc", "nutpie")},
        "timings": [vars(timing) for timing in timings],
    }


def check_agreement(ours: tuple[float, Position], theirs: tuple[float, Position, int]) -> None:
    """Raise an error if log densities or gradients are not the same up to rounding."""
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-4, atol=1e-6 * np.max(np.abs(theirs[1])))


def run(names: Iterable[str], seeds: int, folder: Path, timeout: float) -> list[dict[str, Any]]:
    """Measure models, each in a fresh process, and return the results; each is written to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for name in names:
        command = [sys.executable, "-m", "benchmarks.gradient", name, str(seeds)]
        try:
            done = subprocess.run(
                command, env=one_thread_environment(), capture_output=True, text=True, timeout=timeout
            )
            failure = (done.stderr.strip().splitlines() or ["died"])[-1]
        except subprocess.TimeoutExpired:
            done, failure = None, f"not done after {timeout:g} s"
        if done is not None and done.returncode == 0:
            result = json.loads(done.stdout.splitlines()[-1])
        else:
            result = {"model": name, "status": "failed", "message": failure}
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(table([result]).splitlines()[-1], file=sys.stderr, flush=True)
        results.append(result)
    return results


def load(names: Iterable[str], folder: Path) -> list[dict[str, Any]]:
    """Read the results of models that were taken before."""
    paths = (folder / f"{name}.json" for name in names)
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return medians over the seeds in microseconds, the ratio with its range, and the goal."""
    rows = [["model", "parameters", "ours us", "nutpie us", "times faster", "goal"]]
    for result in results:
        if result["status"] != "ok":
            rows.append([result["model"], f"{result['status']}: {result['message']}"])
            continue
        timings = [Timing(**timing) for timing in result["timings"]]
        ratios = [timing.ratio for timing in timings]
        goal = GOALS.get(result["model"], 1.0)
        mean = float(np.exp(np.mean(np.log(ratios))))
        rows.append(
            [
                result["model"],
                str(result["dim"]),
                f"{1e6 * np.median([timing.ours for timing in timings]):.3g}",
                f"{1e6 * np.median([timing.theirs for timing in timings]):.3g}",
                f"{mean:.3g} ({min(ratios):.3g}-{max(ratios):.3g})",
                f"{goal:g}" if mean >= goal else f"{goal:g}, missed",
            ]
        )
    return aligned(rows)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
