"""Results: draws and statistics of a run as PyMC's InferenceData (PyMC 5) or DataTree (PyMC 6).

PyMC's own converter does the work, so that groups, dims, coords, dtypes and attributes are its own;
`_Trace` shows it the arrays of a run as it would see a ``MultiTrace``, and `_Model` the names and data of a
bound model, which may come from a file, as it would see a ``Model``.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from pymc.backends.arviz import dict_to_dataset
from pymc.stats.log_density import compute_log_likelihood, compute_log_prior
from pytensor.tensor import constant

from pymc_rustmc._core import __version__
from pymc_rustmc.live import LiveModel
from pymc_rustmc.template import ModelData

# The first dataset of a process makes xarray and ArviZ import what they need (up to 0.1 s with
# `sparse` installed, and 0.3 s more where the disk is cold); better here than after sampling.
dict_to_dataset({"x": np.zeros((1, 1))})

_STAT_DTYPES = {
    "lp": np.float64,
    "energy": np.float64,
    "diverging": np.bool_,
    "divergences": np.int64,
    "tree_depth": np.int64,
    "n_steps": np.float64,
    "acceptance_rate": np.float64,
    "step_size": np.float64,
    "step_size_bar": np.float64,
    "energy_error": np.float64,
    "max_energy_error": np.float64,
    "index_in_trajectory": np.int64,
    "reached_max_treedepth": np.bool_,
    "draw_time": np.float64,
}
"""Statistics in the result, with the dtypes that PyMC's NUTS gives them."""

SAMPLE_STATS = tuple(_STAT_DTYPES)
"""Names of these statistics."""

_STAT_NAMES = {"draw_time": "perf_counter_diff"}
"""Statistics that PyMC knows by another name."""

_CONVERTER_KEYS = frozenset({"log_likelihood", "log_prior", "coords", "dims", "include_transformed"})
_IDATA_KEYS = _CONVERTER_KEYS | {"attrs"}


@dataclass(frozen=True)
class Draws:
    """What one run gives back.

    Parameters
    ----------
    values
        Draws of every variable, shape ``(chains, n, *shape)``; warm-up first.
    stats
        Sampler statistics, each of shape ``(chains, n)``.
    warmup
        How many of the ``n`` draws are warm-up.
    tune
        How many warm-up draws were made, kept or not.
    seconds
        Wall time of sampling, warm-up included.
    settings
        Settings of the sampler, as JSON.
    attrs
        Attributes that say more of where the draws come from.
    """

    values: Mapping[str, NDArray[Any]]
    stats: Mapping[str, NDArray[Any]]
    warmup: int
    tune: int
    seconds: float
    settings: str
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chains(self) -> int:
        """Number of chains."""
        return len(self.stats["lp"])

    @property
    def draws(self) -> int:
        """Number of draws of each chain after warm-up."""
        return len(self.stats["lp"][0]) - self.warmup


