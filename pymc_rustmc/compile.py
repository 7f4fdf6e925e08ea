"""From a PyMC model to a template: one op graph that serves every data set, and its binding to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pymc as pm
from pymc.exceptions import SamplingError
from pymc.pytensorf import rewrite_pregrad
from pytensor import config, function
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import FAST_COMPILE, Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise

from pymc_rustmc._core import Density, Graph
from pymc_rustmc.errors import DataError, UnsupportedModelError, UnsupportedOpError
from pymc_rustmc.translate import Walker
from pymc_rustmc.translate.walker import kind_dtype

# PyMC 6 splits a base class off Model, for its frozen models.
_MODEL_CLASSES = (pm.Model, getattr(pm.model.core, "BaseModel", pm.Model))

# PyTensor folds constants by running their Ops; those with an inner graph would be compiled, in seconds.
_NO_COMPILER = partial(config.change_flags, cxx="", mode="FAST_COMPILE")

Arrays = Mapping[str, npt.ArrayLike]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Template:
    """A translated model, free of data: bind it to a data set to evaluate or sample it.

    Attributes
    ----------
    model : pymc.Model
        The model it came from.
    graph : Graph
        Op graph of the log density (output "logp") and of `outputs`.
    parameters : tuple of str
        Names of the value variables, in the order of `model.value_vars` and of the position vector.
    data : dict of str to SharedVariable
        What a data set may set: `pm.Data`, dim lengths and other shared variables of the model.
    inputs : tuple of str
        Names in `data` that the graph reads.
    outputs : dict of str to dtype
        Name and PyTensor dtype of the back-transformed free variables and the Deterministics.
    """

    model: pm.Model = field(repr=False)
    graph: Graph = field(repr=False)
    parameters: tuple[str, ...]
    data: Mapping[str, SharedVariable]
    inputs: tuple[str, ...]
    outputs: Mapping[str, np.dtype[Any]]

    def bind(self, data: Arrays | None = None, shapes: Shapes | None = None) -> BoundModel:
        """Bind the template to data.

        Parameters
        ----------
        data
            New values by name. Everything else keeps the current value of the model's shared variable, so
            `pm.set_data` is seen. Lengths of dims follow the new data that have these dims.
        shapes
            Shape of each value variable, as from a start point; computed if not given.

        Raises
        ------
        DataError
            If a data set has an unknown name, a wrong dtype or rank, lengths that disagree or missing values.
        GraphError
            If the shapes of data and parameters do not fit together.
        """
        arrays = self._arrays(data or {})
        if shapes is None:
            shapes = self._parameter_shapes(arrays)
        shapes = {name: tuple(int(length) for length in shapes[name]) for name in self.parameters}
        density = self.graph.bind({name: arrays[name] for name in self.inputs}, shapes)
        return BoundModel(self, density, shapes)

    def _arrays(self, given: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Value of every name in `data`: given, or current; checked."""
        if unknown := sorted(set(given) - set(self.data)):
            raise DataError(
                f"the model has no data named {_quoted(unknown)}; it has {_quoted(self.data) or 'none'}"
            )
        arrays = {
            name: _as_input(name, given[name] if name in given else shared.get_value(borrow=True), shared)
            for name, shared in self.data.items()
        }
        self._fit_dim_lengths(arrays, given)
        observed = {self.model.rvs_to_values[rv] for rv in self.model.observed_RVs}
        for name, shared in self.data.items():
            _check_values(name, arrays[name], observed=shared in observed)
        return arrays

    def _fit_dim_lengths(self, arrays: dict[str, npt.NDArray[Any]], given: Arrays) -> None:
        """Set the dim lengths that new data imply; check that all data agree with the lengths."""
        names = {shared: name for name, shared in self.data.items()}
        length_of = {dim: names[length] for dim, length in self.model.dim_lengths.items() if length in names}
        axes = [
            (name, axis, length_of[dim])
            for name in self.data
            for axis, dim in enumerate(self.model.named_vars_to_dims.get(name, ()))
            if dim in length_of
        ]
        for name, axis, length in axes:
            if name in given and length not in given:
                arrays[length] = np.asarray(arrays[name].shape[axis], dtype=np.int64)
        for name, axis, length in axes:
            if arrays[name].shape[axis] != arrays[length]:
                raise DataError(
                    f"data {name!r} has length {arrays[name].shape[axis]} along axis {axis}, but the {length} is "
                    f"{arrays[length]}; give all data of that dim the same length"
                )

    def _parameter_shapes(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, tuple[int, ...]]:
        values = self.model.value_vars
        shapes = {value.name: value.type.shape for value in values if None not in value.type.shape}
        if len(shapes) < len(values):
            unknown = [value.name for value in values if value.name not in shapes]
            shapes |= dict(zip(unknown, self._shape_function(*arrays.values()), strict=True))
        return shapes

    @cached_property
    def _shape_function(self) -> Any:
        """Shapes of the value variables without a static shape, as a function of all data.

        Evaluated node by node in Python: PyTensor's default mode would take seconds to compile it.
        """
        shapes = []
        for rv in self.model.free_RVs:
            if None in self.model.rvs_to_values[rv].type.shape:
                transform = self.model.rvs_to_transforms[rv]
                value = rv if transform is None else transform.forward(rv, *rv.owner.inputs)
                shapes.append(value.shape)
        inputs = {shared: shared.type() for shared in self.data.values()}
        mode = Mode("py", FAST_COMPILE.provided_optimizer)
        return function(
            list(inputs.values()), shapes, givens=inputs, mode=mode, on_unused_input="ignore"
        )


