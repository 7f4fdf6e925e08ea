"""Observed variables and Deterministics as functions of free variables and data, for predictions.

The parameters of an observed variable's distribution become outputs of an op graph whose parameters are the
free variables on their own scale, as draws hold them. They are evaluated in Rust for all draws at once, and
the distribution's own function of NumPy or SciPy, ``rng_fn`` of its Op, then draws from it. A variable whose
Op has none for arrays of parameters (a mixture, a multivariate normal) is drawn by PyMC, a draw at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymc.pytensorf import compile as compile_pytensor
from pymc.pytensorf import find_rng_nodes, replace_rng_nodes, reseed_rngs
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.type import RandomType

from pymc_rustmc._core import Graph
from pymc_rustmc.compile import canonical
from pymc_rustmc.description import Arrays
from pymc_rustmc.errors import DataError, UnsupportedOpError
from pymc_rustmc.interpreted import no_compiler
from pymc_rustmc.live import LiveModel
from pymc_rustmc.template import memory
from pymc_rustmc.translate import Walker


@dataclass(frozen=True)
class _Drawn:
    """An observed variable that is drawn here.

    Parameters
    ----------
    op
        The Op of its distribution.
    dtype
        Of the variable.
    follows
        For each axis, whether its length is that of a parameter.
    outputs
        Names of the outputs of the graph that are the distribution's parameters.
    dtypes
        Of these parameters.
    """

    op: RandomVariable
    dtype: np.dtype[Any]
    follows: tuple[bool, ...]
    outputs: list[str]
    dtypes: list[np.dtype[Any]]


@dataclass(frozen=True)
class Likelihood:
    """Observed variables and Deterministics as functions of free variables and data.

    Parameters
    ----------
    needs
        Names of the free variables whose draws are needed.
    reads
        Names of the data inputs whose values are needed.
    graph
        Its parameters are the free variables that it needs.
    inputs
        Its data inputs.
    deterministics
        Dtypes of the Deterministics among its outputs.
    drawn
        Observed variables that are drawn here.
    by_pymc
        Observed variables that PyMC draws.
    """

    needs: tuple[str, ...]
    reads: frozenset[str]
    graph: Graph = field(repr=False)
    inputs: tuple[str, ...]
    deterministics: Mapping[str, np.dtype[Any]]
    drawn: Mapping[str, _Drawn]
    by_pymc: Mapping[str, _ByPyMC]

    def draw(
        self,
        n: int,
        values: Mapping[str, NDArray[Any]],
        data: Arrays,
        shapes: Mapping[str, tuple[tuple[int, ...], bool]],
        seed: Sequence[int],
    ) -> dict[str, NDArray[Any]]:
        """Draw once for each draw of the free variables.

        Parameters
        ----------
        n
            Number of draws.
        values
            Draws of what is needed, ``(n, *shape)``.
        data
            Value of every data input.
        shapes
            Shape of each observed variable under these data, and whether it is sure: if not, it follows
            the distribution's parameters.
        seed
            Integers that are the seed.

        Returns
        -------
        dict
            Values by name, ``(n, *shape)``.
        """
        outputs = self._evaluate(n, values, data)
        found: dict[str, NDArray[Any]] = {
            name: outputs[name].astype(dtype, copy=False) for name, dtype in self.deterministics.items()
        }
        for name, item in self.drawn.items():
            parameters = [
                outputs[output].astype(dtype, copy=False)
                for output, dtype in zip(item.outputs, item.dtypes, strict=True)
            ]
            shape = _shape(name, item, [parameter.shape[1:] for parameter in parameters], *shapes[name])
            aligned = [_aligned(parameter, len(shape)) for parameter in parameters]
            rng = np.random.default_rng([*seed, zlib.crc32(name.encode())])
            drawn = item.op.rng_fn(rng, *aligned, (n, *shape))
            found[name] = np.asarray(drawn).astype(item.dtype, copy=False)
        for name, function in self.by_pymc.items():
            found[name] = function(n, values, data, [*seed, zlib.crc32(name.encode())])
        return found

    def _evaluate(
        self, n: int, values: Mapping[str, NDArray[Any]], data: Arrays
    ) -> dict[str, NDArray[np.float64]]:
        names = self.graph.names()
        outputs = [name for name in names["outputs"] if name != "logp"]
        if not outputs:
            return {}
        parts = [values[name].reshape(n, -1).astype(np.float64, copy=False) for name in names["parameters"]]
        shapes = {name: values[name].shape[1:] for name in names["parameters"]}
        density = self.graph.bind({name: data[name] for name in self.inputs}, shapes, memory())
        return density.evaluate(outputs, np.concatenate(parts, axis=1) if parts else np.zeros((n, 0)))


class _ByPyMC:
    """Draws an observed variable with PyMC's own graph."""

    def __init__(self, rv: Variable, inputs: Mapping[str, Variable], data: Mapping[str, Variable]) -> None:
        (output,) = replace_rng_nodes([rv])
        self._rngs = find_rng_nodes([output])
        self._inputs, self._data = list(inputs), data
        self.needs = [name for name in inputs if inputs[name] in set(ancestors([output]))]
        self._function = compile_pytensor(
            [*inputs.values(), *data.values()], [output], on_unused_input="ignore"
        )

    def __call__(
        self, n: int, values: Mapping[str, NDArray[Any]], data: Arrays, seed: Sequence[int]
    ) -> NDArray[Any]:
        reseed_rngs(self._rngs, list(seed))
        rest = [np.asarray(data[name], dtype=variable.type.dtype) for name, variable in self._data.items()]
        rows = ([values[name][row] if name in values else None for name in self._inputs] for row in range(n))
        drawn = [self._function(*row, *rest)[0] for row in rows]
        return np.stack(drawn)


