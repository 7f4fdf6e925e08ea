"""The bar of a batch: data sets done and failed, fits a second, time left."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pymc_rustmc.batch.chunks import Chunk
from pymc_rustmc.progress import Line


class BatchProgressBar(Line):
    """One bar for all data sets.

    Parameters
    ----------
    total
        How many there are, where that is known.
    show
        Whether to show anything.
    """

    def __init__(self, total: int | None, show: bool) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TextColumn("{task.fields[rate]:.0f} fits/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            label="Data sets",
            total=total,
            show=show,
            failed=0,
            rate=0.0,
        )
        self._began = time.perf_counter()
        self._done = self._failed = self._skipped = 0

    def skip(self, done: int, failed: int) -> None:
        """Count data sets that were done before."""
        self._done, self._failed, self._skipped = done, failed, done - failed

    def add(self, chunk: Chunk) -> None:
        """Count a chunk."""
        self._done += len(chunk["id"]) + len(chunk["failures"])
        self._failed += len(chunk["failures"])
        rate = (self._done - self._failed - self._skipped) / max(time.perf_counter() - self._began, 1e-9)
        self._update(completed=self._done, failed=self._failed, rate=rate)
