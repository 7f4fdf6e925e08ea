"""Times translation and binding over the catalogue of the tests, beyond what PyMC itself needs."""

import gc
import importlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.case import ROOT
from benchmarks.report import aligned

LIMIT = 0.150
"""Seconds beyond PyMC's own work that 95 % of the catalogue must stay under."""


@dataclass(frozen=True)
class Timing:
    """Seconds that one entry takes, medians over the repeats.

    Attributes
    ----------
    name
        Of the entry.
    pymc
        ``model.logp()`` and ``rewrite_pregrad``: what every sampler of PyMC's models needs.
    translate
        `translate_model` without that.
    bind
        `Template.bind`.
    nodes
        Nodes of the template.
    """

    name: str
    pymc: float
    translate: float
    bind: float
    nodes: int

    @property
    def ours(self) -> float:
        """Seconds beyond PyMC's own work."""
        return self.translate + self.bind


def catalogue() -> dict[str, Any]:
    """Return the entries of the tests' catalogue by name."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.append(str(ROOT / "tests"))
    entries = importlib.import_module("catalogue").CATALOGUE
    return {name: entry for name, entry in entries.items() if not entry.refused}


def time_entry(name: str, entry: Any, repeats: int) -> Timing:
    """Time an entry, in a process in which others ran before; each repeat has a newly built model."""
    runs = [_run(entry) for _ in range(repeats)]
    pymc, whole, bind = (statistics.median(column) for column in list(zip(*runs, strict=True))[:3])
    return Timing(name, pymc, whole - pymc, bind, runs[0][3])


def _run(entry: Any) -> tuple[float, float, float, int]:
    """Return the seconds of PyMC's own work, of `translate_model` and of `Template.bind`, and the nodes."""
    from pymc.pytensorf import rewrite_pregrad
    from pytensor.graph.fg import FunctionGraph

    from pymc_rustmc.compile import translate_model
    from pymc_rustmc.interpreted import no_compiler
    from pymc_rustmc.starts import start_functions

    def pymcs_own() -> None:
        with no_compiler():
            rewrite_pregrad(FunctionGraph(outputs=[model.logp()], clone=True, copy_inputs=False))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyMC, about experimental and outdated parts of it
        model = entry.model()
        start = start_functions(model, None, 1, jitter=False)[0](0)
        shapes = {variable: value.shape for variable, value in start.items()}
        with _garbage_kept():  # as it is in `pm.sample`
            pymc, _ = _timed(pymcs_own)
            whole, template = _timed(lambda: translate_model(model))
            bind, _ = _timed(lambda: template.bind(shapes=shapes))
    return pymc, whole, bind, len(template.graph)


@contextmanager
def _garbage_kept() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()  # nothing here waits or has threads, and the machine may be shared
    result = work()
    return time.process_time() - start, result


def table(timings: Sequence[Timing], shown: int) -> str:
    """Return the slowest entries and the share under the limit, times in milliseconds."""
    slowest = sorted(timings, key=lambda timing: timing.ours, reverse=True)
    rows = [["entry", "PyMC ms", "translate ms", "bind ms", "ours ms", "ours / all", "nodes"]]
    rows += [_row(timing) for timing in slowest[:shown]]
    ours = [timing.ours for timing in timings]
    under = sum(seconds < LIMIT for seconds in ours) / len(ours)
    whole = sum(timing.pymc + timing.ours for timing in timings)
    summary = (
        f"{len(ours)} entries: median {1000 * statistics.median(ours):.1f} ms, "
        f"{sum(ours) / whole:.0%} of PyMC's own work and ours together; "
        f"{under:.1%} under {1000 * LIMIT:.0f} ms beyond PyMC's own work"
    )
    return f"{aligned(rows)}\n\n{summary}"


def _row(timing: Timing) -> list[str]:
    seconds = (timing.pymc, timing.translate, timing.bind, timing.ours)
    share = timing.ours / (timing.pymc + timing.ours)
    return [timing.name, *(f"{1000 * value:.1f}" for value in seconds), f"{share:.0%}", str(timing.nodes)]


def report(repeats: int, shown: int) -> str:
    """Time the whole catalogue and return the table; an entry that fails is named with its error."""
    entries = catalogue()
    time_entry("warming up", entries["Normal, likelihood"], 1)
    timings, failures = [], []
    for name, entry in entries.items():
        try:
            timings.append(time_entry(name, entry, repeats))
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0]}")
    return "\n".join([table(timings, shown), *failures])
