"""Progress bars in every form, and Ctrl-C."""

import os
import signal
import threading
import time

import numpy as np
import pymc as pm
import pymc.progress_bar.progress as progress
import pytest
from rich.theme import Theme

from pymc_rustmc import progress as progress_of_rustmc
from pymc_rustmc.progress import RunProgressBar, watch

_ENDLESS = 1_000_000
"""Draws that take far longer than any test waits."""

_FORMS = [True, "combined", "split", "combined+stats", "stats+combined", "split+stats", "stats+split"]


def _chain(finished, total=150, started=True, divergences=0):
    return {
        "started": started,
        "finished_draws": finished,
        "total_draws": total,
        "divergences": divergences,
        "tuning": finished < 50,
        "step_size": 0.25,
        "tree_size": 7,
        "runtime_s": 0.1,
    }


class _Run:
    """A run that has made so many draws of 150 a chain at each look."""

    def __init__(self, *looks):
        self.looks = list(looks)
        self.aborted = False

    def wait(self, timeout):
        return len(self.looks) == 1

    def progress(self):
        finished = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return [_chain(n, started=n > 0) for n in finished]


@pytest.mark.parametrize("form", _FORMS)
def test_bars_end_full(form):
    bar = RunProgressBar(2, 100, 50, form)
    assert not watch(_Run([10, 0], [60, 20], [150, 70], [150, 150]), bar)
    tasks = bar._backend._progress.tasks
    assert len(tasks) == (1 if "combined" in str(form) else 2)
    for task in tasks:
        assert task.completed == task.total == 150 * (2 // len(tasks))
        assert task.fields["draw"] == task.total - 50 * (2 // len(tasks))
        assert task.fields["step_size"] == (0 if form in ("combined", "split") else 0.25)


@pytest.mark.parametrize("form", _FORMS)
def test_bars_end_full_where_warmup_ends_early(form):
    class Shortened(_Run):
        def progress(self):
            total = 150 if len(self.looks) > 2 else 120
            return [{**chain, "total_draws": total} for chain in super().progress()]

    bar = RunProgressBar(2, 100, 50, form)
    assert not watch(Shortened([10, 0], [15, 20], [60, 20], [120, 120]), bar)
    tasks = bar._backend._progress.tasks
    for task in tasks:
        assert task.completed == task.total
        assert task.fields["draw"] == 100 * (2 // len(tasks))
        if progress_of_rustmc._CAN_RESIZE:
            assert task.total == 120 * (2 // len(tasks))
            assert task.fields["marker_pos"] == 20 * (2 // len(tasks))


@pytest.fixture
def backends(monkeypatch):
    """Terminal bars that PyMC has made, by their arguments."""
    made = []

    class Recorded(progress.RichProgressBackend):
        def __init__(self, **arguments):
            made.append(arguments)
            super().__init__(**arguments)

    monkeypatch.setattr(progress, "RichProgressBackend", Recorded)
    return made


@pytest.mark.parametrize("form", _FORMS)
def test_forms_through_pymc(normal_model, rust_sample, form, backends):
    with normal_model:
        rust_sample(progressbar=form, quiet=False, progressbar_theme=(theme := Theme()))
    (bar,) = backends
    combined = "combined" in str(form)
    assert (bar["combined"], bar["full_stats"]) == (combined, form is True or "stats" in form)
    assert (bar["n_bars"], bar["total"]) == ((1, 100) if combined else (2, 50))
    assert bar["theme"] is theme


@pytest.mark.parametrize("silent", [{"quiet": True, "progressbar": "split"}, {"progressbar": False}], ids=str)
def test_no_bar(normal_model, rust_sample, silent, backends):
    with normal_model:
        rust_sample(**{"quiet": False, **silent})
    assert backends == []


def test_divergences_colour_the_bar():
    bar = RunProgressBar(1, 100, 50, True)
    with bar:
        bar.update([_chain(20)])
        assert not bar._backend._progress.tasks[0].fields["failing"]
        bar.update([_chain(60, divergences=2)])
        task = bar._backend._progress.tasks[0]
        assert task.fields["failing"]
        assert (task.fields["divergences"], task.fields["draw"]) == (2, 10)


def test_a_broken_display_does_not_cost_the_draws(caplog):
    bar = RunProgressBar(1, 100, 50, True)
    bar._update_bar = lambda *args: 1 / 0
    assert not watch(_Run([10], [20], [150]), bar)
    assert [record.getMessage() for record in caplog.records] == [
        "The progress bar failed and is switched off."
    ]


@pytest.fixture
def interrupt(monkeypatch):
    """Press Ctrl-C as soon as the counters satisfy a condition; gives the times of it and of the end."""
    times = {}

    def when(ready):
        def interrupted_watch(run, bar):
            monkeypatch.setattr("pymc_rustmc.sample.watch", watch)

            def press():
                time.sleep(0.1)  # until the main thread watches the run
                while not ready(run.progress()):
                    time.sleep(0.002)
                times["pressed"] = time.perf_counter()
                os.kill(os.getpid(), signal.SIGINT)

            threading.Thread(target=press, daemon=True).start()
            try:
                return watch(run, bar)
            finally:
                times["stopped"] = time.perf_counter()

        monkeypatch.setattr("pymc_rustmc.sample.watch", interrupted_watch)
        return times

    return when


def _all_past(draws):
    return lambda chains: all(chain["finished_draws"] > draws for chain in chains)


def _level_past(draws, tune):
    """Chains of like length: else fewer chains at a greater length have more draws, and are what is kept."""

    def ready(chains):
        drawn = [chain["finished_draws"] - tune for chain in chains]
        return min(drawn) > draws and min(drawn) > 0.85 * max(drawn)

    return ready


@pytest.fixture(scope="module")
def slow_model():
    """A draw takes some 50 microseconds or more."""
    with pm.Model() as model:
        pm.StudentT("y", nu=4, mu=pm.Normal("mu"), sigma=1, observed=np.linspace(-3, 3, 20_000))
    return model


def test_ctrl_c_returns_the_draws_so_far(slow_model, rust_sample, interrupt):
    interrupt(_level_past(10, tune=50))
    with slow_model, pytest.warns(UserWarning, match=r"interrupted.* of 3 of 3 chains") as warned:
        idata = rust_sample(draws=_ENDLESS, tune=50, chains=3, cores=3, quiet=False, progressbar=False)
    assert warned[0].filename == __file__
    assert idata.posterior.sizes["chain"] == 3
    assert 10 <= idata.posterior.sizes["draw"] < _ENDLESS
    assert idata.sample_stats.sizes["draw"] == idata.posterior.sizes["draw"]
    with slow_model:
        whole = rust_sample(draws=10, tune=50, chains=3)
    np.testing.assert_array_equal(idata.posterior["mu"][:, :10], whole.posterior["mu"])


def test_ctrl_c_stops_within_a_fifth_of_a_second(slow_model, rust_sample, interrupt):
    delays = []
    for _ in range(3):  # the fastest of three: another process may hold the processors meanwhile
        times = interrupt(_all_past(60))
        with slow_model, pytest.warns(UserWarning, match="interrupted"):
            rust_sample(draws=_ENDLESS, tune=50, chains=2, cores=2, quiet=False, progressbar=False)
        delays.append(times["stopped"] - times["pressed"])
    assert min(delays) < 0.2, delays


def test_ctrl_c_keeps_the_chains_that_have_draws(slow_model, rust_sample, interrupt):
    """As PyMC: chains and a common length that give most draws; half a chain outlasts a Ctrl-C by far."""
    interrupt(lambda chains: chains[1]["finished_draws"] > 5)
    with slow_model, pytest.warns(UserWarning, match=r"has 30000 of 30000 draws of 1 of 3 chains"):
        idata = rust_sample(draws=30_000, chains=3, cores=1, quiet=False, progressbar=False)
    assert dict(idata.posterior.sizes) == {"chain": 1, "draw": 30_000}


def test_ctrl_c_during_warmup(slow_model, rust_sample, interrupt):
    interrupt(_all_past(5))
    with slow_model, pytest.raises(KeyboardInterrupt, match="there are no draws"):
        rust_sample(draws=10, tune=_ENDLESS, cores=2)


def test_ctrl_c_during_kept_warmup(slow_model, rust_sample, interrupt, groups):
    interrupt(_all_past(5))
    with slow_model, pytest.warns(UserWarning, match="has 0 of 10 draws of [12] of 2 chains"):
        idata = rust_sample(
            draws=10, tune=_ENDLESS, cores=2, discard_tuned_samples=False, quiet=False, progressbar=False
        )
    assert "posterior" not in groups(idata)
    assert idata.warmup_posterior.sizes["draw"] == idata.warmup_posterior.attrs["tuning_steps"] > 5