@dataclass(frozen=True)
class BoundModel:
    """A template bound to one data set.

    Attributes
    ----------
    template : Template
    density : Density
        Log density, gradient and outputs at positions of shape ``(density.dim,)``.
    shapes : dict of str to tuple of int
        Shape of each value variable, in the order of the position vector.
    """

    template: Template
    density: Density
    shapes: Shapes

    def position(self, point: Arrays) -> npt.NDArray[np.float64]:
        """Position vector, shape ``(dim,)``, of a point given as value variables by name."""
        parts = []
        for name, shape in self.shapes.items():
            value = np.asarray(point[name], dtype=np.float64)
            if value.shape != shape:
                raise DataError(f"the value of {name!r} has shape {value.shape}, but the model needs {shape}")
            parts.append(value.ravel())
        return np.concatenate(parts)

    def unravel(self, positions: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        """Value variables by name, each ``(..., *shape)``, of positions with shape ``(..., dim)``."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        parts = np.split(positions, ends[:-1], axis=-1)
        return {
            name: part.reshape(positions.shape[:-1] + shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def translate_model(model: pm.Model, var_names: Sequence[str] | None = None) -> Template:
    """Translate a PyMC model into a template that serves every data set.

    Parameters
    ----------
    model
        The model; it is not changed.
    var_names
        Restrict the outputs to these free variables and Deterministics; all by default.

    Raises
    ------
    TypeError
        If `model` is no PyMC model.
    pymc.exceptions.SamplingError
        If the model has no free variables.
    UnsupportedModelError
        If a free variable is discrete.
    UnsupportedOpError
        If an Op of the model has no translation.
    DataError
        If observed constants hold NaN or infinite values.
    """
    _check_model(model)
    graph = Graph()
    parameters = {value: graph.parameter(value.name, value.type.ndim) for value in model.value_vars}
    data_names = _DataNames(model)
    walker = Walker(graph, parameters, data_names, check_bounds=model.check_bounds)

    outputs = _outputs(model, var_names)
    with _NO_COMPILER():
        logp = rewrite_pregrad(_cloned([model.logp()]))
        backward = rewrite_graph(
            _cloned(list(outputs.values())), include=("lower_xtensor", "canonicalize", "stabilize")
        )
    try:
        (logp_id,) = walker.translate(logp)
        output_ids = walker.translate(backward)
    except UnsupportedOpError as error:
        holders = _holders(model, dict(zip(outputs, backward.outputs, strict=True)), error.node)
        raise UnsupportedOpError(error.op, error.remedy, holders) from None
    graph.output("logp", logp_id)
    for name, node in zip(outputs, output_ids, strict=True):
        graph.output(name, node)

    return Template(
        model=model,
        graph=graph,
        parameters=tuple(value.name for value in model.value_vars),
        data=data_names.data,
        inputs=tuple(walker.data),
        outputs={name: np.dtype(variable.type.dtype) for name, variable in outputs.items()},
    )


def _check_model(model: Any) -> None:
    if not isinstance(model, _MODEL_CLASSES):
        raise TypeError(f"rustmc samples PyMC models (pymc.Model), not {type(model).__name__}")
    if not model.free_RVs:
        raise SamplingError("Cannot sample from the model, since the model does not contain any free variables.")
    if discrete := [value.name for value in model.discrete_value_vars]:
        raise UnsupportedModelError(
            f"rustmc samples continuous variables only; discrete here: {_quoted(discrete)}. Marginalize over "
            f"them (pm.Mixture, or pymc_extras.marginalize), or use nuts_sampler='pymc'."
        )
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]
        if isinstance(value, Constant):
            _check_values(rv.name, np.asarray(value.data), observed=True)


def _check_values(name: str, array: npt.NDArray[Any], observed: bool) -> None:
    if array.dtype.kind != "f":
        return
    if np.isnan(array).any():
        raise DataError(
            f"data {name!r} hold NaN ({np.isnan(array).sum()} of {array.size}); drop or replace those entries, "
            f"or pass missing observations to observed= as a masked array, which PyMC imputes"
        )
    # Elsewhere infinity has its uses, such as the bounds of pm.Censored.
    if observed and np.isinf(array).any():
        raise DataError(f"observed data {name!r} hold infinite values; drop or replace those entries")


def _as_input(name: str, value: npt.ArrayLike, shared: SharedVariable) -> npt.NDArray[Any]:
    """`value` as an array of the dtype and rank of the data input for `shared`."""
    dtype = np.dtype(kind_dtype(shared.type.dtype))
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"data {name!r} have dtype {array.dtype}; give numbers or booleans")
    if array.ndim != shared.type.ndim:
        raise DataError(f"data {name!r} have {array.ndim} axes, but the model needs {shared.type.ndim}")
    converted = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(converted, array):
        raise DataError(f"data {name!r} must be {dtype}, but hold other values; round or recode them")
    return converted


class _DataNames:
    """Gives every shared variable of a model a name of its own: its PyMC name, its dim, or a generated one."""

    def __init__(self, model: pm.Model):
        self.data: dict[str, SharedVariable] = {}
        self._names: dict[SharedVariable, str] = {}
        self._values = {value.name for value in model.value_vars}
        for shared in model.data_vars:
            self(shared)
        for dim, length in model.dim_lengths.items():
            if isinstance(length, SharedVariable):
                self._add(length, f"length of dim {dim!r}")

    def __call__(self, shared: SharedVariable) -> str:
        """Name of a shared variable of the model."""
        return self._names.get(shared) or self._add(shared, shared.name or "shared")

    def _add(self, shared: SharedVariable, base: str) -> str:
        name, count = base, 0
        while name in self.data or name in self._values:
            count += 1
            name = f"{base}_{count}"
        self.data[name] = shared
        self._names[shared] = name
        return name


def _cloned(outputs: list[Variable]) -> FunctionGraph:
    """Graph of `outputs` that shares its inputs, and nothing else, with the model: rewrites work in place."""
    return FunctionGraph(outputs=outputs, clone=True, copy_inputs=False)


def _outputs(model: pm.Model, var_names: Sequence[str] | None) -> dict[str, Variable]:
    """Back-transformed free variables and Deterministics by name, as functions of the value variables."""
    transformed = [rv for rv in model.free_RVs if model.rvs_to_transforms[rv] is not None]
    wanted = [
        variable
        for variable in (*transformed, *model.deterministics)
        if var_names is None or variable.name in var_names
    ]
    return dict(zip((v.name for v in wanted), model.replace_rvs_by_values(wanted), strict=True))


def _holders(model: pm.Model, outputs: Mapping[str, Variable], node: Apply[Any]) -> list[str]:
    """Names of the model variables whose graphs hold an Op of the kind of `node`."""
    factors = {
        variable.name: rewrite_pregrad(_cloned(model.logp([variable], sum=False))).outputs[0]
        for variable in (*model.free_RVs, *model.observed_RVs, *model.potentials)
    }
    return [
        name
        for name, graph in (*factors.items(), *outputs.items())
        if any(_kind(other.op) == _kind(node.op) for other in _nodes(FunctionGraph(outputs=[graph], clone=True)))
    ]


def _kind(op: Any) -> tuple[type, ...]:
    inner = op.scalar_op if isinstance(op, Elemwise) else op.core_op if isinstance(op, Blockwise) else None
    return type(op), type(inner)


def _nodes(fgraph: FunctionGraph) -> Iterator[Apply[Any]]:
    """All nodes of a graph and of the graphs inside them."""
    for node in fgraph.apply_nodes:
        yield node
        if isinstance(node.op, OpFromGraph):
            yield from _nodes(node.op.fgraph)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