def likelihood_of(source: LiveModel, names: Sequence[str]) -> Likelihood:
    """Return observed variables and Deterministics of a model as functions.

    Parameters
    ----------
    source
        The model.
    names
        Names of the variables.
    """
    model = source.model
    free = {rv: rv.type(name=rv.name) for rv in model.free_RVs}
    shared = source.shared
    data = {variable: variable.type(name=name) for name, variable in shared.items()}
    graph = Graph()
    parameters: dict[Variable, int] = {}
    reads: set[str] = set()
    walker_names = {id(variable.container): name for name, variable in shared.items()}

    def data_name(variable: SharedVariable) -> str:
        if id(variable.container) not in walker_names:
            raise UnsupportedOpError(variable)
        return walker_names[id(variable.container)]

    deterministics = {v.name: v for v in model.deterministics if v.name in names}
    observed = {rv.name: rv for rv in model.observed_RVs if rv.name in names}
    wanted = dict(deterministics)
    for name, rv in observed.items():
        if _is_simple(rv):
            for number, parameter in enumerate(rv.owner.op.dist_params(rv.owner)):
                wanted[f"{name}[{number}]"] = parameter
    with no_compiler():
        replaced = dict(zip(wanted, clone_replace(list(wanted.values()), replace=free), strict=True))
    random = {name for name, variable in replaced.items() if _is_random(variable)}
    if lost := random & set(deterministics):
        raise UnsupportedOpError(f"with random numbers, in the graph of {sorted(lost)[0]!r}")
    simple = {
        name
        for name, rv in observed.items()
        if _is_simple(rv) and not any(other.startswith(f"{name}[") for other in random)
    }
    outputs = {
        name: variable
        for name, variable in replaced.items()
        if name in deterministics or name.rpartition("[")[0] in simple
    }
    if outputs:
        used = set(ancestors(list(outputs.values())))
        parameters = {
            variable: graph.parameter(rv.name, rv.type.ndim)
            for rv, variable in free.items()
            if variable in used
        }
        walker = Walker(graph, parameters, data_name, check_bounds=False)
        with no_compiler():
            for name, node in zip(outputs, walker.translate(canonical(list(outputs.values()))), strict=True):
                graph.output(name, node)
        graph.output("logp", walker.constant(np.float64(0.0)))
        reads |= set(walker.data)
    needs = {rv.name for rv, variable in free.items() if variable in parameters}
    drawn = {
        name: _Drawn(
            op=rv.owner.op,
            dtype=np.dtype(rv.dtype),
            follows=_follows(rv),
            outputs=[f"{name}[{k}]" for k in range(len(rv.owner.op.dist_params(rv.owner)))],
            dtypes=[np.dtype(p.type.dtype) for p in rv.owner.op.dist_params(rv.owner)],
        )
        for name, rv in observed.items()
        if name in simple
    }
    by_pymc = {}
    for name, rv in observed.items():
        if name not in simple:
            (output,) = clone_replace([rv], replace={**free, **data})
            inputs = {variable.name: variable for variable in free.values()}
            by_pymc[name] = _ByPyMC(output, inputs, {v.name: v for v in data.values()})
            needs |= set(by_pymc[name].needs)
    return Likelihood(
        needs=tuple(rv.name for rv in model.free_RVs if rv.name in needs),
        reads=frozenset(reads),
        graph=graph,
        inputs=tuple(sorted(reads)),
        deterministics={name: np.dtype(v.type.dtype) for name, v in deterministics.items()},
        drawn=drawn,
        by_pymc=by_pymc,
    )


def _aligned(parameter: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Give a parameter, ``(n, *shape)``, as many axes after the first as its variable has."""
    return parameter.reshape(len(parameter), *(1,) * (ndim + 1 - parameter.ndim), *parameter.shape[1:])


def _is_simple(rv: Variable) -> bool:
    """Whether NumPy can draw it for arrays of parameters."""
    op = None if rv.owner is None else rv.owner.op
    return isinstance(op, RandomVariable) and op.ndim_supp == 0 and not any(op.ndims_params)


def _is_random(variable: Variable) -> bool:
    return any(isinstance(other.type, RandomType) for other in ancestors([variable]))


def _follows(rv: Variable) -> tuple[bool, ...]:
    """For each axis of a variable, whether a parameter of its distribution may have another length than 1."""
    shapes = [parameter.type.shape for parameter in rv.owner.op.dist_params(rv.owner)]
    padded = [(1,) * (rv.type.ndim - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(any(length != 1 for length in axis) for axis in zip(*padded, strict=True))


def _shape(
    name: str, item: _Drawn, parameters: Sequence[tuple[int, ...]], own: tuple[int, ...], is_sure: bool
) -> tuple[int, ...]:
    """Shape of an observed variable: its own, or what the parameters say under new data."""
    implied = np.broadcast_shapes(*parameters)
    if not is_sure:
        padded = (1,) * (len(own) - len(implied)) + implied
        own = tuple(
            new if follows else old for new, old, follows in zip(padded, own, item.follows, strict=True)
        )
    try:
        fits = np.broadcast_shapes(implied, own) == own
    except ValueError:
        fits = False
    if not fits:
        raise DataError(
            f"the parameters of {name!r} have the shape {implied}, but its values have {own}; give all data "
            f"that have this length, the observed ones (their values do not matter) too"
        )
    return own
