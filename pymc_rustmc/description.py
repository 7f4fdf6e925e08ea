"""A model in plain values, whether it comes from PyMC or from a file: names, dtypes, dims, data inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc._core import Graph
from pymc_rustmc.errors import UnsupportedOpError

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Coords: TypeAlias = Mapping[str, NDArray[Any]]
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

Point: TypeAlias = dict[str, NDArray[Any]]
"""Unconstrained value of every value variable, by name."""

InitVals: TypeAlias = Mapping[Any, Any] | Sequence[Mapping[Any, Any] | None] | None
"""What ``pm.sample(initvals=...)`` takes: nothing, one mapping for all chains, or one a chain."""


@dataclass(frozen=True)
class FreeVariable:
    """A free random variable and its value variable.

    Parameters
    ----------
    name, dtype
        The random variable.
    value_name, value_dtype
        Its value variable, on the unconstrained scale.
    transform
        Name of the transform between the two, for display; None if there is none.
    jittered
        Whether starting points are jittered along it.
    """

    name: str
    dtype: np.dtype[Any]
    value_name: str
    value_dtype: np.dtype[Any]
    transform: str | None
    jittered: bool


@dataclass(frozen=True)
class Variables:
    """What a result may hold: free variables, and Deterministics as dtypes by name; in the model's order."""

    free: tuple[FreeVariable, ...]
    deterministics: Mapping[str, np.dtype[Any]]


@dataclass(frozen=True)
class DataInput:
    """Something that a data set may set.

    Parameters
    ----------
    dtype, ndim
        As the model holds it.
    observed
        Whether it is the value of an observed variable as it stands.
    dims
        Names of its axes, where they have names.
    length_of
        The dim of which this is the length.
    """

    dtype: np.dtype[Any]
    ndim: int
    observed: bool = False
    dims: tuple[str | None, ...] = ()
    length_of: str | None = None


@dataclass(frozen=True)
class Observation:
    """Value of an observed variable: that of a data input, in another dtype, or a fixed array."""

    data: str | None
    dtype: np.dtype[Any]
    value: NDArray[Any] | None = None

    def of(self, arrays: Arrays) -> NDArray[Any]:
        """Value under these data."""
        value = self.value if self.data is None else arrays[self.data]
        assert value is not None
        return value.astype(self.dtype, copy=False)


@dataclass(frozen=True)
class ModelDescription:
    """All that is needed of a model, beside its graphs, to bind data and to shape a result.

    Parameters
    ----------
    variables
        Free variables and Deterministics.
    data
        What a data set may set, by name.
    dims
        Names of the axes of variables and data, by name of the variable.
    observations
        Where the values of observed variables come from.
    constants
        Name in ``constant_data`` to name of the data input.
    """

    variables: Variables
    data: Mapping[str, DataInput]
    dims: Mapping[str, tuple[str | None, ...]]
    observations: Mapping[str, Observation]
    constants: Mapping[str, str]

    @cached_property
    def lengths(self) -> Mapping[str, str]:
        """Name of the data input that is the length of a dim, for dims that have one."""
        return {item.length_of: name for name, item in self.data.items() if item.length_of is not None}

    @cached_property
    def axes(self) -> Sequence[tuple[str, int, str]]:
        """All (data input, axis, dim) of data with dims."""
        return [
            (name, axis, dim)
            for name, item in self.data.items()
            for axis, dim in enumerate(item.dims)
            if dim is not None
        ]


@dataclass(frozen=True)
class Start:
    """Starting point without jitter, and the graph that computes it from data, if there is one."""

    graph: Graph | None
    point: Point


class Source(Protocol):
    """What beside the description a template asks of where it came from: a PyMC model, or a file."""

    def values(self) -> Arrays:
        """Return the current value of every data input."""

    def coords(self) -> Coords:
        """Return the current coordinate values of the dims that have some."""

    def shapes(self, data: Arrays) -> Shapes:
        """Return the shape of every value variable under these data."""

    def start_functions(
        self, data: Arrays, initvals: InitVals, chains: int, jitter: bool
    ) -> Sequence[Callable[[int], Point]]:
        """Make a function of a seed for each chain, which draws that chain's starting point."""

    def start(self, data: Arrays) -> Start:
        """Return the starting point under these data."""

    def named(self, error: UnsupportedOpError) -> UnsupportedOpError:
        """Return the error with the names of the variables whose graphs hold the Op that it is about."""

    def explain_start(self, data: Arrays, point: Point, logp: float, gradient: NDArray[np.float64]) -> str:
        """Say why sampling cannot start at a point."""