def check_idata_kwargs(idata_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of ``idata_kwargs``.

    Raises
    ------
    TypeError
        If a key is none that ``pm.sample(idata_kwargs=...)`` understands.
    """
    unknown = sorted(set(idata_kwargs or ()) - _IDATA_KEYS)
    if unknown:
        raise TypeError(
            f"Unknown keys in `idata_kwargs`: {', '.join(unknown)}. "
            f"Accepted keys: {', '.join(sorted(_IDATA_KEYS))}."
        )
    return dict(idata_kwargs or {})


def to_inference_data(draws: Draws, data: ModelData, idata_kwargs: Mapping[str, Any]) -> Any:
    """Convert the draws of a model to ``arviz.InferenceData`` (PyMC 5) or ``xarray.DataTree`` (PyMC 6).

    Parameters
    ----------
    draws
        Draws and statistics of all chains.
    data
        The model that they are from, with its data.
    idata_kwargs
        ``log_likelihood``, ``log_prior``, ``coords``, ``dims`` and ``include_transformed`` as in
        ``pm.to_inference_data``; ``attrs`` is a mapping of attributes of the whole result, or of
        group names to attributes of that group.
    """
    options = {key: value for key, value in idata_kwargs.items() if key in _CONVERTER_KEYS}
    densities = {key: options.pop(key) for key in _COMPUTE if options.get(key)}
    idata = pm.to_inference_data(
        _Trace.of(draws), model=_Model.of(data), save_warmup=draws.warmup > 0, **options
    )
    for key, names in densities.items():
        idata = _COMPUTE[key](
            idata,
            var_names=None if names is True else names,
            extend_inferencedata=True,
            model=_pymc_model(data),
            progressbar=False,
        )
    _set_attributes(idata, draws, idata_kwargs.get("attrs", {}))
    return idata


_COMPUTE = {"log_likelihood": compute_log_likelihood, "log_prior": compute_log_prior}
"""Pointwise densities that a result may get in addition, by the key that asks for them."""


def check_densities(data: ModelData, idata_kwargs: Mapping[str, Any]) -> None:
    """Raise ValueError if pointwise densities are asked for and cannot be computed afterwards."""
    if any(idata_kwargs.get(key) for key in _COMPUTE):
        _pymc_model(data)


def _pymc_model(data: ModelData) -> pm.Model:
    """Return the PyMC model, if it holds the same data."""
    source = data.template.source
    if isinstance(source, LiveModel) and source.has_current(data.data):
        return source.model
    raise ValueError(
        "`log_likelihood` and `log_prior` in `idata_kwargs` need the PyMC model with the data that were "
        "bound. Set these in the model with `pm.set_data`, and call "
        "`pm.compute_log_likelihood(idata, model=model)`."
    )


def _set_attributes(idata: Any, draws: Draws, user_attrs: Mapping[str, Any]) -> None:
    library = {"inference_library": "pymc_rustmc", "inference_library_version": __version__}
    for group in ("posterior", "sample_stats", "warmup_posterior", "warmup_sample_stats"):
        if hasattr(idata, group):
            idata[group].attrs.update({**library, **draws.attrs})
            if group.endswith("sample_stats"):
                idata[group].attrs["inference_library_settings"] = draws.settings
    for key, value in user_attrs.items():
        if isinstance(value, Mapping):
            idata[key].attrs.update(value)
        else:
            idata.attrs[key] = value


def add_group(idata: Any, name: str, dataset: xr.Dataset) -> None:
    """Add a group to a result, on either PyMC."""
    if isinstance(idata, xr.DataTree):
        idata[name] = xr.DataTree(dataset=dataset)
    else:
        idata.add_groups({name: dataset})


class _Trace:
    """The part of PyMC's ``MultiTrace`` that its converter reads, over arrays of all chains."""

    def __init__(
        self,
        values: Mapping[str, NDArray[Any]],
        stats: Mapping[str, NDArray[Any]],
        length: int,
        chains: int,
        report: types.SimpleNamespace,
    ) -> None:
        self._values = values
        self._stats = stats
        self._length = length
        self.nchains = chains
        self.report = report
        self.varnames = list(values)
        self.stat_names = list(stats)

    @classmethod
    def of(cls, draws: Draws) -> _Trace:
        stats: dict[str, NDArray[Any]] = {
            _STAT_NAMES.get(name, name): draws.stats[name].astype(dtype, copy=False)
            for name, dtype in _STAT_DTYPES.items()
            if name in draws.stats
        }
        report = types.SimpleNamespace(n_draws=draws.draws, n_tune=draws.tune, t_sampling=draws.seconds)
        return cls(draws.values, stats, draws.warmup + draws.draws, draws.chains, report)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, draws: slice) -> _Trace:
        return _Trace(
            {name: value[:, draws] for name, value in self._values.items()},
            {name: value[:, draws] for name, value in self._stats.items()},
            len(range(*draws.indices(self._length))),
            self.nchains,
            self.report,
        )

    def get_values(self, name: str, combine: bool, squeeze: bool) -> _Uncopied:
        """Draws of one variable, ``(chains, draws, *shape)``."""
        return _Uncopied(self._values[name])

    def get_sampler_stats(self, name: str, combine: bool, squeeze: bool) -> _Uncopied:
        """One statistic, ``(chains, draws)``."""
        return _Uncopied(self._stats[name])


@dataclass(frozen=True, eq=False)
class _Uncopied:
    """An array that ``np.array``, which PyMC's converter calls, does not copy: the trace is ours alone."""

    array: NDArray[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.array if dtype is None else self.array.astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class _Data:
    """A variable of which PyMC's converter reads the name and the value."""

    name: str
    data: NDArray[Any] | None = None


@dataclass(frozen=True)
class _Model:
    """The part of PyMC's ``Model`` that its converter reads."""

    coords: Mapping[str, NDArray[Any]]
    named_vars_to_dims: Mapping[str, Sequence[str | None]]
    observed_RVs: Sequence[_Data]
    rvs_to_values: Mapping[_Data, Any]
    data_vars: Sequence[_Data]
    basic_RVs: Sequence[Any] = ()
    deterministics: Sequence[Any] = ()
    potentials: Sequence[Any] = ()

    @classmethod
    def of(cls, data: ModelData) -> _Model:
        values = {_Data(name): constant(value) for name, value in data.observed_data().items()}
        return cls(
            coords=data.coords,
            named_vars_to_dims=data.template.description.dims,
            observed_RVs=list(values),
            rvs_to_values=values,
            data_vars=[_Data(name, value) for name, value in data.constant_data().items()],
        )
