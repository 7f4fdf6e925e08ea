"""A PyMC model as the source of a template: its description, current data, shapes and starting points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pymc.backends.arviz import coords_and_dims_for_inferencedata, find_constants, find_observations
from pymc.exceptions import SamplingError
from pytensor import config
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Cast

from pymc_rustmc.description import (
    Arrays,
    Coords,
    DataInput,
    FreeVariable,
    InitVals,
    ModelDescription,
    Observation,
    Point,
    Shapes,
    Start,
    Variables,
)
from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.holders import named
from pymc_rustmc.interpreted import PYTHON_MODE, SharedValues, no_compiler
from pymc_rustmc.starts import StartFunction, by_variable, start_functions, start_graph, starts_under


class DataNames:
    """A name of its own for every shared variable of a model: its PyMC name, its dim or a generated one."""

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


def describe_variables(model: pm.Model) -> Variables:
    """Describe the unobserved variables of a model."""
    free = []
    for rv in model.free_RVs:
        value, transform = model.rvs_to_values[rv], model.rvs_to_transforms[rv]
        free.append(
            FreeVariable(
                name=rv.name,
                dtype=np.dtype(rv.dtype),
                value_name=value.name,
                value_dtype=np.dtype(value.dtype),
                transform=None if transform is None else type(transform).__name__,
                jittered=rv.dtype == config.floatX,
            )
        )
    return Variables(
        tuple(free), {variable.name: np.dtype(variable.dtype) for variable in model.deterministics}
    )


def describe(model: pm.Model, names: DataNames) -> ModelDescription:
    """Describe a model; `names` are those of its shared variables, all of which have been met."""
    of_shared = {shared: name for name, shared in names.data.items()}
    length_of = {length: dim for dim, length in model.dim_lengths.items() if length in of_shared}
    observed = {model.rvs_to_values[rv] for rv in model.observed_RVs}
    data = {
        name: DataInput(
            dtype=np.dtype(shared.type.dtype),
            ndim=shared.type.ndim,
            observed=shared in observed,
            dims=tuple(model.named_vars_to_dims.get(name, ())),
            length_of=length_of.get(shared),
        )
        for name, shared in names.data.items()
    }
    constants = {}
    for name in find_constants(model):
        shared = model[name]
        if shared in of_shared:
            constants[name] = of_shared[shared]
    return ModelDescription(
        variables=describe_variables(model),
        data=data,
        dims={name: tuple(dims) for name, dims in model.named_vars_to_dims.items()},
        observations=_observations(model, of_shared),
        constants=constants,
    )


def _observations(model: pm.Model, names: Mapping[SharedVariable, str]) -> dict[str, Observation]:
    """Where the values of the observed variables come from."""
    found = {}
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]
        source = value
        while source.owner is not None and isinstance(getattr(source.owner.op, "scalar_op", None), Cast):
            source = source.owner.inputs[0]
        if source in names:
            found[rv.name] = Observation(names[source], np.dtype(value.dtype))
    if len(found) < len(model.observed_RVs):
        for name, array in find_observations(model).items():
            found.setdefault(name, Observation(None, array.dtype, array))
    return {rv.name: found[rv.name] for rv in model.observed_RVs if rv.name in found}


class LiveModel:
    """A PyMC model as the source of a template.

    Parameters
    ----------
    model
        The model; it is not changed.
    data
        Its shared variables by the names of the data inputs.
    """

    def __init__(self, model: pm.Model, data: Mapping[str, SharedVariable]):
        self.model = model
        self._data = data

    @property
    def shared(self) -> Mapping[str, SharedVariable]:
        """Shared variables of the model by the names of the data inputs."""
        return self._data

    def values(self) -> dict[str, NDArray[Any]]:
        """Return the current values of the shared variables."""
        return {name: shared.get_value(borrow=True) for name, shared in self._data.items()}

    def coords(self) -> Coords:
        """Return the current coordinate values of the model."""
        coords, _ = coords_and_dims_for_inferencedata(self.model)
        return {dim: np.asarray(values) for dim, values in coords.items()}

    def shapes(self, data: Arrays) -> Shapes:
        """Shape of every value variable: static, or that of its starting point under these data."""
        values = self.model.value_vars
        shapes = {value.name: value.type.shape for value in values if None not in value.type.shape}
        if len(shapes) < len(values):
            point = self._start_function(0, self.shared_values(data))
            shapes = {name: value.shape for name, value in point.items()}
        return shapes

    @cached_property
    def _start_function(self) -> StartFunction:
        (function,) = start_functions(self.model, None, 1, jitter=False)
        return function

    def start_functions(
        self, data: Arrays, initvals: InitVals, chains: int, jitter: bool
    ) -> Sequence[Callable[[int], Point]]:
        """PyMC's starting points, under these data."""
        functions = start_functions(self.model, initvals, chains, jitter)
        return starts_under(functions, self.shared_values(data))

    def start(self, data: Arrays) -> Start:
        """PyMC's starting point under these data, and its graph if that can be translated."""
        point = self._start_function(0, self.shared_values(data))
        return Start(start_graph(self.model, self._data), point)

    def inputs_of(self, expressions: Sequence[Variable]) -> list[str]:
        """Names of the data inputs that expressions are computed from."""
        # PyMC's copies of a shared variable have its container too.
        names = {id(shared.container): name for name, shared in self._data.items()}
        inputs = (variable for variable in ancestors(expressions) if isinstance(variable, SharedVariable))
        found = {names[id(shared.container)] for shared in inputs if id(shared.container) in names}
        return sorted(found)

    def data_name(self, shared: SharedVariable) -> str:
        """Name of the data input that a shared variable, or PyMC's copy of one, is.

        Raises
        ------
        UnsupportedOpError
            If it is none.
        """
        for name, known in self._data.items():
            if known.container is shared.container:
                return name
        raise UnsupportedOpError(shared)

    def named(self, error: UnsupportedOpError) -> UnsupportedOpError:
        """Return the error with the names of the variables whose graphs hold the Op that it is about."""
        return named(error, self.model)

    def explain_start(self, data: Arrays, point: Point, logp: float, gradient: NDArray[np.float64]) -> str:
        """PyMC's table of the terms of the log density, or else the gradient; and a hint at the data."""
        return self._terms(data, point, logp, gradient) + self._hint_at_data(data)

    def has_current(self, data: Arrays) -> bool:
        """Whether these are the data that the model holds now."""
        return all(np.array_equal(value, data[name]) for name, value in self.values().items())

    def shared_values(self, data: Arrays) -> SharedValues:
        """Return data by shared variable, in its dtype."""
        return {
            shared: data[name].astype(shared.type.dtype, copy=False) for name, shared in self._data.items()
        }

    def _terms(self, data: Arrays, point: Point, logp: float, gradient: NDArray[np.float64]) -> str:
        if self.has_current(data):
            try:
                with no_compiler():
                    # Raises where a term of logp is not finite.
                    self.model.check_start_vals(point, mode=PYTHON_MODE)
            except SamplingError as error:
                return str(error)
        return (
            f"The log density ({logp}) or its gradient is not finite at the starting point.\n"
            f"Starting values:\n{point}\n\n"
            f"Gradient:\n{by_variable(point, gradient)}\n"
            "Give other starting values by `initvals=`, or call `model.debug(fn='dlogp')` for more details."
        )

    def _hint_at_data(self, data: Arrays) -> str:
        """Name arrays with NaN or infinite values, which may be legitimate, or the cause."""
        values = self.shared_values(data)
        found: dict[Variable, str] = {}
        for factor in (*self.model.free_RVs, *self.model.observed_RVs, *self.model.potentials):
            for variable in ancestors([factor]):
                if variable not in found and _holds_values_that_are_not_finite(variable, values):
                    has_name = isinstance(variable, SharedVariable) and variable.name is not None
                    found[variable] = (
                        f"data {variable.name!r}" if has_name else f"an array used by {factor.name!r}"
                    )
        return f"\nNaN or infinite values in: {', '.join(found.values())}." if found else ""


def _holds_values_that_are_not_finite(variable: Variable, values: SharedValues) -> bool:
    if not str(getattr(variable.type, "dtype", "")).startswith("float"):
        return False
    if isinstance(variable, SharedVariable):
        value = values[variable] if variable in values else variable.get_value(borrow=True)
        return not np.isfinite(value).all()
    return isinstance(variable, Constant) and variable.ndim > 0 and not np.isfinite(variable.data).all()
