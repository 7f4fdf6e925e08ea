"""Progress: PyMC's own progress bars, fed by the counters of a run."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from pymc.progress_bar import CustomProgress, default_progress_theme
from pymc.progress_bar.progress import ProgressBarManager
from pymc.progress_bar.rich_progress import RichProgressBackend
from rich.console import Console
from rich.progress import ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

if TYPE_CHECKING:
    from pymc_rustmc._core import ChainProgress, Run

_log = logging.getLogger("pymc.rustmc")

_CAN_RESIZE = "total" in inspect.signature(RichProgressBackend.update).parameters
"""Whether a bar becomes shorter when warm-up ends early: not with PyMC 5, where it then jumps at its end."""

_POLL = 0.05
"""Seconds between two looks at the counters; also the longest wait for a pending Ctrl-C."""


class RunProgressBar(ProgressBarManager):  # type: ignore[misc]
    """PyMC's progress bar over the chains of one run.

    Parameters
    ----------
    chains, draws, tune
        Number of chains, and of draws and warm-up draws of each.
    progressbar, progressbar_theme
        As in ``pm.sample``: on or off, or one of ``"combined"``, ``"split"``, ``"combined+stats"``,
        ``"split+stats"``; theme of the bars.

    Raises
    ------
    ValueError
        If ``progressbar`` is none of these.
    """

    step_name = "Draw"

    def __init__(
        self, chains: int, draws: int, tune: int, progressbar: bool | str, progressbar_theme: Any = None
    ) -> None:
        super().__init__(chains, progressbar, progressbar_theme)
        self._bar_chains = chains if self.combined_progress else 1
        self._draws = draws
        self._tune = tune
        self._finished = [0] * chains

    def __enter__(self) -> RunProgressBar:
        columns = [
            TextColumn("{task.fields[divergences]}", table_column=Column("Divergences", ratio=1)),
            TextColumn("{task.fields[step_size]:0.3f}", table_column=Column("Step size", ratio=1)),
            TextColumn("{task.fields[tree_size]}", table_column=Column("Grad evals", ratio=1)),
        ]
        fields = {name: [0] * self.n_bars for name in ("draw", "divergences", "step_size", "tree_size")}
        # Where warm-up ends: drawn as a gap in the bar by PyMC 6, unknown to PyMC 5.
        fields["marker_pos"] = [self._tune * self._bar_chains] * self.n_bars
        total = (self._tune + self._draws) * self._bar_chains
        self._backend = self._create_backend(total, columns, fields)
        super().__enter__()
        return self

    def update(self, chains: Sequence[ChainProgress]) -> None:
        """Show the counters of all chains."""
        if not self._show_progress:
            return
        if self.combined_progress:
            self._update_bar(0, chains, sum(self._finished))
        else:
            for index, chain in enumerate(chains):
                if chain["started"]:
                    self._update_bar(index, [chain], self._finished[index])
        self._finished = [chain["finished_draws"] for chain in chains]

    def _update_bar(self, bar: int, chains: Sequence[ChainProgress], before: int) -> None:
        finished = sum(chain["finished_draws"] for chain in chains)
        if finished == before:
            return
        divergences = sum(chain["divergences"] for chain in chains)
        stats = {
            "divergences": divergences,
            "step_size": sum(chain["step_size"] for chain in chains) / len(chains),
            "tree_size": max(chain["tree_size"] for chain in chains),
        }
        total = sum(chain["total_draws"] for chain in chains)
        tune = total - self._draws * len(chains)
        draw = finished if finished <= tune else finished - tune
        shown = {"draw": draw, "marker_pos": tune, **(stats if self.full_stats else {})}
        self._backend.update(
            task_id=bar,
            advance=finished - before,
            failing=divergences > 0,
            stats=shown,
            is_last=finished >= total,
            **({"total": total} if _CAN_RESIZE else {}),
        )


class Line:
    """One line that shows how far something has come, while it lasts.

    A display that fails is logged, and costs no results.

    Parameters
    ----------
    *columns
        What the line consists of.
    label
        What is done.
    total
        Steps to its end, where that is known.
    show
        Whether to show anything.
    **fields
        What the columns show besides, at first.
    """

    def __init__(
        self, *columns: ProgressColumn, label: str, total: int | None, show: bool, **fields: Any
    ) -> None:
        console = Console(theme=default_progress_theme)
        self._progress = CustomProgress(*columns, console=console, disable=not show)
        self._task = self._progress.add_task(label, total=total, **fields)

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.__exit__(*exception)

    def _update(self, **fields: Any) -> None:
        try:
            self._progress.update(self._task, **fields)
        except Exception:
            _log.warning("The progress bar failed.", exc_info=True)


class ClimbProgress(Line):
    """One line that shows how far a climb has come, while it lasts.

    Parameters
    ----------
    label
        What is climbed for.
    progressbar
        Whether to show anything.
    """

    def __init__(self, label: str, progressbar: bool) -> None:
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("evaluations = {task.fields[evaluations]}, logp = {task.fields[logp]:.6g}"),
            label=label,
            total=None,
            show=progressbar,
            evaluations=0,
            logp=float("nan"),
        )

    def show(self, evaluations: int, logp: float) -> None:
        """Show these numbers."""
        self._update(evaluations=evaluations, logp=logp)


def watch(run: Run, bar: RunProgressBar, patience: float = 0.0) -> bool:
    """Show the run's progress until it ends; a Ctrl-C ends it early.

    Parameters
    ----------
    run
        What to watch.
    bar
        Where to show it.
    patience
        Seconds before anything is shown; nothing ever of a run that is done by then.

    Returns
    -------
    bool
        Whether the run was interrupted. Its chains have ended in any case.
    """
    shown_from = time.monotonic() + patience
    try:
        while time.monotonic() < shown_from:
            if run.wait(_POLL):
                return False
        with bar:
            while not run.wait(_POLL):
                _update(bar, run)
            _update(bar, run)
    except KeyboardInterrupt:
        _stop(run)
        return True
    except BaseException:
        _stop(run)
        raise
    return False


def _stop(run: Run) -> None:
    run.abort()
    while not run.wait(_POLL):
        pass


def _update(bar: RunProgressBar, run: Run) -> None:
    try:
        bar.update(run.progress())
    except Exception:  # a display that fails must not cost the draws
        bar._show_progress = False
        _log.warning("The progress bar failed and is switched off.", exc_info=True)
