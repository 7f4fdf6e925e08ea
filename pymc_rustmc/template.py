"""A translated model, and its binding to one data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pymc as pm
import pytensor.tensor as pt
from pytensor import In, function
from pytensor.compile.sharedvalue import SharedVariable

from pymc_rustmc._core import Density, Graph
from pymc_rustmc.errors import DataError, NoGradientError
from pymc_rustmc.holders import named
from pymc_rustmc.interpreted import PYTHON_MODE, no_compiler
from pymc_rustmc.translate.dtypes import kind_dtype

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
        NoGradientError
            If the density depends on parameters through an Op without a gradient.
        """
        arrays = self._arrays(data or {})
        if shapes is None:
            shapes = self._parameter_shapes(arrays)
        shapes = {name: tuple(int(length) for length in shapes[name]) for name in self.parameters}
        try:
            density = self.graph.bind({name: arrays[name] for name in self.inputs}, shapes)
        except NoGradientError as error:
            raise named(error, self.model) from error.__cause__
        return BoundModel(self, density, shapes)

    def _arrays(self, given: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Value of every name in `data`: given, or current; checked."""
        if unknown := sorted(set(given) - set(self.data)):
            raise DataError(
                f"the model has no data named {quoted(unknown)}; it has {quoted(self.data) or 'none'}"
            )
        arrays = {
            name: _as_input(name, given[name] if name in given else shared.get_value(borrow=True), shared)
            for name, shared in self.data.items()
        }
        self._fit_dim_lengths(arrays, given)
        observed = {self.model.rvs_to_values[rv] for rv in self.model.observed_RVs}
        for name, shared in self.data.items():
            check_values(name, arrays[name], observed=shared in observed)
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
                    f"data {name!r} has length {arrays[name].shape[axis]} along axis {axis}, but the "
                    f"{length} is {arrays[length]}; give all data of that dim the same length"
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
                shapes.append(pt.as_tensor(value.shape))  # a tuple for the variables of pymc.dims
        inputs = {shared: shared.type() for shared in self.data.values()}
        arguments = [In(variable, allow_downcast=True) for variable in inputs.values()]
        with no_compiler():
            return function(arguments, shapes, givens=inputs, mode=PYTHON_MODE, on_unused_input="ignore")


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

    def evaluate(
        self, names: Sequence[str], positions: npt.NDArray[np.float64]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Evaluate outputs of the template, each ``(n, *shape)``, at positions of shape ``(n, dim)``."""
        outputs = self.density.evaluate([output_name(name) for name in names], positions)
        return {name: outputs[output_name(name)] for name in names}

    def unravel(self, positions: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        """Value variables by name, each ``(..., *shape)``, of positions with shape ``(..., dim)``."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        parts = np.split(positions, ends[:-1], axis=-1)
        return {
            name: part.reshape(positions.shape[:-1] + shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def output_name(name: str) -> str:
    """Name a variable in the graph, where "logp" is the density: a variable may have that name too."""
    return name + "_" if name.startswith("logp") else name


def check_values(name: str, array: npt.NDArray[Any], observed: bool) -> None:
    """Raise `DataError` on values that no data set may hold: NaN, and infinite observations."""
    if array.dtype.kind != "f":
        return
    if np.isnan(array).any():
        raise DataError(
            f"data {name!r} hold {np.isnan(array).sum()} NaN; drop or replace those entries, "
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


def quoted(names: Iterable[str]) -> str:
    """Names for an error text."""
    return ", ".join(map(repr, names))
