"""Special functions and Composite Ops: PyTensor's values and gradients, or mpmath's where those are poor."""

import mpmath as mp
import numpy as np
import pymc as pm
import pytensor
import pytensor.scalar as ps
import pytensor.tensor as pt
import pytest
from oracle import check_model, check_potential
from pymc.distributions.dist_math import i0e, i1e
from pymc.math import invprobit, probit
from pytensor.scalar.basic import Composite, ScalarOp
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.math import mul_without_zeros

from pymc_rustmc._core import Graph, GraphError
from pymc_rustmc.compile import translate_model
from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate import Walker, rust_funcify

POSITIVE = {"centre": 2.5, "scale": 0.5}
ORDERS = np.array([0.0, 1.0, 2.5, 7.0])
INTEGERS = np.array([0.0, 1.0, 2.0, 5.0])
FACTORS = pytensor.shared(np.array([0.0, 2.0, 3.0]))


def between(x):
    """Map real numbers into (0, 1)."""
    return pt.sigmoid(x)


# name: (density term, shapes of the value variables, options of the comparison)
FUNCTIONS = {
    "trigamma": (pt.tri_gamma, [(4,)], POSITIVE),
    "polygamma": (lambda x: pt.polygamma(np.array([0, 1, 2, 5]), x), [(4,)], POSITIVE),
    "erfinv": (lambda x: pt.erfinv(2 * between(x) - 1), [(4,)], {"scale": 3}),
    "erfcinv": (lambda x: pt.erfcinv(2 * between(x)), [(4,)], {"scale": 3}),
    "probit": (lambda x: probit(between(x)), [(4,)], {"scale": 3}),
    "inverse probit": (lambda x: pt.log(invprobit(x)), [(4,)], {}),
    "owens_t": (pt.owens_t, [(4,), (4,)], {}),
    "i0": (pt.i0, [(4,)], {"scale": 3}),
    "i1": (pt.i1, [(4,)], {"scale": 3}),
    "i0e": (i0e, [(4,)], {"scale": 3}),
    "i1e": (lambda x: x[0] * i1e(np.array([-3.0, 0.0, 1.0, 20.0])), [(1,)], {}),
    "iv": (lambda x: pt.iv(ORDERS, x), [(4,)], POSITIVE),
    "ive": (lambda x: pt.ive(ORDERS, x), [(4,)], POSITIVE),
    "ive of negative arguments": (lambda x: pt.ive(INTEGERS, -x), [(4,)], POSITIVE),
    "kv": (lambda x: pt.kv(ORDERS, x), [(4,)], POSITIVE),
    "kve": (lambda x: pt.kve(ORDERS, x), [(4,)], POSITIVE),
    "j0": (pt.j0, [(4,)], {"scale": 5}),
    "j1": (pt.j1, [(4,)], {"scale": 5}),
    "jv": (lambda x: pt.jv(ORDERS, x), [(4,)], POSITIVE),
    "gammainc, in x": (lambda x: pt.gammainc(np.array([0.1, 1.0, 3.0, 40.0]), x), [(4,)], POSITIVE),
    "gammaincc, in x": (lambda x: pt.gammaincc(np.array([0.1, 1.0, 3.0, 40.0]), x), [(4,)], POSITIVE),
    "gammau and gammal": (
        lambda x: x * pt.gammau(FACTORS + 1, 1.5) / pt.gammal(FACTORS + 2, 0.5),
        [(3,)],
        {},
    ),
    "betainc": (lambda a, b, x: pt.betainc(a, b, between(x - 2.5)), [(4,), (4,), (4,)], POSITIVE),
    "hyp2f1": (
        lambda a, b, c, z: pt.hyp2f1(a, b, c, 0.9 * between(z) - 0.4),
        [(3,), (3,), (3,), (3,)],
        POSITIVE,
    ),
    "product without zeros": (
        lambda x: Elemwise(mul_without_zeros)(FACTORS, FACTORS[::-1]) * x,
        [(3,)],
        {},
    ),
}

if hasattr(pt, "ndtri_exp"):
    FUNCTIONS["ndtri_exp"] = (lambda x: pt.ndtri_exp(-pt.softplus(x)), [(4,)], {"scale": 3})
if hasattr(pt, "deg2rad"):
    FUNCTIONS["degrees"] = (lambda x: pt.sin(pt.deg2rad(90 * x)) * pt.rad2deg(x), [(4,)], {})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    build, shapes, options = FUNCTIONS[name]
    check_potential(build, shapes, **options)


