"""Statements that arrange elements: joins, shapes, axes, repetitions, parts of matrices."""

from __future__ import annotations

import math

import numpy as np
from leaves import broadcast, real
from program import BINDINGS, PYTENSOR_2, Entry, Program, require


def join(program: Program) -> None:
    x = program.entry("real", "integer", "bool", where=lambda entry: entry.ndim > 0)
    axis = program.integer(0, x.ndim - 1)

    def fits(y: Entry) -> bool:
        return y.ndim == x.ndim and all(
            s[:axis] + s[axis + 1 :] == t[:axis] + t[axis + 1 :]
            for s, t in zip(x.shapes, y.shapes, strict=True)
        )

    parts = [x, *(program.entry(x.kind, where=fits) for _ in range(program.integer(1, 2)))]
    shapes = [
        (*x.shapes[k][:axis], sum(part.shapes[k][axis] for part in parts), *x.shapes[k][axis + 1 :])
        for k in range(BINDINGS)
    ]
    given = axis - x.ndim if program.flag(3) else axis
    text = f"pt.concatenate([{', '.join(map(str, parts))}], axis={given})"
    program.emit(text, parts, shapes, min(p.low for p in parts), max(p.high for p in parts))


def stack(program: Program) -> None:
    x = real(program)
    y = program.entry("real", where=lambda y: y.shapes == x.shapes)
    axis = program.integer(0, x.ndim)
    shapes = [(*shape[:axis], 3, *shape[axis:]) for shape in x.shapes]
    text = f"pt.stack([{x}, {y}, {x}], axis={axis})"
    program.emit(text, [x, y], shapes, min(x.low, y.low), max(x.high, y.high))


def split(program: Program) -> None:
    x = real(program, lambda entry: entry.ndim > 0)
    axis = program.integer(0, x.ndim - 1)
    rng = program.rng()
    sizes = []
    for shape in x.shapes:
        first = rng.integers(0, shape[axis] + 1)
        sizes.append([int(first), int(shape[axis] - first)])
    if sizes[0] == sizes[1] and program.flag():
        lengths = program.constant(np.array(sizes[0]))
    else:
        lengths = program.shared(*map(np.array, sizes))
    part = program.integer(0, 1)
    shapes = [
        (*shape[:axis], size[part], *shape[axis + 1 :]) for shape, size in zip(x.shapes, sizes, strict=True)
    ]
    text = f"pt.split({x}, {lengths}, n_splits=2, axis={axis})[{part}]"
    program.emit(text, [x, lengths], shapes, x.low, x.high)


def repeat(program: Program) -> None:
    x = real(program)
    options = ["pt.tile({}, 2)", "pt.repeat({}, 3)", "pt.tile({}, (2, 2))"]
    functions = [lambda x: np.tile(x, 2), lambda x: np.repeat(x, 3), lambda x: np.tile(x, (2, 2))]
    if x.ndim > 0:
        axis = program.integer(0, x.ndim - 1)
        options.append(f"pt.repeat({{}}, 2, axis={axis})")
        functions.append(lambda x: np.repeat(x, 2, axis=axis))
    which = program.integer(0, len(options) - 1)
    program.emit_like(options[which].format(x), [x], functions[which], x.low, x.high)


def pad(program: Program) -> None:
    x = real(program, lambda entry: 0 < entry.ndim < 3)
    require(min(map(math.prod, x.shapes)) > 0)
    width = tuple((program.integer(0, 2), program.integer(0, 2)) for _ in range(x.ndim))
    modes = ["mode='constant', constant_values=0.5", "mode='wrap'", "mode='edge'"]
    if PYTENSOR_2:
        modes.pop()  # its gradient fails there
    text = f"pt.pad({x}, {width}, {program.choose(modes)})"
    program.emit_like(text, [x], lambda x: np.pad(x, width), min(x.low, 0.5), max(x.high, 0.5))


