"""Statements that read and write parts of arrays: slices, integers, arrays of integers and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from leaves import booleans, real, reals
from program import BINDINGS, Entry, Program, Shape, require, source


def basic_index(program: Program, x: Entry) -> tuple[list[str], list[tuple]]:
    """Source of an index expression of slices and integers, and its value under each binding."""
    texts, values = [], []
    for axis in range(x.ndim):
        lengths = [shape[axis] for shape in x.shapes]
        kind = program.choose(["slice", "full", "integer", "slice"])
        if kind == "integer" and min(lengths) > 0:
            text, entry = one_position(program, lengths)
            texts.append(text)
            values.append(entry)
        elif kind == "slice":
            start, stop = (program.choose([None, 1, -1, 0, -2, 2, 7, -7]) for _ in range(2))
            step = program.choose([None, None, None, 2, -1, -2, 1, 3])
            if program.flag(6):
                texts.append(f"{'' if start is None else start}:{x}.shape[{axis}] - 1:{step or ''}")
                values.append([slice(start, length - 1, step) for length in lengths])
            else:
                texts.append(":".join("" if part is None else str(part) for part in (start, stop, step)))
                values.append([slice(start, stop, step)] * BINDINGS)
        else:
            texts.append(":")
            values.append([slice(None)] * BINDINGS)
    while texts and texts[-1] == ":":
        texts.pop(), values.pop()
    require(len(texts) > 0)
    return texts, list(zip(*values, strict=True))


def one_position(program: Program, lengths: Sequence[int]) -> tuple[str, list[int]]:
    """Source and values of an integer that is a position under each binding; sometimes data."""
    if program.flag(4):
        rng = program.rng()
        at = [int(rng.integers(-length, length)) for length in lengths]
        entry = program.shared(*(np.array(position, dtype="int64") for position in at))
        return str(entry), at
    position = program.integer(-min(lengths), min(lengths) - 1)
    return str(position), [position] * BINDINGS


def advanced_index(program: Program, x: Entry, unique: bool) -> tuple[list[str], list[tuple]]:
    """As `basic_index`, with arrays of integers or masks along at least one axis."""
    texts, values = [], []
    first = program.integer(0, x.ndim - 1)
    shape = program.choose([(3,), (2,), (4,), (2, 2), (0,), (1,), ()] if not unique else [(2,), (1,), (3,)])
    axis = arrays = 0
    while axis < x.ndim:
        lengths = [s[axis] for s in x.shapes]
        is_array = axis == first or (axis > first and not unique and program.flag(3))
        if is_array and program.flag(3) and arrays == 0:
            taken = 2 if axis + 1 < x.ndim and program.flag(4) else 1
            mask = booleans(program, [s[axis : axis + taken] for s in x.shapes])
            texts.append(str(mask))
            values.append(_values(program, mask))
            axis += taken
            shape = None
            arrays += 1
            continue
        if is_array and shape is not None:
            require(min(lengths) > 0)
            rng = program.rng()
            if unique:
                size = min(*lengths, shape[0])
                at = [
                    rng.permutation(length)[:size] - length * rng.integers(0, 2, size=size)
                    for length in lengths
                ]
            else:
                own = shape if arrays == 0 or not shape else program.choose([shape, shape[-1:], ()])
                at = [np.asarray(rng.integers(-length, length, size=own)) for length in lengths]
            if len(set(lengths)) == 1 and program.flag():
                at = [at[0]] * BINDINGS
                texts.append(source(at[0]) if at[0].ndim else str(at[0]))
            else:
                dtype = program.choose(["int64", "int8"])
                texts.append(str(program.shared(*(np.asarray(a, dtype=dtype) for a in at))))
            values.append(at)
            arrays += 1
        elif program.flag(3):
            step = program.choose([-1, 2])
            texts.append(f"::{step}")
            values.append([slice(None, None, step)] * BINDINGS)
        elif program.flag(6) and min(lengths) > 0:
            text, at = one_position(program, lengths)
            texts.append(text)
            values.append(at)
        else:
            texts.append(":")
            values.append([slice(None)] * BINDINGS)
        axis += 1
    return texts, list(zip(*values, strict=True))


def _values(program: Program, entry: Entry) -> list[np.ndarray]:
    """Values of a leaf under each binding."""
    if entry.name in program.data:
        return list(program.data[entry.name].values)
    return [np.asarray(program.ours[entry.name].data)] * BINDINGS


def draw_index(program: Program, x: Entry, unique: bool = False) -> tuple[str, list[Shape]]:
    """Source of an index expression and the shapes of what it selects."""
    advanced = not program.smooth and program.flag()
    texts, values = advanced_index(program, x, unique) if advanced else basic_index(program, x)
    shapes = [np.empty(shape)[index].shape for shape, index in zip(x.shapes, values, strict=True)]
    return ", ".join(texts), shapes


def index(program: Program) -> None:
    x = program.entry("real", "real", "integer", "bool", where=lambda entry: entry.ndim > 0)
    text, shapes = draw_index(program, x)
    program.emit(f"{x}[{text}]", [x], shapes, x.low, x.high)


def write(program: Program) -> None:
    """Set or increment a part of an array; no element is set twice: PyTensor's gradient would be wrong."""
    x = real(program, lambda entry: entry.ndim > 0)
    is_set = program.flag()
    text, shapes = draw_index(program, x, unique=is_set)
    y = program.find(
        "real", where=lambda y: y.ndim == 0 or (y.shapes == tuple(shapes) and 1 not in y.var.type.shape)
    )
    y = y or reals(program, shapes if program.flag() else [()] * BINDINGS)
    low, high = min(x.low, y.low), max(x.high, y.high)
    if not is_set:
        most = max(map(math.prod, shapes))
        low, high = x.low + most * min(0, y.low), x.high + most * max(0, y.high)
        require(-low <= 4096 >= high)
    program.emit(f"{x}[{text}].{'set' if is_set else 'inc'}({y})", [x, y], x.shapes, low, high)


def take(program: Program) -> None:
    x = real(program, lambda entry: entry.ndim > 0)
    axis = program.integer(0, x.ndim - 1)
    lengths = [shape[axis] for shape in x.shapes]
    require(min(lengths) > 0)
    rng = program.rng()
    at = program.shared(*(rng.integers(0, length, size=3) for length in lengths))
    shapes = [(*shape[:axis], 3, *shape[axis + 1 :]) for shape in x.shapes]
    program.emit(f"pt.take({x}, {at}, axis={axis})", [x, at], shapes, x.low, x.high)
