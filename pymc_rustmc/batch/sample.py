"""`sample_batch`: one model template, many data sets, one call."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pymc as pm
from pymc.model import modelcontext
from pymc.sampling.parallel import _cpu_count

from pymc_rustmc.arguments import check_counts, check_integer
from pymc_rustmc.batch.chunks import Chunk, Joined
from pymc_rustmc.batch.data_sets import Columns, source_of
from pymc_rustmc.batch.engine import fit_all, known_dims
from pymc_rustmc.batch.progress import BatchProgressBar
from pymc_rustmc.batch.result import BatchResult
from pymc_rustmc.batch.settings import BatchSettings, Keep, checked_keep
from pymc_rustmc.begin import kept
from pymc_rustmc.compiled import CompiledModel, compile_model
from pymc_rustmc.errors import DataSetError, warn_user
from pymc_rustmc.sample import RustMC
from pymc_rustmc.template import BoundModel

_log = logging.getLogger("pymc.rustmc")

_SHOWN = 5
"""Failures named in a warning."""

_ESS = 100
"""Least effective sample size, a chain, that goes without a message, as in PyMC."""


def sample_batch(
    model: pm.Model | CompiledModel | None,
    datasets: Any,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 2,
    cores: int | None = None,
    random_seed: Any = None,
    keep: Keep = "summary",
    var_names: Sequence[str] | None = None,
    ids: Iterable[Hashable] | None = None,
    dim: str | None = None,
    columns: Columns | None = None,
    interval: Literal["hdi", "eti"] = "hdi",
    prob: float = 0.94,
    errors: Literal["collect", "raise"] = "collect",
    progressbar: bool = True,
    quiet: bool = False,
    **nuts: Any,
) -> BatchResult:
    """Fit a model to many data sets.

    The model is translated once. Each data set is then bound, sampled and summarised in Rust, on all cores.
    Its draws depend on its data, ``random_seed`` and its position alone, and are those of a single run with
    the seeds that `BatchResult.seeds` gives.

    Parameters
    ----------
    model
        The template: a model whose `pm.Data` the data sets replace; that of the ``with`` context if None; or
        a compiled model.
    datasets
        One of: an iterable of data sets (mappings of names of `pm.Data` to values, `DataSet` with coords too,
        or pairs of an id and one of these), a generator among them, which is consumed as it is needed; a
        mapping of ids to data sets; a mapping of names to arrays that are stacked along their first axis; an
        `xarray.Dataset`, with ``dim``; a group-by of pandas or polars, with ``columns``. Data that are not
        given keep the template's values. Lengths may differ from data set to data set wherever the model
        allows it.
    draws, tune, chains
        Draws and warm-up draws a chain (``tune=None`` is the sampler's own default), and chains of each data
        set.
    cores
        How many chains run at a time; all processors by default.
    random_seed
        An integer, or anything else that ``pm.sample`` takes.
    keep
        ``"summary"`` keeps no draws, ``"draws"`` all, ``{"thin": k}`` every k-th, and a list of names the
        draws of these variables; ``{"thin": k, "var_names": names}`` both.
    var_names
        Variables of the result; all by default.
    ids
        Ids of data sets that have none; their numbers by default.
    dim
        The dim of an `xarray.Dataset` to split.
    columns
        Name of a `pm.Data` to the column, or list of columns, of a group-by, or the variable of an
        `xarray.Dataset`; equal names by default.
    interval, prob
        The interval of the summary, highest-density or equal-tailed, and its share of the draws.
    errors
        ``"collect"`` lists data sets that cannot be fitted in `BatchResult.failures` and warns; ``"raise"``
        raises the first.
    progressbar, quiet
        Whether to show a bar; whether to show nothing at all.
    **nuts
        Options of `RustMC`, such as ``target_accept``.

    Returns
    -------
    BatchResult
        After Ctrl-C, of the data sets that were fitted until then.

    Raises
    ------
    pymc_rustmc.errors.DataSetError
        If ``errors="raise"`` and a data set cannot be fitted.
    ValueError, TypeError
        If an argument is impossible, or ids are not unique.

    Examples
    --------
    >>> groups, columns = frame.groupby("sku"), {"t": "week", "y": "sales"}  # doctest: +SKIP
    >>> result = sample_batch(template, groups, columns=columns)  # doctest: +SKIP
    >>> result.summary.trend.sel(statistic="mean")  # doctest: +SKIP
    """
    sampler = RustMC(**nuts)
    bound = _bound(model, var_names)
    if sampler.rewrites:
        bound = bound.with_rewrites(sampler.rewrites)
    settings = _settings(bound, draws, tune, chains, random_seed, keep, var_names, interval, prob, sampler)
    cores = _cpu_count() if cores is None else cores
    check_integer("cores", cores, 1)
    if errors not in ("collect", "raise"):
        raise ValueError(f"`errors` must be 'collect' or 'raise', got {errors!r}.")
    description = bound.template.description
    names = [name for name, item in description.data.items() if item.length_of is None]
    source = source_of(datasets, names, known_dims(bound), ids=ids, dim=dim, columns=columns)

    fits = Joined()
    interrupted = False
    seen = _Unique()
    with BatchProgressBar(source.total, progressbar and not quiet) as bar:
        try:
            for chunk in fit_all(bound, source, settings, threads=cores):
                seen.add(chunk)
                if errors == "raise" and chunk["failures"]:
                    first = chunk["failures"][0]
                    raise DataSetError(first["id"], first["reason"])
                fits.add(chunk)
                bar.add(chunk)
        except KeyboardInterrupt:
            interrupted = True
    result = BatchResult(bound, settings, fits.take(), interrupted)
    if not quiet:
        _report(result)
    return result


def _bound(model: pm.Model | CompiledModel | None, var_names: Sequence[str] | None) -> BoundModel:
    if isinstance(model, CompiledModel):
        return model._bound
    return compile_model(modelcontext(model), var_names=var_names)._bound


def _settings(
    bound: BoundModel,
    draws: int,
    tune: int | None,
    chains: int,
    random_seed: Any,
    keep: Keep,
    var_names: Sequence[str] | None,
    interval: str,
    prob: float,
    sampler: RustMC,
) -> BatchSettings:
    """Check the arguments."""
    check_counts(draws=draws, tune=tune, chains=chains, cores=1, keep_tune=False)
    if sampler.init != "jitter" or sampler.reparametrise:
        raise ValueError("a batch starts with init='jitter', and samples the model as it is written.")
    if interval not in ("hdi", "eti"):
        raise ValueError(f"`interval` must be 'hdi' or 'eti', got {interval!r}.")
    if not 0 < prob < 1:
        raise ValueError(f"`prob` must lie between 0 and 1, got {prob!r}.")
    variables = kept(bound, bound.template.description.variables, var_names, False)
    thin, names = checked_keep(keep, list(variables))
    return BatchSettings(
        sampler=sampler.settings_of_run(draws, tune),
        chains=int(chains),
        seed=_seed(random_seed),
        variables={name: str(dtype) for name, dtype in variables.items()},
        interval=interval,
        probability=float(prob),
        thin=thin,
        kept=names,
        jitter=sampler.jitter,
        retries=sampler.jitter_max_retries,
    )


def _seed(random_seed: Any) -> int:
    """One seed below 2**63 from what ``pm.sample`` takes."""
    if isinstance(random_seed, int | np.integer) and 0 <= random_seed < 2**63:
        return int(random_seed)
    generator = pm.util.get_random_generator(random_seed)
    return int(generator.integers(2**63, dtype=np.int64, endpoint=False))


class _Unique:
    """Ids so far."""

    def __init__(self) -> None:
        self._ids: set[Hashable] = set()

    def add(self, chunk: Chunk) -> None:
        """Raise ValueError if an id came before."""
        for key in (*chunk["id"], *(failure["id"] for failure in chunk["failures"])):
            if key in self._ids:
                raise ValueError(f"two data sets have the id {key!r}; give each its own")
            self._ids.add(key)


def _report(result: BatchResult) -> None:
    """Say how it went."""
    failures = result.failures
    if result.interrupted:
        warn_user(
            f"The batch was interrupted: the result has the {len(result.ids)} data sets fitted until then."
        )
    if failures:
        some = [f"{key!r}: {reason}" for key, reason in list(failures.items())[:_SHOWN]]
        more = f" and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        warn_user(
            f"{len(failures)} data sets were not fitted ({'; '.join(some)}{more}); see result.failures."
        )
    ess = _ESS * result.settings.chains
    flagged = result.flagged(ess=ess)
    if flagged:
        _log.warning(
            f"{len(flagged)} of {len(result.ids)} data sets have R-hat above 1.01, an effective sample size "
            f"below {ess} or divergences; see result.flagged(ess={ess})."
        )
