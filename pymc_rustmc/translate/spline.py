"""SciPy's splines, as pm.Interpolated uses them: piecewise polynomials of fixed coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymc.distributions.dist_math import SplineWrapper

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.blockwise import on_stacks
from pymc_rustmc.translate.walker import Walker

# What UnivariateSpline does outside its knots.
_EXTRAPOLATES, _ZEROS, _RAISES, _EDGE = 0, 1, 2, 3


@on_stacks(SplineWrapper)
def _spline(op: SplineWrapper, node: Any, walker: Walker) -> int:
    from scipy.interpolate import PPoly, UnivariateSpline  # 0.2 s and 15 MB, which PyMC 6 spares as well

    spline = op.spline
    if not isinstance(spline, UnivariateSpline):
        raise UnsupportedOpError(f"{op} of a {type(spline).__name__}")
    polynomials = PPoly.from_spline(spline._eval_args)
    # Knots repeat at the ends, with empty pieces between them.
    pieces = np.flatnonzero(np.diff(polynomials.x) > 0)
    knots = np.append(polynomials.x[pieces], polynomials.x[pieces[-1] + 1])
    low, high = walker.constant(knots[0]), walker.constant(knots[-1])

    (x,) = walker.inputs(node)
    inside = walker.op("and", walker.op("ge", x, low), walker.op("le", x, high))
    if spline.ext == _EDGE:
        x = walker.op("clip", x, low, high)
    # Of interior knots alone, as many are not greater than x as pieces lie before that of x.
    piece = walker.op("searchsorted", walker.constant(knots[1:-1]), x, right=True)
    start = walker.op("index", walker.constant(knots[:-1]), piece, spec=["a"])
    offset = walker.op("sub", x, start)
    value = walker.constant(0.0)
    for coefficients in polynomials.c[:, pieces]:  # highest power first
        coefficient = walker.op("index", walker.constant(coefficients), piece, spec=["a"])
        value = walker.op("add", walker.op("mul", value, offset), coefficient)
    if spline.ext in (_ZEROS, _RAISES):
        outside = 0.0 if spline.ext == _ZEROS else np.nan
        value = walker.op("where", inside, value, walker.constant(outside))
    return value
