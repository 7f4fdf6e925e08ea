"""Values and gradients of a random program here and there, at random points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from program import BINDINGS, CLOSE, Entry, Program, Shape
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.link.basic import PerformLinker
from pytensor.tensor.rewriting.ofg import inline_ofg_node

from pymc_rustmc._core import Graph
from pymc_rustmc.translate import Walker


class Values(NamedTuple):
    """What is compared: values by name, a scalar and its gradient by parameter."""

    named: dict[str, np.ndarray]
    logp: float
    gradient: list[np.ndarray]


class Bound(NamedTuple):
    """A translation bound to data: shapes of the parameters, and the values at a position."""

    shapes: Mapping[str, Shape]
    evaluate: Callable[[np.ndarray], tuple[dict[str, np.ndarray], float, np.ndarray]]


class Twin:
    """Evaluates a graph and its gradient node by node in Python, for given values of data and parameters."""

    def __init__(
        self,
        named: Mapping[str, Variable],
        logp: Variable,
        parameters: Sequence[Variable],
        data: Mapping[SharedVariable, Sequence[np.ndarray]],
    ):
        gradient = pytensor.grad(logp, list(parameters), disconnected_inputs="ignore")
        fgraph = _inlined([*named.values(), logp, *gradient])
        self._names, self._parameters, self._data = list(named), parameters, data
        self._thunk, inputs, self._results = PerformLinker().accept(fgraph).make_thunk()
        self._inputs = dict(zip(fgraph.inputs, inputs, strict=True))

    def __call__(self, binding: int, values: Sequence[np.ndarray]) -> Values:
        given = dict(zip(self._parameters, values, strict=True))
        for variable, container in self._inputs.items():
            value = given[variable] if variable in given else self._data[variable][binding]
            container.storage[0] = value.astype(variable.type.dtype)
        with np.errstate(all="ignore"):
            self._thunk()
        results = [np.array(result.storage[0]) for result in self._results]
        n = len(self._names)
        named = dict(zip(self._names, results[:n], strict=True))
        return Values(named, float(results[n]), results[n + 1 :])


def _inlined(outputs: Sequence[pt.TensorVariable]) -> FunctionGraph:
    """Graph of the outputs with symbolic Ops expanded: to evaluate one, PyTensor would compile it first."""
    fgraph = FunctionGraph(outputs=list(outputs), clone=False)
    while nodes := [node for node in fgraph.apply_nodes if isinstance(node.op, OpFromGraph)]:
        for node in nodes:
            values = inline_ofg_node(node)
            fgraph.replace_all(list(zip(node.outputs, values, strict=True)), import_missing=True)
    return fgraph


def compare_graphs(program: Program, is_rewritten: bool, seed: int) -> int:
    """Compare the values of a program and the gradient of a sum over those that nothing else uses."""
    names = [entry.name for entry in program.entries if entry.name not in program.parameters]
    ends = [entry for entry in program.entries if entry in program.unused and entry.kind == "real"]
    sums = []
    for namespace in (program.ours, program.twin):
        terms = [pt.sqr(namespace[entry.name]).sum() for entry in ends]
        sums.append(pt.add(*terms) if terms else pt.constant(0.0))

    twin = Twin(
        {name: program.twin[name] for name in names},
        sums[1],
        [program.twin[name] for name in program.parameters],
        {data.twin: data.values for data in program.data.values()},
    )
    graph, inputs = translate(program, names, sums[0], is_rewritten)

    def bind(binding: int) -> Bound:
        data = {}
        for name in inputs:
            array = program.data[name].values[binding]
            data[name] = array.astype({"f": float, "b": bool}.get(array.dtype.kind, "int64"))
        shapes = {name: entry.shapes[binding] for name, entry in program.parameters.items()}
        density = graph.bind(data, shapes)

        def evaluate(position: np.ndarray) -> tuple[dict[str, np.ndarray], float, np.ndarray]:
            values = density.evaluate(names, position[None])
            return {name: value[0] for name, value in values.items()}, *density.logp_and_gradient(position)

        return Bound(shapes, evaluate)

    return compare(program, twin, bind, np.random.default_rng(seed), 2.5)


def translate(
    program: Program, names: Sequence[str], logp: Variable, is_rewritten: bool
) -> tuple[Graph, list[str]]:
    """Op graph of the named values and the sum, and the names of the data that it reads."""
    graph = Graph()
    parameters = {
        program.ours[name]: graph.parameter(name, entry.ndim) for name, entry in program.parameters.items()
    }
    fgraph = FunctionGraph(outputs=[*(program.ours[name] for name in names), logp], clone=False)
    if is_rewritten:
        rewrite_graph(fgraph, include=("canonicalize", "stabilize"))
    walker = Walker(graph, parameters, lambda shared: shared.name)
    for name, node in zip([*names, "logp"], walker.translate(fgraph), strict=True):
        graph.output(name, node)
    assert not walker.without_rule, "left to PyTensor, which would be compared with itself"
    return graph, list(walker.data)


def compare(
    program: Program, twin: Twin, bind: Callable[[int], Bound], rng: np.random.Generator, most: float
) -> int:
    """Compare at a random point of each binding; returns the number of points compared.

    Parameters lie in [-most, most]. A point is passed over if a decision in it (a comparison, a maximum, a
    rounding) is so close that the last bits of its arguments decide, as values jump there and gradients are a
    matter of convention; or if the last bits of the parameters change PyTensor's result visibly.
    """
    compared = 0
    for binding in range(BINDINGS):
        bound = bind(binding)
        values = [np.clip(rng.normal(size=shape), -most, most) for shape in bound.shapes.values()]
        expected = twin(binding, values)
        known = dict(zip(bound.shapes, values, strict=True)) | expected.named
        _check_generator(program, known, binding)
        if any(_is_close(distance, entries, known) for distance, entries in program.decisions):
            continue
        named, logp, gradient = bound.evaluate(np.concatenate([np.zeros(0), *map(np.ravel, values)]))
        parts = np.split(gradient, np.cumsum([value.size for value in values])[:-1])
        gradient = [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]
        if difference := _difference(Values(named, logp, gradient), expected):
            # Rounding errors that the program amplifies also move the twin when its parameters move a little.
            moved = [value * (1 + 2**-52 * rng.integers(-8, 9, size=value.shape)) for value in values]
            noise = _difference(twin(binding, moved), expected, tolerance=0.1)
            assert noise, f"under binding {binding}, {difference}"
            continue
        compared += 1
    return compared


def _check_generator(program: Program, values: Mapping[str, np.ndarray], binding: int) -> None:
    """Shapes and ranges are as the program has noted them."""
    for entry in program.entries:
        value = values[entry.name]
        assert value.shape == entry.shapes[binding], f"{entry} has not the shape {entry.shapes[binding]}"
        if entry.kind != "bool" and value.size > 0:
            low, high = value.min(), value.max()
            assert entry.low - CLOSE <= low, f"{entry} is {low}, below {entry.low}"
            assert high <= entry.high + CLOSE, f"{entry} is {high}, above {entry.high}"


def _is_close(distance: Callable, entries: Sequence[Entry], values: Mapping[str, np.ndarray]) -> bool:
    gaps = np.abs(distance(*(values[entry.name].astype(float) for entry in entries)))
    if all(entry.fixed for entry in entries):
        gaps = gaps[gaps > 0]  # of data, equal values are equal here and there
    return bool((gaps < CLOSE).any())


def _difference(values: Values, expected: Values, tolerance: float = 1.0) -> str:
    """What differs by more than the tolerance times 1e-10 (of values) or 1e-8 (of gradients)."""
    pairs = [(name, value, expected.named[name], 1e-10) for name, value in values.named.items()]
    pairs.append(("logp", values.logp, expected.logp, 1e-10))
    pairs += [
        (f"gradient {k}", *gradients, 1e-8)
        for k, gradients in enumerate(zip(values.gradient, expected.gradient, strict=True))
    ]
    for what, one, other, relative in pairs:
        one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
        scale = max(1.0, np.abs(other).max(initial=0.0))
        if one.shape != other.shape or not (np.abs(one - other) <= tolerance * relative * scale).all():
            return f"{what} is {one} instead of {other}"
    return ""
