"""Elementwise statements: functions, comparisons, branches, integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytensor.tensor as pt
from leaves import as_real, broadcast, fit, integers, leaf_shapes, partner, real
from program import PYTENSOR_2, Entry, Program, Shape, require
from scipy import special

INFINITY = math.inf


# Text, range of the argument, and the range of the values or a monotone function with it. A literal that a
# function is applied to, here or in the gradient, is an array: of 2.0 PyTensor makes a float32.
SMOOTH = [
    ("pt.exp({})", (-20, 3), np.exp),
    ("pt.exp2({})", (-20, 4), np.exp2),
    ("pt.expm1({})", (-20, 3), np.expm1),
    ("pt.log({})", (0.25, INFINITY), np.log),
    ("pt.log2({})", (0.25, INFINITY), np.log2),
    ("pt.log10({})", (0.25, INFINITY), np.log10),
    ("pt.log1p({})", (-0.75, INFINITY), np.log1p),
    ("pt.log1mexp({})", (-30, -0.25), lambda x: np.log1p(-np.exp(x))),
    ("pt.softplus({})", (-30, 64), lambda x: np.logaddexp(0, x)),
    ("pt.sigmoid({})", (-30, 64), special.expit),
    ("pt.tanh({})", (-64, 64), np.tanh),
    ("pt.sin({})", (-64, 64), (-1, 1)),
    ("pt.cos({})", (-64, 64), (-1, 1)),
    ("pt.tan({})", (-1.25, 1.25), np.tan),
    ("pt.arcsin({})", (-0.875, 0.875), np.arcsin),
    ("pt.arccos({})", (-0.875, 0.875), np.arccos),
    ("pt.arctan({})", (-64, 64), np.arctan),
    ("pt.sinh({})", (-3, 3), np.sinh),
    ("pt.cosh({})", (-3, 3), (1, 10.1)),
    ("pt.arcsinh({})", (-64, 64), np.arcsinh),
    ("pt.arccosh({})", (1.25, INFINITY), np.arccosh),
    ("pt.arctanh({})", (-0.875, 0.875), np.arctanh),
    ("pt.sqrt({})", (0.0625, INFINITY), np.sqrt),
    ("pt.sqr({})", (-8, 8), (0, 64)),
    ("{} ** 2", (-8, 8), (0, 64)),
    ("{} ** 3", (-4, 4), lambda x: x**3),
    ("{} ** -2", (0.25, INFINITY), lambda x: x**-2.0),
    ("{} ** 0.5", (0.0625, INFINITY), np.sqrt),
    ("{} ** 1.5", (0.0625, 8), lambda x: x**1.5),
    ("np.array(2.0) ** {}", (-16, 4), np.exp2),
    ("pt.reciprocal({})", (0.125, INFINITY), lambda x: 1 / x),
    ("1 / {}", (-INFINITY, -0.125), lambda x: 1 / x),
    ("-{}", (-64, 64), lambda x: -x),
    ("1 - {}", (-64, 64), lambda x: 1 - x),
    ("0.25 * {}", (-64, 64), lambda x: x / 4),
    ("pt.erf({})", (-64, 64), special.erf),
    ("pt.erfc({})", (-8, 8), special.erfc),
    ("pt.erfcx({})", (-1, 64), special.erfcx),
    ("pt.gammaln({})", (2, 64), special.gammaln),
    ("pt.gammaln({})", (0.25, 1.25), (-1, 2)),
    ("pt.gamma({})", (0.5, 4), (0.875, 6)),
    ("pt.digamma({})", (0.25, 64), special.digamma),
    ("pt.erfinv({})", (-0.875, 0.875), special.erfinv),
    ("pt.erfcinv({})", (0.25, 1.75), special.erfcinv),
    ("pt.tri_gamma({})", (0.5, 64), lambda x: special.polygamma(1, x)),
    ("pt.polygamma(2, {})", (0.75, 64), lambda x: special.polygamma(2, x)),
    ("pt.i0({})", (0, 4), special.i0),
    ("pt.i1({})", (-4, 4), special.i1),
    ("pt.ive(np.array(1.5), {})", (0.25, 16), (0, 0.5)),
    ("pt.kve(np.array(0.5), {})", (0.25, 16), lambda x: special.kve(0.5, x)),
    ("pt.special.logit({})", (0.125, 0.875), special.logit),
    ("pt.gammainc(np.array(2.5), {})", (0.25, 16), lambda x: special.gammainc(2.5, x)),
    ("pt.gammaincc(np.array(0.75), {})", (0.25, 16), lambda x: special.gammaincc(0.75, x)),
    ("pt.gammainc({}, np.array(1.5))", (0.5, 8), lambda k: special.gammainc(k, 1.5)),
    ("pt.betainc(np.array(1.5), np.array(2.5), {})", (0.125, 0.875), lambda x: special.betainc(1.5, 2.5, x)),
    ("pt.betainc({}, np.array(2.5), np.array(0.375))", (0.5, 8), lambda a: special.betainc(a, 2.5, 0.375)),
    ("pt.betainc(np.array(1.5), {}, np.array(0.375))", (0.5, 8), lambda b: special.betainc(1.5, b, 0.375)),
    ("pt.xlogx.xlogx({})", (0.0625, 8), (-0.5, 17)),
    ("pt.log(0.5 * pt.erfc({}))", (-8, 20), lambda x: special.log_ndtr(-x * math.sqrt(2))),
    ("pt.log(pt.sigmoid({}))", (-30, 30), lambda x: -np.logaddexp(0, -x)),
    ("pt.log1p(pt.exp({}))", (-30, 30), lambda x: np.logaddexp(0, x)),
    ("pt.log1p(-{})", (-64, 0.75), lambda x: np.log1p(-x)),
    ("pt.log(1 - pt.exp({}))", (-8, -0.25), lambda x: np.log1p(-np.exp(x))),
]

if not PYTENSOR_2:  # whose derivative in k has five digits
    SMOOTH.append(("pt.gammaincc({}, np.array(3.0))", (0.5, 8), lambda k: special.gammaincc(k, 3.0)))

# text, range of the argument, range of the values, distance from the next jump or kink
KINKED = [
    ("pt.abs({})", (-64, 64), (0, 64), lambda x: x),
    ("pt.sign({})", (-64, 64), (-1, 1), lambda x: x),
    ("pt.floor({})", (-64, 64), (-64, 64), lambda x: x - np.round(x)),
    ("pt.ceil({})", (-64, 64), (-64, 64), lambda x: x - np.round(x)),
    ("pt.trunc({})", (-64, 64), (-64, 64), lambda x: x - np.round(x)),
    ('pt.round({}, mode="half_to_even")', (-64, 64), (-64, 64), lambda x: x - np.floor(x) - 0.5),
    ('pt.round({}, mode="half_away_from_zero")', (-64, 64), (-64, 64), lambda x: x - np.floor(x) - 0.5),
    ("pt.clip({}, -0.75, 1.25)", (-64, 64), (-0.75, 1.25), lambda x: np.stack([x + 0.75, x - 1.25])),
    ("pt.maximum({}, 0.0)", (-64, 64), (0, 64), lambda x: x),
    ("pt.minimum(0.5, {})", (-64, 64), (-64, 0.5), lambda x: x - 0.5),
    ('{}.astype("int64")', (-64, 64), (-64, 64), lambda x: x - np.round(x)),
    ('{}.astype("int8")', (-64, 64), (-64, 64), lambda x: x - np.round(x)),
    ("{} % 2.0", (-64, 64), (0, 2), lambda x: x / 2 - np.round(x / 2)),
    ("pt.mod({}, -1.5)", (-64, 64), (-1.5, 0), lambda x: x / 1.5 - np.round(x / 1.5)),
    ("{} // 0.75", (-64, 64), (-86, 86), lambda x: x / 0.75 - np.round(x / 0.75)),
    ("{} > 0", (-64, 64), (0, 1), lambda x: x),
    ("{} <= 0.5", (-64, 64), (0, 1), lambda x: x - 0.5),
]

# text, ranges of the arguments, monotone function
BINARY = [
    ("{} + {}", (-64, 64), (-64, 64), lambda x, y: x + y),
    ("{} - {}", (-64, 64), (-64, 64), lambda x, y: x - y),
    ("{} * {}", (-64, 64), (-64, 64), lambda x, y: x * y),
    ("{} / {}", (-64, 64), (0.25, INFINITY), lambda x, y: x / y),
    ("{} / {}", (-64, 64), (-INFINITY, -0.5), lambda x, y: x / y),
    ("{} ** {}", (0.25, 4), (-3, 3), lambda x, y: x**y),
    ("pt.logaddexp({}, {})", (-64, 64), (-64, 64), np.logaddexp),
    ("pt.log(pt.exp({}) + pt.exp({}))", (-30, 30), (-30, 30), np.logaddexp),
    (
        "pt.hypot({}, {})" if hasattr(pt, "hypot") else "pt.sqrt({}**2 + {}**2)",
        (0.25, 8),
        (0.25, 8),
        np.hypot,
    ),
    ("pt.arctan2({}, {})", (-64, 64), (0.25, 64), np.arctan2),
    ("pt.gammainc({}, {})", (0.5, 8), (0.25, 8), lambda k, x: special.gammainc(k, x)),
    ("{} * pt.log({})", (0, 8), (0.25, 8), lambda x, y: x * np.log(y)),
    ("pt.second({}, {})", (-64, 64), (-64, 64), lambda x, y: y),
]
BINARY_KINKED = [
    ("pt.maximum({}, {})", (-64, 64), (-64, 64), np.maximum, lambda x, y: x - y),
    ("pt.minimum({}, {})", (-64, 64), (-64, 64), np.minimum, lambda x, y: x - y),
    ("{} % {}", (-16, 16), (0.5, 8), None, lambda x, y: x / y - np.round(x / y)),
    ("{} // {}", (-16, 16), (0.5, 8), lambda x, y: np.floor(x / y), lambda x, y: x / y - np.round(x / y)),
]
COMPARISONS = ["{} < {}", "{} <= {}", "{} > {}", "{} >= {}", "pt.eq({}, {})", "pt.neq({}, {})"]


def corners(f: Callable, *ranges: tuple[float, float]) -> tuple[float, float]:
    """Range of a function that is monotone in each argument."""
    values = [f(*(r[(k >> i) & 1] for i, r in enumerate(ranges))) for k in range(2 ** len(ranges))]
    return float(min(values)), float(max(values))


def unary(program: Program) -> None:
    text, domain, image = program.choose(SMOOTH)
    x = real(program)
    x = fit(program, x, *domain)
    low, high = corners(image, (x.low, x.high)) if callable(image) else image
    program.emit(text.format(x), [x], x.shapes, low, high)


def kinked(program: Program) -> None:
    text, domain, (low, high), distance = program.choose(KINKED)
    x = real(program)
    x = fit(program, x, *domain)
    program.decide(distance, x)
    program.emit(text.format(x), [x], x.shapes, low, high)


def binary(program: Program) -> None:
    text, first, second, f = program.choose(BINARY)
    x = real(program)
    y = fit(program, as_real(program, partner(program, x, "real")), *second)
    x = fit(program, x, *first)
    shapes = broadcast(x, y)
    if text == "{} * pt.log({})":
        low, high = -12.0, 17.0
    elif f is np.arctan2:
        low, high = -math.pi, math.pi
    else:
        low, high = corners(f, (x.low, x.high), (y.low, y.high))
    if text in ("{} + {}", "{} * {}") and program.flag(4):
        largest = max(-x.low, x.high)
        high = 2 * largest + max(-y.low, y.high) if text == "{} + {}" else largest * max(-low, high)
        text, low = text + text[2:].replace("{}", str(x)), -high
    program.emit(text.format(x, y), [x, y], shapes, low, high)


def binary_kinked(program: Program) -> None:
    text, first, second, f, distance = program.choose(BINARY_KINKED)
    x = real(program)
    y = fit(program, partner(program, x, "real"), *second)
    x = fit(program, x, *first)
    program.decide(distance, x, y)
    low, high = corners(f, (x.low, x.high), (y.low, y.high)) if f else (0, y.high)
    program.emit(text.format(x, y), [x, y], broadcast(x, y), low, high)


def comparison(program: Program) -> None:
    kinds = program.choose([("real",), ("integer",), ("integer", "real", "bool")])
    x = program.entry(*kinds)
    y = partner(program, x, *kinds)
    program.decide(lambda x, y: x - y, x, y)
    program.emit(program.choose(COMPARISONS).format(x, y), [x, y], broadcast(x, y), 0, 1)


def logic(program: Program) -> None:
    x = program.entry("bool")
    y = partner(program, x, "bool")
    if program.flag(4):
        program.emit(f"~{x}", [x], x.shapes, 0, 1)
        return
    text = program.choose(["{} & {}", "{} | {}", "{} ^ {}", "{} * {}", "pt.maximum({}, {})"])
    program.emit(text.format(x, y), [x, y], broadcast(x, y), 0, 1)


def switch(program: Program) -> None:
    x = real(program)
    condition = partner(program, x, "bool", "integer") if program.flag(4) else partner(program, x, "bool")
    y = partner(program, x, "real")
    shapes = broadcast(condition, x, y)
    require(shapes is not None)
    arguments = (x, y) if program.flag() else (y, x)
    text = "pt.switch({}, {}, {})".format(condition, *arguments)
    program.emit(text, [condition, x, y], shapes, min(x.low, y.low), max(x.high, y.high))


# A function of an argument that may be outside of its domain: the condition that it is inside, the edge of
# the domain, a point inside, and the range of the values. `{}` is the argument.
RISKY = [
    ("pt.log({})", "{} > 0.25", 0.25, 1.0, (-1.5, 4.5)),
    ("pt.sqrt({})", "{} > 0.25", 0.25, 1.0, (0, 9)),
    ("1 / {}", "{} > 0.25", 0.25, 1.0, (0, 4)),
    ("{} ** 0.5", "{} > 0.25", 0.25, 1.0, (0, 9)),
    ("{} ** -1.5", "{} > 0.25", 0.25, 1.0, (0, 8)),
    ("pt.log1p(-{})", "{} < 0.75", 0.75, 0.0, (-1.5, 4.5)),
    ("pt.log1mexp({})", "{} < -0.25", -0.25, -1.0, (-1.6, 0)),
    ("pt.arccosh({})", "{} > 1.25", 1.25, 2.0, (0, 6)),
    ("pt.arcsin({})", "abs({}) < 0.875", 0.875, 0.0, (-1.6, 1.6)),
    ("pt.arctanh({})", "abs({}) < 0.875", 0.875, 0.0, (-1.4, 1.4)),
    ("pt.gammaln({})", "{} > 2", 2.0, 3.0, (0, 210)),
    ("pt.digamma({})", "{} > 0.5", 0.5, 1.0, (-2, 5)),
    ("pt.exp(-512 * {})", "{} > 0.25", 0.25, 1.0, (0, 1)),
    ("(0.0 * pt.exp(512 * {}))", "{} < 0.25", 0.25, 0.0, (0, 0)),
    ("({0} * pt.log({0}))", "{} > 0.25", 0.25, 1.0, (-0.5, 270)),
]


def risky(program: Program) -> None:
    """A branch that is NaN or infinite, or has such a gradient, wherever it is not taken."""
    function, condition, edge, safe, (low, high) = program.choose(RISKY)
    x = fit(program, real(program), -64, 64)
    y = partner(program, x, "real")
    program.decide(lambda x: np.stack([abs(x) - abs(edge), x]), x)
    argument = f"pt.maximum({x}, 0.0)" if edge > 0 and program.flag() else str(x)
    text = (
        f"guarded({condition.format(x)}, lambda u: {function.replace('{0}', 'u').format('u')}, "
        f"{argument}, {safe}, {y})"
    )
    program.emit(text, [x, y], broadcast(x, y), min(low, y.low), max(high, y.high))


def clip(program: Program) -> None:
    x = real(program)
    low = fit(program, partner(program, x, "real"), -64, 0.5)
    high = program.emit(f"{low} + 0.75", [low], low.shapes, low.low + 0.75, low.high + 0.75)
    require(high.low == low.low + 0.75)  # not squashed
    program.decide(lambda x, low, high: np.stack(np.broadcast_arrays(x - low, x - high)), x, low, high)
    shapes = broadcast(x, low, high)
    require(shapes is not None)
    program.emit(f"pt.clip({x}, {low}, {high})", [x, low, high], shapes, low.low, high.high)


def integer_arithmetic(program: Program) -> None:
    x = program.find("integer", where=lambda x: -x.low < 2**20 > x.high)
    x = x or integers(program, leaf_shapes(program), -9, 9)
    y = program.entry("integer", where=lambda y: broadcast(x, y) is not None and -y.low < 2**20 > y.high)
    text, f = program.choose(
        [
            ("{} + {}", lambda a, b: a + b),
            ("{} - {}", lambda a, b: a - b),
            ("{} * {}", lambda a, b: a * b),
            ("pt.maximum({}, {})", max),
            ("pt.minimum({}, {})", min),
            ("{} // (1 + pt.abs({}))", None),
            ("{} % 3 + 0 * {}", None),
            ("{} & {}", None),
            ("{} | {}", None),
            ("{} ^ {}", None),
            ("~{} + {}", None),
            ("pt.sqr({}) - {}", None),
        ]
    )
    most = float(max(map(abs, (x.low, x.high, y.low, y.high))))
    low, high = corners(f, (x.low, x.high), (y.low, y.high)) if f else (-2 * most**2 - 2, 2 * most**2 + 2)
    wrapped(program, text.format(x, y), [x, y], broadcast(x, y), low, high)


def wrapped(
    program: Program, text: str, inputs: Sequence[Entry], shapes: Sequence[Shape], low: float, high: float
) -> None:
    """Emit integers whose range is that of their dtype where they would leave it."""
    dtype = eval(text, program.ours).dtype
    if np.dtype(dtype).kind in "iu":
        bounds = np.iinfo(dtype)
        if low < bounds.min or high > bounds.max:
            low, high = float(bounds.min), float(bounds.max)
    program.emit(text, inputs, shapes, low, high)


def integer_cast(program: Program) -> None:
    x = program.entry("integer", "bool")
    dtype = program.choose(["int64", "int8", "uint8", "int16", "int32", "bool", "float64"])
    if dtype == "bool":
        program.emit(f"pt.neq({x}, 0)", [x], x.shapes, 0, 1)
    elif dtype == "float64":
        as_real(program, x)
    else:
        # PyTensor 2 does not cast an integer, other than in C, that the type does not hold.
        bounds = np.iinfo(dtype)
        require(not PYTENSOR_2 or bounds.min <= x.low <= x.high <= bounds.max)
        wrapped(program, f'{x}.astype("{dtype}")', [x], x.shapes, x.low, x.high)
