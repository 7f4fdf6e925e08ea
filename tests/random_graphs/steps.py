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
from leaves import new_leaf, new_parameter, real
from products import product
from program import Program, require
from reductions import cumulative, integer_reduction, reduction, softmax


def inner_graph(program: Program) -> None:
    """An OpFromGraph, with one inside of it at times."""
    arguments = [real(program) for _ in range(program.integer(1, 2))]
    require(len(set(arguments)) == len(arguments))
    name = f"f{program.count}"
    with program.body(name, arguments) as results:
        before = len(program.entries)
        for _ in range(program.integer(1, 4)):
            program.step([*SMOOTH_STEPS, inner_graph])
        made = [entry for entry in program.entries[before:] if not entry.fixed]
        if made:
            results += map(str, made[-2:])
        else:
            made = [arguments[0]]
            results.append(f"{arguments[0]} + 0.0")
    made = made[-2:]
    call = f"inner_graph({name}, {', '.join(map(str, arguments))})"
    if len(results) == 1:
        program.emit(call, arguments, made[0].shapes, made[0].low, made[0].high)
        return
    for k, entry in enumerate(made):
        program.emit(f"{call}[{k}]", arguments, entry.shapes, entry.low, entry.high)


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
    new_parameter,
    new_leaf,
]
