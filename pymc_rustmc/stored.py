"""A file as the source of a template: the data and the starting point that were saved with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc.description import Arrays, Coords, InitVals, ModelDescription, Point, Shapes, Start
from pymc_rustmc.errors import DataError, UnsupportedOpError
from pymc_rustmc.starts import by_variable
from pymc_rustmc.template import memory, output_name, quoted


class StoredModel:
    """A file as the source of a template.

    Parameters
    ----------
    description
        Names and dtypes.
    data, coords
        Data and coordinate values in the file.
    start
        Starting point without jitter.
    """

    def __init__(self, description: ModelDescription, data: Arrays, coords: Coords, start: Start) -> None:
        self._description = description
        self._data = data
        self._coords = coords
        self._start = start

    def values(self) -> Arrays:
        """Return the data in the file."""
        return self._data

    def coords(self) -> Coords:
        """Return the coordinate values in the file."""
        return self._coords

    def shapes(self, data: Arrays) -> Shapes:
        """Shape of every value variable: that of its starting point under these data."""
        return {name: value.shape for name, value in self.start(data).point.items()}

    def start(self, data: Arrays) -> Start:
        """Return the starting point under these data."""
        graph = self._start.graph
        if graph is None:
            self._check_lengths(data)
            return self._start
        found = graph.evaluate({name: data[name] for name in graph.names()["data"]}, memory())
        return Start(graph, {name: found[output_name(name)] for name in self._start.point})

    def _check_lengths(self, data: Arrays) -> None:
        """Refuse other lengths: without a graph, nothing says what they mean for the value variables."""
        for name, item in self._description.data.items():
            same = data[name] == self._data[name] if item.length_of else True
            if data[name].shape != self._data[name].shape or not same:
                raise DataError(
                    f"{name!r} cannot change its length: this file has no rule for the starting point, which "
                    "is drawn from a prior or made by PyTensor; bind the compiled PyMC model, and save that"
                )

    def start_functions(
        self, data: Arrays, initvals: InitVals, chains: int, jitter: bool
    ) -> Sequence[Callable[[int], Point]]:
        """Make functions that jitter the starting point by U(-1, 1), in the unconstrained space.

        ``initvals`` name value variables.
        """
        if initvals is None or isinstance(initvals, Mapping):
            initvals = [initvals] * chains
        if len(initvals) != chains:
            raise ValueError(
                f"Number of initval dicts ({len(initvals)}) does not match the number of chains ({chains})."
            )
        point = self.start(data).point
        jittered = {v.value_name for v in self._description.variables.free if v.jittered and jitter}
        return [_jittered(self._with(point, entry or {}), jittered) for entry in initvals]

    def _with(self, point: Point, initvals: Mapping[Any, Any]) -> Point:
        point = dict(point)
        for name, value in initvals.items():
            if name not in point:
                raise ValueError(
                    f"`initvals` names {name!r}, but a model from a file takes value variables: "
                    f"{quoted(point)}."
                )
            value = np.asarray(value, dtype=np.float64)
            if value.shape != point[name].shape:
                raise ValueError(
                    f"`initvals` gives {name!r} the shape {value.shape}, but the model needs "
                    f"{point[name].shape}."
                )
            point[name] = value
        return point

    def named(self, error: UnsupportedOpError) -> UnsupportedOpError:
        """Return the error: a file knows no PyTensor graphs, and holds no Op that PyTensor evaluates."""
        return error

    def explain_start(self, data: Arrays, point: Point, logp: float, gradient: NDArray[np.float64]) -> str:
        """Log density, values and gradient."""
        return (
            f"The log density ({logp}) or its gradient is not finite at the starting point.\n"
            f"Starting values:\n{point}\n\nGradient:\n{by_variable(point, gradient)}\n"
            "Give other starting values by `initvals=`."
        )


def _jittered(point: Point, names: Iterable[str]) -> Callable[[int], Point]:
    def start(seed: int) -> Point:
        rng = np.random.default_rng(seed)
        return {
            name: value + rng.uniform(-1, 1, size=value.shape) if name in names else value
            for name, value in point.items()
        }

    return start
