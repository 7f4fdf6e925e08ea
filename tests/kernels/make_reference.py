"""Write the reference values that the tests of src/kernels/math hold its functions to.

Each row is ``function,x,y,value``: bit patterns of f64 in hexadecimal, y empty for functions of one
argument, value the exact result at (x, y) rounded to nearest (computed with mpmath).

Run from the repository root: ``python tests/kernels/make_reference.py`` (needs mpmath).
"""

import math
import random
import struct
from pathlib import Path

import mpmath as mp

OUTPUT = Path("src/kernels/math/reference.csv")
TINY = 5e-324
SMALL = 2.2250738585072014e-308
HUGE = 1.7976931348623157e308

random.seed(20240611)


def uniform(low, high, n):
    """Return n points, uniform between low and high."""
    return [random.uniform(low, high) for _ in range(n)]


def scales(low, high, n):
    """Return n points, log-uniform between low and high."""
    return [math.exp(random.uniform(math.log(low), math.log(high))) for _ in range(n)]


def both(points):
    """Return the points with random signs."""
    return [random.choice((-1.0, 1.0)) * x for x in points]


def around(center, n):
    """Return center, its neighbours and n points that close in on it."""
    close = [center * (1.0 + d) for d in both(scales(1e-16, 1e-2, n))]
    return [center, math.nextafter(center, -math.inf), math.nextafter(center, math.inf), *close]


def pairs(x, y):
    """Return the points (x[i], y[i])."""
    return list(zip(x, y, strict=True))


def exact_lgamma(x):
    """Return log |Gamma(x)|."""
    return mp.loggamma(x) if x > 0 else mp.log(mp.pi / abs(mp.sinpi(x) * x)) - mp.loggamma(-x)


def exact_erfcx(x):
    """Return exp(x**2) erfc(x); the asymptotic series is exact to f64 from 1e5 on."""
    if x > 1e5:
        return (1 - 1 / (2 * x**2) + 3 / (4 * x**4)) / (x * mp.sqrt(mp.pi))
    return mp.exp(x**2) * mp.erfc(x)


POSITIVE = [
    *scales(1e-300, 1e300, 25),
    *uniform(0.5, 2.0, 25),
    *around(1.0, 15),
    TINY,
    3e-310,
    SMALL,
    HUGE,
    1000.0,
    8.0,
]
LINE = [*uniform(-3, 3, 40), *both(scales(1e-18, 1.0, 20)), *uniform(-40, 40, 20), TINY, -SMALL, 1e-300]
INNER = [
    *uniform(-1, 1, 40),
    *both(scales(1e-18, 1.0, 15)),
    0.5,
    -0.5,
    1 - 1e-16,
    -1 + 1e-10,
    1.0,
    -1.0,
    TINY,
]
ANGLES = [
    *uniform(-7, 7, 30),
    *both(scales(1e-12, 1e9, 25)),
    *both(scales(1e9, 1e300, 10)),
    *around(math.pi, 8),
]
ANGLES += [
    *around(math.pi / 2, 8),
    *[k * math.pi / 2 for k in (3, 11, 1000, 65537, 123456789)],
    6381956970095103 * 2.0**797,
]
ANGLES += [TINY, HUGE, 1e22, 1e9, math.nextafter(1e9, 2e9)]
GAMMA = [
    *uniform(0, 3, 40),
    *uniform(0, 30, 25),
    *scales(1e-300, 1e300, 20),
    *around(1.0, 8),
    *around(2.0, 8),
    *range(1, 25),
]
GAMMA += [0.75, 2.5, 0.5, 170.5, TINY, 1e-310, *scales(1e-3, 1e4, 20)]
BELOW_ZERO = [*uniform(-5, 0, 25), *(-x for x in scales(1e-10, 1e3, 15)), -0.25, -1.5, -170.25, -1e5 - 0.5]

