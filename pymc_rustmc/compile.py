"""From a PyMC model to its template: one op graph that serves every data set."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.exceptions import SamplingError
from pytensor import scalar
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import variadic_add
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor
from pytensor.tensor.variable import TensorConstant

from pymc_rustmc._core import Graph
from pymc_rustmc.arguments import check_model_type
from pymc_rustmc.errors import UnsupportedModelError, UnsupportedOpError
from pymc_rustmc.groups import find_groups, locations_and_scales, with_forms
from pymc_rustmc.holders import named
from pymc_rustmc.interpreted import no_compiler, xtensor_rewrites
from pymc_rustmc.live import DataNames, LiveModel, describe
from pymc_rustmc.repeats import LARGE, Repeat, find_repeats, terms
from pymc_rustmc.template import BoundModel, Template, check_values, output_name, quoted
from pymc_rustmc.translate import Walker
from pymc_rustmc.translate.foreign import translate_whole
from pymc_rustmc.translate.registry import existing

__all__ = ["BoundModel", "Template", "translate_model"]

_EXCLUDED = (
    () if existing("pytensor.tensor.special", "LogSumExp") else ("local_log_sum_exp", "local_log_add_exp")
)
"""Rewrites that write, in PyTensor 2, the maximum beside what we translate in one op: it gets an adjoint."""

_MANY = 4_000_000
"""Elements of all constants from which on it is worth collecting the masks of them that PyMC leaves over."""


def translate_model(
    model: pm.Model,
    var_names: Sequence[str] | None = None,
    *,
    jacobian: bool = True,
    forms: bool = False,
    rewrites: Mapping[str, bool] | None = None,
) -> Template:
    """Translate a PyMC model into a template that serves every data set.

    Parameters
    ----------
    model
        The model; it is not changed.
    var_names
        Restrict the outputs to these free variables and Deterministics; all by default.
    jacobian
        Whether the log density is that of the unconstrained values, Jacobians of the transforms included.
    forms
        Whether the groups of the model (`pymc_rustmc.groups`), if it has any, get forms that can be set when
        it is bound.
    rewrites
        Rules of exact algebra that are switched on or off, as `checked_rewrites` returns them.

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
    template = _translate(model, var_names, {}, DataNames(model), jacobian, forms)
    return replace(template, rewrites=rewrites or {})


def _translate(
    model: pm.Model,
    var_names: Sequence[str] | None,
    whole: Mapping[str, str],
    data_names: DataNames,
    jacobian: bool,
    forms: bool,
) -> Template:
    """Translate; outputs of the graph in `whole`, of name to reason, each become one foreign node."""
    groups = find_groups(model)
    forms = forms and bool(groups)
    with no_compiler():
        outputs: Mapping[str, Variable] = _outputs(model, var_names)
        if forms:
            values, logp, outputs = with_forms(model, outputs)
        else:
            values, logp = model.value_vars, model.logp(jacobian=jacobian)
    graph, inputs = _graph(model, values, logp, outputs, whole, data_names)
    for group in groups:
        for name in (group.precision, group.pull):
            data_names.data.pop(name, None)  # the form is no data of the user's
    template = Template(
        description=describe(model, data_names),
        graph=graph,
        inputs=inputs,
        outputs={name: np.dtype(variable.type.dtype) for name, variable in outputs.items()},
        source=LiveModel(model, data_names.data),
        whole=whole,
        with_whole=lambda others: _translate(
            model, var_names, {**whole, **others}, data_names, jacobian, forms
        ),
        without_jacobian=lambda: _translate(model, var_names, whole, data_names, jacobian=False, forms=False),
        groups=groups,
        forms=forms,
        with_forms=lambda: _translate(model, var_names, {}, data_names, jacobian, forms=True),
    )
    return replace(template, of_groups=lambda: _of_groups(template, model, data_names))


