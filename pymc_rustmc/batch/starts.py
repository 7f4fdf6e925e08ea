"""Where the chains of a batch start: a single run's points, split into what depends on data and a jitter.

PyMC's starting points are expressions of data, and of one random number generator for each jittered variable.
Where every variable's expression is something free of random numbers plus its own jitter, the extension adds
the jitter by itself, and asks for the rest once for each value of the data that it depends on. Else (a
variable that starts at the jittered value of another, a draw from a prior) it asks for every starting point.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymc.pytensorf import find_rng_nodes
from pytensor import config

from pymc_rustmc._core import numpy_jitter
from pymc_rustmc.description import Arrays, Point
from pymc_rustmc.live import LiveModel
from pymc_rustmc.starts import start_expressions, start_functions
from pymc_rustmc.stored import StoredModel
from pymc_rustmc.template import BoundModel

_TRIAL_SEEDS = (1, 2**40 + 3)


class Starts(Protocol):
    """Starting points of a template, as the extension asks for them; data are in the order of its inputs."""

    @property
    def reads(self) -> list[str]:
        """Data inputs that the starting point without jitter depends on."""

    @property
    def jitter(self) -> Any:
        """How jitter comes about.

        ``"none"``; ``{"spawned": [...]}``, the number of the spawned generator, or None, for each value
        variable; ``{"sequential": [...]}``, whether each is jittered by the seed's own generator; or
        ``"source"``, in which case `point` is asked.
        """

    def base(self, data: Sequence[NDArray[np.float64]]) -> tuple[list[tuple[int, ...]], list[float]]:
        """Return the shapes of the value variables, and the position without jitter."""

    def point(self, data: Sequence[NDArray[np.float64]], seed: int) -> list[float]:
        """Return the position that is drawn with a seed."""


def starts_of(bound: BoundModel, jitter: bool) -> Starts:
    """Return the starting points of a bound model's template."""
    source = bound.template.source
    if isinstance(source, LiveModel):
        return _LiveStarts(source, bound, jitter)
    if isinstance(source, StoredModel):
        return _StoredStarts(source, bound, jitter)
    raise TypeError(f"no starting points are known for {type(source).__name__}")


class _LiveStarts:
    """Those of a PyMC model. PyTensor's functions have one storage, so one thread at a time may call them."""

    def __init__(self, source: LiveModel, bound: BoundModel, jitter: bool) -> None:
        self._source = source
        self._names = list(bound.data)
        self._parameters = bound.template.parameters
        self._lock = Lock()
        model = source.model
        (self._unjittered,) = start_functions(model, None, 1, jitter=False)
        (self._jittered,) = start_functions(model, None, 1, jitter=jitter)
        self.reads = source.inputs_of(start_expressions(model, {}, jittered=set()))
        self.jitter: Any = "source"
        children = self._children(jitter)
        if children is not None:
            self.jitter = {"spawned": children}
            if not self._agrees(bound):
                self.jitter = "source"

    def _children(self, jitter: bool) -> list[int | None] | None:
        """Find which generator jitters each value variable; None if that is not all the randomness."""
        model = self._source.model
        jittered = {rv for rv in model.free_RVs if jitter and rv.dtype == config.floatX}
        expressions = start_expressions(model, {}, jittered)
        rngs = find_rng_nodes(expressions)
        children: list[int | None] = []
        for rv, expression in zip(model.free_RVs, expressions, strict=True):
            own = [rngs.index(rng) for rng in find_rng_nodes([expression])]
            if len(own) != int(rv in jittered) or expression.dtype != "float64":
                return None
            children.append(own[0] if own else None)
        used = [child for child in children if child is not None]
        return children if len(set(used)) == len(used) == len(rngs) else None

    def _agrees(self, bound: BoundModel) -> bool:
        """Whether points are, bit for bit, what the extension makes of the point without jitter."""
        data = [np.asarray(value, dtype=np.float64) for value in bound.data.values()]
        shapes, base = self.base(data)
        sizes = [int(np.prod(shape)) for shape in shapes]
        for seed in _TRIAL_SEEDS:
            shifts = [
                np.zeros(size) if child is None else numpy_jitter(seed, child, size)
                for child, size in zip(self.jitter["spawned"], sizes, strict=True)
            ]
            if self.point(data, seed) != (np.asarray(base) + np.concatenate(shifts)).tolist():
                return False
        return True

    def base(self, data: Sequence[NDArray[np.float64]]) -> tuple[list[tuple[int, ...]], list[float]]:
        point = self._call(self._unjittered, data, 0)
        return [point[name].shape for name in self._parameters], _position(point, self._parameters)

    def point(self, data: Sequence[NDArray[np.float64]], seed: int) -> list[float]:
        return _position(self._call(self._jittered, data, seed), self._parameters)

    def _call(self, function: Any, data: Sequence[NDArray[np.float64]], seed: int) -> Point:
        arrays: Arrays = dict(zip(self._names, data, strict=True))
        with self._lock:
            point: Point = function(seed, self._source.shared_values(arrays))
        return point


class _StoredStarts:
    """Those of a model from a file."""

    def __init__(self, source: StoredModel, bound: BoundModel, jitter: bool) -> None:
        self._source = source
        self._bound = bound
        self._parameters = bound.template.parameters
        graph = source.start(bound.data).graph
        self.reads = list(bound.data) if graph is None else graph.names()["data"]
        free = bound.template.description.variables.free
        self.jitter: Any = {"sequential": [v.jittered for v in free]} if jitter else "none"

    def base(self, data: Sequence[NDArray[np.float64]]) -> tuple[list[tuple[int, ...]], list[float]]:
        point = self._source.start(dict(zip(self._bound.data, data, strict=True))).point
        return [point[name].shape for name in self._parameters], _position(point, self._parameters)

    def point(self, data: Sequence[NDArray[np.float64]], seed: int) -> list[float]:
        arrays = dict(zip(self._bound.data, data, strict=True))
        (function,) = self._source.start_functions(arrays, None, 1, jitter=self.jitter != "none")
        return _position(function(seed), self._parameters)


def _position(point: Point, names: Sequence[str]) -> list[float]:
    parts = [np.asarray(point[name], dtype=np.float64).ravel() for name in names]
    position: list[float] = np.concatenate(parts).tolist()
    return position
