"""The table of statements that random programs are drawn from."""

from __future__ import annotations

from arrangement import (
    diagonal_matrix,
    join,
    matrix_parts,
    pad,
    repeat,
    reshape,
    split,
    spread,
    stack,
    transpose,
)
from elementwise import (
    binary,
    binary_kinked,
    clip,
    comparison,
    integer_arithmetic,
    integer_cast,
    kinked,
    logic,
    risky,
    switch,
    unary,
)
from indexing import index, take, write
from leaves import new_leaf, new_parameter
from linalg import LINALG, cholesky, determinant, inverse, solve
from loops import INNER, inner_graph, loop
from ordering import ORDERING
from products import product
from reductions import cumulative, integer_reduction, reduction, softmax

SMOOTH_STEPS = [
    unary,
    binary,
    binary,
    reduction,
    cumulative,
    softmax,
    index,
    join,
    transpose,
    reshape,
    product,
]
INNER += [*SMOOTH_STEPS, cholesky, solve, determinant, inverse, inner_graph, loop]
STEPS = [
    *SMOOTH_STEPS,
    unary,
    kinked,
    kinked,
    binary,
    binary,
    binary_kinked,
    comparison,
    comparison,
    logic,
    switch,
    switch,
    risky,
    risky,
    clip,
    integer_arithmetic,
    integer_arithmetic,
    integer_cast,
    reduction,
    reduction,
    integer_reduction,
    index,
    index,
    write,
    write,
    take,
    stack,
    split,
    repeat,
    pad,
    spread,
    matrix_parts,
    diagonal_matrix,
    inner_graph,
    loop,
    new_parameter,
    new_leaf,
    *LINALG,
    *ORDERING,
]
