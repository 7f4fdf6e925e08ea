"""Statements of linear algebra on matrices that are well conditioned by construction."""

from __future__ import annotations

import math

import numpy as np
from leaves import batch_axes, broadcast, fit, real, reals
from program import BINDINGS, PYTENSOR_2, Entry, Program, require


def rows(x: Entry) -> list[int]:
    """Length of the last axis but one under each binding."""
    return [shape[-2] for shape in x.shapes]


def matrix(program: Program) -> Entry:
    """A matrix, or a stack of them, without empty axes."""
    x = program.find("real", where=lambda x: x.ndim > 1 and min(map(min, x.shapes)) > 0 and max(rows(x)) < 5)
    if x is None or program.flag(4):
        n = program.integer(1, 4)
        return reals(program, [program.choose([(n, n), (2, n, n)])] * BINDINGS)
    return x


def identity(x: Entry, axis: int) -> str:
    lengths = {shape[axis] for shape in x.shapes}
    return f"pt.eye({x}.shape[{axis}])" if len(lengths) > 1 else f"np.eye({lengths.pop()})"


def positive(program: Program) -> Entry:
    """A positive definite matrix with eigenvalues of 2 and more."""
    x = fit(program, matrix(program), -2, 2)
    bound = 2.0 + max(shape[-1] for shape in x.shapes)
    shapes = [(*shape[:-1], shape[-2]) for shape in x.shapes]
    text = f"0.25 * {x} @ {x}.mT + 2.0 * {identity(x, -2)}"
    return program.emit(text, [x], shapes, -bound, bound)


def square(program: Program) -> Entry:
    """A square matrix with a heavy diagonal."""
    x = fit(program, matrix(program), -2, 2)
    if any(shape[-1] != shape[-2] for shape in x.shapes):
        shapes = [(*shape[:-1], shape[-2]) for shape in x.shapes]
        bound = 2.0 * max(shape[-1] for shape in x.shapes)
        x = fit(program, program.emit(f"{x} @ pt.sin({x}).mT", [x], shapes, -bound, bound), -2, 2)
    return program.emit(f"0.25 * {x} + 4.0 * {identity(x, -1)}", [x], x.shapes, -4.5, 4.5)


def apart(program: Program) -> Entry:
    """A symmetric matrix whose eigenvalues lie apart."""
    x = fit(program, square(program), -1, 1)
    text = f"0.125 * ({x} + {x}.mT) + pt.diag(3.0 * pt.arange({x}.shape[-1]))"
    return program.emit(text, [x], x.shapes, -1, 13)


def right_side(program: Program, a: Entry) -> tuple[Entry, int]:
    """What stands on the right of a system with the matrix `a`: a vector or a matrix, and which of them."""
    size = rows(a)
    ndim = program.integer(1, 2)
    y = program.find("real", where=lambda y: y.ndim == ndim and [shape[0] for shape in y.shapes] == size)
    if y is None or min(map(math.prod, y.shapes)) == 0:
        y = reals(program, [(n, 2)[:ndim] for n in size])
    if ndim == 2 and a.ndim == 2 and program.flag(4):
        y = reals(program, [(2, n, 1) for n in size])
        require(broadcast(*map(batch_axes, (a, y))) is not None)
    return fit(program, y, -4, 4), ndim


def solved_shapes(a: Entry, y: Entry, ndim: int) -> list[tuple[int, ...]]:
    batches = broadcast(batch_axes(a), batch_axes(y) if ndim == 2 else batch_axes(a))
    return [(*batch, *shape[y.ndim - ndim :]) for batch, shape in zip(batches, y.shapes, strict=True)]


def cholesky(program: Program) -> None:
    a = positive(program)
    bound = math.sqrt(a.high)
    upper = program.choose(["", ", lower=False"])
    factor = program.emit(f"pt.linalg.cholesky({a}{upper})", [a], a.shapes, -bound, bound)
    if not PYTENSOR_2 and program.flag():  # there it has no gradient
        y, ndim = right_side(program, a)
        text = f"pt.linalg.cho_solve(({factor}, {not upper}), {y}, b_ndim={ndim})"
        bound = 4.0 * max(rows(a))
        program.emit(text, [factor, y], solved_shapes(a, y, ndim), -bound, bound)


