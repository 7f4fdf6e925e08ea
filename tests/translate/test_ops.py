"""Every family of Ops, in small densities: values and gradients equal PyTensor's."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from oracle import check_potential

from pymc_rustmc.compile import translate_model

RNG = np.random.default_rng(7)
MATRIX = RNG.normal(size=(3, 4))
STACK = RNG.normal(size=(2, 3, 4))
MASK = np.array([True, False, True])
INTEGERS = pytensor.shared(np.array([-9, -1, 0, 6, 21]))
SIGNED = pytensor.shared(np.array([-128, -1, 0, 100, 127], dtype="int8"))
UNSIGNED = pytensor.shared(np.array([0, 1, 100, 128, 255], dtype="uint8"))

# name: (density term, shapes of the value variables, options of the comparison)
UNARY = {
    "abs": (pt.abs, {}),
    "arccos": (pt.arccos, {"scale": 0.2}),
    "arccosh": (pt.arccosh, {"centre": 3, "scale": 0.3}),
    "arcsin": (pt.arcsin, {"scale": 0.2}),
    "arcsinh": (pt.arcsinh, {}),
    "arctan": (pt.arctan, {}),
    "arctanh": (pt.arctanh, {"scale": 0.2}),
    "ceil": (lambda x: x * pt.ceil(x), {}),
    "cos": (pt.cos, {}),
    "cosh": (pt.cosh, {}),
    "digamma": (pt.digamma, {"centre": 3, "scale": 0.5}),
    "erf": (pt.erf, {}),
    "erfc": (pt.erfc, {}),
    "erfcx": (pt.erfcx, {}),
    "exp": (pt.exp, {}),
    "exp2": (pt.exp2, {}),
    "expm1": (pt.expm1, {"scale": 1e-3}),
    "floor": (lambda x: x * pt.floor(x), {}),
    "gamma": (pt.gamma, {"centre": 3, "scale": 0.5}),
    "lgamma": (pt.gammaln, {"centre": 3, "scale": 0.5}),
    "log": (pt.log, {"centre": 3, "scale": 0.5}),
    "log10": (pt.log10, {"centre": 3, "scale": 0.5}),
    "log1mexp": (pt.log1mexp, {"centre": -1, "scale": 0.2}),
    "log1p": (pt.log1p, {"scale": 1e-3}),
    "log2": (pt.log2, {"centre": 3, "scale": 0.5}),
    "log of a sum of exponentials": (lambda x: pt.log1p(pt.exp(x)), {"scale": 30}),
    "neg": (lambda x: -x, {}),
    "reciprocal": (pt.reciprocal, {"centre": 3, "scale": 0.5}),
    "round": (lambda x: x * pt.round(x, mode="half_to_even"), {}),
    "round away from zero": (lambda x: x * pt.round(x, mode="half_away_from_zero"), {}),
    "sigmoid": (pt.sigmoid, {"scale": 5}),
    "sign": (lambda x: x * pt.sign(x), {}),
    "sin": (pt.sin, {}),
    "sinh": (pt.sinh, {}),
    "softplus": (pt.softplus, {"scale": 5}),
    "sqr": (pt.sqr, {}),
    "sqrt": (pt.sqrt, {"centre": 3, "scale": 0.5}),
    "tan": (pt.tan, {"scale": 0.3}),
    "tanh": (pt.tanh, {}),
    "trigamma": (lambda x: x * pt.tri_gamma(np.array([0.5, 2.0, 3.0, 9.0])), {}),
    "trunc": (lambda x: x * pt.trunc(x), {}),
}

BINARY = {
    "add with broadcasting": (lambda x, y: x[:, None] + y[None, :], [(3,), (4,)], {}),
    "arctan2": (pt.arctan2, [(3,), (3,)], {}),
    "chain of sums and products": (lambda x, y: x * y * (x + y + 1.0 + x * 2), [(3,), (3,)], {}),
    "clip": (lambda x, y: pt.clip(x * y, -0.5, 0.5), [(3,), (3,)], {}),
    "division": (lambda x, y: x / y, [(3,), (3,)], {}),
    "floor division": (lambda x, y: x * (x // y), [(3,), (3,)], {}),
    "logaddexp": (lambda x, y: pt.logaddexp(x, y), [(3,), (3,)], {"scale": 20}),
    "maximum": (pt.maximum, [(3,), (3,)], {}),
    "minimum": (pt.minimum, [(3,), (3,)], {}),
    "modulo": (lambda x, y: x % y, [(3,), (3,)], {"centre": 2, "scale": 0.3}),
    "power": (lambda x, y: pt.exp(x) ** y, [(3,), (3,)], {}),
    "power, integer": (lambda x: x**3 + x**-2 + x**4, [(3,)], {"centre": 1, "scale": 0.1}),
    "subtraction of a matrix": (lambda x: MATRIX - x[:, None], [(3,)], {}),
    "xlogy": (lambda x: pm.logp(pm.Binomial.dist(5, pt.sigmoid(x)), [0, 2, 5]), [(3,)], {}),
}

LOGICAL = {
    "comparisons": (
        lambda x: pt.switch((x > 0) & (x < 1) | pt.eq(x, 3) | ~(x >= -1) ^ pt.neq(x, 2), x**2, x),
        [(5,)],
        {},
    ),
    "less or equal": (lambda x: pt.switch(x <= 0.2, 1.0, pt.exp(x)), [(5,)], {}),
    "isinf and isnan": (
        lambda x: pt.switch(pt.isinf(x) | pt.isnan(x), 0.0, x),
        [(5,)],
        {},
    ),
    "branch with infinite gradient": (
        lambda x: pt.switch(x > 0, pt.log(pt.maximum(x, 1e-30)), x),
        [(5,)],
        {},
    ),
    "integer condition": (lambda x: pt.switch(np.array([1, 0, 2, 0, 1]), x, -x), [(5,)], {}),
    "product of booleans": (lambda x: x * ((x > 0) * (x < 1)), [(5,)], {}),
    "sum of booleans": (lambda x: x * pt.sum(x > 0), [(5,)], {}),
    "bitwise": (lambda x: x * ((INTEGERS & 6) + (INTEGERS | 3) + (INTEGERS ^ 5) + ~INTEGERS), [(5,)], {}),
    "bitwise on values": (lambda x: x * (pt.cast(9 * x, "int64") & 6), [(5,)], {}),
    "signed integers that overflow": (lambda x: x * (SIGNED * SIGNED[::-1] - ~SIGNED), [(5,)], {}),
    "unsigned integers that overflow": (lambda x: x * (UNSIGNED - UNSIGNED[::-1] + ~UNSIGNED), [(5,)], {}),
    "cast": (lambda x: x * pt.cast(x * 3, "int64") + pt.cast(x > 0, "float64"), [(5,)], {}),
}

REDUCTIONS = {
    "sum": (lambda x: pt.sum(x) ** 2, [(2, 3)], {}),
    "sum of an axis": (lambda x: pt.exp(pt.sum(x, axis=1)), [(2, 3, 2)], {}),
    "sum of two axes": (lambda x: pt.exp(pt.sum(x, axis=(0, -1))), [(2, 3, 2)], {}),
    "sum with keepdims": (lambda x: x * pt.sum(x, axis=1, keepdims=True), [(2, 3)], {}),
    "mean": (lambda x: pt.exp(pt.mean(x, axis=0)), [(2, 3)], {}),
    "variance": (lambda x: pt.log(pt.var(x, axis=1)), [(2, 3)], {}),
    "product": (lambda x: pt.prod(x, axis=1), [(2, 3)], {}),
    "max": (lambda x: pt.max(x, axis=0) * pt.max(x), [(2, 3)], {}),
    "min": (lambda x: pt.min(x, axis=1) * pt.min(x), [(2, 3)], {}),
    "all and any": (
        lambda x: pt.switch(pt.all(x > -1, axis=1), 1.0, 2.0) * pt.switch(pt.any(x > 2), 2.0, 3.0) * x[:, 0],
        [(2, 3)],
        {},
    ),
    "argmax": (lambda x: x[:, 0] * pt.argmax(x, axis=1), [(3, 3)], {}),
    "cumsum": (lambda x: pt.exp(pt.cumsum(x, axis=0) + pt.cumsum(x, axis=1)), [(2, 3)], {}),
    "cumsum, flat": (lambda x: pt.exp(pt.cumsum(x)), [(2, 3)], {"scale": 0.5}),
    "cumprod": (lambda x: pt.cumprod(x, axis=1), [(2, 3)], {"centre": 1}),
    "logsumexp": (lambda x: pt.logsumexp(x, axis=1), [(2, 3)], {"scale": 30}),
    "logsumexp with keepdims": (lambda x: x * pt.logsumexp(x, axis=0, keepdims=True), [(2, 3)], {}),
    "logsumexp of all": (lambda x: pt.logsumexp(x), [(2, 3)], {"scale": 30}),
    "log of sum of exp": (lambda x: pt.log(pt.sum(pt.exp(x), axis=1)), [(2, 3)], {"scale": 30}),
    "softmax of the last axis": (lambda x: pt.special.softmax(x, axis=-1) * MATRIX[:2, :3], [(2, 3)], {}),
    "softmax of all": (lambda x: pt.special.softmax(x, axis=None) * MATRIX[:2, :3], [(2, 3)], {}),
    "log softmax": (lambda x: pt.special.log_softmax(x, axis=0) * MATRIX[:2, :3], [(2, 3)], {"scale": 30}),
    "log of softmax": (
        lambda x: pt.log(pt.special.softmax(x, axis=1)) * MATRIX[:2, :3],
        [(2, 3)],
        {"scale": 30},
    ),
}

SHAPES = {
    "transpose": (lambda x: x.T * MATRIX.T, [(3, 4)], {}),
    "permutation of three axes": (
        lambda x: pt.exp(x.transpose(2, 0, 1)) * STACK.transpose(2, 0, 1),
        [(2, 3, 4)],
        {},
    ),
    "reshape": (lambda x: x.reshape((4, 3)) * MATRIX.T, [(3, 4)], {}),
    "reshape with -1": (lambda x: x.reshape((2, -1)) * MATRIX.reshape((2, 6)), [(3, 4)], {}),
    "ravel": (lambda x: x.ravel() * MATRIX.ravel(), [(3, 4)], {}),
    "flatten to two axes": (lambda x: x.flatten(2) * STACK.reshape((2, 12)), [(2, 3, 4)], {}),
    "join and split of axes": (
        lambda x: pt.split_dims(pt.join_dims(x, 1, 2), (4, 3), axis=1) * STACK.transpose(0, 2, 1),
        [(2, 3, 4)],
        {},
    ),
    "squeeze": (lambda x: pt.squeeze(x, 1) * MATRIX[:, 0], [(3, 1)], {}),
    "broadcast to a shape": (lambda x: pt.broadcast_to(x, (3, 4)) * MATRIX, [(4,)], {}),
    "alloc": (lambda x: pt.alloc(x, 3, 4) * MATRIX, [()], {}),
    "full like": (lambda x: x * pt.full_like(x, 2.0) + pt.zeros_like(x), [(3, 4)], {}),
    "fill": (lambda x, y: pt.second(x, y) * MATRIX, [(3, 4), ()], {}),
    "concatenate": (lambda x, y: pt.concatenate([x, y, x], axis=0) ** 2, [(2, 3), (1, 3)], {}),
    "concatenate the last axis": (lambda x, y: pt.concatenate([x, y], axis=-1) ** 2, [(2, 3), (2, 1)], {}),
    "stack": (lambda x, y: pt.stack([x, y], axis=1) ** 2 * MATRIX[:, :2], [(3,), (3,)], {}),
    "stack of scalars": (lambda x, y: pt.stack([x, y, x * y]) ** 2, [(), ()], {}),
    "split": (
        lambda x: sum(k * pt.exp(part).sum() for k, part in enumerate(pt.split(x, [1, 2, 1]))),
        [(4,)],
        {},
    ),
    "split of the last axis": (lambda x: pt.split(x, [1, 3], axis=-1)[1] ** 2, [(2, 4)], {}),
    "repeat": (lambda x: pt.repeat(x, 3) ** 2 * np.arange(9), [(3,)], {}),
    "tile": (lambda x: pt.tile(x, (2, 2)) ** 2, [(3,)], {}),
    "shape arithmetic": (lambda x: x * x.shape[0] / (x.shape[1] + 1), [(3, 4)], {}),
    "arange of a length": (lambda x: x * pt.arange(x.shape[0]), [(4,)], {}),
    "eye": (lambda x: x * pt.eye(3, 4, k=1) + pt.eye(x.shape[0], x.shape[1]), [(3, 4)], {}),
    "lower triangle": (lambda x: pt.tril(x, -1) + pt.triu(x) ** 2, [(3, 3)], {}),
    "diagonal of a matrix": (lambda x: pt.exp(pt.diagonal(x, offset=1)), [(3, 3)], {}),
    "diagonal matrix": (lambda x: pt.diag(x) ** 2 * MATRIX[:, :3], [(3,)], {}),
    "trace": (lambda x: pt.exp(pt.trace(x)), [(3, 3)], {}),
    "reverse": (lambda x: x[::-1] * MATRIX[:, ::-2], [(3, 2)], {}),
    "specify shape": (lambda x: pt.specify_shape(x, (3, None)) * MATRIX, [(3, 4)], {}),
    "kronecker product": (lambda x: pt.linalg.kron(x, MATRIX[:2, :2]) ** 2, [(2, 2)], {}),
    "pad": (lambda x: pt.pad(x, (1, 2), constant_values=2.0) ** 2 * np.arange(6), [(3,)], {}),
}

INDEX = np.array([0, 2, 2, 1, 0])
INDEXING = {
    "element": (lambda x: x[1] * x[-1], [(3,)], {}),
    "row": (lambda x: x[1] * x[-2], [(3, 4)], {}),
    "slices": (lambda x: x[1:] * x[:-1], [(5,)], {}),
    "slices with steps": (lambda x: x[::2] * x[4::-2] + x[-1:0:-2].sum(), [(5,)], {}),
    "slices of two axes": (lambda x: x[1:, ::2] ** 2 * x[:1, -1:], [(3, 4)], {}),
    "element and slice": (lambda x: x[:, 1] * x[1:, -1].sum(), [(3, 4)], {}),
    "gather": (lambda x: x[INDEX] * np.arange(5), [(3,)], {}),
    "gather of rows": (lambda x: x[INDEX] ** 2, [(3, 4)], {}),
    "gather of columns": (lambda x: x[:, INDEX] ** 2, [(2, 3)], {}),
    "gather with a matrix of indices": (lambda x: x[INDEX[:4].reshape(2, 2)] ** 2, [(3, 2)], {}),
    "gather of elements": (lambda x: x[INDEX, INDEX[::-1]] ** 2, [(3, 3)], {}),
    "gather, broadcast": (lambda x: x[INDEX[:, None], [0, 1]] ** 2, [(3, 3)], {}),
    "gather with negative indices": (lambda x: x[[-1, 0, -2]] ** 2 * np.arange(3), [(3,)], {}),
    "gather with a scalar": (lambda x: x[INDEX, 1] ** 2, [(3, 3)], {}),
    "gather with a slice": (lambda x: x[INDEX, 1:] ** 2, [(3, 3)], {}),
    "gather around a slice": (lambda x: x[INDEX, :, INDEX] ** 2 * np.arange(3), [(3, 3, 3)], {}),
    "gather after a new axis": (lambda x: x[None, INDEX] ** 2, [(3,)], {}),
    "mask": (lambda x: x[MASK] ** 2, [(3,)], {}),
    "mask of an axis": (lambda x: x[:, MASK] ** 2 * np.arange(2), [(2, 3)], {}),
    "mask of a matrix": (lambda x: x[MATRIX > 0] ** 2, [(3, 4)], {}),
    "nonzero of data": (lambda x: x[pt.as_tensor(MATRIX > 0).nonzero()] ** 2, [(3, 4)], {}),
    "take": (lambda x: pt.take(x, INDEX, axis=1) ** 2, [(2, 3)], {}),
    "take along an axis": (lambda x: pt.take_along_axis(x, INDEX[:3, None], axis=1) ** 2, [(3, 3)], {}),
    "set an element": (lambda x: x[1].set(x[0] ** 2) ** 2, [(3,)], {}),
    "set a slice": (lambda x, y: x[1:].set(y) ** 2, [(3,), (2,)], {}),
    "set a slice with a step": (lambda x, y: x[::-2].set(y) ** 2, [(5,), (3,)], {}),
    "set a row": (lambda x, y: x[1].set(y) ** 2, [(3, 4), (4,)], {}),
    "set a column": (lambda x, y: x[:, 1].set(y) ** 2, [(3, 4), (3,)], {}),
    "set by index": (lambda x, y: x[[0, 2]].set(y) ** 2, [(3,), (2,)], {}),
    "set a triangle": (
        lambda x: pt.exp(pt.zeros((3, 3))[np.tril_indices(3)].set(x)) * MATRIX[:, :3],
        [(6,)],
        {},
    ),
    "set by mask": (lambda x, y: x[MASK].set(y) ** 2, [(3,), (2,)], {}),
    "set by mask of a matrix": (
        lambda x: pt.as_tensor(MATRIX)[MATRIX > 0].set(x) ** 2,
        [((MATRIX > 0).sum(),)],
        {},
    ),
    "set by index and slice": (lambda x, y: x[[0, 2], 1:].set(y) ** 2, [(3, 3), (2, 2)], {}),
    "set a broadcast scalar": (lambda x, y: x[1:].set(y) ** 2, [(3,), ()], {}),
    "increment an element": (lambda x: x[1].inc(x[0] ** 2) ** 2, [(3,)], {}),
    "increment a slice": (lambda x, y: x[1:].inc(y) ** 2, [(3,), (2,)], {}),
    "increment the diagonal": (lambda x, y: x[np.arange(3), np.arange(3)].inc(y) ** 2, [(3, 3), (3,)], {}),
    "increment, duplicates": (lambda x, y: x[INDEX].inc(y) ** 2, [(3,), (5,)], {}),
    "increment, duplicates, rows": (lambda x, y: x[INDEX].inc(y) ** 2, [(3, 2), (5, 2)], {}),
    "increment, broadcast": (lambda x, y: x[INDEX].inc(y) ** 2, [(3,), ()], {}),
}

LINALG = {
    "matrix and vector": (lambda x: pt.dot(MATRIX, x) ** 2, [(4,)], {}),
    "vector and matrix": (lambda x: pt.dot(x, MATRIX) ** 2, [(3,)], {}),
    "vector and vector": (lambda x, y: pt.dot(x, y) ** 2, [(3,), (3,)], {}),
    "matrix and matrix": (lambda x, y: pt.dot(x, y) ** 2, [(2, 3), (3, 4)], {}),
    "matrix and its transpose": (lambda x: (x @ x.T) ** 2, [(2, 3)], {}),
    "matmul, batched": (lambda x, y: (x @ y) ** 2, [(2, 3, 2), (2, 2, 4)], {}),
    "matmul, batch broadcast": (lambda x, y: (x @ y) ** 2, [(2, 3, 2), (2, 4)], {}),
    "matmul with a vector": (lambda x, y: (x @ y) ** 2, [(2, 3, 2), (2,)], {}),
    "matmul from a vector": (lambda x, y: (y @ x) ** 2, [(2, 3, 2), (3,)], {}),
    "integer matrix": (lambda x: pt.dot(np.array([[1, 0, 2], [0, 1, 1]]), x) ** 2, [(3,)], {}),
    "einsum": (lambda x, y: pt.einsum("ij,kj->ik", x, y) ** 2, [(2, 3), (4, 3)], {}),
    "tensordot": (lambda x: pt.tensordot(x, MATRIX, axes=[[1], [0]]) ** 2, [(2, 3)], {}),
    "outer product": (lambda x, y: pt.outer(x, y) ** 2, [(2,), (3,)], {}),
}

CASES = {
    **{name: (build, [(4,)], options) for name, (build, options) in UNARY.items()},
    **BINARY,
    **LOGICAL,
    **REDUCTIONS,
    **SHAPES,
    **INDEXING,
    **LINALG,
}


@pytest.mark.parametrize("name", CASES)
def test_op(name):
    build, shapes, options = CASES[name]
    check_potential(build, shapes, **options)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_power_of_a_branch_not_taken(power):
    def build(x):
        return pt.switch(x > 0.25, pt.log(x), x) ** power

    with pm.Model() as model:
        x = pm.Flat("x", shape=3)
        pm.Potential("term", build(x))
    _, gradient = translate_model(model).bind().density.logp_and_gradient(np.array([-2.0, 0.0, 1.0]))
    np.testing.assert_allclose(gradient, power * np.array([-2.0, 0.0, 0.0]) ** (power - 1))