def slope_of_shape(a, x):
    """dP(a, x)/da of the regularised lower incomplete gamma function."""
    with mp.workdps(40):
        return float(mp.diff(lambda a: mp.gammainc(a, 0, x, regularized=True), a))


@pytest.mark.parametrize(("function", "sign"), [(pt.gammainc, 1), (pt.gammaincc, -1)])
def test_incomplete_gamma_in_its_shape(function, sign):
    # PyTensor 2.38 differentiates to 1e-6 only: mpmath is the reference.
    x = np.array([0.05, 1.0, 3.0, 30.0])
    with pm.Model() as model:
        a = pm.Flat("a", shape=4)
        pm.Potential("term", function(a, x))
    density = translate_model(model).bind().density
    position = np.array([0.2, 2.5, 2.5, 33.0])
    logp, gradient = density.logp_and_gradient(position)
    lower = [float(mp.gammainc(a, 0, x, regularized=True)) for a, x in zip(position, x, strict=True)]
    np.testing.assert_allclose(logp, sum(lower) if sign > 0 else 4 - sum(lower), rtol=1e-14)
    slopes = [sign * slope_of_shape(a, x) for a, x in zip(position, x, strict=True)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-12)


def test_hyp2f1_where_pytensor_has_no_gradient():
    # Its series stops at z = -1: mpmath is the reference.
    position, z = (1.3, 0.7, 2.9), -4.0
    with pm.Model() as model:
        parameters = [pm.Flat(name) for name in "abc"]
        pm.Potential("term", pt.hyp2f1(*parameters, z))
    logp, gradient = translate_model(model).bind().density.logp_and_gradient(np.array(position))
    with mp.workdps(40):
        slopes = [mp.diff(lambda a, b, c: mp.hyp2f1(a, b, c, z), position, n) for n in np.eye(3, dtype=int)]
    np.testing.assert_allclose(logp, float(mp.hyp2f1(*position, z)), rtol=1e-14)
    np.testing.assert_allclose(gradient, [float(d) for d in slopes], rtol=1e-12)


def test_the_order_of_a_bessel_function_is_no_parameter():
    with pm.Model() as model:
        v = pm.Flat("v")
        pm.Potential("term", pt.kve(v, 2.0))
    with pytest.raises(GraphError, match="the derivative of `kve` with respect to argument 1 is not known"):
        translate_model(model).bind()


def censored_gamma():
    """Right-censored durations: log of gammaincc in both of its arguments."""
    with pm.Model() as model:
        alpha, beta = pm.Exponential("alpha", 1), pm.Exponential("beta", 1)
        dist = pm.Gamma.dist(alpha, beta)
        pm.Censored("y", dist, lower=None, upper=3.0, observed=np.array([0.5, 1.0, 3.0, 3.0]))
    return model


def truncated_beta():
    """Truncated proportions: log of differences of betainc in all of its arguments."""
    with pm.Model() as model:
        alpha, beta = pm.Exponential("alpha", 1), pm.Exponential("beta", 1)
        dist = pm.Beta.dist(alpha, beta)
        pm.Truncated("y", dist, lower=0.2, upper=0.9, observed=np.array([0.3, 0.5, 0.8]))
    return model


def von_mises():
    """Angles: log of i0 of the concentration."""
    with pm.Model() as model:
        mu = pm.VonMises("mu", 0, 1)
        pm.VonMises("y", mu, pm.HalfNormal("kappa", 5), observed=np.array([0.1, 0.4, -0.3]))
    return model


def purchases():
    """Expected purchases of a customer (Fader, Hardie and Lee 2005, equation 10)."""
    with pm.Model() as model:
        r, alpha, a, b = (pm.HalfNormal(name, 2) for name in ("r", "alpha", "a", "b"))
        x, span, t = np.array([0.0, 2.0, 7.0]), np.array([38.9, 20.0, 30.0]), 10.0
        z = t / (alpha + span + t)
        term = pt.hyp2f1(r + x, b + x + 1, a + b + x, z)
        pm.Potential("term", pt.log(term) - (r + x) * pt.log1p(t / (alpha + span)))
    return model


@pytest.mark.parametrize("build", [censored_gamma, truncated_beta, von_mises, purchases])
def test_model(build):
    check_model(build(), scale=0.4)


