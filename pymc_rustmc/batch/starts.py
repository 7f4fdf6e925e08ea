"""Where the chains of a batch start: a single run's points, split into what depends on data and a jitter.

PyMC's starting points are expressions of data, and of one random number generator for each jittered
variable. Where every variable's expression is something free of random numbers plus its own jitter, the
extension adds the jitter by itself to the rest, which it asks for once for each value of the data that it
depends on. Where a variable starts at the jittered value of another, the whole point is an expression of
data and jitters. Both expressions become graphs of the extension if these give the same bits
(`pymc_rustmc.native_starts`). Else (functions such as exp of jittered values or of data, draws from a prior)
Python evaluates them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymc.pytensorf import find_rng_nodes
from pytensor import config
from pytensor.graph.basic import Variable

from pymc_rustmc._core import Graph, GraphError, numpy_jitter
from pymc_rustmc.description import Arrays, Point
from pymc_rustmc.live import LiveModel
from pymc_rustmc.native_starts import JITTER, jitters_of, native_start
from pymc_rustmc.starts import start_expressions, start_functions
from pymc_rustmc.stored import StoredModel
from pymc_rustmc.template import BoundModel, memory
from pymc_rustmc.translate.dtypes import kind_dtype

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
        variable; ``{"evaluated": [...]}``, the same, of jitters that `point_graph` takes;
        ``{"sequential": [...]}``, whether each is jittered by the seed's own generator; or ``"source"``, in
        which case `point` is asked.
        """

    @property
    def base_graph(self) -> Graph | None:
        """The point without jitter, an output for each value variable; without it, `base` is asked."""

    @property
    def point_graph(self) -> Graph | None:
        """The point as a graph of data and jitters."""

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
        inputs = bound.template.description.data
        self._dtypes = {name: np.dtype(kind_dtype(item.dtype)) for name, item in inputs.items()}
        self._parameters = bound.template.parameters
        self._lock = Lock()
        model = source.model
        (self._unjittered,) = start_functions(model, None, 1, jitter=False)
        (self._jittered,) = start_functions(model, None, 1, jitter=jitter)
        self.reads = source.inputs_of(start_expressions(model, {}, jittered=set()))
        self.jitter: Any = "source"
        self.base_graph = self._graph(start_expressions(model, {}, jittered=set()))
        self.point_graph: Graph | None = None
        self._choose(bound, jitter)

    def _choose(self, bound: BoundModel, jitter: bool) -> None:
        """Find the way that needs least of Python and gives, bit for bit, the model's own points."""
        model = self._source.model
        jittered = {rv for rv in model.free_RVs if jitter and rv.dtype == config.floatX}
        expressions = start_expressions(model, {}, jittered)
        data = [np.asarray(value, dtype=np.float64) for value in bound.data.values()]
        shapes, base = self.base(data)
        expected = [self.point(data, seed) for seed in _TRIAL_SEEDS]
        if self.base_graph is not None and self._evaluated(self.base_graph, data, []) != base:
            self.base_graph = None
        children = _own_generators(expressions)
        if children is not None:
            trials = [_jitters(seed, children, shapes) for seed in _TRIAL_SEEDS]
            flat = [np.concatenate([part.ravel() for part in parts]) for parts in trials]
            if [(np.asarray(base) + shift).tolist() for shift in flat] == expected:
                self.jitter = {"spawned": children}
                return
        children = jitters_of(expressions)
        graph = None if children is None else self._graph(expressions)
        if children is not None and graph is not None:
            trials = [_jitters(seed, children, shapes) for seed in _TRIAL_SEEDS]
            if [self._evaluated(graph, data, parts) for parts in trials] == expected:
                self.jitter, self.point_graph = {"evaluated": children}, graph

    def _graph(self, expressions: Sequence[Variable]) -> Graph | None:
        return native_start(expressions, self._source.data_name)

    def _evaluated(
        self, graph: Graph, data: Sequence[NDArray[np.float64]], jitters: Sequence[NDArray[np.float64]]
    ) -> list[float] | None:
        """Evaluate a graph of starting points; None if it refuses these data."""
        given = dict(zip(self._names, data, strict=True))
        given |= {f"{JITTER} {i}": jitter for i, jitter in enumerate(jitters)}
        arrays = {
            name: given[name].astype(self._dtypes.get(name, np.float64)) for name in graph.names()["data"]
        }
        try:
            found = graph.evaluate(arrays, memory())
        except GraphError:
            return None
        return _position(found, list(found))

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


def _own_generators(expressions: Sequence[Variable]) -> list[int | None] | None:
    """Find the one generator of each value variable; None if one has several, or shares its own."""
    generators = find_rng_nodes(expressions)
    children: list[int | None] = []
    for expression in expressions:
        own = [generators.index(generator) for generator in find_rng_nodes([expression])]
        if len(own) > 1 or expression.dtype != "float64":
            return None
        children.append(own[0] if own else None)
    used = [child for child in children if child is not None]
    return children if len(set(used)) == len(used) else None


def _jitters(
    seed: int, children: Sequence[int | None], shapes: Sequence[tuple[int, ...]]
) -> list[NDArray[np.float64]]:
    """Jitters of all value variables, 0 for those without."""
    return [
        np.zeros(shape) if child is None else numpy_jitter(seed, child, math.prod(shape)).reshape(shape)
        for child, shape in zip(children, shapes, strict=True)
    ]


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
        self.base_graph = graph
        self.point_graph: Graph | None = None

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