def _of_groups(template: Template, model: pm.Model, data_names: DataNames) -> Template:
    """Translate the locations and scales of the model's groups; the log density is 0."""
    with no_compiler():
        outputs = locations_and_scales(model)
    graph, inputs = _graph(model, model.value_vars, pt.constant(0.0), outputs, {}, data_names)
    dtypes = {name: np.dtype(variable.type.dtype) for name, variable in outputs.items()}
    return replace(template, graph=graph, inputs=inputs, outputs=dtypes, whole={}, with_whole=None)


def _graph(
    model: pm.Model,
    values: Sequence[Variable],
    logp: Variable,
    outputs: Mapping[str, Variable],
    whole: Collection[str],
    data_names: DataNames,
) -> tuple[Graph, tuple[str, ...]]:
    """Translate a log density and outputs, functions of value variables; and name the data that they read."""
    graph = Graph()
    parameters = {value: graph.parameter(value.name, value.type.ndim) for value in values}
    walker = Walker(graph, parameters, data_names, check_bounds=model.check_bounds)
    try:
        _add_density(walker, logp, whole)
        _add_outputs(walker, {output_name(name): output for name, output in outputs.items()}, whole)
    except UnsupportedOpError as error:
        raise named(error, model) from None
    if walker.constant_elements >= _MANY:
        _give_back()
    return graph, tuple(walker.data)


def _add_density(walker: Walker, logp: Variable, whole: Collection[str]) -> None:
    """Translate the log density into the walker's graph, as one foreign node if it is in `whole`."""
    with no_compiler():
        if "logp" in whole:
            node = translate_whole("logp", canonical([logp]).outputs[0], walker)
        else:
            node = _translated_sum(walker, logp)
        walker.graph.output("logp", node)


def _add_outputs(walker: Walker, outputs: Mapping[str, Variable], whole: Collection[str]) -> None:
    """Translate outputs into the walker's graph, those in `whole` as one foreign node each."""
    native = {name: output for name, output in outputs.items() if name not in whole}
    simple = simple_variables(list(native.values()))
    as_they_are = [output for output in native.values() if output in simple]
    others = [output for output in native.values() if output not in simple]
    with no_compiler():
        simple_nodes = iter(walker.translate(FunctionGraph(outputs=as_they_are, clone=False)))
        nodes = iter(_translated(walker, others))
        for name, output in outputs.items():
            if name in whole:
                node = translate_whole(name, canonical([output]).outputs[0], walker)
            else:
                node = next(simple_nodes if output in simple else nodes)
            walker.graph.output(name, node)


def _translated(walker: Walker, outputs: Sequence[Variable]) -> list[int]:
    """Translate the canonical forms of `outputs`."""
    repeats = find_repeats(outputs)
    repeated = {position for repeat in repeats for position in repeat.members}
    alone = [position for position in range(len(outputs)) if position not in repeated]
    ids, of_repeats = _canonical_ids(walker, [outputs[position] for position in alone], repeats)
    found = {**dict(zip(alone, ids, strict=True)), **of_repeats}
    return [found[position] for position in range(len(outputs))]


def _translated_sum(walker: Walker, total: Variable) -> int:
    """Translate the canonical form of a sum."""
    summands = terms(total)
    repeats = find_repeats(summands)
    if not repeats:
        return _translated(walker, [total])[0]
    repeated = {position for repeat in repeats for position in repeat.members}
    alone = [summand for position, summand in enumerate(summands) if position not in repeated]
    ids, of_repeats = _canonical_ids(walker, [variadic_add(*alone)] if alone else [], repeats)
    ids += [of_repeats[position] for position in sorted(of_repeats)]
    return walker.op("add", *(walker.cast(node, "float64") for node in ids))


