"""A translated model, and its binding to one data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pymc_rustmc._core import Density, Graph, ParameterShapeError
from pymc_rustmc.description import Arrays, Coords, DataInput, ModelDescription, Shapes, Source
from pymc_rustmc.errors import DataError, NoGradientError
from pymc_rustmc.groups import Group, non_centred
from pymc_rustmc.translate.dtypes import kind_dtype

Given = Mapping[str, npt.ArrayLike]
"""New data by name."""

GivenCoords = Mapping[str, Sequence[Any] | npt.NDArray[Any]]
"""New coordinate values by dim."""


@dataclass(frozen=True)
class Template:
    """A translated model, free of data: bind it to a data set to evaluate or sample it.

    Attributes
    ----------
    description : ModelDescription
        Names, dtypes, dims and data inputs.
    graph : Graph
        Op graph of the log density (output "logp") and of `outputs`.
    inputs : tuple of str
        Names of the data inputs that the graph reads.
    outputs : dict of str to dtype
        Name and dtype of the back-transformed free variables and the Deterministics.
    source : Source
        Where it came from, which gives current data, shapes and starting points.
    whole : dict of str to str
        Outputs of the graph that PyTensor evaluates as a whole, and why.
    with_whole : callable
        Translates the model again with more such outputs; None for a template that has no model.
    without_jacobian : callable
        Translates the model again without the Jacobians of its transforms; None for a template that has no
        model.
    groups : tuple of Group
        Groups of the model; none for a template that has no model.
    forms : bool
        Whether the groups have forms, which `BoundModel.with_forms` sets; they are bound non-centred.
    with_forms : callable
        Translates the model again so that its groups have forms; None for a template that has no model.
    of_groups : callable
        Translates the locations and scales of the groups, its outputs; None for a template that has no model.
    rewrites : dict of str to bool
        Rules of exact algebra that are switched on or off; those not named are on.
    marginalised : tuple of str
        Value variables that are integrated out where they can be.
    """

    description: ModelDescription
    graph: Graph = field(repr=False)
    inputs: tuple[str, ...]
    outputs: Mapping[str, np.dtype[Any]]
    source: Source = field(repr=False)
    whole: Mapping[str, str] = field(default_factory=dict)
    with_whole: Callable[[Mapping[str, str]], Template] | None = field(default=None, repr=False)
    without_jacobian: Callable[[], Template] | None = field(default=None, repr=False)
    groups: tuple[Group, ...] = ()
    forms: bool = False
    with_forms: Callable[[], Template] | None = field(default=None, repr=False)
    of_groups: Callable[[], Template] | None = field(default=None, repr=False)
    rewrites: Mapping[str, bool] = field(default_factory=dict)
    marginalised: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the value variables, in the order of the position vector."""
        return tuple(variable.value_name for variable in self.description.variables.free)

    def bind(
        self, data: Given | None = None, shapes: Shapes | None = None, coords: GivenCoords | None = None
    ) -> BoundModel:
        """Bind the template to data.

        Parameters
        ----------
        data
            New values by name. Everything else keeps the current value of the model's shared variable, so
            `pm.set_data` is seen. Lengths of dims follow the new data that have these dims.
        shapes
            Shape of each value variable, as from a start point; computed if not given.
        coords
            New coordinate values of dims; they also set the lengths of dims. A dim whose length changes
            without them is numbered from 0.

        Raises
        ------
        DataError
            If a data set has an unknown name, a wrong dtype or rank, lengths that disagree or missing values.
        GraphError
            If the shapes of data and parameters do not fit together, or if they are too large.
        NoGradientError
            If the density depends on parameters through an Op without a gradient.
        """
        return self._bind(self.source.values(), self.source.coords(), data or {}, coords or {}, shapes)

    def _bind(
        self,
        current: Arrays,
        current_coords: Coords,
        given: Given,
        coords: GivenCoords,
        shapes: Shapes | None,
    ) -> BoundModel:
        arrays = self.complete(current, given, coords)
        if shapes is None:
            shapes = self.source.shapes(arrays)
        shapes = {name: tuple(int(length) for length in shapes[name]) for name in self.parameters}
        return self.bind_to(arrays, self.fit_coords(arrays, current_coords, coords), shapes)

    def bind_to(self, data: Arrays, coords: Coords, shapes: Shapes) -> BoundModel:
        """Bind the template to data, coordinate values and shapes that are known to fit."""
        if self.forms:
            data = {**non_centred(self.groups, shapes), **data}
        try:
            density = self.graph.bind(
                {name: data[name] for name in self.inputs},
                shapes,
                memory(),
                dict(self.rewrites),
                list(self.marginalised),
            )
        except NoGradientError as error:
            raise self.source.named(error) from error.__cause__
        except ParameterShapeError as error:
            whole = {name: str(error) for name in error.outputs if name not in self.whole}
            if self.with_whole is None or not whole:
                raise
            template = self._like(self.with_whole(whole))
            return template.bind_to(data, coords, shapes)
        return BoundModel(self, shapes, data, coords, density)

    @cached_property
    def reparametrised(self) -> Template:
        """The template whose groups have forms."""
        assert self.with_forms is not None, "a model with groups can be translated again"
        return self._like(self.with_forms())

    @cached_property
    def parameters_of_groups(self) -> Template:
        """The template whose outputs are the locations and scales of the groups."""
        assert self.of_groups is not None, "a model with groups can be translated again"
        return self.of_groups()

    def _like(self, other: Template) -> Template:
        """Give another translation of the model what was chosen for this one."""
        return replace(other, rewrites=self.rewrites, marginalised=self.marginalised)

    def complete(self, current: Arrays, given: Given, coords: GivenCoords) -> dict[str, npt.NDArray[Any]]:
        """Value of every data input: given, or current; checked.

        Raises
        ------
        DataError
            As `bind`.
        """
        inputs = self.description.data
        if unknown := sorted(set(given) - set(inputs)):
            raise DataError(
                f"the model has no data named {quoted(unknown)}; it has {quoted(inputs) or 'none'}"
            )
        arrays = {
            name: _as_input(name, given[name], item, copy=True)
            if name in given
            else _as_input(name, current[name], item, copy=False)
            for name, item in inputs.items()
        }
        self._fit_dim_lengths(arrays, given, coords)
        for name, item in inputs.items():
            check_values(name, arrays[name], observed=item.observed)
        return arrays

    def _fit_dim_lengths(
        self, arrays: dict[str, npt.NDArray[Any]], given: Given, coords: GivenCoords
    ) -> None:
        """Set the dim lengths that new data imply; check that all data agree with the lengths."""
        lengths = self.description.lengths
        for dim, values in coords.items():
            if dim in lengths and lengths[dim] not in given:
                arrays[lengths[dim]] = np.asarray(len(values), dtype=np.int64)
        axes = [(name, axis, lengths[dim]) for name, axis, dim in self.description.axes if dim in lengths]
        for name, axis, length in axes:
            if name in given and length not in given:
                arrays[length] = np.asarray(arrays[name].shape[axis], dtype=np.int64)
        for name, axis, length in axes:
            if arrays[name].shape[axis] != arrays[length]:
                raise DataError(
                    f"data {name!r} has length {arrays[name].shape[axis]} along axis {axis}, but the "
                    f"{length} is {arrays[length]}; give all data of that dim the same length"
                )

    def fit_coords(self, arrays: Arrays, current: Coords, given: GivenCoords) -> dict[str, npt.NDArray[Any]]:
        """Coordinate values of the dims that have some: given, or current where they still fit."""
        lengths = {dim: int(arrays[name]) for dim, name in self.description.lengths.items()}
        for name, axis, dim in self.description.axes:
            lengths.setdefault(dim, arrays[name].shape[axis])
        named = {dim for dims in self.description.dims.values() for dim in dims if dim is not None}
        known = named | {*lengths, *current}
        if unknown := sorted(set(given) - known):
            raise DataError(
                f"the model has no dim {quoted(unknown)}; it has {quoted(sorted(known)) or 'none'}"
            )
        coords = {**current, **{dim: np.asarray(values) for dim, values in given.items()}}
        for dim, length in lengths.items():
            if dim in coords and len(coords[dim]) != length:
                if dim in given:
                    raise DataError(
                        f"the dim {dim!r} has the length {length}, but {len(coords[dim])} coords were given"
                    )
                del coords[dim]
        return coords


