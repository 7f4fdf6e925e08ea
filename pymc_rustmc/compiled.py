"""A compiled model: evaluate, sample, bind to other data, explain, save."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pymc.model import modelcontext

from pymc_rustmc.approximate import fit_laplace, fit_pathfinder
from pymc_rustmc.arguments import checked_marginalise, checked_rewrites
from pymc_rustmc.compile import translate_model
from pymc_rustmc.description import Arrays, Coords, Shapes
from pymc_rustmc.errors import DataError
from pymc_rustmc.explanation import Explanation
from pymc_rustmc.find_map import find_map
from pymc_rustmc.marginal import check_marginalised, value_names
from pymc_rustmc.sample import RustMC
from pymc_rustmc.storage import FilePath, read_model, save_model
from pymc_rustmc.template import BoundModel, Given, GivenCoords, memory, quoted

_RUN_ARGUMENTS = frozenset(inspect.signature(RustMC.sample_from_init).parameters) - {"self", "model"}


def compile_model(
    model: pm.Model | None = None,
    *,
    var_names: Sequence[str] | None = None,
    rewrites: bool | Mapping[str, bool] | None = None,
    marginalise: bool | Sequence[str] = False,
) -> CompiledModel:
    """Translate a PyMC model to Rust and bind it to the data that it holds now.

    Parameters
    ----------
    model
        The model, or that of the ``with`` context; it is not changed.
    var_names
        Free variables and Deterministics that results may hold; all by default.
    rewrites
        Rules of exact algebra to switch off, such as ``{"equal_rows": False}``, or ``False`` for all; they
        are on by default. See ``docs/exact-algebra.md``.
    marginalise
        Whether to integrate out all variables in which the log density is quadratic, or the names of some.
        `CompiledModel.logp_dlogp` then is that of the others, and `CompiledModel.sample` draws them given the
        others. See ``docs/hierarchies.md``.

    Raises
    ------
    TypeError, ValueError
        If `model` is no PyMC model, `rewrites` names no rule, or a variable that `marginalise` names cannot
        be integrated out.
    pymc.exceptions.SamplingError
        If the model has no free variables.
    pymc_rustmc.errors.UnsupportedModelError, pymc_rustmc.errors.UnsupportedOpError
        If the model has discrete free variables, or an Op without translation.
    pymc_rustmc.errors.DataError
        If the data hold NaN or do not fit the model.

    Examples
    --------
    >>> compiled = compile_model(model)  # doctest: +SKIP
    >>> logp, gradient = compiled.logp_dlogp(model.initial_point())  # doctest: +SKIP
    >>> idata = compiled.bind({"x": new_x, "y": new_y}).sample(random_seed=1)  # doctest: +SKIP
    """
    template = translate_model(modelcontext(model), var_names, rewrites=checked_rewrites(rewrites))
    wanted = checked_marginalise(marginalise) or False
    template = replace(template, marginalised=value_names(template.description, wanted))
    bound = template.bind()
    check_marginalised(bound, wanted)
    return CompiledModel(bound)


class CompiledModel:
    """A model in Rust, bound to one data set; made by `compile_model`, `load_model` and `bind`.

    It keeps the data that it was bound to: `pymc.set_data` on the model that it came from does not reach it.
    """

    def __init__(self, bound: BoundModel) -> None:
        self._bound = bound

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {shape}" for name, shape in self.shapes.items())
        return f"CompiledModel({shapes})"

    @property
    def shapes(self) -> Shapes:
        """Shape of each value variable, by name."""
        return dict(self._bound.shapes)

    @property
    def data(self) -> Arrays:
        """Value of everything that `bind` may set, by name."""
        return dict(self._bound.data)

    @property
    def coords(self) -> Coords:
        """Coordinate values of the dims that have some."""
        return dict(self._bound.coords)

    def logp_dlogp(self, point: Given) -> tuple[float, dict[str, NDArray[np.float64]]]:
        """Evaluate the log density and its gradient.

        Parameters
        ----------
        point
            Value of every value variable by name, as ``model.initial_point()`` gives them; what is integrated
            out may be missing.

        Returns
        -------
        logp : float
            Log density of the unconstrained values, Jacobians of the transforms included; of a model with
            variables that are integrated out, that of the others.
        dlogp : dict of str to array
            Derivative by each value variable that is not integrated out, of its shape.

        Raises
        ------
        pymc_rustmc.errors.DataError
            If a value variable is missing, unknown or of another shape.
        """
        shapes = self._bound.shapes
        if unknown := sorted(set(point) - set(shapes)):
            raise DataError(
                f"the model has no value variable named {quoted(unknown)}; it has {quoted(shapes)}"
            )
        out = self._bound.density.marginalised
        point = {**{name: np.zeros(shapes[name]) for name in out}, **point}
        if missing := [name for name in shapes if name not in point]:
            raise DataError(f"the point lacks the value of {quoted(missing)}")
        logp, gradient = self._bound.logp_and_gradient(self._bound.position(point))
        return logp, {name: part for name, part in self._bound.unravel(gradient).items() if name not in out}

    def sample(self, draws: int = 1000, *, nuts: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
        """Draw from the posterior, without translating again.

        Parameters
        ----------
        draws
            Draws a chain.
        nuts
            Options of `RustMC`, as in ``pm.sample(nuts={...})``.
        **arguments
            All that `RustMC.sample_from_init` takes, such as ``tune``, ``chains``, ``random_seed``,
            ``initvals`` or ``var_names``; and options of `RustMC`, such as ``target_accept``.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            What ``pm.sample(nuts_sampler="rustmc")`` returns; the same draws for the same seed.

        Raises
        ------
        TypeError, ValueError
            If an argument is unknown or impossible; the text names it.
        pymc.exceptions.SamplingError
            If the log density is finite at no starting point.
        """
        run = {name: arguments.pop(name) for name in _RUN_ARGUMENTS & set(arguments)}
        if twice := sorted(set(arguments) & set(nuts or {})):
            raise TypeError(f"Given twice, in `nuts` and outside of it: {', '.join(twice)}.")
        return RustMC(**arguments, **(nuts or {})).sample_from_init(model=self._bound, draws=draws, **run)

    def find_map(self, **arguments: Any) -> dict[str, NDArray[Any]]:
        """Find a maximum a posteriori point; as `pymc_rustmc.find_map`, whose keyword arguments it takes.

        Unless ``jacobian=True``, the first call translates the model again, without the Jacobians of its
        transforms.
        """
        return find_map(self._bound, **arguments)

    def fit_laplace(self, **arguments: Any) -> Any:
        """Approximate the posterior by a normal at a mode; as `pymc_rustmc.fit_laplace`."""
        return fit_laplace(self._bound, **arguments)

    def fit_pathfinder(self, **arguments: Any) -> Any:
        """Approximate the posterior by multi-path Pathfinder; as `pymc_rustmc.fit_pathfinder`."""
        return fit_pathfinder(self._bound, **arguments)

    def bind(self, data: Given | None = None, *, coords: GivenCoords | None = None) -> CompiledModel:
        """Bind other data, without translating again.

        Parameters
        ----------
        data
            New values by the name of ``pm.Data``; everything else stays. Lengths may change: those of dims
            follow the data that have these dims.
        coords
            New coordinate values of dims, which also set the lengths of dims that no data have. A dim
            whose length changes without new values is numbered from 0.

        Returns
        -------
        CompiledModel
            A new one; this one does not change.

        Raises
        ------
        pymc_rustmc.errors.DataError
            If a name is unknown, or if a dtype, rank or length does not fit, or values are missing.
        pymc_rustmc._core.GraphError
            If the shapes of data and parameters do not fit together.
        """
        return CompiledModel(self._bound.bind(data, coords))

    def explain(self) -> Explanation:
        """Account for what became of the model: graphs, rules, passes and their cost, memory.

        The time of each step is measured at the starting point, which takes some milliseconds.
        """
        bound = self._bound
        (start,) = bound.template.source.start_functions(bound.data, None, 1, jitter=False)
        position = bound.position(start(0))
        inputs = {name: bound.data[name] for name in bound.template.inputs}
        template = bound.template
        account = template.graph.explain(
            inputs,
            bound.shapes,
            position.tolist(),
            memory(),
            dict(template.rewrites),
            list(template.marginalised),
        )
        return Explanation.of(bound, json.loads(account))

    def save(self, path: FilePath) -> None:
        """Write the model, with the data that it is bound to, to a file.

        The file holds the graphs and plain arrays, and nothing that can be run; `load_model` reads it where
        the PyMC model does not exist.

        Parameters
        ----------
        path
            The file, which is replaced if it exists.

        Raises
        ------
        pymc_rustmc.errors.SaveError
            If the model holds an Op that is evaluated by PyTensor, or coords that are no strings, numbers or
            times.
        """
        save_model(self._bound, path)

    @classmethod
    def load(cls, path: FilePath) -> CompiledModel:
        """Read a file that `save` wrote; as `load_model`."""
        return cls(read_model(path))


def load_model(path: FilePath) -> CompiledModel:
    """Read a compiled model from a file that `CompiledModel.save` wrote.

    Nothing in the file is run, wherever it comes from. Results have the groups, dims, coords and attributes
    that the PyMC model gives; starting points are PyMC's, jittered by numbers of their own, and ``initvals``
    name value variables.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    pymc_rustmc.errors.ModelFileError
        If it is no such file, of another version, or damaged; the text says what to do.
    """
    return CompiledModel.load(path)
