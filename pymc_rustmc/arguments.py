"""What a caller may ask for: arguments of a run, checked once, with errors that say what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pymc as pm

from pymc_rustmc._core import REWRITE_RULES
from pymc_rustmc.description import Variables

# PyMC 6 splits a base class off Model, for its frozen models.
_ANY_MODEL = getattr(pm.model.core, "BaseModel", pm.Model)


def check_counts(
    *, draws: int, tune: int | None, chains: int | None, cores: int | None, keep_tune: bool
) -> None:
    """Check the numbers of a run; ``None`` stands for a default.

    Raises
    ------
    TypeError
        If one is not an integer.
    ValueError
        If one is too small, or if they leave nothing to return.
    """
    numbers = {"draws": (draws, 0), "tune": (tune, 0), "chains": (chains, 1), "cores": (cores, 1)}
    for name, (value, least) in numbers.items():
        if value is not None:
            check_integer(name, value, least)
    if draws == 0 and (tune == 0 or not keep_tune):
        raise ValueError(
            "Not enough samples to build a trace: `draws=0` leaves nothing to return. Ask for at least one "
            "draw, or keep the warm-up by `discard_tuned_samples=False`."
        )


def check_integer(name: str, value: Any, least: int) -> None:
    """Raise TypeError if an argument is not an integer, ValueError if it is less than `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")


def check_model_type(model: Any) -> None:
    """Raise TypeError if this is no PyMC model."""
    if not isinstance(model, _ANY_MODEL):
        raise TypeError(f"`model` must be a PyMC model, got {type(model).__name__}.")


def kept_variables(
    variables: Variables, var_names: Sequence[str] | None, include_transformed: bool
) -> dict[str, np.dtype[Any]]:
    """Names and dtypes of the variables that the result holds, in PyMC's order."""
    unobserved = {variable.name: variable.dtype for variable in variables.free} | dict(
        variables.deterministics
    )
    if isinstance(var_names, str):
        raise TypeError(f"`var_names` must be a list of names, such as [{var_names!r}].")
    if var_names is not None:
        if unknown := [name for name in var_names if name not in unobserved]:
            raise ValueError(
                f"`var_names` holds {', '.join(map(repr, unknown))}, not among the unobserved variables of "
                f"the model: {', '.join(map(repr, unobserved))}."
            )
        return {name: dtype for name, dtype in unobserved.items() if name in var_names}
    values = {
        variable.value_name: variable.value_dtype
        for variable in variables.free
        if include_transformed or variable.transform is None
    }
    return values | {name: dtype for name, dtype in unobserved.items() if name not in values}


def checked_rewrites(rewrites: bool | Mapping[str, bool] | None) -> dict[str, bool]:
    """Return the rules of exact algebra that are switched, by name; a single truth value switches all.

    Raises
    ------
    TypeError
        If it is neither, or a switch is no truth value.
    ValueError
        If there is no rule of a name.
    """
    if rewrites is None:
        return {}
    if isinstance(rewrites, bool | np.bool_):
        return dict.fromkeys(REWRITE_RULES, bool(rewrites))
    if not isinstance(rewrites, Mapping):
        raise TypeError(f"`rewrites` must be True, False or a mapping of rules to these, got {rewrites!r}.")
    if unknown := set(rewrites) - set(REWRITE_RULES):
        raise ValueError(
            f"`rewrites` holds {', '.join(sorted(map(repr, unknown)))}; the rules are "
            f"{', '.join(map(repr, REWRITE_RULES))}."
        )
    return {name: checked_option(f"rewrites[{name!r}]", on, bool) for name, on in rewrites.items()}


def checked_metric(metric: Any) -> list[float]:
    """Return the variances or the covariance that a metric starts with as a flat list.

    Raises
    ------
    ValueError
        If it is neither a vector nor a symmetric matrix of finite numbers.
    """
    try:
        array = np.asarray(metric, dtype=np.float64)
        is_metric = array.ndim == 1 or (
            array.ndim == 2 and array.shape[0] == array.shape[1] and np.allclose(array, array.T)
        )
    except (TypeError, ValueError):
        is_metric = False
    if not is_metric or not array.size or not np.isfinite(array).all():
        raise ValueError(
            "`initial_metric` must be variances, (dim,), or a symmetric covariance matrix, (dim, dim), of "
            f"finite numbers, got {metric!r}."
        )
    flat: list[float] = array.ravel().tolist()
    return flat


def checked_marginalise(marginalise: bool | Sequence[str] | None) -> bool | tuple[str, ...] | None:
    """Return which variables are to be integrated out: all that can be, none, or those named; None as it is.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if marginalise is None or isinstance(marginalise, bool | np.bool_):
        return None if marginalise is None else bool(marginalise)
    is_list = isinstance(marginalise, Sequence) and not isinstance(marginalise, str)
    if not is_list or not all(isinstance(name, str) for name in marginalise):
        raise TypeError(
            f"`marginalise` must be True, False or a list of names of variables, got {marginalise!r}."
        )
    return tuple(marginalise)


def checked_reparametrise(reparametrise: bool | str) -> bool | Literal["auto"]:
    """Return whether groups get forms of their own, or that the sampler chooses.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(reparametrise, str) and reparametrise == "auto":
        return "auto"
    if isinstance(reparametrise, bool | np.bool_):
        return bool(reparametrise)
    raise TypeError(f"`reparametrise` must be True, False or 'auto', got {reparametrise!r}.")


def unknown_options(names: Iterable[str], accepted: Sequence[str]) -> str:
    """Name the unknown options, their nearest relatives, and the accepted options."""
    parts = []
    for name in sorted(names):
        near = difflib.get_close_matches(name, accepted, n=1)
        parts.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return f"Unknown options for rustmc: {', '.join(parts)}. Accepted options: {', '.join(accepted)}."


_KINDS: dict[type, tuple[Any, str]] = {
    int: (int | np.integer, "an integer"),
    float: (int | float | np.integer | np.floating, "a finite number"),
    bool: (bool | np.bool_, "True or False"),
    str: (str, "a string"),
}


def checked_option(name: str, value: Any, kind: type) -> Any:
    """Return an option of the sampler as a plain value of `kind`: ``int``, ``float``, ``bool`` or ``str``.

    Raises
    ------
    TypeError
        If it is none.
    """
    accepted, words = _KINDS[kind]
    is_wrong_bool = isinstance(value, bool) and kind is not bool
    if not isinstance(value, accepted) or is_wrong_bool or (kind is float and not np.isfinite(value)):
        raise TypeError(f"`{name}` must be {words}, got {value!r}.")
    return kind(value)