UNARY = {
    "exp": (
        mp.exp,
        [*uniform(-708, 709, 40), *uniform(-1, 1, 30), *uniform(-745, -708, 15), 709.78, 1e-300, -745.1, 1.0],
    ),
    "exp2": (
        lambda x: mp.power(2, x),
        [*uniform(-1022, 1024, 40), *uniform(-1, 1, 30), -1074.0, -1073.5, 1023.9999, 0.5],
    ),
    "expm1": (mp.expm1, [*LINE, *uniform(-1, 709, 20), 709.78, -0.34657359, 0.34657359]),
    "log": (mp.log, POSITIVE),
    "log2": (lambda x: mp.log(x) / mp.log(2), POSITIVE),
    "log10": (lambda x: mp.log(x) / mp.log(10), POSITIVE),
    "log1p": (
        mp.log1p,
        [*both(scales(1e-18, 0.99, 40)), *uniform(-1, 4, 40), *scales(1, 1e300, 20), -1 + 1e-16, TINY],
    ),
    "log1mexp": (
        lambda x: mp.log(-mp.expm1(x)),
        [
            *uniform(-3, 0, 40),
            *uniform(-40, 0, 20),
            *(-x for x in scales(1e-300, 1, 20)),
            *uniform(-740, -40, 10),
            -TINY,
            *around(-math.log(2), 8),
        ],
    ),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), [*LINE, *uniform(-740, -40, 20), 700.0, 1e300]),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), [*LINE, *uniform(-740, -40, 20)]),
    "sqrt": (mp.sqrt, POSITIVE),
    "sin": (mp.sin, ANGLES),
    "cos": (mp.cos, ANGLES),
    "tan": (mp.tan, ANGLES),
    "asin": (mp.asin, INNER),
    "acos": (mp.acos, INNER),
    "atan": (mp.atan, [*LINE, *both(scales(1e-5, 1e20, 30)), HUGE, 1.0]),
    "sinh": (mp.sinh, [*LINE, *uniform(-710, 710, 20), 710.4]),
    "cosh": (mp.cosh, [*LINE, *uniform(-710, 710, 20), 710.4]),
    "tanh": (mp.tanh, LINE),
    "asinh": (mp.asinh, [*LINE, *both(scales(1e-5, 1e300, 30)), HUGE, 1e9]),
    "acosh": (mp.acosh, [*(1 + x for x in scales(1e-15, 1e3, 40)), *scales(1, 1e300, 30), HUGE, 1e9, 1.0]),
    "atanh": (mp.atanh, [x for x in INNER if abs(x) != 1]),
    "erf": (mp.erf, [*LINE, *around(1.0, 8), *uniform(-6, 6, 20)]),
    "erfc": (mp.erfc, [*LINE[:60], *uniform(0, 26, 40), *around(0.5, 4), 26.9, 27.2, TINY, -7.0]),
    "erfcx": (exact_erfcx, [*LINE[:60], *uniform(-26, 0, 15), *scales(1e-3, 1e300, 30), HUGE]),
    "lgamma": (exact_lgamma, [*GAMMA, *BELOW_ZERO]),
    "digamma": (mp.digamma, [*(x for x in GAMMA if x > 1e-308), *BELOW_ZERO, *around(1.4616321449683623, 8)]),
    "trigamma": (lambda x: mp.psi(1, x), [*(x for x in GAMMA if x > 1e-150), *BELOW_ZERO]),
    "gamma": (
        mp.gamma,
        [*(x for x in GAMMA if 1e-308 < x < 171.6), *uniform(20, 171.6, 20), *BELOW_ZERO[:-1], -180.7],
    ),
    "round_half_away": (
        lambda x: mp.sign(x) * mp.floor(abs(x) + mp.mpf(1) / 2),
        [
            *uniform(-9, 9, 20),
            0.5,
            1.5,
            -2.5,
            2.0**51 + 0.5,
            0.49999999999999994,
            -0.49999999999999994,
            2.0**52 + 1,
            1e300,
        ],
    ),
}

POWERS = [
    *pairs(scales(1e-5, 1e5, 40), uniform(-60, 60, 40)),
    *pairs(scales(1e-100, 1e100, 20), uniform(-3, 3, 20)),
    *pairs(around(1.0, 17), both(scales(1e2, 1e15, 20))),
    *pairs([-x for x in scales(0.1, 10, 19)], [float(k) for k in range(-9, 10)]),
    *[(0.5, 1073.5), (2.0, -1074.0), (10.0, 22.0), (10.0, -5.0), (3.0, 5.0), (1.0000001, 7e9)],
    *[(TINY, 0.5), (HUGE, 0.999), (TINY, -0.9)],
]
PLANE = [
    *pairs(both(scales(1e-5, 1e5, 40)), both(scales(1e-5, 1e5, 40))),
    *pairs(uniform(-1, 1, 30), uniform(-1, 1, 30)),
]

BINARY = {"pow": (mp.power, POWERS), "atan2": (mp.atan2, PLANE)}


def bits(x):
    """Return the bit pattern of x."""
    return struct.pack(">d", x).hex()


def rounded(value):
    """Return the f64 nearest to value, ties to even."""
    if abs(value) >= SMALL:
        return float(value)
    return float(int(mp.nint(value * mp.mpf(2) ** 1074))) * TINY


def row(name, function, x, y=None):
    """Return the row of one point, or None where the result is not a finite number."""
    arguments = [mp.mpf(x)] if y is None else [mp.mpf(x), mp.mpf(y)]
    value = rounded(mp.re(function(*arguments)))
    if not math.isfinite(value):
        return None
    return f"{name},{bits(x)},{'' if y is None else bits(y)},{bits(value)}"


def main():
    """Write the file."""
    mp.mp.prec = 2400  # enough for the largest angles, and for log1p(exp(-740))
    rows = [row(name, function, float(x)) for name, (function, points) in UNARY.items() for x in points]
    rows += [row(name, function, x, y) for name, (function, points) in BINARY.items() for x, y in points]
    OUTPUT.write_text("\n".join(r for r in rows if r) + "\n")


if __name__ == "__main__":
    main()
