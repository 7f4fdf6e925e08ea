"""`sample_batch`: one model template, many data sets, one call."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import pymc as pm
from pymc.model import modelcontext

from pymc_rustmc.arguments import check_counts, check_integer
from pymc_rustmc.batch.chunks import Chunk, Joined
from pymc_rustmc.batch.cluster import check_client, fit_on
from pymc_rustmc.batch.data_sets import Columns, source_of
from pymc_rustmc.batch.engine import fit_all, known_dims
from pymc_rustmc.batch.progress import BatchProgressBar
from pymc_rustmc.batch.result import BatchResult
from pymc_rustmc.batch.settings import BatchSettings, Keep, checked_keep, one_seed
from pymc_rustmc.batch.store import BatchStore, settings_in
from pymc_rustmc.batch.stored_result import StoredBatchResult
from pymc_rustmc.batch.warm_start import pilot_size, with_pilot
from pymc_rustmc.begin import kept
from pymc_rustmc.compiled import CompiledModel, compile_model
from pymc_rustmc.errors import DataSetError, warn_user
from pymc_rustmc.marginal import check_marginalised, value_names
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
    store: str | os.PathLike[str] | None = None,
    resume: bool = False,
    client: Any = None,
    warm_start: bool | int = False,
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
        How many chains run at a time; all processors by default. With ``client``, how many in each of the
        tasks that its workers run side by side; 1 by default.
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
    store
        A directory in which fits are written while the batch runs, as Zarr arrays that xarray reads; the
        result then reads from there. Needs the extra ``pymc_rustmc[store]``.
    resume
        Continue the run whose fits are in ``store``, if there are any: with the same template, arguments and
        data sets, the fits are those of a run that was never stopped. ``random_seed=None`` then is the
        seed of that run.
    client
        A `dask.distributed.Client`, whose workers then do the work; the fits are the same. Needs the extra
        ``pymc_rustmc[dask]`` here and on the workers.
    warm_start
        Number of data sets, the first ones, that a pilot fits before all others, or True for 8. All data sets
        then begin with its metric and step size in place of a search for them, if their parameters have the
        same shapes; see `BatchResult.warm_start`, and ``docs/batch.md`` for when it pays.
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
    ImportError
        If zarr or dask is needed and missing.
    pymc_rustmc.errors.StoreError
        If the store cannot be continued, or is there and is not to be; the text says what differs.
    pymc_rustmc.errors.SaveError
        If there is a ``client``, and the model cannot be sent to its workers.
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
    if sampler.marginalise is not None:
        bound = bound.with_marginalised(value_names(bound.template.description, sampler.marginalise))
        check_marginalised(bound, sampler.marginalise)
    if resume and store is None:
        raise TypeError("`resume=True` continues the run in a store: give its path as `store`.")
    stored = settings_in(store) if resume and store is not None else None
    if random_seed is None and stored is not None:
        random_seed = stored.seed
    pilot = pilot_size(warm_start)
    settings = _settings(bound, draws, tune, chains, random_seed, keep, var_names, interval, prob, sampler)
    if cores is None:
        cores = _processors() if client is None else 1
    check_integer("cores", cores, 1)
    if errors not in ("collect", "raise"):
        raise ValueError(f"`errors` must be 'collect' or 'raise', got {errors!r}.")
    if client is not None:
        check_client(client)
    description = bound.template.description
    names = [name for name, item in description.data.items() if item.length_of is None]
    source = source_of(datasets, names, known_dims(bound), ids=ids, dim=dim, columns=columns)
    if pilot and stored is not None and stored.warm_start and stored.warm_start["data_sets"] == pilot:
        settings = replace(settings, warm_start=stored.warm_start)
    elif pilot:
        source, settings = with_pilot(
            bound, source, settings, pilot, cores if client is None else _processors()
        )
    writer = None if store is None else BatchStore(store, bound, settings, resume=resume)

    held = Joined()
    interrupted = False
    seen = _Unique()
    with BatchProgressBar(source.total, progressbar and not quiet) as bar:
        try:
            if writer is not None:
                bar.skip(writer.next, writer.failed)
                writer.skip(source, seen.add)
            first, idle = (0, None) if writer is None else (writer.next, writer.tick)
            if client is None:
                fits = fit_all(bound, source, settings, threads=cores, first=first, idle=idle)
            else:
                fits = fit_on(client, bound, source, settings, threads=cores, first=first, idle=idle)
            for chunk in fits:
                seen.add_all(chunk)
                if errors == "raise" and chunk["failures"]:
                    failure = chunk["failures"][0]
                    raise DataSetError(failure["id"], failure["reason"])
                if writer is None:
                    held.add(chunk)
                else:
                    writer.add(chunk)
                bar.add(chunk)
            if writer is not None:
                writer.commit(complete=True)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if writer is not None:
                writer.close()
    if writer is None:
        result = BatchResult(bound, settings, held.take(), interrupted)
    else:
        result = StoredBatchResult(bound, settings, writer.path, interrupted)
    if not quiet:
        _report(result)
    return result


def _processors() -> int:
    """Count the processors that this process may use, hyper-threads too: a batch has work for each."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    if sampler.init != "jitter" or sampler.reparametrise is True:
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
        seed=one_seed(random_seed),
        variables={name: str(dtype) for name, dtype in variables.items()},
        interval=interval,
        probability=float(prob),
        thin=thin,
        kept=names,
        jitter=sampler.jitter,
        retries=sampler.jitter_max_retries,
    )


class _Unique:
    """Ids so far."""

    def __init__(self) -> None:
        self._ids: set[Hashable] = set()

    def add(self, key: Hashable) -> None:
        """Raise ValueError if an id came before."""
        if key in self._ids:
            raise ValueError(f"two data sets have the id {key!r}; give each its own")
        self._ids.add(key)

    def add_all(self, chunk: Chunk) -> None:
        """Raise ValueError if an id of a chunk came before."""
        for key in (*chunk["id"], *(failure["id"] for failure in chunk["failures"])):
            self.add(key)


def _report(result: BatchResult) -> None:
    """Say how it went."""
    failures = result.failures
    if result.interrupted:
        more = "; resume=True goes on with the others" if isinstance(result, StoredBatchResult) else ""
        warn_user(
            f"The batch was interrupted: the result has the {len(result.ids)} data sets fitted until "
            f"then{more}."
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
