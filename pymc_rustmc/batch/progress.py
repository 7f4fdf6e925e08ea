"""The bar of a batch: data sets done and failed, fits a second, time left."""

from __future__ import annotations

import logging
import time
from typing import Any

from pymc.progress_bar import CustomProgress, default_progress_theme
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pymc_rustmc.batch.chunks import Chunk

_log = logging.getLogger("pymc.rustmc")


class BatchProgressBar:
    """One bar for all data sets.

    Parameters
    ----------
    total
        How many there are, where that is known.
    show
        Whether to show anything.
    """

    def __init__(self, total: int | None, show: bool) -> None:
        self._progress = CustomProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TextColumn("{task.fields[rate]:.0f} fits/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(theme=default_progress_theme),
            disable=not show,
        )
        self._task = self._progress.add_task("Data sets", total=total, failed=0, rate=0.0)
        self._began = time.perf_counter()
        self._done = self._failed = self._skipped = 0

    def __enter__(self) -> BatchProgressBar:
        self._progress.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._progress.__exit__(*exception)

    def skip(self, done: int, failed: int) -> None:
        """Count data sets that were done before."""
        self._done, self._failed, self._skipped = done, failed, done - failed

    def add(self, chunk: Chunk) -> None:
        """Count a chunk."""
        self._done += len(chunk["id"]) + len(chunk["failures"])
        self._failed += len(chunk["failures"])
        rate = (self._done - self._failed - self._skipped) / max(time.perf_counter() - self._began, 1e-9)
        try:
            self._progress.update(self._task, completed=self._done, failed=self._failed, rate=rate)
        except Exception:  # a display that fails must not cost the results
            _log.warning("The progress bar failed.", exc_info=True)
