"""Names of the entries of a position, for matrices and messages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

from pymc_rustmc.template import BoundModel


def coordinate_names(bound: BoundModel) -> list[str]:
    """Name every entry of a position as PyMC does: ``mu``, ``sigma_log__``, ``theta[Choate]``, ``x[0,1]``."""
    names = []
    for variable in bound.template.description.variables.free:
        shape = bound.shapes[variable.value_name]
        if not shape:
            names.append(variable.value_name)
            continue
        dims = bound.template.description.dims.get(variable.name, ())
        axes: list[Iterable[Any]] = [range(length) for length in shape]
        if len(dims) == len(shape):
            for axis, (dim, length) in enumerate(zip(dims, shape, strict=True)):
                coords = bound.coords.get(dim, ()) if dim is not None else ()
                if len(coords) == length:  # transforms may change lengths
                    axes[axis] = coords
        names.extend(f"{variable.value_name}[{','.join(map(str, index))}]" for index in product(*axes))
    return names