@dataclass(frozen=True)
class ModelData:
    """A template and one data set that it can be bound to, without the density, which may be large.

    Attributes
    ----------
    template : Template
    shapes : dict of str to tuple of int
        Shape of each value variable, in the order of the position vector.
    data : dict of str to array
        Value of every data input.
    coords : dict of str to array
        Coordinate values of the dims that have some.
    """

    template: Template
    shapes: Shapes
    data: Arrays = field(repr=False)
    coords: Coords = field(repr=False)

    def observed_data(self) -> dict[str, npt.NDArray[Any]]:
        """Return the values of the observed variables."""
        observations = self.template.description.observations
        return {name: observation.of(self.data) for name, observation in observations.items()}

    def constant_data(self) -> dict[str, npt.NDArray[Any]]:
        """Return the data that are no mere observations, in the dtypes of the model."""
        description = self.template.description
        return {
            name: self.data[key].astype(description.data[key].dtype, copy=False)
            for name, key in description.constants.items()
        }


@dataclass(frozen=True)
class BoundModel(ModelData):
    """A template bound to one data set.

    Attributes
    ----------
    density : Density
        Log density, gradient and outputs; what is integrated out is no part of the density's positions.
    """

    density: Density

    @property
    def without_density(self) -> ModelData:
        """What is left when the density's memory is given back."""
        return ModelData(self.template, self.shapes, self.data, self.coords)

    def bind(self, data: Given | None = None, coords: GivenCoords | None = None) -> BoundModel:
        """Bind the template to these data with some of them replaced; as `Template.bind`."""
        return self.template._bind(self.data, self.coords, data or {}, coords or {}, None)

    @cached_property
    def without_jacobian(self) -> BoundModel:
        """The same, with the density of the constrained values: without the Jacobians of the transforms.

        Raises
        ------
        ValueError
            If it comes from a file, which does not hold that density.
        """
        if self.template.without_jacobian is None:
            raise ValueError(
                "a model from a file has the density of the unconstrained values alone: ask for "
                "`jacobian=True`, or use the PyMC model"
            )
        template = self.template._like(self.template.without_jacobian())
        if template.parameters != self.template.parameters:
            raise ValueError("the PyMC model has other variables than when it was compiled; compile it again")
        return template.bind_to(self.data, self.coords, self.shapes)

    def with_rewrites(self, rewrites: Mapping[str, bool]) -> BoundModel:
        """Bind the template to the same data, with these rules of exact algebra switched on or off."""
        template = replace(self.template, rewrites={**self.template.rewrites, **rewrites})
        return template.bind_to(self.data, self.coords, self.shapes)

    def with_marginalised(self, names: Sequence[str]) -> BoundModel:
        """Bind the template to the same data, with these value variables integrated out where they can be."""
        template = replace(self.template, marginalised=tuple(names))
        return template.bind_to(self.data, self.coords, self.shapes)

    @property
    def reparametrised(self) -> BoundModel:
        """The same, in coordinates of the groups' forms, all non-centred."""
        return self.template.reparametrised.bind_to(self.data, self.coords, self.shapes)

    def with_forms(self, forms: Arrays) -> BoundModel:
        """Bind the template to the same data in other forms of its groups: p and q of each, by name."""
        return self.template.bind_to({**self.data, **forms}, self.coords, self.shapes)

    def position(self, point: Given) -> npt.NDArray[np.float64]:
        """Position vector, shape ``(dim,)``, of a point given as value variables by name."""
        parts = []
        for name, shape in self.shapes.items():
            value = np.asarray(point[name])
            if value.dtype.kind not in "fiub":
                raise DataError(f"the value of {name!r} must be real numbers, not {value.dtype}")
            if value.shape != shape:
                raise DataError(f"the value of {name!r} has shape {value.shape}, but the model needs {shape}")
            parts.append(value.astype(np.float64).ravel())
        return np.concatenate(parts)

    def sampled(self, position: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Leave what is integrated out out of a position, ``(dim,)``, of the model as it is written."""
        kept = self.density.kept
        return position if kept is None else position[kept]

    def logp_and_gradient(self, position: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """Evaluate the density at a position of the model as it is written: flat where integrated out."""
        logp, gradient = self.density.logp_and_gradient(self.sampled(position))
        if self.density.kept is None:
            return logp, gradient
        whole = np.zeros(position.shape)
        whole[self.density.kept] = gradient
        return logp, whole

    def evaluate(
        self, names: Sequence[str], positions: npt.NDArray[np.float64]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Evaluate outputs of the template, each ``(n, *shape)``, at positions of shape ``(n, dim)``."""
        outputs = self.density.evaluate([output_name(name) for name in names], positions)
        return {name: outputs[output_name(name)] for name in names}

    def unravel(self, positions: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        """Value variables by name, each ``(..., *shape)``, of positions with shape ``(..., dim)``."""
        return {
            name: positions[..., part].reshape(positions.shape[:-1] + self.shapes[name])
            for name, part in self.slices().items()
        }

    def slices(self) -> dict[str, slice]:
        """Where each value variable stands in the position vector."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes.values())])
        return {name: slice(a, b) for name, a, b in zip(self.shapes, ends[:-1], ends[1:], strict=True)}


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


def _as_input(name: str, value: npt.ArrayLike, item: DataInput, *, copy: bool) -> npt.NDArray[Any]:
    """`value` as an array of our dtype and the rank of a data input, a copy of what the user may change."""
    dtype = np.dtype(kind_dtype(item.dtype))
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"data {name!r} have dtype {array.dtype}; give numbers or booleans")
    if array.ndim != item.ndim:
        raise DataError(f"data {name!r} have {array.ndim} axes, but the model needs {item.ndim}")
    converted = array.astype(dtype, copy=copy)
    if dtype.kind != "f" and not np.array_equal(converted, array):
        raise DataError(f"data {name!r} must be {dtype}, but hold other values; round or recode them")
    return converted


def memory() -> int | None:
    """Bytes of memory of this machine, more than which no model may need; None where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None


def quoted(names: Iterable[str]) -> str:
    """Names for an error text."""
    return ", ".join(map(repr, names))
