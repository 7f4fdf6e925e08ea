"""Ops with a meaning of their own: softmax family, parameter checks, casts of kind, random numbers."""

from __future__ import annotations

from typing import Any

from pymc.data import MinibatchOp
from pymc.distributions.simulator import SimulatorRV
from pymc.logprob.utils import CheckParameterValue
from pytensor.compile.ops import DeepCopyOp, TypeCastingOp
from pytensor.printing import Print
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.extra_ops import CpuContiguous
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.special import LogSoftmax, Softmax

from pymc_rustmc.errors import RefusedOpError
from pymc_rustmc.translate.reductions import all_axes
from pymc_rustmc.translate.registry import existing, register
from pymc_rustmc.translate.walker import Walker


@register(Softmax, LogSoftmax, *existing("pytensor.tensor.special", "LogSumExp"))
def _softmax(op: Any, node: Any, walker: Walker) -> int:
    (x,) = walker.inputs(node)
    name = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "LogSumExp": "logsumexp"}[type(op).__name__]
    axes = all_axes(op.axis, walker.ndim(x))
    return walker.op(name, walker.cast(x, "float64"), axes=axes)


@register(*existing("pytensor.tensor.special", "LogAddExp", "XLogY", "XLog1PY"))
def _symbolic_elementwise(op: Any, node: Any, walker: Walker) -> int:
    return walker.op(type(op).__name__.lower(), *walker.inputs(node))


@register(TypeCastingOp, DeepCopyOp, Print, CpuContiguous)
def _identity(op: Any, node: Any, walker: Walker) -> int:
    # TypeCastingOp is the base of ViewOp, SpecifyAssumptions and the casts between tensor and xtensor.
    return walker.id(node.inputs[0])


@register(CheckAndRaise)
def _check(op: CheckAndRaise, node: Any, walker: Walker) -> int:
    x, *conditions = walker.inputs(node)
    conditions = [walker.cast(condition, "bool") for condition in conditions]
    is_of_parameters = isinstance(op, CheckParameterValue)
    if is_of_parameters and not walker.check_bounds:
        return x
    # -inf, the value of a failed check, is no integer.
    becomes_infinite = is_of_parameters and op.can_be_replaced_by_ninf and walker.graph.dtype(x) == "float64"
    return walker.op("check" if becomes_infinite else "assert", x, *conditions, message=op.msg)


@register(RandomVariable)
def _random(op: RandomVariable, node: Any, walker: Walker) -> int:
    raise RefusedOpError(
        op,
        "The density or a Deterministic draws random numbers, so it is no function of the parameters. "
        "Draw them with pm.sample_posterior_predictive after sampling.",
    )


@register(MinibatchOp)
def _minibatch(op: MinibatchOp, node: Any, walker: Walker) -> int:
    raise RefusedOpError(op, "pm.Minibatch works with pm.fit only; give the whole data set to pm.sample.")


@register(SimulatorRV)
def _simulator(op: SimulatorRV, node: Any, walker: Walker) -> int:
    raise RefusedOpError(op, "A pm.Simulator has no log density; sample the model with pm.sample_smc.")
