"""Groups of a hierarchical model: Normal variables with parameters of their own, and their forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    def precision(self) -> str:
        """Data input: p of `Forms`, of the shape of x."""
        return f"precision of what is known of {self.name!r}"

    @property
    def pull(self) -> str:
        """Data input: q of `Forms`, of the shape of x."""
        return f"precision times mean of what is known of {self.name!r}"

    @property
    def loc(self) -> str:
        """Output: mu, of the rank of x."""
        return f"location of {self.name!r}"

    @property
    def scale(self) -> str:
        """Output: s, of the rank of x."""
        return f"scale of {self.name!r}"


class Forms(NamedTuple):
    """Log density and outputs of a model in coordinates z of its groups: partial non-centring.

    If all that is known of x beside its group were a measurement q / p of precision p, then x would be
    normal given mu and s, with precision p + 1/s² and the mean that weighs both. z is x in units of that:

        x = (mu + s² q + s sqrt(1 + p s²) z) / (1 + p s²)
        dx/dz = s / sqrt(1 + p s²),  (x - mu) / s = (s (q - p mu) + sqrt(1 + p s²) z) / (1 + p s²)

    p = q = 0 is the non-centred form; as p grows, it becomes the centred one up to constants; where
    s = 1 / sqrt(p), it is halfway. All are exact, whatever is known of x. The mean for fixed s is the partial
    non-centring of Papaspiliopoulos, Roberts and Sköld (2007, Statistical Science 22); standardising with the
    scale too is the idea of Christensen, Roberts and Sköld (2006, J. Comp. Graph. Stat. 15). With the form
    s^(1-l) of Gorinova, Moore and Hoffman (2020, arXiv:1906.03028), z has the scale s^l where s goes to 0: a
    funnel, though a wider one. Here it has scale 1.

    Attributes
    ----------
    values : list of Variable
        Value variables in the order of the model's; those of groups, z, are others of the same names.
    logp : Variable
        Log density of these, the Jacobians dx/dz included.
    outputs : dict of str to Variable
        Each group's x, location and scale, and `LOG_JACOBIAN`; and all others that were asked for.
    """

    values: Sequence[Variable]
    logp: Variable
    outputs: Mapping[str, Variable]


def find_groups(model: pm.Model) -> tuple[Group, ...]:
    """List the groups of a model, in its order; those with a transform of their own are left alone."""
    return tuple(Group(rv.name, model.rvs_to_values[rv].name) for rv in _groups(model))


def locations_and_scales(model: pm.Model) -> dict[str, Variable]:
    """Location and scale of each group as functions of the model's value variables, by `Group`'s names."""
    groups = find_groups(model)
    names = [name for group in groups for name in (group.loc, group.scale)]
    return dict(zip(names, model.replace_rvs_by_values(_parameters(_groups(model))), strict=True))


def with_forms(model: pm.Model, outputs: Mapping[str, Variable]) -> Forms:
    """Write the log density of a model, and outputs as functions of its value variables, in z and forms.

    The p and q of each group are shared variables.
    """
    rvs = _groups(model)
    groups = find_groups(model)
    others = [rv for rv in model.basic_RVs if rv not in rvs]
    outputs = dict(outputs)
    replaced = iter(model.replace_rvs_by_values(_parameters(rvs)))
    x_of: dict[Variable, Variable] = {}
    z_of: dict[Variable, Variable] = {}
    terms, log_jacobian = [], []
    for rv, group in zip(rvs, groups, strict=True):  # in the order of the model: parents come first
        value = model.rvs_to_values[rv]
        loc, scale = graph_replace([next(replaced), next(replaced)], x_of, strict=False)
        p, q = _input(group.precision, rv.ndim), _input(group.pull, rv.ndim)
        z = value.type(name=value.name)
        shrinkage = 1 + p * scale**2
        # From z, not from x - mu, which would cancel where s is small beside mu.
        e = (scale * (q - p * loc) + pt.sqrt(shrinkage) * z) / shrinkage
        x_of[value], z_of[value] = pt.cast(loc + scale * e, value.dtype), z
        term = -0.5 * (e**2 + pt.log(shrinkage) + np.log(2 * np.pi))
        terms.append(pt.sum(pt.switch(scale > 0, term, -np.inf)))
        log_jacobian.append(pt.sum(pt.log(scale) - 0.5 * pt.log(shrinkage)))
        outputs |= {group.name: value, group.loc: loc, group.scale: scale}
    outputs[LOG_JACOBIAN] = sum(log_jacobian[1:], log_jacobian[0])
    rest = model.logp(vars=[*others, *model.potentials])
    logp, *written = graph_replace([rest, *outputs.values()], x_of, strict=False)
    return Forms(
        [z_of.get(value, value) for value in model.value_vars],
        sum(terms, logp),
        dict(zip(outputs, written, strict=True)),
    )


def non_centred(
    groups: Sequence[Group], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[np.float64]]:
    """Give the inputs of the non-centred form of all groups: p = q = 0."""
    names = ((name, group.value_name) for group in groups for name in (group.precision, group.pull))
    return {name: np.zeros(shapes[value_name]) for name, value_name in names}


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


def _parameters(rvs: Sequence[Variable]) -> list[Variable]:
    return [parameter for rv in rvs for parameter in rv.owner.op.dist_params(rv.owner)]


def _input(name: str, ndim: int) -> SharedVariable:
    return pytensor.shared(np.zeros((1,) * ndim), name=name, shape=(None,) * ndim)