def _canonical_ids(
    walker: Walker, alone: Sequence[Variable], repeats: Sequence[Repeat]
) -> tuple[list[int], dict[int, int]]:
    """Translate canonical forms of expressions, and of repeats; ids of these are by position."""
    if not alone and not repeats:
        return [], {}
    fgraph = canonical([*alone, *(repeat.form for repeat in repeats)])
    if not repeats:
        return walker.translate(fgraph), {}
    ids = walker.translate_some(fgraph.outputs[: len(alone)])
    of_repeats: dict[int, int] = {}
    for repeat, form in zip(repeats, fgraph.outputs[len(alone) :], strict=True):
        instances = walker.instances(form, repeat.slots, repeat.values)
        of_repeats.update(zip(repeat.members, instances, strict=True))
    return ids, of_repeats


_SIMPLE_OPS = (
    *(DimShuffle, Subtensor, AdvancedSubtensor),
    *(scalar.Exp, scalar.Sigmoid, scalar.Mul, scalar.Add),
)


def simple_variables(outputs: list[Variable]) -> set[Variable]:
    """Return those whose graph no rewrite makes stabler: exp, products, sums, as of non-centred effects.

    PyTensor's rewrites of the smallest graph take longer than its translation.
    """
    nodes = FunctionGraph(outputs=outputs, clone=False).toposort()
    constant = {variable for node in nodes for variable in node.inputs if isinstance(variable, Constant)}
    complicated: set[Variable] = set()
    for node in nodes:
        if all(variable in constant for variable in node.inputs):
            constant.update(node.outputs)
        operation = node.op.scalar_op if isinstance(node.op, Elemwise) else node.op
        has_stabler_form = isinstance(operation, scalar.Add) and any(  # exp(x) - 1
            variable in constant for variable in node.inputs
        )
        if (
            not isinstance(operation, _SIMPLE_OPS)
            or has_stabler_form
            or any(variable in complicated for variable in node.inputs)
        ):
            complicated.update(node.outputs)
    return {output for output in outputs if output not in complicated}


def _give_back() -> None:
    """Free what was made on the way, and give the system back the pages that the allocator keeps."""
    gc.collect(0)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc
        libc.malloc_trim(0)


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


def canonical(outputs: list[Variable]) -> FunctionGraph:
    """Graph of `outputs`, made canonical and stable; the Ops of ``pymc.dims`` become those on plain arrays.

    It shares its inputs, and nothing else, with the model: rewrites work in place.
    """
    fgraph = FunctionGraph(outputs=outputs, clone=True, copy_inputs=False)
    hidden = _large_constants(fgraph.variables)
    fgraph.replace_all(hidden.items(), import_missing=True)
    if needed := xtensor_rewrites():
        rewrite_graph(fgraph, include=needed)
    # As PyMC's `rewrite_pregrad`.
    rewrite_graph(fgraph, include=("canonicalize", "stabilize"), exclude=_EXCLUDED)
    if not hidden:
        return fgraph
    rewritten = FunctionGraph(outputs=fgraph.outputs, clone=False)
    shown = {variable: constant for constant, variable in hidden.items() if variable in rewritten.variables}
    rewritten.replace_all(shown.items(), import_missing=True)
    return rewritten


def _large_constants(variables: Iterable[Variable]) -> dict[Variable, Variable]:
    """Return variables to stand for large constants; constants of one array share theirs."""
    of_arrays: dict[Any, Variable] = {}
    hidden: dict[Variable, Variable] = {}
    for variable in variables:
        if isinstance(variable, TensorConstant) and variable.data.size >= LARGE:
            hidden[variable] = of_arrays.setdefault((id(variable.data), variable.type), variable.type())
    return hidden


def _outputs(model: pm.Model, var_names: Sequence[str] | None) -> dict[str, Variable]:
    """Back-transformed free variables and Deterministics by name, as functions of the value variables."""
    transformed = [rv for rv in model.free_RVs if model.rvs_to_transforms[rv] is not None]
    wanted = [
        variable
        for variable in (*transformed, *model.deterministics)
        if var_names is None or variable.name in var_names
    ]
    return dict(zip((v.name for v in wanted), model.replace_rvs_by_values(wanted), strict=True))
