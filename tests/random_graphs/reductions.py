"""Statements that reduce along axes, or run along one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from leaves import fit, real
from program import Entry, Program, require


def draw_axes(program: Program, x: Entry) -> tuple[int, ...]:
    axes = tuple(axis for axis in range(x.ndim) if program.flag())
    return axes or (program.integer(0, x.ndim - 1),)


def axis_text(program: Program, axes: tuple[int, ...], ndim: int) -> str:
    axes = tuple(axis - ndim if program.flag(3) else axis for axis in axes)
    return str(axes[0] if len(axes) == 1 and program.flag() else axes)


def reduced_length(x: Entry, axes: Sequence[int]) -> tuple[int, int]:
    """Least and greatest number of elements that are reduced."""
    lengths = [math.prod(shape[axis] for axis in axes) for shape in x.shapes]
    return min(lengths), max(lengths)


def gap(axes: tuple[int, ...], sign: int = 1) -> Callable:
    """Distance of the first from the second maximum (minimum) over the axes."""

    def distance(x: np.ndarray) -> np.ndarray:
        x = np.moveaxis(sign * x, axes, range(-len(axes), 0))
        rest = x.shape[: x.ndim - len(axes)]
        x = np.sort(x.reshape(*rest, math.prod(x.shape[len(rest) :])), axis=-1)
        return x[..., -1] - x[..., -2] if x.shape[-1] > 1 else np.ones(1)

    return distance


def reduction(program: Program) -> None:
    x = real(program, lambda entry: entry.ndim > 0)
    axes = draw_axes(program, x)
    least, most = reduced_length(x, axes)
    options = ["sum", "prod", "mean", "var", "max", "min", "argmax", "logsumexp", "norm"]
    name = program.choose(options[:2] if least == 0 else options[:4] if program.smooth else options)
    keepdims = program.flag(3)
    if name == "prod":
        x = fit(program, x, -1.5, 1.5)
    text = f"pt.{name}({x}, axis={axis_text(program, axes, x.ndim)}, keepdims={keepdims})"
    if name in ("max", "min", "argmax"):
        program.decide(gap(axes, -1 if name == "min" else 1), x)
    if name == "norm":
        text = f"pt.sqrt(0.25 + pt.sum({x} ** 2, axis={axes}, keepdims={keepdims}))"
    largest = max(abs(x.low), abs(x.high))
    low, high = {
        "sum": (min(0, most * x.low), max(0, most * x.high)),
        "prod": (-(1.5**most), 1.5**most),
        "var": (0, 4 * largest**2),
        "argmax": (0, most - 1),
        "logsumexp": (x.low, x.high + math.log(max(most, 1))),
        "norm": (0, 0.5 + largest * most**0.5),
    }.get(name, (x.low, x.high))
    require(-low <= 1e4 >= high)
    program.emit_like(text, [x], lambda x: np.sum(x, axis=axes, keepdims=keepdims), low, high)


def integer_reduction(program: Program) -> None:
    x = program.entry("integer", "bool", where=lambda x: x.ndim > 0 and -x.low < 2**16 > x.high)
    axes = draw_axes(program, x)
    least, most = reduced_length(x, axes)
    options = ["sum", "sum", "max", "min", "argmax"] if x.kind == "integer" else ["all", "any", "sum"]
    name = program.choose(
        options if least > 0 else [option for option in options if option in ("sum", "all")]
    )
    low, high = {
        "sum": (min(0, most * x.low), max(0, most * x.high)),
        "argmax": (0, most - 1),
        "all": (0, 1),
        "any": (0, 1),
    }.get(name, (x.low, x.high))
    if name == "argmax" and not x.fixed:
        program.decide(gap(axes), x)
    text = f"pt.{name}({x}, axis={axis_text(program, axes, x.ndim)})"
    program.emit_like(text, [x], lambda x: np.sum(x, axis=axes), low, high)


def softmax(program: Program) -> None:
    x = real(program, lambda entry: entry.ndim > 0)
    axis = program.integer(0, x.ndim - 1)
    least, most = reduced_length(x, [axis])
    require(least > 0)
    name = program.choose(["softmax", "log_softmax"])
    spread = x.high - x.low + math.log(most)
    low, high = (0, 1) if name == "softmax" else (-spread, 0)
    given = axis - x.ndim if program.flag(3) else axis
    program.emit(f"pt.special.{name}({x}, axis={given})", [x], x.shapes, low, high)


def cumulative(program: Program) -> None:
    x = real(program, lambda entry: entry.ndim > 0)
    axis = program.choose([*range(x.ndim), None])
    _, most = reduced_length(x, range(x.ndim) if axis is None else [axis])
    name = program.choose(["cumsum", "cumprod"])
    if name == "cumprod":
        # PyTensor divides by the factors in the gradient: a factor of 0 has no gradient there.
        x = fit(program, x, 0.25, 1.5)
    high = 1.5**most if name == "cumprod" else max(0, most * x.high)
    low = 0 if name == "cumprod" else min(0, most * x.low)
    require(-low <= 1e4 >= high)
    program.emit_like(f"pt.{name}({x}, axis={axis})", [x], lambda x: np.cumsum(x, axis=axis), low, high)
