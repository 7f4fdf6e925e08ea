"""Products of vectors, matrices and stacks of matrices."""

from __future__ import annotations

import numpy as np
from leaves import batch_axes, broadcast, fit, real, reals
from program import Program, require


def product(program: Program) -> None:
    """Matrix, vector and stacked products."""
    x = real(program, lambda entry: entry.ndim > 0 and max(-entry.low, entry.high) <= 8)
    if x is None:
        return
    inner = [shape[-1] for shape in x.shapes]
    kind = program.choose(["vector", "matrix", "gram", "stack", "outer", "tensordot"])
    y = None
    if kind == "vector":
        y = program.find("real", where=lambda y: y.ndim == 1 and [s[0] for s in y.shapes] == inner)
        y = y or reals(program, [(n,) for n in inner])
        text, f = "{} @ {}", np.matmul
    elif kind == "matrix":
        y = program.find("real", where=lambda y: y.ndim == 2 and [s[0] for s in y.shapes] == inner)
        y = y or reals(program, [(n, 2) for n in inner])
        text, f = program.choose(["{} @ {}", "pt.dot({}, {})"] if x.ndim <= 2 else ["{} @ {}"]), np.matmul
    elif kind == "gram" and x.ndim >= 2:
        y, text, f = x, "{} @ {}.mT", lambda x, y: x @ np.swapaxes(y, -1, -2)
    elif kind == "stack" and x.ndim >= 2:
        y = reals(program, [(2, n, 2) for n in inner])
        text, f = "{} @ {}", np.matmul
        require(x.ndim == 2 or broadcast(*map(batch_axes, (x, y))) is not None)
    elif kind == "outer" and x.ndim == 1:
        y = program.entry("real", where=lambda y: y.ndim == 1)
        text, f = "pt.outer({}, {})", np.outer
    elif kind == "tensordot" and x.ndim >= 2:
        y = reals(program, [(*shape[-2:], 2) for shape in x.shapes])
        text, f = "pt.tensordot({}, {}, axes=2)", lambda x, y: np.tensordot(x, y, axes=2)
    require(y is not None)
    x, y = fit(program, x, -4, 4), fit(program, y, -4, 4)
    shapes = [f(np.zeros(s), np.zeros(t)).shape for s, t in zip(x.shapes, y.shapes, strict=True)]
    bound = 16.0 * (1 if kind == "outer" else max(inner) * (4 if kind == "tensordot" else 1))
    program.emit(text.format(x, y), [x, y], shapes, -bound, bound)
