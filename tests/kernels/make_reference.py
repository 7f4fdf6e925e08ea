"""Write the reference values that the tests of src/kernels/math hold its functions to.

Each row is ``function,argument,...,value``: bit patterns of f64 in hexadecimal, value the exact result at the
arguments rounded to nearest (computed with mpmath).

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


def exact_erfcinv(y):
    """Return x with erfc(x) = y, for any y between 0 and 2."""
    if y > 0.1:
        return mp.erfinv(1 - y)
    t = mp.log(y)
    return mp.findroot(lambda x: mp.log(mp.erfc(x)) - t, mp.sqrt(-t - mp.log(-mp.pi * t) / 2))


def exact_ndtri_exp(x):
    """Return z with Phi(z) = exp(x)."""
    return -mp.sqrt(2) * exact_erfcinv(2 * mp.exp(x))


def slope(function, position):
    """Return the derivative of a function in one argument, by a difference far below the rounding of f64."""

    def derivative(*arguments):
        with mp.workprec(2 * mp.mp.prec):
            step = mp.ldexp(arguments[position], -mp.mp.prec // 4)
            moved = [
                [x + sign * step if k == position else x for k, x in enumerate(arguments)] for sign in (1, -1)
            ]
            return (function(*moved[0]) - function(*moved[1])) / (2 * step)

    return derivative


def hypergeometric_sum(numerator, denominator, x):
    """Return the sum over n of the product of x (p + k) / (q + k), k < n; all terms are positive."""
    total = term = mp.mpf(1)
    k = 0
    # The ratio of terms tends to x, or to 0 without a numerator.
    while term > mp.ldexp(total, -mp.mp.prec):
        term *= x / (denominator + k) * (1 if numerator is None else numerator + k)
        total += term
        k += 1
    return total


def exact_gammainc(a, x):
    """Return P(a, x) by its series."""
    return mp.exp(a * mp.log(x) - x - mp.loggamma(a + 1)) * hypergeometric_sum(None, a + 1, x)


def exact_betainc(a, b, x):
    """Return I_x(a, b) by its series, on the side of the mean where that converges fast."""
    if x > a / (a + b):
        return 1 - exact_betainc(b, a, 1 - x)
    beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    power = mp.exp(a * mp.log(x) + b * mp.log(1 - x) - beta) / a
    return power * hypergeometric_sum(a + b, a + 1, x)


def exact_owens_t(h, a):
    """Return Owen's T by quadrature over where the integrand counts."""
    end = a if h == 0 else min(a, 16 / h)
    points = mp.linspace(0, end, 12)
    inner = mp.quad(lambda u: mp.exp(-((h * u) ** 2) / 2) / (1 + u * u), points)
    return mp.exp(-h * h / 2) * inner / (2 * mp.pi)


def exact_ive(v, x):
    """Return exp(-|x|) I_v(x)."""
    return mp.re(mp.besseli(v, x)) * mp.exp(-abs(x))


def exact_ive_dx(v, x):
    """Return its derivative."""
    return mp.re(mp.besseli(v, x, 1) - mp.sign(x) * mp.besseli(v, x)) * mp.exp(-abs(x))


def exact_kve(v, x):
    """Return exp(x) K_v(x)."""
    return mp.besselk(v, x) * mp.exp(x)


def near_mean(mean, deviation, spread):
    """Return a point some standard deviations from the mean, or far from it."""
    return abs(mean + deviation * random.gauss(0, 1) * random.choice(spread))


def incomplete_gamma_points():
    """Return shapes of all sizes with points around their mean, and small shapes with any point."""
    around_mean = [(a, near_mean(a, math.sqrt(a), [0.1, 1, 4])) for a in scales(1e-3, 1e5, 24)]
    anywhere = pairs(scales(1e-3, 3, 16), scales(1e-8, 50, 16))
    return [
        *around_mean,
        *anywhere,
        (1.0, 1e-300),
        (29.9, 29.9),
        (30.0, 30.0),
        (0.5, 100.0),
        (1e5, 9.8e4),
        (0.3, 0.6),
    ]


def series_variable(a, b, x):
    """Return x or 1 - x, whichever is on the side of the mean where the series of `exact_betainc` is used."""
    return x if x <= a / (a + b) else 1 - x


def incomplete_beta_points():
    """Return parameters of all sizes with points around the mean and anywhere."""
    points = []
    for a, b in pairs(scales(1e-3, 1e5, 30), scales(1e-3, 1e5, 30)):
        mean = a / (a + b)
        deviation = math.sqrt(mean * (1 - mean) / (a + b + 1))
        points += [(a, b, near_mean(mean, deviation, [0.1, 1, 4])), (a, b, random.random())]
    points = [p for p in points if p[2] < 1 and series_variable(*p) < 0.99]
    return [
        *points,
        (1.0, 1.0, 0.3),
        (0.5, 0.5, 1e-10),
        (1e-3, 50.0, 1e-200),
        (1e5, 1e5, 0.5),
        (3.0, 1e5, 1e-5),
        (2e4, 40.0, 0.9985),
    ]


def hypergeometric_points():
    """Return points where all terms are positive, after Pfaff's transformation if need be."""
    points = []
    for a, b, c in zip(*(scales(0.05, 30, 12) for _ in range(3)), strict=True):
        points += [(a, b, c, random.random()), (a, b, c, 1 - scales(1e-6, 0.3, 1)[0])]
        points.append((a, b, b + c, -scales(0.01, 100, 1)[0]))
    return points


