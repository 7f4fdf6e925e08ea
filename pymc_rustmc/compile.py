"""From a PyMC model to its template: one op graph that serves every data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
from pymc.exceptions import SamplingError
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph

from pymc_rustmc._core import Graph
from pymc_rustmc.arguments import check_model_type
from pymc_rustmc.errors import UnsupportedModelError, UnsupportedOpError
from pymc_rustmc.holders import named
from pymc_rustmc.interpreted import no_compiler, xtensor_rewrites
from pymc_rustmc.live import DataNames, LiveModel, describe
from pymc_rustmc.template import BoundModel, Template, check_values, output_name, quoted
from pymc_rustmc.translate import Walker

__all__ = ["BoundModel", "Template", "translate_model"]


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
    data_names = DataNames(model)
    walker = Walker(graph, parameters, data_names, check_bounds=model.check_bounds)

    outputs = _outputs(model, var_names)
    with no_compiler():
        logp, backward = _canonical([model.logp()]), _canonical(list(outputs.values()))
    try:
        (logp_id,) = walker.translate(logp)
        output_ids = walker.translate(backward)
    except UnsupportedOpError as error:
        raise named(error, model) from None
    graph.output("logp", logp_id)
    for name, node in zip(outputs, output_ids, strict=True):
        graph.output(output_name(name), node)

    return Template(
        description=describe(model, data_names),
        graph=graph,
        inputs=tuple(walker.data),
        outputs={name: np.dtype(variable.type.dtype) for name, variable in outputs.items()},
        source=LiveModel(model, data_names.data),
    )


def _check_model(model: Any) -> None:
    check_model_type(model)
    if not model.free_RVs:
        raise SamplingError(
            "Cannot sample from the model, since the model does not contain any free variables."
        )
    if discrete := [value.name for value in model.discrete_value_vars]:
        raise UnsupportedModelError(
            f"rustmc samples continuous variables only; discrete here: {quoted(discrete)}. Marginalize over "
            f"them (pm.Mixture, or pymc_extras.marginalize), or use nuts_sampler='pymc'."
        )
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]
        if isinstance(value, Constant):
            check_values(rv.name, np.asarray(value.data), observed=True)


def _cloned(outputs: list[Variable]) -> FunctionGraph:
    """Graph of `outputs` that shares its inputs, and nothing else, with the model: rewrites work in place."""
    return FunctionGraph(outputs=outputs, clone=True, copy_inputs=False)


def _canonical(outputs: list[Variable]) -> FunctionGraph:
    """Graph of `outputs` in PyTensor's canonical form, on plain arrays."""
    fgraph = _cloned(outputs)
    if needed := xtensor_rewrites():
        rewrite_graph(fgraph, include=needed)
    return rewrite_pregrad(fgraph)


def _outputs(model: pm.Model, var_names: Sequence[str] | None) -> dict[str, Variable]:
    """Back-transformed free variables and Deterministics by name, as functions of the value variables."""
    transformed = [rv for rv in model.free_RVs if model.rvs_to_transforms[rv] is not None]
    wanted = [
        variable
        for variable in (*transformed, *model.deterministics)
        if var_names is None or variable.name in var_names
    ]
    return dict(zip((v.name for v in wanted), model.replace_rvs_by_values(wanted), strict=True))