def scalars(n):
    """Return n scalar variables."""
    return [ps.float64(f"s{k}") for k in range(n)]


def test_composite_is_inlined():
    x, y = scalars(2)
    op = Elemwise(Composite([x, y], [ps.exp(x) * y + ps.identity(x)]))
    with pm.Model() as model:
        u, v = pm.Flat("u", shape=(3, 1)), pm.Flat("v", shape=4)
        pm.Potential("term", op(u, v[None, :]))
    density = translate_model(model).bind().density
    with pm.Model() as plain:
        u, v = pm.Flat("u", shape=(3, 1)), pm.Flat("v", shape=4)
        pm.Potential("term", pt.exp(u) * v[None, :] + u)
    wanted = translate_model(plain).bind().density
    position = np.linspace(-1, 1, 7)
    assert density.graph_text() == wanted.graph_text()
    assert density.logp_and_gradient(position)[0] == wanted.logp_and_gradient(position)[0]


def test_composite_with_an_output_of_one_input_has_the_shape_of_all():
    x, y = scalars(2)
    op = Elemwise(Composite([x, y], [ps.sqr(x), x * y]))
    with pm.Model() as model:
        u, v = pm.Flat("u", shape=(3, 1)), pm.Flat("v", shape=4)
        square, product = op(u, v[None, :])
        pm.Potential("term", square.sum() + product.sum())
    logp, gradient = translate_model(model).bind().density.logp_and_gradient(np.arange(1.0, 8.0))
    u, v = np.arange(1.0, 4.0), np.arange(4.0, 8.0)
    assert logp == 4 * (u**2).sum() + u.sum() * v.sum()
    np.testing.assert_allclose(gradient, [*(8 * u + v.sum()), *np.full(4, u.sum())])


def test_scalar_ops_outside_elemwise():
    def build(x):
        s = pt.scalar_from_tensor(x)
        return pt.tensor_from_scalar(ps.i0(ps.sqr(s)) * ps.exp(s))

    check_potential(build, [()], scale=0.5)


def test_composite_of_scalars():
    x, y = scalars(2)
    inner = Composite([x, y], [ps.sqr(x) * y, x + y])
    with pm.Model() as model:
        s = pt.scalar_from_tensor(pm.Flat("u"))
        product, total = inner(s, ps.exp(s))
        pm.Potential("term", pt.tensor_from_scalar(product - total))
    logp, gradient = translate_model(model).bind().density.logp_and_gradient(np.array([0.5]))
    e = np.exp(0.5)
    np.testing.assert_allclose([logp, *gradient], [0.25 * e - 0.5 - e, 1.25 * e - 1 - e])


# Scalar Ops without a rule: of complex numbers, inverses whose gradient in the shape nobody knows and
# loops, which PyTensor's own gradients of special functions hold.
FOREIGN = {
    *("Angle", "Complex", "ComplexFromPolar", "Imag"),
    *("BetaIncInv", "GammaIncCInv", "GammaIncInv"),
    *("Grad2F1Loop", "ScalarLoop"),
}


def scalar_ops():
    """Return all Ops that PyTensor's scalar modules offer, one a class."""
    everything = [*vars(ps.basic).values(), *vars(ps.math).values()]
    return {type(op).__name__: op for op in everything if isinstance(op, ScalarOp)}


def translated(op):
    """Translate an Op on vectors, of reals or, where it takes none, of integers."""
    n = op.nin if op.nin > 0 else 2
    for first, rest in (("float64", "float64"), ("int64", "float64"), ("int64", "int64")):
        inputs = [pt.vector(dtype=first if k == 0 else rest) for k in range(n)]
        try:
            node = Elemwise(op)(*inputs).owner
        except (TypeError, NotImplementedError):
            continue
        graph = Graph()
        ids = {x: graph.data(f"x{k}", x.type.dtype, 1) for k, x in enumerate(inputs)}
        return rust_funcify(node.op, node, Walker(graph, ids, lambda variable: variable.name))
    raise AssertionError(f"{op} takes neither reals nor integers")


@pytest.mark.parametrize("name", sorted(scalar_ops()))
def test_every_scalar_op_is_native_or_known_not_to_be(name):
    op = scalar_ops()[name]
    if name in FOREIGN:
        with pytest.raises(UnsupportedOpError):
            translated(op)
    else:
        assert isinstance(translated(op), int)
