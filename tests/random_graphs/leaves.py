"""Leaves of random programs, and arguments chosen among what there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from program import BINDINGS, LIMIT, Entry, Program, Shape


def leaf_shapes(program: Program) -> list[Shape]:
    """A shape for each binding: axes of length 0 to 5, some of them of another length under each binding."""
    ndim = program.choose([1, 2, 0, 1, 2, 3])
    axes = []
    for _ in range(ndim):
        length = program.choose([3, 2, 4, 1, 5, 3, 2, 4, 3, 2, 4, 0])
        other = program.choose([4, 2, 5, 3, 6]) if program.flag(4) and length != 1 else length
        axes.append([length, *[other] * (BINDINGS - 1)])
    if ndim == 3:
        axes = [[min(length, 3) for length in axis] for axis in axes]
    return [tuple(axis[k] for axis in axes) for k in range(BINDINGS)]


def reals(program: Program, shapes: Sequence[Shape]) -> Entry:
    """A leaf of reals of the given shapes: a parameter, data or a constant."""
    if not program.smooth and program.flag():
        return program.parameter(shapes)
    rng = program.rng()
    arrays = [np.round(16 * rng.normal(size=shape)) / 16 for shape in shapes]  # exact in float32
    if len(set(shapes)) == 1 and (program.smooth or program.flag()):
        return program.constant(arrays[0])
    dtype = program.choose(["float64", "float64", "float32"])
    return program.shared(*(array.astype(dtype) for array in arrays))


def integers(program: Program, shapes: Sequence[Shape], low: int, high: int) -> Entry:
    """Data or a constant of integers of the given shapes and range."""
    rng = program.rng()
    dtype = program.choose(["int64", "int64", "int32", "int8", "uint8" if low >= 0 else "int16"])
    arrays = [rng.integers(low, high, size=shape, endpoint=True).astype(dtype) for shape in shapes]
    if len(set(shapes)) == 1 and program.flag():
        return program.constant(arrays[0])
    return program.shared(*arrays)


def booleans(program: Program, shapes: Sequence[Shape]) -> Entry:
    """Data or a constant of truth values of the given shapes."""
    rng = program.rng()
    arrays = [rng.random(size=shape) < 0.6 for shape in shapes]
    if len(set(shapes)) == 1 and program.flag():
        return program.constant(arrays[0])
    return program.shared(*arrays)


def new_parameter(program: Program) -> None:
    program.parameter(leaf_shapes(program))


def new_leaf(program: Program) -> None:
    shapes = leaf_shapes(program)
    kind = program.choose(["integer", "bool", "real"])
    if kind == "real":
        reals(program, shapes)
    elif kind == "bool":
        booleans(program, shapes)
    else:
        integers(program, shapes, -9, 9)


def real(program: Program, where: Callable[[Entry], bool] = lambda entry: True) -> Entry:
    """A real entry; an integer or a truth value may be drawn, and is cast."""
    kinds = ("real", "integer", "bool") if program.flag(6) else ("real",)
    found = program.entry(*kinds, where=lambda entry: where(entry) and -entry.low <= 256 >= entry.high)
    return as_real(program, found)


def as_real(program: Program, entry: Entry) -> Entry:
    if entry.kind == "real":
        return entry
    return program.emit(f'{entry}.astype("float64")', [entry], entry.shapes, entry.low, entry.high)


def fit(program: Program, x: Entry, low: float, high: float) -> Entry:
    """A function of `x` with values in [low, high]: `x` itself if it fits."""
    if low <= x.low and x.high <= high:
        return x
    if math.isfinite(low) and math.isfinite(high):
        half, centre = (high - low) / 2, (high + low) / 2
        text = program.choose(["{} + {} * pt.tanh({})", "{} + {} * pt.sin({})"])
        return program.emit(text.format(centre, half, x), [x], x.shapes, low, high)
    most = max(abs(x.low), abs(x.high))
    if abs(low if math.isfinite(low) else high) + most + 1 > LIMIT:
        return fit(program, x, *((low, low + 16.0) if math.isfinite(low) else (high - 16.0, high)))
    function, most = program.choose(
        [("pt.softplus({})", most + 1), ("pt.sqrt(0.25 + {0} * {0})", most + 1), ("pt.abs({})", most)]
    )
    if function == "pt.abs({})":
        if program.smooth:
            return fit(program, x, *sorted([low, 1.0] if math.isfinite(low) else [high - 2.0, high]))
        program.decide(lambda x: x, x)
    if math.isfinite(low):
        return program.emit(f"{low} + {function.format(x)}", [x], x.shapes, low, low + most)
    return program.emit(f"{high} - {function.format(x)}", [x], x.shapes, high - most, high)


def broadcast(*entries: Entry) -> list[Shape] | None:
    """Shapes of an elementwise function of the entries; None if they do not broadcast."""
    ndim = max(entry.ndim for entry in entries)
    axes = []
    for axis in range(-ndim, 0):
        lengths = {
            tuple(shape[axis] for shape in entry.shapes)
            for entry in entries
            if entry.ndim >= -axis and entry.var.type.shape[axis] != 1
        }
        if len(lengths) > 1:
            return None
        axes.append(lengths.pop() if lengths else (1,) * BINDINGS)
    return [tuple(axis[k] for axis in axes) for k in range(BINDINGS)]


def partner(program: Program, x: Entry, *kinds: str) -> Entry:
    """An entry of these kinds that broadcasts with `x`; a new one if there is none."""
    found = program.find(*kinds, where=lambda y: broadcast(x, y) is not None and -y.low <= 256 >= y.high)
    if found is not None:
        return found
    if "real" in kinds:
        return reals(program, x.shapes)
    return integers(program, x.shapes, -9, 9) if "integer" in kinds else booleans(program, x.shapes)


def batch_axes(entry: Entry) -> Entry:
    """The batch axes of a stack of matrices, as an entry of its own."""
    var = entry.var[..., 0, 0]
    return Entry(entry.name, var, tuple(shape[:-2] for shape in entry.shapes), 0, 0, entry.fixed)
