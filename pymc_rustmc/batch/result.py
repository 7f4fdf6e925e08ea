"""What a batch gives back."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pymc_rustmc._core import chain_seeds
from pymc_rustmc.batch.chunks import Chunk, Joined, filled
from pymc_rustmc.batch.data_sets import DataSet
from pymc_rustmc.batch.settings import BatchSettings
from pymc_rustmc.inference_data import SAMPLE_STATS, Draws, to_inference_data
from pymc_rustmc.template import BoundModel

if TYPE_CHECKING:
    from pymc_rustmc.batch.predict import NewData

DIM = "dataset"
"""Dim of data sets in results."""


@dataclass(frozen=True)
class KeptFit:
    """Draws of one data set that were kept.

    Parameters
    ----------
    position
        Number of the data set in the order in which they came.
    values
        Draws by variable, ``(chains, draws, *shape)``.
    stats
        Statistics of these draws, ``(chains, draws)``.
    seconds
        From data to summary.
    tune
        Draws of warm-up.
    data
        The data set.
    """

    position: int
    values: Mapping[str, NDArray[Any]]
    stats: Mapping[str, NDArray[Any]]
    seconds: float
    tune: int
    data: DataSet


class BatchResult:
    """The fits of many data sets; made by `sample_batch`.

    Parameters
    ----------
    template
        The model, bound to the values that data sets may leave out.
    settings
        What was done with each data set.
    chunks
        Finished fits.
    interrupted
        Whether the run was stopped before all data sets were fitted.
    """

    def __init__(
        self,
        template: BoundModel,
        settings: BatchSettings,
        chunks: Iterable[Chunk],
        interrupted: bool = False,
    ) -> None:
        self.settings = settings
        self.interrupted = interrupted
        self._template = template
        joined = Joined()
        for chunk in chunks:
            joined.add(chunk)
        self._fits = joined.all()

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        stopped = ", interrupted" if self.interrupted else ""
        return f"BatchResult({len(self.ids)} data sets{failed}{stopped}; keep={self._kept()})"

    def _kept(self) -> str:
        if not self.settings.kept:
            return "summary"
        thin = f", every {self.settings.thin}th" if self.settings.thin > 1 else ""
        return f"draws of {', '.join(self.settings.kept)}{thin}"

    @property
    def ids(self) -> list[Hashable]:
        """Ids of the data sets that were fitted, in the order in which they came."""
        return [] if self._fits is None else list(self._fits["id"])

    @property
    def failures(self) -> dict[Hashable, str]:
        """Id of each data set that was not fitted, and why."""
        failures = [] if self._fits is None else self._fits["failures"]
        return {failure["id"]: failure["reason"] for failure in failures}

    @cached_property
    def summary(self) -> xr.Dataset:
        """Statistics of every variable: dims ``dataset``, those of the variable, ``statistic``.

        The statistics are mean, sd, median, bounds of the interval, Monte Carlo standard errors of mean and
        sd, bulk and tail effective sample size and R-hat (NaN for a single chain). Where shapes differ from
        data set to data set, the shorter ones are filled with NaN.
        """
        fits = self._some()
        values = {
            name: (self._filled(name, fits["summary"][name], ()), ["statistic"])
            for name in self.settings.variables
        }
        dataset = self._dataset(values, {"statistic": self.settings.statistics})
        return dataset.assign_attrs(self._attributes())

    @cached_property
    def stats(self) -> xr.Dataset:
        """What the chains tell of themselves after warm-up, dims ``dataset`` and ``chain``.

        Number of divergences and of trajectories cut off at the greatest depth, mean tree depth, leapfrog
        steps and acceptance statistic, step size, BFMI, gradients (of warm-up too), draws of warm-up, and
        seconds (with warm-up); and by data set the seconds from its data to its summary, ``total_seconds``.
        """
        fits = self._some()
        values: dict[str, tuple[NDArray[Any], Sequence[str]]]
        values = {name: (array, ["chain"]) for name, array in fits["chains"].items()}
        values["total_seconds"] = (fits["seconds"], [])
        return self._dataset(values, {"chain": np.arange(self.settings.chains)})

    @cached_property
    def posterior(self) -> xr.Dataset:
        """Draws that were kept: dims ``dataset``, ``chain``, ``draw``, those of the variable.

        Raises
        ------
        ValueError
            If none were; the text says what to do.
        """
        fits, lead = self._some(), self._lead()
        values: dict[str, tuple[NDArray[Any], Sequence[str]]] = {}
        for name in self.settings.kept:
            filled = self._filled(name, fits["draws"][name], lead).astype(
                self.settings.dtype(name), copy=False
            )
            values[name] = (filled, [])
        return self._dataset(values, self._draw_coords(), lead=("chain", "draw"))

    @cached_property
    def sample_stats(self) -> xr.Dataset:
        """Statistics of the draws that were kept, dims ``dataset``, ``chain``, ``draw``; as `posterior`."""
        fits = self._some()
        self._lead()
        values = {name: (fits["sample_stats"][name], ["chain", "draw"]) for name in SAMPLE_STATS}
        return self._dataset(values, self._draw_coords())

    def seeds(self, id: Hashable) -> list[int]:
        """Seeds of the chains of a data set.

        ``compiled.bind(data).sample(random_seed=result.seeds(id), chains=..., draws=..., tune=...)`` gives
        the same draws, bit for bit.
        """
        return chain_seeds(self.settings.seed, self._position(id), self.settings.chains)

    def warm_start(self, id: Hashable) -> dict[str, Any]:
        """Return the options of `RustMC` that a fit had from the pilot of ``warm_start``, if there was one.

        ``compiled.bind(data).sample(random_seed=result.seeds(id), nuts=result.warm_start(id), ...)`` gives
        the same draws, bit for bit. Data sets whose parameters have other shapes than those of the pilot, and
        so began with an ordinary warm-up, have none.
        """
        was_warm = bool(self.stats.warm_start[self._index(id), 0])
        return dict(self.settings.warm_start["options"]) if was_warm and self.settings.warm_start else {}

    def idata(self, id: Hashable) -> Any:
        """Return what ``pm.sample`` would have returned for a data set, of the draws that were kept.

        Raises
        ------
        KeyError
            If there is no such data set, or it failed; the text says why.
        ValueError
            If no draws were kept.
        """
        (fit,) = self._kept_fits([self._index(id)])
        drawn = Draws(
            values=fit.values,
            stats=fit.stats,
            warmup=0,
            tune=fit.tune,
            seconds=fit.seconds,
            settings=(self.warm_start(id) and self.settings.warm_sampler) or self.settings.sampler,
        )
        return to_inference_data(drawn, self._template.bind(fit.data.data, fit.data.coords), {})

    def _kept_fits(self, indices: Iterable[int]) -> Iterator[KeptFit]:
        """Draws of some fits, by their numbers among the fits."""
        fits = self._some()
        chains, draws = self._lead()
        sizes = {name: fits["shapes"][name].prod(1) for name in self.settings.kept}
        ends = {name: sizes[name].cumsum() for name in sizes}
        for index in indices:
            values = {}
            for name in self.settings.kept:
                end, size = int(ends[name][index]), int(sizes[name][index])
                part = fits["draws"][name][(end - size) * chains * draws : end * chains * draws]
                shape = tuple(fits["shapes"][name][index].tolist())
                dtype = self.settings.dtype(name)
                values[name] = part.reshape(chains, draws, *shape).astype(dtype, copy=False)
            yield KeptFit(
                position=int(fits["position"][index]),
                values=values,
                stats={name: array[index] for name, array in fits["sample_stats"].items()},
                seconds=float(fits["seconds"][index]),
                tune=int(fits["chains"]["tune"][index].min()),
                data=fits["given"][index] or DataSet({}),
            )

    def predict(
        self,
        var_names: str | Sequence[str] | None = None,
        data: NewData = None,
        *,
        ids: Iterable[Hashable] | None = None,
        summary: bool = False,
        random_seed: Any = None,
    ) -> xr.Dataset:
        """Draw observed variables, or evaluate Deterministics, of each fit under new data.

        Parameters
        ----------
        var_names
            Observed variables and Deterministics; all observed variables by default.
        data
            New values by the name of ``pm.Data``, or a `DataSet` with coords too, for all data sets; or a
            mapping of ids to these. What is not given is that of the data set. Where observed values are not
            given, predictions have the lengths that the other data imply. By default, the data of each fit:
            a posterior predictive check.
        ids
            The data sets; by default those that new data are given for, or all.
        summary
            Give mean, sd, median and the interval of the batch's summary in place of draws, which then need
            memory for one data set at a time.
        random_seed
            As ``pm.sample`` takes; by default, that of the batch. A data set's draws depend on it, the data
            and the position of the data set.

        Returns
        -------
        xarray.Dataset
            Dims ``dataset``, ``chain``, ``draw`` and those of the variable, or ``dataset``, those of the
            variable and ``statistic``. Shorter ones are filled with NaN.

        Raises
        ------
        ValueError
            If draws that are needed were not kept, the batch sampled a model from a file, or a name is
            unknown.
        KeyError
            If there is no such data set.
        pymc_rustmc.errors.DataSetError
            If new data do not fit; the text names the data set.
        """
        from pymc_rustmc.batch.predict import predict  # which needs this module

        return predict(self, var_names, data, ids, summary, random_seed)

    def flagged(self, *, r_hat: float = 1.01, ess: float = 400, divergences: int = 0) -> dict[Hashable, str]:
        """List the data sets whose fits need a look, and why.

        Parameters
        ----------
        r_hat
            Greatest R-hat that is good; without effect for a single chain, which has none.
        ess
            Least bulk and tail effective sample size that is good.
        divergences
            Number of divergences that is tolerated.

        Returns
        -------
        dict
            Id to reasons, such as ``"r_hat 1.03 of beta, 7 divergences"``.
        """
        if self._fits is None:
            return {}
        fits, statistics = self._fits, self.settings.statistics
        reasons: dict[int, list[str]] = {}
        for name in self.settings.variables:
            sizes = fits["shapes"][name].prod(1)
            rows = fits["summary"][name]
            for statistic, sign, bound in (("r_hat", 1, r_hat), ("ess_bulk", -1, ess), ("ess_tail", -1, ess)):
                worst = sign * greatest(sign * rows[:, statistics.index(statistic)], sizes)
                for index in np.flatnonzero(sign * worst > sign * bound):
                    text = f"{worst[index]:.3f}" if statistic == "r_hat" else f"{worst[index]:.0f}"
                    reasons.setdefault(int(index), []).append(f"{statistic} {text} of {name}")
        total = fits["chains"]["divergences"].sum(1)
        for index in np.flatnonzero(total > divergences):
            reasons.setdefault(int(index), []).append(f"{total[index]} divergences")
        return {fits["id"][index]: ", ".join(reasons[index]) for index in sorted(reasons)}

    @cached_property
    def _indices(self) -> Mapping[Hashable, int]:
        return {key: index for index, key in enumerate(self.ids)}

    def _index(self, id: Hashable) -> int:
        if id in self._indices:
            return self._indices[id]
        if id in self.failures:
            raise KeyError(f"the data set {id!r} was not fitted: {self.failures[id]}")
        raise KeyError(f"there is no data set {id!r}")

    def _position(self, id: Hashable) -> int:
        fits = self._some()
        if id in self._indices:
            return int(fits["position"][self._indices[id]])
        for failure in fits["failures"]:
            if failure["id"] == id:
                return failure["position"]
        raise KeyError(f"there is no data set {id!r}")

    def _some(self) -> Chunk:
        if self._fits is None:
            raise ValueError("there are no fits: no data set was given, or the run was stopped at once")
        return self._fits

    def _lead(self) -> tuple[int, int]:
        """Chains and draws that are kept of each fit."""
        if not self.settings.kept:
            raise ValueError(
                "the draws were not kept: run the batch with keep='draws', keep={'thin': 10} or "
                "keep=[names]; for some data sets, "
                "compile_model(template).bind(data).sample(random_seed=result.seeds(id)), with the same "
                "chains, draws and tune, gives their draws again"
            )
        draws = int(json.loads(self.settings.sampler)["draws"])
        return self.settings.chains, -(-draws // self.settings.thin)

    def _draw_coords(self) -> dict[str, Any]:
        chains, draws = self._lead()
        return {"chain": np.arange(chains), "draw": np.arange(draws) * self.settings.thin}

    def _attributes(self) -> dict[str, Any]:
        return {"inference_library": "pymc_rustmc", "inference_library_settings": self.settings.sampler}

    def _filled(self, name: str, flat: NDArray[Any], lead: tuple[int, ...]) -> NDArray[Any]:
        """Values of all fits as one array, ``(fits, *lead, *shape, *other axes of flat)``; NaN in gaps."""
        return filled(flat, self._some()["shapes"][name], lead)

    def _dataset(
        self,
        values: Mapping[str, tuple[NDArray[Any], Sequence[str]]],
        coords: Mapping[str, Any],
        lead: Sequence[str] = (),
    ) -> xr.Dataset:
        """Arrays, ``(fits, *lead, *own dims of the variable, *dims given)``, as a dataset."""
        known = {DIM: id_coordinate(self.ids), **coords}
        variables = {}
        for name, (array, rest) in values.items():
            own = self._own_dims(name, array.ndim - 1 - len(lead) - len(rest))
            dims = (DIM, *lead, *own, *rest)
            variables[name] = (dims, array)
            for dim, length in zip(own, array.shape[1 + len(lead) :], strict=False):
                labels = self._template.coords.get(dim)
                if labels is not None and len(labels) == length and self._same_coords:
                    known[dim] = labels
        return xr.Dataset(variables, coords=known)

    @cached_property
    def _same_coords(self) -> bool:
        return not any(data is not None and data.coords for data in self._some()["given"])

    def _own_dims(self, name: str, ndim: int) -> list[str]:
        return own_dims(self._template, name, ndim)


def id_coordinate(ids: Sequence[Hashable]) -> NDArray[Any]:
    """Ids as the values of a coordinate."""
    kinds = {type(key) for key in ids}
    if len(kinds) == 1 and kinds <= {int, str, float}:
        return np.asarray(ids)
    values = np.empty(len(ids), dtype=object)
    values[:] = ids
    return values


def own_dims(template: BoundModel, name: str, ndim: int) -> list[str]:
    """Names of the axes of a variable."""
    dims = template.template.description.dims.get(name, ())
    named = [dim or f"{name}_dim_{axis}" for axis, dim in enumerate(dims)]
    return [*named, *(f"{name}_dim_{axis}" for axis in range(len(named), ndim))][:ndim]


def greatest(column: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Greatest value of each fit's elements; NaN where it has none."""
    values = np.full(len(sizes), np.nan)
    some = np.flatnonzero(sizes)
    if len(some):
        starts = np.cumsum(sizes) - sizes
        values[some] = np.fmax.reduceat(column, starts[some])
    return values