def reshape(program: Program) -> None:
    x = program.entry("real", "integer", "bool")
    size = math.prod(x.shapes[0])
    if all(shape == x.shapes[0] for shape in x.shapes) and size > 0 and program.flag():
        first = program.choose([n for n in range(1, size + 1) if size % n == 0])
        shape = program.choose([(first, size // first), (first, -1), (-1,), (1, size // first, first)])
        full = np.empty(size).reshape(shape).shape
        program.emit(f"{x}.reshape({shape})", [x], [full] * BINDINGS, x.low, x.high)
    elif x.ndim == 2 and min(map(math.prod, x.shapes)) > 0 and program.flag():
        text = f"{x}.reshape(({x}.shape[1], {x}.shape[0]))"
        program.emit(text, [x], [shape[::-1] for shape in x.shapes], x.low, x.high)
    elif x.ndim > 1 and min(map(math.prod, x.shapes)) > 0 and program.flag():
        program.emit_like(f"{x}.flatten(2)", [x], lambda x: x.reshape(len(x), -1), x.low, x.high)
    else:
        text = program.choose(["{}.ravel()", "pt.flatten({})"])
        program.emit_like(text.format(x), [x], np.ravel, x.low, x.high)


def transpose(program: Program) -> None:
    x = program.entry("real", "integer", "bool")
    rest, order = list(range(x.ndim)), []
    while rest:
        order.append(rest.pop(program.integer(0, len(rest) - 1)))
    order = [axis for axis in order if x.var.type.shape[axis] != 1 or program.flag()]
    while len(order) < 3 and program.flag(3):
        order.insert(program.integer(0, len(order)), "x")
    shapes = [tuple(1 if axis == "x" else shape[axis] for axis in order) for shape in x.shapes]
    program.emit(f"{x}.dimshuffle({', '.join(map(repr, order))})", [x], shapes, x.low, x.high)


def spread(program: Program) -> None:
    """Broadcast to the shape of another entry, or to one with more axes."""
    x = real(program)
    y = program.find("real", "integer", where=lambda y: broadcast(x, y) == list(y.shapes))
    if y is not None and program.flag():
        text = program.choose(
            ["pt.broadcast_to({}, {}.shape)", "pt.second({1}, {0})", "{} + pt.zeros_like({})"]
        )
        program.emit(text.format(x, y), [x, y], y.shapes, x.low, x.high)
    else:
        require(x.ndim < 3)
        lengths = "2, " + "".join(f"{x}.shape[{axis}], " for axis in range(x.ndim))
        text = f"pt.alloc({x}, {lengths})" if program.flag() else f"pt.broadcast_to({x}, ({lengths}))"
        program.emit(text, [x], [(2, *shape) for shape in x.shapes], x.low, x.high)


def matrix_parts(program: Program) -> None:
    """Triangles, diagonals, identity matrices and ranges of the lengths of a matrix."""
    x = real(program, lambda entry: entry.ndim == 2)
    offset = program.integer(-1, 1)
    text, f = program.choose(
        [
            (f"pt.tril({x}, {offset})", np.tril),
            (f"pt.triu({x}, {offset})", np.triu),
            (f"{x} * pt.eye({x}.shape[0], {x}.shape[1], k={offset})", np.tril),
            (f"{x} * pt.arange({x}.shape[1])", None),
            (f"pt.diagonal({x}, offset={offset})", lambda x: np.diagonal(x, offset)),
        ]
    )
    if f is None:
        most = max(shape[1] for shape in x.shapes)
        program.emit(text, [x], x.shapes, min(0, most * x.low), max(0, most * x.high))
    else:
        program.emit_like(text, [x], f, min(0, x.low), max(0, x.high))


def diagonal_matrix(program: Program) -> None:
    x = real(program, lambda entry: entry.ndim == 1 and max(s[0] for s in entry.shapes) < 6)
    offset = program.integer(-1, 1)
    program.emit_like(
        f"pt.diag({x}, k={offset})", [x], lambda x: np.diag(x, k=offset), min(0, x.low), max(0, x.high)
    )