def solve(program: Program) -> None:
    kind = program.choose(["gen", "pos", "sym"])
    a = square(program) if kind == "gen" else positive(program)
    y, ndim = right_side(program, a)
    lower = ", lower=True" if kind != "gen" and program.flag() else ""
    text = f"pt.linalg.solve({a}, {y}, assume_a={kind!r}, b_ndim={ndim}{lower})"
    bound = 4.0 * max(rows(a))
    program.emit(text, [a, y], solved_shapes(a, y, ndim), -bound, bound)


def solve_triangular(program: Program) -> None:
    a = square(program)
    y, ndim = right_side(program, a)
    lower, trans = program.flag(), program.choose([0, 1])
    text = f"pt.linalg.solve_triangular({a}, {y}, lower={lower}, trans={trans}, b_ndim={ndim})"
    bound = 4.0 * max(rows(a))
    program.emit(text, [a, y], solved_shapes(a, y, ndim), -bound, bound)


def determinant(program: Program) -> None:
    a = square(program)
    n = max(rows(a))
    shapes = [shape[:-2] for shape in a.shapes]
    text, low, high = program.choose(
        [
            ("pt.linalg.slogdet({})[1]", 0, 2.0 * n),
            ("pt.linalg.slogdet({})[0]", -1, 1),
            ("pt.log(pt.linalg.det({}))", 0, 2.0 * n),
            ("pt.linalg.det({})", 0, 6.0**n),
            ("pt.trace({})", -4.5 * n, 4.5 * n),
        ]
    )
    require(text != "pt.trace({})" or a.ndim == 2)
    program.emit(text.format(a), [a], shapes, low, high)


def inverse(program: Program) -> None:
    a = square(program)
    program.emit(f"pt.linalg.inv({a})", [a], a.shapes, -1, 1)


def eigenvalues(program: Program) -> None:
    """Eigenvalues, eigenvectors up to their sign, and functions of a matrix."""
    a = apart(program)
    text, low, high, drop = program.choose(
        [
            ("pt.linalg.eigvalsh({}, None)", -2, 14, 1),
            ("pt.linalg.eigh({})[0]", -2, 14, 1),
            ("pt.linalg.eigh({})[1] ** 2", 0, 1, 0),
        ]
    )
    require(a.ndim == 2 or not (PYTENSOR_2 or "eigvalsh" in text))  # no stacks there
    require(not PYTENSOR_2 or "eigvalsh" not in text)  # which needs a second matrix there
    program.emit(text.format(a), [a], [shape[: len(shape) - drop] for shape in a.shapes], low, high)


def qr(program: Program) -> None:
    """Factors up to their signs; PyTensor 3 has no gradient for a matrix of unknown shape."""
    a = square(program)
    require(len(set(a.shapes)) == 1)
    bound = program.integer(0, 1)
    text = f"pt.linalg.qr(pt.specify_shape({a}, {a.shapes[0]}), mode='economic')[{bound}] ** 2"
    program.emit(text, [a], a.shapes, 0, 64.0**bound)


def kronecker(program: Program) -> None:
    x, y = (real(program, lambda x: x.ndim == 2 and -x.low <= 8 >= x.high) for _ in range(2))
    if program.flag():
        program.emit_like(f"pt.linalg.kron({x}, {y})", [x, y], np.kron, -64, 64)
        return
    shapes = [tuple(np.add(s, t)) for s, t in zip(x.shapes, y.shapes, strict=True)]
    low, high = min(0, x.low, y.low), max(0, x.high, y.high)
    program.emit(f"pt.linalg.block_diag({x}, {y})", [x, y], shapes, low, high)


LINALG = [cholesky, solve, solve_triangular, determinant, inverse, eigenvalues, qr, kronecker]
