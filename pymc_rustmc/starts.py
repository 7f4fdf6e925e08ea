"""Starting points: PyMC's own, jittered and checked, without compiling anything.

PyMC's ``make_initial_point_fns_per_chain`` compiles the same expressions; the first call in a process costs
a quarter of a second (it loads the C toolchain). Here they are evaluated as they are. PyMC seeds the jitters
in the order of the rewritten graph, so for one seed the points are PyMC's in distribution only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pymc.exceptions import SamplingError
from pymc.initial_point import convert_str_to_rv_dict, make_initial_point_expression
from pymc.model import Model
from pymc.pytensorf import find_rng_nodes
from pytensor import config
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph

from pymc_rustmc._core import Graph
from pymc_rustmc.description import InitVals, Point
from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.interpreted import SharedValues, interpreted, no_compiler, xtensor_rewrites
from pymc_rustmc.template import output_name
from pymc_rustmc.translate import Walker

Density: TypeAlias = Callable[[Point], tuple[float, NDArray[np.float64]]]
"""Log density and its gradient at a point."""

Explain: TypeAlias = Callable[[Point, float, NDArray[np.float64]], str]
"""Why sampling cannot start at a point with that log density and gradient."""


def start_functions(model: Model, initvals: InitVals, chains: int, jitter: bool) -> list[StartFunction]:
    """Make a function for each chain, which draws that chain's starting point.

    Parameters
    ----------
    model
        The model; its free variables of dtype ``floatX`` are jittered by U(-1, 1) in unconstrained space
        (PyMC's expressions allow no other dtype).
    initvals
        Initial values of the user; they replace the model's own. A variable is named by itself, by
        its name (constrained value) or by the name of its value variable (unconstrained value).
    chains
        Number of chains.
    jitter
        Whether to jitter at all.

    Raises
    ------
    ValueError
        If ``initvals`` names a variable that the model lacks, or has not one entry a chain.
    """
    jittered = {rv for rv in model.free_RVs if jitter and rv.dtype == config.floatX}
    if initvals is None or isinstance(initvals, Mapping):
        return [StartFunction(model, initvals or {}, jittered)] * chains
    if len(initvals) != chains:
        raise ValueError(
            f"Number of initval dicts ({len(initvals)}) does not match the number of chains ({chains})."
        )
    return [StartFunction(model, entry or {}, jittered) for entry in initvals]


def starts_under(functions: Sequence[StartFunction], values: SharedValues) -> list[Callable[[int], Point]]:
    """Return functions of the seed alone, of which those that are equal evaluate once what is not random."""
    under = {function: function.under(values) for function in functions}
    return [under[function] for function in functions]


def checked_starts(
    functions: Sequence[Callable[[int], Point]],
    seeds: Sequence[int],
    density: Density,
    retries: int,
    explain: Explain,
) -> list[Point]:
    """Draw starting points, one a chain, at which log density and gradient are finite.

    A jittered point that fails is drawn again from a new seed, at most ``retries`` times.

    Raises
    ------
    pymc.exceptions.SamplingError
        If no finite point was found; the text is that of ``explain``.
    """
    return [
        _checked_start(function, seed, density, retries, explain)
        for function, seed in zip(functions, seeds, strict=True)
    ]


def _checked_start(
    function: Callable[[int], Point], seed: int, density: Density, retries: int, explain: Explain
) -> Point:
    rng = np.random.default_rng(seed)
    for _ in range(retries + 1):
        point = function(seed)
        logp, gradient = density(point)
        if np.isfinite(logp) and np.all(np.isfinite(gradient)):
            return point
        seed = int(rng.integers(2**30, dtype=np.int64))
    raise SamplingError(explain(point, logp, gradient))


def by_variable(point: Point, gradient: NDArray[np.float64]) -> Point:
    """Split a gradient into that of each value variable."""
    parts = np.split(gradient, np.cumsum([value.size for value in point.values()])[:-1])
    return {name: part.reshape(value.shape) for (name, value), part in zip(point.items(), parts, strict=True)}


def start_expressions(model: Model, initvals: Mapping[Any, Any], jittered: set[Any]) -> list[Variable]:
    """Expressions of the starting point, one a value variable; jittered along the variables in `jittered`."""
    _check_initvals(model, initvals)
    with no_compiler():
        expressions: list[Variable] = make_initial_point_expression(
            free_rvs=model.free_RVs,
            rvs_to_transforms=model.rvs_to_transforms,
            initval_strategies={
                **model.rvs_to_initial_values,
                **convert_str_to_rv_dict(model, dict(initvals)),
            },
            jitter_rvs=jittered,
            return_transformed=True,
        )
    return expressions


def start_graph(model: Model, data: Mapping[str, SharedVariable]) -> Graph | None:
    """Translate the starting point without jitter: an output for each value variable, computed from data.

    None if it is drawn from a prior, or holds an Op without translation.
    """
    names = {id(shared.container): name for name, shared in data.items()}  # PyMC's copies have it too

    def data_name(shared: SharedVariable) -> str:
        if id(shared.container) not in names:
            raise UnsupportedOpError(shared)
        return names[id(shared.container)]

    graph = Graph()
    expressions = start_expressions(model, {}, jittered=set())
    fgraph = FunctionGraph(outputs=expressions, clone=True, copy_inputs=False)
    with no_compiler():
        rewrite_graph(fgraph, include=(*xtensor_rewrites(), "ShapeOpt", "canonicalize", "stabilize"))
    try:
        outputs = Walker(graph, {}, data_name).translate(fgraph)
    except UnsupportedOpError:
        return None
    for value, node in zip(model.value_vars, outputs, strict=True):
        graph.output(output_name(value.name), node)
    return graph


class StartFunction:
    """Draws starting points of a model; its arguments are a seed, and values in place of those it holds now.

    Parameters
    ----------
    model
        The model.
    initvals
        Initial values of the user.
    jittered
        Variables along which points are jittered.
    """

    def __init__(self, model: Model, initvals: Mapping[Any, Any], jittered: set[Any]) -> None:
        self._names = [model.rvs_to_values[rv].name for rv in model.free_RVs]
        expressions = start_expressions(model, initvals, jittered)
        # The generators that the model holds are left alone: new ones take their places.
        generators = find_rng_nodes(expressions)
        self._generators = len(generators)
        self._under = interpreted(expressions, generators)

    def under(self, values: SharedValues) -> Callable[[int], Point]:
        """Return a function of the seed alone, for which whatever is not random has been evaluated."""
        evaluate = self._under(values)

        def start(seed: int) -> Point:
            children = np.random.SeedSequence(seed).spawn(self._generators)
            generators = [np.random.Generator(np.random.PCG64(child)) for child in children]
            return dict(zip(self._names, evaluate(generators), strict=True))

        return start

    def __call__(self, seed: int, values: SharedValues | None = None) -> Point:
        """Draw the point of a seed."""
        return self.under(values or {})(seed)


def _check_initvals(model: Model, initvals: Mapping[Any, Any]) -> None:
    types = {rv.name: rv.type for rv in model.free_RVs}
    types |= {model.rvs_to_values[rv].name: model.rvs_to_values[rv].type for rv in model.free_RVs}
    for key, value in initvals.items():
        name = getattr(key, "name", key)
        if name not in types:
            raise ValueError(
                f"`initvals` names {name!r}, not a free variable of the model. "
                f"Free variables: {', '.join(repr(rv.name) for rv in model.free_RVs)}."
            )
        if value is None or isinstance(value, str | Variable):
            continue
        shape, wanted = np.shape(value), types[name].shape
        fits = [length in (None, given) for length, given in zip(wanted, shape, strict=False)]
        if len(shape) != len(wanted) or not all(fits):
            raise ValueError(
                f"`initvals` gives {name!r} the shape {shape}, but the model needs "
                f"{str(wanted).replace('None', '?')}."
            )
