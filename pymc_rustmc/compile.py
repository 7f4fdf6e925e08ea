"""From a PyMC model to its template: one op graph that serves every data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
from pymc.exceptions import SamplingError
from pymc.pytensorf import rewrite_pregrad
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise

from pymc_rustmc._core import Graph
from pymc_rustmc.arguments import check_model_type
from pymc_rustmc.errors import UnsupportedModelError, UnsupportedOpError
from pymc_rustmc.interpreted import no_compiler, xtensor_rewrites
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
    data_names = _DataNames(model)
    walker = Walker(graph, parameters, data_names, check_bounds=model.check_bounds)

    outputs = _outputs(model, var_names)
    with no_compiler():
        logp = rewrite_pregrad(_lowered([model.logp()]))
        backward = rewrite_graph(_lowered(list(outputs.values())), include=("canonicalize", "stabilize"))
    try:
        (logp_id,) = walker.translate(logp)
        output_ids = walker.translate(backward)
    except UnsupportedOpError as error:
        holders = _holders(model, dict(zip(outputs, backward.outputs, strict=True)), error.node)
        raise UnsupportedOpError(error.op, error.remedy, holders) from None
    graph.output("logp", logp_id)
    for name, node in zip(outputs, output_ids, strict=True):
        graph.output(output_name(name), node)

    return Template(
        model=model,
        graph=graph,
        parameters=tuple(value.name for value in model.value_vars),
        data=data_names.data,
        inputs=tuple(walker.data),
        outputs={name: np.dtype(variable.type.dtype) for name, variable in outputs.items()},
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


class _DataNames:
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


def _cloned(outputs: list[Variable]) -> FunctionGraph:
    """Graph of `outputs` that shares its inputs, and nothing else, with the model: rewrites work in place."""
    return FunctionGraph(outputs=outputs, clone=True, copy_inputs=False)


def _lowered(outputs: list[Variable]) -> FunctionGraph:
    """Clone the graph of `outputs`; turn the Ops of ``pymc.dims`` into those on plain arrays."""
    fgraph = _cloned(outputs)
    if needed := xtensor_rewrites():
        rewrite_graph(fgraph, include=needed)
    return fgraph


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
        variable.name: rewrite_pregrad(_lowered(model.logp([variable], sum=False))).outputs[0]
        for variable in (*model.free_RVs, *model.observed_RVs, *model.potentials)
    }
    return [
        name
        for name, graph in (*factors.items(), *outputs.items())
        if any(
            _kind(other.op) == _kind(node.op) for other in _nodes(FunctionGraph(outputs=[graph], clone=True))
        )
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
