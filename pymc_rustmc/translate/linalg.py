"""Linear algebra: products, factorisations, solutions and determinants, of single matrices and of stacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytensor.tensor.math import Dot

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.blockwise import on_stacks
from pymc_rustmc.translate.registry import Rule, existing, register
from pymc_rustmc.translate.walker import Walker

# What PyTensor assumes about a system's matrix, in our words. A banded matrix is a general one to us.
_ASSUMPTIONS = {
    "gen": "general",
    "banded": "general",
    "sym": "symmetric",
    "her": "symmetric",
    "pos": "positive_definite",
    "tridiagonal": "tridiagonal",
}


def _existing(name: str) -> tuple[type, ...]:
    """Find the class of linear algebra of a name, wherever this PyTensor keeps it."""
    homes = (
        "linalg.decomposition.cholesky",
        "linalg.decomposition.eigen",
        "linalg.decomposition.qr",
        "linalg.solvers.triangular",
        "linalg.solvers.general",
        "linalg.solvers.psd",
        "linalg.summary",
        "linalg.inverse",
        "linalg.constructors",
        "blas.batched",
    )
    found = [cls for home in homes for cls in existing(f"pytensor.tensor.{home}", name)]
    # In PyTensor 3 the names of these modules are those of shims that warn.
    older = ("pytensor.tensor.slinalg", "pytensor.tensor.nlinalg", "pytensor.tensor.blas")
    return tuple(found or [cls for home in older for cls in existing(home, name)])


def _on_stacks(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for classes of PyTensor's linear algebra that serves stacks of matrices, too."""
    return on_stacks(*(cls for name in names for cls in _existing(name)))


@on_stacks(Dot, *_existing("BatchedDot"))
def _dot(op: Any, node: Any, walker: Walker) -> int:
    return walker.op("matmul", *walker.inputs(node))


@_on_stacks("Cholesky")
def _cholesky(op: Any, node: Any, walker: Walker) -> int:
    (a,) = walker.inputs(node)
    return walker.op("cholesky", a, lower=op.lower)


@_on_stacks("SolveTriangular")
def _solve_triangular(op: Any, node: Any, walker: Walker) -> int:
    t, b = walker.inputs(node)
    return walker.op("solve_triangular", t, b, lower=op.lower, unit=op.unit_diagonal, b_ndim=op.b_ndim)


@_on_stacks("CholeskySolve")
def _cholesky_solve(op: Any, node: Any, walker: Walker) -> int:
    factor, b = walker.inputs(node)
    options = {"unit": False, "b_ndim": op.b_ndim}
    # L L' x = b, or U' U x = b.
    transposed = _transposed(factor, walker)
    first, second = (factor, transposed) if op.lower else (transposed, factor)
    y = walker.op("solve_triangular", first, b, lower=True, **options)
    return walker.op("solve_triangular", second, y, lower=False, **options)


def _transposed(matrices: int, walker: Walker) -> int:
    *lead, row, column = range(walker.ndim(matrices))
    return walker.op("dimshuffle", matrices, order=[*lead, column, row])


@_on_stacks("Solve")
def _solve(op: Any, node: Any, walker: Walker) -> int:
    a, b = walker.inputs(node)
    return walker.op("solve", a, b, assume=_ASSUMPTIONS[op.assume_a], lower=op.lower, b_ndim=op.b_ndim)


@_on_stacks("Det")
def _det(op: Any, node: Any, walker: Walker) -> int:
    return walker.op("det", *walker.inputs(node))


@_on_stacks("SLogDet")
def _slogdet(op: Any, node: Any, walker: Walker) -> list[int]:
    (a,) = walker.inputs(node)
    return [walker.op("sign", walker.op("det", a)), walker.op("log_abs_det", a)]


@register(*existing("pymc.math", "LogDet"))
def _log_det(op: Any, node: Any, walker: Walker) -> int:
    return walker.op("log_abs_det", *walker.inputs(node))


@_on_stacks("MatrixInverse")
def _inverse(op: Any, node: Any, walker: Walker) -> int:
    return walker.op("inverse", *walker.inputs(node))


@_on_stacks("Eigh")
def _eigh(op: Any, node: Any, walker: Walker) -> list[int]:
    if len(node.inputs) > 1:
        raise UnsupportedOpError(op)
    lower = op.lower if hasattr(op, "lower") else op.UPLO == "L"
    packed = walker.op("eigh", *walker.inputs(node), lower=lower)
    return [walker.op("part", packed, index=index) for index in (0, 1)]


@_on_stacks("Eigvalsh")
def _eigvalsh(op: Any, node: Any, walker: Walker) -> int:
    if len(node.inputs) > 1:
        raise UnsupportedOpError(op)
    return walker.op("part", walker.op("eigh", *walker.inputs(node), lower=op.lower), index=0)


@_on_stacks("QR")
def _qr(op: Any, node: Any, walker: Walker) -> int | list[int]:
    rows, columns = node.inputs[0].type.shape[-2:]
    is_wide = None not in (rows, columns) and rows <= columns
    # Of a matrix that is no taller than wide all modes give the same Q and R.
    if op.pivoting or op.mode == "raw" or not (op.mode == "economic" or is_wide):
        raise UnsupportedOpError(op)
    packed = walker.op("qr", *walker.inputs(node))
    q, r = (walker.op("part", packed, index=index) for index in (0, 1))
    return r if op.mode == "r" else [q, r]


@_on_stacks("BlockDiagonal")
def _block_diagonal(op: Any, node: Any, walker: Walker) -> int:
    return walker.op("block_diagonal", *walker.inputs(node))


@register(*existing("pymc.distributions.multivariate", "PosDefMatrix"))
def _is_positive_definite(op: Any, node: Any, walker: Walker) -> int:
    factor = walker.op("cholesky", *walker.inputs(node), lower=False)
    return walker.op("not", walker.op("any", walker.op("isnan", factor), axes=[0, 1]))
