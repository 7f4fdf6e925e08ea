"""Groups of a hierarchical model: Normal variables with parameters of their own, and the change of their form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.basic import NormalRV

LOG_JACOBIAN = "log Jacobian of the groups' forms"
"""Output of a template with groups: log |dx/dz|, by which its log density exceeds that of the model."""


@dataclass(frozen=True)
class Group:
    """A free variable x ~ Normal(mu, s) whose mu or s depends on other free variables.

    Attributes
    ----------
    name : str
        The random variable.
    value_name : str
        Its value variable, which holds z (see `Forms`).
    """

    name: str
    value_name: str

    @property
    def level_loc(self) -> str:
        """Data input: a of `Forms`, of the shape of x."""
        return f"centredness of {self.name!r} in location"

    @property
    def level_scale(self) -> str:
        """Data input: b of `Forms`, of the shape of x."""
        return f"centredness of {self.name!r} in scale"

    @property
    def log_unit(self) -> str:
        """Data input: c of `Forms`, of the shape of x."""
        return f"log unit of {self.name!r}"

    @property
    def loc(self) -> str:
        """Output: mu, of the rank of x."""
        return f"location of {self.name!r}"

    @property
    def log_scale(self) -> str:
        """Output: log s, of the rank of x."""
        return f"log scale of {self.name!r}"

    @property
    def inputs(self) -> tuple[str, str, str]:
        """Names of the data inputs that set its form."""
        return self.level_loc, self.level_scale, self.log_unit


class Forms(NamedTuple):
    """Log density and outputs of a model in coordinates z of its groups, for partial non-centring:

        x = mu + (s / exp(c))^(1-b) (z - a mu)

    a = b = 1 is the centred form, z = x; a = b = 0 the non-centred, where z ~ Normal(0, exp(c)) a priori.
    Papaspiliopoulos, Roberts and Sköld (2007), in the form of Gorinova, Moore and Hoffman (2020, arXiv:1906.03028, where
    a = b and c = 0); exp(c), a typical s, makes a independent of the unit of x.

    Attributes
    ----------
    values : list of Variable
        Value variables in the order of the model's; those of groups, z, are others of the same names.
    logp : Variable
        Log density of these, the Jacobians dx/dz included.
    outputs : dict of str to Variable
        Each group's x, location and log scale, and `LOG_JACOBIAN`; and all others that were asked for.
    """

    values: Sequence[Variable]
    logp: Variable
    outputs: Mapping[str, Variable]


def find_groups(model: pm.Model) -> tuple[Group, ...]:
    """List the groups of a model, in its order; those with a transform of their own are left alone."""
    return tuple(Group(rv.name, model.rvs_to_values[rv].name) for rv in _groups(model))


def with_forms(model: pm.Model, outputs: Mapping[str, Variable]) -> Forms:
    """Write the log density of a model, and outputs as functions of its value variables, in z and forms.

    The a, b and c of each group are shared variables, named as in `Group.inputs`.
    """
    rvs = _groups(model)
    groups = find_groups(model)
    others = [rv for rv in model.basic_RVs if rv not in rvs]
    outputs = dict(outputs)
    parameters = [parameter for rv in rvs for parameter in rv.owner.op.dist_params(rv.owner)]
    replaced = iter(model.replace_rvs_by_values(parameters))
    x_of: dict[Variable, Variable] = {}
    z_of: dict[Variable, Variable] = {}
    terms, log_jacobian = [], []
    for rv, group in zip(rvs, groups, strict=True):  # in the order of the model: parents come first
        value = model.rvs_to_values[rv]
        loc, scale = graph_replace([next(replaced), next(replaced)], x_of, strict=False)
        z = value.type(name=value.name)
        a, b, c = (_input(name, rv.ndim) for name in group.inputs)
        log_scale = pt.log(scale)
        log_factor = (1 - b) * (log_scale - c)
        residual = pt.exp(log_factor) * (z - a * loc)
        x_of[value], z_of[value] = loc + residual, z
        # Of the residual itself: x - mu would cancel where s is small beside mu.
        terms.append(pt.sum(log_factor - log_scale - 0.5 * ((residual / scale) ** 2 + np.log(2 * np.pi))))
        log_jacobian.append(pt.sum(log_factor))
        outputs |= {group.name: value, group.loc: loc, group.log_scale: log_scale}
    outputs[LOG_JACOBIAN] = sum(log_jacobian[1:], log_jacobian[0])
    rest = model.logp(vars=[*others, *model.potentials])
    logp, *written = graph_replace([rest, *outputs.values()], x_of, strict=False)
    return Forms(
        [z_of.get(value, value) for value in model.value_vars],
        sum(terms, logp),
        dict(zip(outputs, written, strict=True)),
    )


def centred(groups: Sequence[Group], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float64]]:
    """Inputs of the form in which z = x for all groups: the model as it is written."""
    inputs: dict[str, NDArray[np.float64]] = {}
    for group in groups:
        shape = shapes[group.value_name]
        inputs |= dict(zip(group.inputs, (np.ones(shape), np.ones(shape), np.zeros(shape)), strict=True))
    return inputs


def _groups(model: pm.Model) -> list[Variable]:
    free = set(model.free_RVs)
    return [
        rv
        for rv in model.free_RVs
        if rv.owner is not None
        and isinstance(rv.owner.op, NormalRV)
        and model.rvs_to_transforms[rv] is None
        and not free.isdisjoint(ancestors(rv.owner.op.dist_params(rv.owner)))
    ]


def _input(name: str, ndim: int) -> SharedVariable:
    return pytensor.shared(np.ones((1,) * ndim), name=name, shape=(None,) * ndim)
