"""Statements that hang on the order of values: sorting, searching, and indices that depend on parameters."""

from __future__ import annotations

import numpy as np
from leaves import broadcast, partner, real, reals
from program import BINDINGS, Entry, Program, require
from reductions import reduced_length


def gaps(axis: int):
    """Distances of neighbours in order."""
    return lambda x: np.diff(np.sort(x, axis=axis), axis=axis)


def sort(program: Program) -> None:
    x = real(program, lambda x: x.ndim > 0)
    axis = program.integer(-1, x.ndim - 1)
    program.decide(gaps(axis), x)
    if program.flag():
        program.emit(f"pt.sort({x}, axis={axis})", [x], x.shapes, x.low, x.high)
        return
    most = max(shape[axis] for shape in x.shapes)
    order = program.emit(f"pt.argsort({x}, axis={axis}, kind='stable')", [x], x.shapes, 0, most)
    y = program.find("real", where=lambda y: y.shapes == x.shapes and y.var.type.shape == x.var.type.shape)
    y = y or x
    program.emit(f"pt.take_along_axis({y}, {order}, axis={axis})", [y, order], y.shapes, y.low, y.high)


def position(program: Program, length: int) -> Entry:
    """A single integer below a length, that may depend on parameters."""
    i = program.find("integer", where=lambda i: i.ndim == 0 and -i.low < 2**20 > i.high)
    if i is None or i.fixed:
        x = real(program, lambda x: x.ndim == 1 and min(shape[0] for shape in x.shapes) > 0)
        if not x.fixed:
            program.decide(lambda x: np.diff(np.sort(x)[-2:]) if x.size > 1 else np.ones(1), x)
        most = max(shape[0] for shape in x.shapes)
        i = program.emit(f"pt.argmax({x})", [x], [()] * BINDINGS, 0, most - 1)
    return program.emit(f"{i} % {length}", [i], [()] * BINDINGS, 0, length - 1)


def dynamic_index(program: Program) -> None:
    """Read or write at a position that may depend on parameters."""
    x = real(program, lambda x: x.ndim > 0 and min(shape[0] for shape in x.shapes) > 0)
    least, _ = reduced_length(x, [0])
    i = position(program, least)
    shapes = [shape[1:] for shape in x.shapes]
    kind = program.choose(["read", "set", "inc", "vector"])
    if kind == "read":
        program.emit(f"{x}[{i}]", [x, i], shapes, x.low, x.high)
    elif kind == "vector":
        text = f"{x}[pt.stack([{i}, 0, ({i} + 1) % {least}])]"
        program.emit(text, [x, i], [(3, *shape) for shape in shapes], x.low, x.high)
    else:
        y = program.find("real", where=lambda y: y.ndim == 0) or reals(program, [()] * BINDINGS)
        low, high = min(x.low, y.low), max(x.high, y.high)
        if kind == "inc":
            low, high = x.low + min(0, y.low), x.high + max(0, y.high)
        program.emit(f"{x}[{i}].{kind}({y})", [x, i, y], x.shapes, low, high)


def dynamic_gather(program: Program) -> None:
    """Rows at integers that may depend on parameters."""
    x = real(program, lambda x: x.ndim > 0 and min(shape[0] for shape in x.shapes) > 0)
    i = program.entry("integer", where=lambda i: 0 < i.ndim < 3 and -i.low < 2**20 > i.high)
    least, _ = reduced_length(x, [0])
    shapes = [(*a, *b[1:]) for a, b in zip(i.shapes, x.shapes, strict=True)]
    program.emit(f"{x}[{i} % {least}]", [x, i], shapes, x.low, x.high)


def search(program: Program) -> None:
    x = real(program)
    rng = program.rng()
    edges = program.shared(
        *(np.sort(np.round(16 * rng.normal(size=4)) / 16 + 1 / 32) for _ in range(BINDINGS))
    )
    program.decide(lambda x, edges: x[..., None] - edges, x, edges)
    side = program.choose(["left", "right"])
    text = f"pt.searchsorted({edges}, {x}, side={side!r})"
    program.emit(text, [x, edges], x.shapes, 0, 4)


def differences(program: Program) -> None:
    x = real(program, lambda x: x.ndim > 0)
    axis = program.integer(0, x.ndim - 1)
    least, _ = reduced_length(x, [axis])
    require(least > 0)
    wide = x.high - x.low
    program.emit_like(f"pt.diff({x}, axis={axis})", [x], lambda x: np.diff(x, axis=axis), -wide, wide)


def unique(program: Program) -> None:
    """The values of data without repetitions, and sums by group."""
    rng = program.rng()
    arrays = [rng.integers(0, 4, size=n) for n in (5, program.choose([5, 6, 3]))]
    groups = program.shared(*arrays)
    y = partner(program, groups, "real")
    require(broadcast(groups, y) == list(groups.shapes))
    counts = [len(np.unique(array)) for array in arrays]
    text = f"pt.zeros(pt.unique({groups}).shape)[pt.unique({groups}, return_inverse=True)[1]].inc({y})"
    most = 6 * max(-y.low, y.high)
    require(most <= 1024)
    program.emit(text, [groups, y], [(count,) for count in counts], -most, most)


ORDERING = [sort, sort, dynamic_index, dynamic_index, dynamic_gather, search, differences, unique]
