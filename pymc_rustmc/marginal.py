"""Which variables a run integrates out, and what it says about them."""

from __future__ import annotations

import json
import logging
from typing import Any

from pymc_rustmc.description import ModelDescription
from pymc_rustmc.template import BoundModel, quoted

_log = logging.getLogger("pymc.rustmc")


def value_names(description: ModelDescription, marginalise: bool | tuple[str, ...]) -> tuple[str, ...]:
    """Name the value variables to integrate out where they can be.

    Parameters
    ----------
    description
        Of the model.
    marginalise
        Whether all free variables are meant, or else the names of some.

    Raises
    ------
    ValueError
        If the model has no free variable of a name.
    """
    known = {variable.name: variable.value_name for variable in description.variables.free}
    if isinstance(marginalise, bool):
        return tuple(known.values()) if marginalise else ()
    if unknown := [name for name in marginalise if name not in known]:
        raise ValueError(
            f"`marginalise` names {quoted(unknown)}, which is no free variable of the model: {quoted(known)}."
        )
    return tuple(known[name] for name in marginalise)


def check_marginalised(bound: BoundModel, marginalise: bool | tuple[str, ...]) -> None:
    """Refuse to leave a variable in that was named.

    Raises
    ------
    ValueError
        If a named variable cannot be integrated out; the text says why.
    """
    if isinstance(marginalise, bool):
        return
    for name, reason in not_marginalised(bound).items():
        raise ValueError(f"`marginalise` names {name!r}, which cannot be integrated out: {reason}.")


def marginalised(bound: BoundModel) -> list[str]:
    """List the variables that are integrated out."""
    out = set(bound.density.marginalised)
    return [v.name for v in bound.template.description.variables.free if v.value_name in out]


def not_marginalised(bound: BoundModel) -> dict[str, str]:
    """Give the reason for each variable that was to be integrated out and is not."""
    reasons = bound.density.not_marginalised
    free = bound.template.description.variables.free
    return {v.name: reasons[v.value_name] for v in free if v.value_name in reasons}


def attributes(bound: BoundModel) -> dict[str, Any]:
    """Attributes of a result's statistics: the names as JSON, where variables were to be integrated out."""
    return {"marginalised": json.dumps(marginalised(bound))} if bound.template.marginalised else {}


def report_marginalised(bound: BoundModel) -> None:
    """Say what is integrated out, where something was to be."""
    if not bound.template.marginalised:
        return
    if names := marginalised(bound):
        _log.info(f"Integrated out, and drawn given the rest: {', '.join(names)}")
    else:
        reasons = (f"{name} ({reason})" for name, reason in not_marginalised(bound).items())
        _log.info(f"Nothing to integrate out: {', '.join(reasons)}")