SHAPES = incomplete_gamma_points()
PROPORTIONS = incomplete_beta_points()
HYPERGEOMETRIC = hypergeometric_points()
ORDERS = [0.0, 0.3, 1.0, 2.5, 7.9, 20.0, 53.2, 150.0]
ORDERED = [(v, x) for v in ORDERS for x in [*scales(1e-4, 1e4, 4), 30.5]]
MODERATE = [(v, x) for v, x in ORDERED if x < 100]
REFLECTED = [(3.0, -2.0), (2.0, -50.0), (-3.0, -4.0), (-1.0, 3.0), (-0.3, 2.0), (-2.5, 0.4), (-7.9, 20.0)]
PLACES = [(x,) for x in [*both(scales(1e-8, 700, 25)), *both(scales(1, 1e5, 8)), 8.0, -7.99]]

# (function, points, bits of precision): what full precision would take too long for.
SPECIAL = {
    "erfinv": (mp.erfinv, [(x,) for x in [*uniform(-1, 1, 20), *scales(1e-300, 1, 10), 1 - 1e-12]], 300),
    "erfcinv": (exact_erfcinv, [(x,) for x in [*scales(1e-300, 1, 20), *uniform(0, 2, 15)]], 300),
    "ndtri_exp": (exact_ndtri_exp, [(-x,) for x in [*scales(1e-12, 700, 25), *uniform(0, 3, 10)]], 300),
    "i0": (lambda x: mp.besseli(0, x), PLACES, 200),
    "i1": (lambda x: mp.besseli(1, x), PLACES, 200),
    "i0e": (lambda x: exact_ive(0, x), PLACES, 200),
    "i1e": (lambda x: exact_ive(1, x), PLACES, 200),
    "j0": (lambda x: mp.besselj(0, x), PLACES, 200),
    "j1": (lambda x: mp.besselj(1, x), PLACES, 200),
    "polygamma": (
        lambda n, x: mp.psi(int(n), x),
        [(n, x) for n in (1.0, 2.0, 3.0, 7.0, 30.0) for x in [*scales(1e-3, 1e3, 5), -0.3, -20.123, 1e-9]],
        300,
    ),
    "gammainc": (exact_gammainc, SHAPES, 300),
    "gammaincc": (lambda a, x: 1 - exact_gammainc(a, x), SHAPES, 800),
    "gammainc_da": (slope(exact_gammainc, 0), SHAPES, 300),
    "gamma_density": (lambda a, x: mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a)), SHAPES, 300),
    "betainc": (exact_betainc, PROPORTIONS, 600),
    "betainc_da": (slope(exact_betainc, 0), PROPORTIONS, 300),
    "betainc_db": (slope(exact_betainc, 1), PROPORTIONS, 300),
    "beta_density": (
        lambda a, b, x: mp.exp((a - 1) * mp.log(x) + (b - 1) * mp.log(1 - x)) / mp.beta(a, b),
        PROPORTIONS,
        300,
    ),
    "owens_t": (exact_owens_t, pairs([0.0, *scales(1e-4, 30, 29)], scales(1e-4, 1e3, 30)), 200),
    "ive": (exact_ive, [*ORDERED, *REFLECTED], 300),
    "ive_dx": (exact_ive_dx, [*MODERATE, *REFLECTED], 300),
    "kve": (exact_kve, [*ORDERED, (-2.3, 1.0)], 300),
    "kve_dx": (slope(exact_kve, 1), MODERATE, 200),
    "jv": (lambda v, x: mp.re(mp.besselj(v, x)), [*ORDERED, *REFLECTED], 300),
    "jv_dx": (lambda v, x: mp.re(mp.besselj(v, x, 1)), [*MODERATE, *REFLECTED], 300),
    "hyp2f1": (mp.hyp2f1, HYPERGEOMETRIC, 300),
    "hyp2f1_da": (slope(mp.hyp2f1, 0), HYPERGEOMETRIC, 200),
    "hyp2f1_dc": (slope(mp.hyp2f1, 2), HYPERGEOMETRIC, 200),
}


def bits(x):
    """Return the bit pattern of x."""
    return struct.pack(">d", x).hex()


def rounded(value):
    """Return the f64 nearest to value, ties to even."""
    if abs(value) >= SMALL:
        return float(value)
    return float(int(mp.nint(value * mp.mpf(2) ** 1074))) * TINY


def row(name, function, *arguments):
    """Return the row of one point, or None where the result is not a finite number."""
    value = rounded(mp.re(function(*map(mp.mpf, arguments))))
    if not math.isfinite(value):
        return None
    return ",".join([name, *map(bits, arguments), bits(value)])


def main():
    """Write the file."""
    mp.mp.prec = 2400  # enough for the largest angles, and for log1p(exp(-740))
    rows = [row(name, function, float(x)) for name, (function, points) in UNARY.items() for x in points]
    rows += [row(name, function, *point) for name, (function, points) in BINARY.items() for point in points]
    for name, (function, points, precision) in SPECIAL.items():
        with mp.workprec(precision):
            rows += [row(name, function, *point) for point in points]
    OUTPUT.write_text("\n".join(r for r in rows if r) + "\n")


if __name__ == "__main__":
    main()
