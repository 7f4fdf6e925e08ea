"""Predictions of each fit of a batch: draws of observed variables and Deterministics under new data."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pymc_rustmc import diagnostics
from pymc_rustmc.batch.data_sets import DataSet
from pymc_rustmc.batch.likelihood import Likelihood, likelihood_of
from pymc_rustmc.batch.result import DIM, BatchResult, id_coordinate, own_dims
from pymc_rustmc.batch.settings import one_seed
from pymc_rustmc.description import Arrays, Coords
from pymc_rustmc.errors import DataSetError, RustMCError, warn_user
from pymc_rustmc.live import LiveModel
from pymc_rustmc.template import BoundModel, Given, quoted

NewData: TypeAlias = Given | DataSet | Mapping[Hashable, Given | DataSet] | None
"""New data: the same for all data sets, or those of each by id."""


def predict(
    result: BatchResult,
    var_names: str | Sequence[str] | None,
    data: NewData,
    ids: Iterable[Hashable] | None,
    summary: bool,
    random_seed: Any,
) -> xr.Dataset:
    """Predict; as `BatchResult.predict`."""
    template, settings = result._template, result.settings
    _, draws = result._lead()
    source = template.template.source
    if not isinstance(source, LiveModel):
        raise ValueError("predictions need the PyMC model, but this batch sampled a model from a file.")
    names = _names(source, var_names)
    likelihood = likelihood_of(source, names)
    if lost := [name for name in likelihood.needs if name not in settings.kept]:
        raise ValueError(
            f"predictions of {quoted(names)} need draws of {quoted(lost)}, which were not kept: run the "
            f"batch with keep='draws', or name them in keep=[...]."
        )
    if likelihood.by_pymc:
        warn_user(
            f"PyMC predicts {quoted(likelihood.by_pymc)}, a draw at a time: no function of NumPy draws from "
            f"{'their distributions' if len(likelihood.by_pymc) > 1 else 'its distribution'}."
        )
    seed = settings.seed if random_seed is None else one_seed(random_seed)
    new = _NewData(data)
    chosen = list(ids) if ids is not None else new.ids(result.ids)
    found: list[dict[str, NDArray[Any]]] = []
    coords: list[Coords] = []
    for key, fit in zip(chosen, result._kept_fits([result._index(key) for key in chosen]), strict=True):
        try:
            arrays, sure, labels = _data_of(template, likelihood, fit.data, new.of(key))
            values = {
                name: fit.values[name].reshape(-1, *fit.values[name].shape[2:]) for name in likelihood.needs
            }
            observations = template.template.description.observations
            shapes = {name: (observations[name].of(arrays).shape, name in sure) for name in likelihood.drawn}
            drawn = likelihood.draw(
                result.settings.chains * draws, values, arrays, shapes, (seed, fit.position)
            )
        except (RustMCError, ValueError) as error:
            raise DataSetError(key, str(error)) from error
        by_chain = {
            name: drawn[name].reshape(settings.chains, draws, *drawn[name].shape[1:]) for name in names
        }
        if summary:
            by_chain = {
                name: _summary(array, settings.interval, settings.probability)
                for name, array in by_chain.items()
            }
        found.append(by_chain)
        coords.append(labels)
    known: dict[str, Any] = {DIM: id_coordinate(chosen)}
    if summary:
        known["statistic"] = [name for name in settings.statistics if name in ("mean", "sd", "median")]
        known["statistic"] += [name for name in settings.statistics if name.endswith(("_lb", "_ub"))]
    else:
        known |= result._draw_coords()
    return _dataset(template, names, found, coords, known, lead=() if summary else ("chain", "draw"))


class _NewData:
    """New data of each data set."""

    def __init__(self, data: NewData) -> None:
        self._by_id: Mapping[Hashable, Given | DataSet] | None = None
        self._all: Given | DataSet = {}
        if isinstance(data, DataSet) or data is None:
            self._all = data or {}
        elif not isinstance(data, Mapping):
            raise TypeError(
                "`data` must be a mapping of names to values or a DataSet, for all data sets, or a mapping "
                f"of ids to these, got {type(data).__name__}."
            )
        elif data and all(isinstance(value, Mapping | DataSet) for value in data.values()):
            self._by_id = cast("Mapping[Hashable, Given | DataSet]", data)
        else:
            self._all = cast("Given", data)

    def ids(self, all_ids: list[Hashable]) -> list[Hashable]:
        """Ids for which there are new data."""
        return all_ids if self._by_id is None else list(self._by_id)

    def of(self, key: Hashable) -> DataSet:
        """Return new data of a data set."""
        given = self._all if self._by_id is None else self._by_id.get(key, {})
        return given if isinstance(given, DataSet) else DataSet(given)


def _names(source: LiveModel, var_names: str | Sequence[str] | None) -> list[str]:
    model = source.model
    observed = [rv.name for rv in model.observed_RVs]
    known = [*observed, *(variable.name for variable in model.deterministics)]
    if var_names is None:
        if not observed:
            raise ValueError("the model has no observed variable; name Deterministics in var_names.")
        return observed
    names = [var_names] if isinstance(var_names, str) else list(var_names)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"`var_names` names {quoted(unknown)}; observed variables and Deterministics are {quoted(known)}."
        )
    return names


def _data_of(
    template: BoundModel, likelihood: Likelihood, own: DataSet, new: DataSet
) -> tuple[Arrays, set[str], Coords]:
    """All data, the observed variables whose shapes are those of their values, and coordinate values."""
    description = template.template.description
    arrays = template.template.complete(template.data, own.data, own.coords)
    coords = template.template.fit_coords(arrays, template.coords, own.coords)
    given = dict(new.data)
    lengths = _lengths(template, new)
    for name, item in description.data.items():
        # Old observations have the old lengths; where only their shape matters, they may have any.
        if item.observed and name not in given and name not in likelihood.reads and item.dims:
            axes = zip(arrays[name].shape, item.dims, strict=False)
            shape = tuple(lengths.get(dim, length) if dim else length for length, dim in axes)
            if shape != arrays[name].shape:
                given[name] = np.ones(shape, dtype=arrays[name].dtype)
    sure = {
        name
        for name, observation in description.observations.items()
        if not (new.data or new.coords) or observation.data in given
    }
    arrays = template.template.complete(arrays, given, new.coords)
    return arrays, sure, template.template.fit_coords(arrays, coords, new.coords)


def _lengths(template: BoundModel, new: DataSet) -> dict[str, int]:
    """Lengths of dims that new data imply."""
    lengths = {dim: len(values) for dim, values in new.coords.items()}
    for name, value in new.data.items():
        item = template.template.description.data.get(name)
        if item is not None:
            pairs = zip(item.dims, np.shape(value), strict=False)
            lengths.update((dim, length) for dim, length in pairs if dim is not None)
    return lengths


def _summary(draws: NDArray[Any], interval: str, probability: float) -> NDArray[np.float64]:
    """Mean, sd, median and bounds of the interval, ``(*shape, 5)``."""
    values = draws.astype(np.float64, copy=False)
    bounds = (diagnostics.hdi if interval == "hdi" else diagnostics.eti)(values, prob=probability)
    axes = (0, 1)
    parts = [values.mean(axes), values.std(axes, ddof=1), np.median(values, axis=axes)]
    return np.concatenate([np.stack(parts, axis=-1), bounds], axis=-1)


def _dataset(
    template: BoundModel,
    names: Sequence[str],
    found: Sequence[Mapping[str, NDArray[Any]]],
    coords: Sequence[Coords],
    known: dict[str, Any],
    lead: tuple[str, ...],
) -> xr.Dataset:
    """Arrays of each fit, ``(*lead, *shape, *rest)``, as a dataset."""
    variables = {}
    for name in names:
        parts = [values[name] for values in found]
        array = _stacked(parts)
        rest = () if lead else ("statistic",)
        own = own_dims(template, name, array.ndim - 1 - len(lead) - len(rest))
        variables[name] = ((DIM, *lead, *own, *rest), array)
        for dim, length in zip(own, array.shape[1 + len(lead) :], strict=False):
            values = [labels.get(dim) for labels in coords]
            first = values[0] if values else None
            if first is None or len(first) != length:
                continue
            if all(other is not None and np.array_equal(other, first) for other in values):
                known[dim] = first
    return xr.Dataset(variables, coords=known)


def _stacked(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays along a new first axis; NaN in gaps."""
    if not parts:
        return np.zeros((0,))
    shapes = {part.shape for part in parts}
    if len(shapes) == 1:
        return np.stack(parts)
    whole = np.full((len(parts), *np.max(list(shapes), axis=0)), np.nan)
    for row, part in zip(whole, parts, strict=True):
        row[tuple(map(slice, part.shape))] = part
    return whole
