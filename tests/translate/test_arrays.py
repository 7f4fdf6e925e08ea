"""Ops that arrange elements: computed indices, sorting, searching, padding, diagonals, convolutions."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.scalar as ps
import pytensor.tensor as pt
import pytest
from oracle import check_model, check_potential
from pymc.distributions.dist_math import SplineWrapper
from pymc.math import batched_diag
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.basic import permute_row_elements
from pytensor.tensor.elemwise import CAReduce
from pytensor.tensor.extra_ops import (
    bartlett,
    fill_diagonal,
    fill_diagonal_offset,
    ravel_multi_index,
    searchsorted,
    unravel_index,
)
from pytensor.tensor.math import ProdWithoutZeros
from scipy.interpolate import InterpolatedUnivariateSpline

from pymc_rustmc.compile import translate_model

try:
    from pytensor.conditional.op import ifelse
except ModuleNotFoundError:
    from pytensor.ifelse import ifelse

RNG = np.random.default_rng(11)
VECTOR = RNG.normal(size=6)
MATRIX = RNG.normal(size=(3, 4))
CUBE = RNG.normal(size=(2, 3, 4))
KNOTS = np.array([-1.5, -0.5, 0.1, 0.8, 2.0])
COUNTS = pytensor.shared(np.array([3, 1, 2, 3, 1, 1]))
ROWS = pytensor.shared(np.array([[1, 2], [0, 1], [1, 2]]))


def place(x, count):
    """Integers in 0..count that depend on real values."""
    return pt.cast(pt.floor(count * pt.sigmoid(x)), "int64")


# name: (density term, shapes of the value variables, options of the comparison)
INDICES = {
    "element at the maximum": (lambda x: x[pt.argmax(x)] ** 2 + x[pt.argmin(x)] * VECTOR[0], [(6,)]),
    "row at a computed place": (lambda x, y: x[place(y, 3)] ** 2 * VECTOR[:4], [(3, 4), ()]),
    "column at a computed place": (lambda x, y: x[:, place(y, 4)] ** 2 * VECTOR[:3], [(3, 4), ()]),
    "computed and constant places": (lambda x, y: x[1, ::2, place(y, 4)] ** 2, [(2, 3, 4), ()]),
    "counted from the end": (lambda x, y: x[-1 - place(y, 6)] ** 2, [(6,), ()]),
    "constant data at computed places": (lambda x: x * pt.as_tensor(VECTOR)[place(x, 6)], [(5,)]),
    "vector": (lambda x: x[place(x, 6)] * VECTOR, [(6,)]),
    "matrix of places": (lambda x: x[place(x, 3)] ** 2 * VECTOR[:4], [(3, 4)]),
    "two vectors": (lambda x, y: x[place(y, 3), place(-y, 4)] * VECTOR, [(3, 4), (6,)]),
    "broadcast vectors": (lambda x, y: x[place(y, 3)[:, None], [0, 2]] ** 2, [(3, 4), (6,)]),
    "around a slice": (lambda x, y: x[place(y, 2), 1:, place(y, 4)] ** 2 * VECTOR[:2], [(2, 3, 4), (6,)]),
    "beside a mask": (
        lambda x, y: x[place(y, 2), np.array([True, False, True])] ** 2 * VECTOR[:4],
        [(2, 3, 4), (2,)],
    ),
    "along the last axis": (
        lambda x: pt.take_along_axis(x, pt.argsort(x, axis=1), axis=1) * MATRIX,
        [(3, 4)],
    ),
    "set an element": (lambda x, y: x[place(y, 6)].set(y * VECTOR[0]) ** 2, [(6,), ()]),
    "set a row": (lambda x, y: x[place(y[0], 3)].set(y) ** 2 * MATRIX, [(3, 4), (4,)]),
    "set a vector": (lambda x, y: x[pt.argsort(x)[:3]].set(y) ** 2 * VECTOR, [(6,), (3,)]),
    "set a broadcast value": (lambda x, y: x[:, pt.argsort(x[0])[:2]].set(y) ** 2 * MATRIX, [(3, 4), ()]),
    "increment with repeated places": (lambda x, y: x[place(y, 3)].inc(y**2) ** 2, [(3,), (6,)]),
    "increment rows": (lambda x, y: x[place(y[:, 0], 3)].inc(y) ** 2 * MATRIX, [(3, 4), (5, 4)]),
    "increment by a scalar": (lambda x, y: x[place(x, 6)].inc(y) ** 2 * VECTOR, [(6,), ()]),
    "truth values as places": (lambda x: x[pt.cast(x > 0, "int8")] * VECTOR, [(6,)]),
}

SORTING = {
    "sort": (lambda x: pt.sort(x) * VECTOR, [(6,)]),
    "sort the first axis": (lambda x: pt.sort(x, axis=0) * CUBE, [(2, 3, 4)]),
    "sort the middle axis": (lambda x: pt.sort(x, axis=1, kind="stable") * CUBE, [(2, 3, 4)]),
    "sort all": (lambda x: pt.sort(x, axis=None) * np.arange(12), [(3, 4)]),
    "sort a single element": (lambda x: pt.sort(x, axis=0) * VECTOR[:4], [(1, 4)]),
    "sort integers": (lambda x: x * pt.sort(place(x, 4)), [(6,)]),
    "sort data": (lambda x: x * pt.sort(pytensor.shared(MATRIX), axis=1), [(3, 4)]),
    "argsort": (lambda x: x * pt.argsort(x, axis=0), [(3, 4)]),
    "argsort with ties": (lambda x: x * pt.argsort(pt.floor(3 * x), kind="stable"), [(6,)]),
    "median": (lambda x: pt.median(x, axis=1) ** 2, [(3, 4)]),
    "search": (lambda x: x * searchsorted(KNOTS, x), [(6,)]),
    "search from the right": (lambda x: x * searchsorted(KNOTS, x, side="right"), [(3, 4)]),
    "search in parameters": (lambda x, y: y * searchsorted(pt.sort(x), y), [(6,), (4,)]),
    "search through an order": (lambda x, y: y * searchsorted(x, y, sorter=pt.argsort(x)), [(6,), (4,)]),
    "permute rows": (
        lambda x: permute_row_elements(x, np.array([2, 0, 1, 3])) ** 2 * MATRIX,
        [(3, 4)],
    ),
    "permute rows back": (
        lambda x: permute_row_elements(x, np.argsort(MATRIX, axis=-1), inverse=True) ** 2 * MATRIX,
        [(4,)],
    ),
}

POSITIONS = {
    "repeat by counts": (lambda x: pt.repeat(x, np.array([2, 0, 3]), axis=0) ** 2, [(3, 2)]),
    "repeat the last axis": (lambda x: pt.repeat(x, COUNTS[:4], axis=1) ** 2 * np.arange(9), [(3, 4)]),
    "unique": (lambda x: x * pt.unique(COUNTS), [(3,)]),
    "unique, all": (
        lambda x: sum(k * (x * part).sum() for k, part in enumerate(pt.unique(COUNTS, True, False, True))),
        [(3,)],
    ),
    "unique, inverse": (lambda x: x[pt.unique(COUNTS, return_inverse=True)[1]] * VECTOR, [(3,)]),
    "unique rows": (lambda x: x * pt.unique(ROWS, axis=0), [(2, 2)]),
    "unique columns": (lambda x: x * pt.unique(ROWS.T, axis=1), [(2, 2)]),
    "nonzero of data": (lambda x: x[pt.nonzero(COUNTS > 1)[0]] ** 2, [(6,)]),
    "unravelled": (lambda x: x * (pt.stack(unravel_index(COUNTS * 3, (2, 2, 5))).T @ [1, 3, 7]), [(6,)]),
    "ravelled": (lambda x: x[ravel_multi_index((COUNTS - 1, COUNTS), (3, 4))] ** 2, [(12,)]),
    "ravelled in columns": (
        lambda x: x[ravel_multi_index((COUNTS, COUNTS - 1), (4, 3), order="F")] ** 2,
        [(12,)],
    ),
    "ravelled, wrapped": (
        lambda x: x[ravel_multi_index((COUNTS * 3, -COUNTS), (3, 4), mode="wrap")],
        [(12,)],
    ),
    "ravelled, clipped": (
        lambda x: x[ravel_multi_index((COUNTS * 3, -COUNTS), (3, 4), mode="clip")],
        [(12,)],
    ),
    "one-hot": (lambda x: x * pt.extra_ops.to_one_hot(COUNTS - 1, 3), [(6, 3)]),
    "bincount": (lambda x: pt.bincount(COUNTS, weights=x) ** 2, [(6,)]),
    "compress": (lambda x: pt.compress(COUNTS[:3] > 1, x, axis=0) ** 2, [(3, 4)]),
    "roll": (lambda x: pt.roll(x, 2, axis=1) ** 2 * MATRIX + pt.roll(x, -1) * MATRIX, [(3, 4)]),
    "diff": (lambda x: pt.diff(x, n=2, axis=0) ** 2, [(4, 3)]),
}

WIDTHS = ((1, 2), (2, 1))
PADDING = {
    **{
        f"pad, {mode}": (lambda x, mode=mode: pt.pad(x, WIDTHS, mode=mode) ** 2 * np.arange(7), [(3, 4)])
        for mode in ("linear_ramp", "maximum", "minimum", "mean", "wrap", "symmetric", "reflect")
    },
    "pad, values": (
        lambda x: pt.pad(x, WIDTHS, constant_values=((1.0, 2.0), (3.0, 4.0))) ** 2 * np.arange(7),
        [(3, 4)],
    ),
    "pad, symmetric, wider than the array": (
        lambda x: pt.pad(x, (7, 8), mode="symmetric") ** 2 * np.arange(18),
        [(3,)],
    ),
    "pad, reflect, wider than the array": (
        lambda x: pt.pad(x, (7, 8), mode="reflect") ** 2 * np.arange(18),
        [(3,)],
    ),
    "pad by a stretch": (lambda x: pt.pad(x, (1, 2), mode="mean", stat_length=2) ** 2, [(5,)]),
    "pad with a ramp": (lambda x: pt.pad(x, (1, 2), mode="linear_ramp", end_values=3.0) ** 2, [(5,)]),
}

DIAGONALS = {
    "fill the diagonal": (lambda x, y: fill_diagonal(x, y) ** 2 * MATRIX, [(3, 4), ()]),
    "fill the diagonal of a tall matrix": (lambda x, y: fill_diagonal(x, y) ** 2 * MATRIX.T, [(4, 3), ()]),
    **{
        f"fill diagonal {k}": (lambda x, y, k=k: fill_diagonal_offset(x, y, k) ** 2 * MATRIX, [(3, 4), ()])
        for k in (-2, 1, 3)
    },
    "matrices with diagonals": (lambda x: batched_diag(x) ** 2 * RNG.normal(size=(3, 4, 4)), [(3, 4)]),
    "diagonals of matrices": (lambda x: batched_diag(x[:, :3, :3]) ** 2, [(2, 3, 4)]),
    "diagonal of two axes": (
        lambda x: pt.diagonal(x, 1, axis1=2, axis2=0) ** 2 * VECTOR[:3, None],
        [(2, 3, 4)],
    ),
    "diagonal matrices": (lambda x: pt.linalg.kron(pt.diag(x), MATRIX) ** 2, [(3,)]),
    "diagonal laid out": (
        lambda x: pt.basic.alloc_diag(x, offset=-1, axis1=0, axis2=2) ** 2 * RNG.normal(size=(5, 3, 5)),
        [(3, 4)],
    ),
}

SIGNALS = {
    **{
        f"convolution, {mode}, {n} and {k}": (
            lambda x, y, mode=mode: pt.signal.convolve1d(x, y, mode=mode) ** 2,
            [(n,), (k,)],
        )
        for mode in ("full", "valid", "same")
        for n, k in ((9, 3), (4, 4), (1, 1))
    },
    "convolution, valid, of the longer kernel": (
        lambda x, y: pt.signal.convolve1d(x, y, mode="valid") ** 2,
        [(3,), (7,)],
    ),
    "convolution, full, of the longer kernel": (lambda x, y: pt.signal.convolve1d(x, y) ** 2, [(3,), (7,)]),
    "convolution of data": (lambda y: pt.signal.convolve1d(VECTOR, y) ** 2, [(3,)]),
    "bartlett": (lambda x: x * bartlett(COUNTS.shape[0]) + bartlett(pt.as_tensor(1)), [(6,)]),
}

OTHERS = {
    "branches": (lambda x: ifelse(pt.gt(x[0], 0), pt.exp(x), x**2) * VECTOR, [(6,)]),
    "two results of a branch": (lambda x, y: pt.add(*ifelse(pt.gt(x, y), [x, y], [y**2, x**3])), [(), ()]),
    "branches of data": (lambda x: ifelse(pt.gt(COUNTS[0], 0), x[1:], x**2), [(6,)]),
    "bits in all": (lambda x: x * CAReduce(ps.and_, axis=1)(ROWS + 1), [(3,)]),
    "bits in any": (lambda x: x * CAReduce(ps.or_, axis=0)(ROWS), [(2,)]),
    "product of what is not zero": (lambda x: x * ProdWithoutZeros(axis=1)(ROWS * [[1], [0], [1]]), [(3,)]),
    "einsum of a trace": (lambda x: pt.einsum("bii->b", x) ** 2, [(2, 3, 3)]),
    "einsum of three": (lambda x, y, z: pt.einsum("ij,jk,k->i", x, y, z) ** 2, [(2, 3), (3, 4), (4,)]),
    "kronecker product": (lambda x, y: pt.linalg.kron(x, y) ** 2, [(2, 3), (3, 2)]),
}

SPLINES = {
    f"spline of order {k}, {ext}": (
        lambda x, k=k, ext=ext: SplineWrapper(InterpolatedUnivariateSpline(KNOTS, KNOTS**3, k=k, ext=ext))(x),
        [(3, 4)],
    )
    for k in (1, 3, 4)
    for ext in ("extrapolate", "zeros", "const")
}


def on_stacks(term, *ranks):
    """Apply a term of arrays of these ranks to each of a stack of them."""

    def build(*stacks):
        inputs = [pt.tensor(dtype="float64", shape=(None,) * rank) for rank in ranks]
        return vectorize_graph(term(*inputs), dict(zip(inputs, stacks, strict=True)))

    return build


ORDER = np.array([2, 0, 1])
INDEX = np.array([5, 0, 5])
STACKS = {
    "argsort": (on_stacks(lambda x: x * pt.argsort(x), 1), [(3, 4)]),
    "search in data": (on_stacks(lambda x: x * searchsorted(KNOTS, x), 0), [(3, 4)]),
    "places of their own": (on_stacks(lambda x: x[pt.argmax(x)] ** 2, 1), [(3, 4)]),
    "rows of their own": (on_stacks(lambda x: x[pt.argmax(x[:, 0]), 1:] ** 2, 2), [(3, 4, 3)]),
    "orders of their own": (on_stacks(lambda x: x[pt.argsort(x)] ** 2 * VECTOR[:4], 1), [(3, 4)]),
    "set slices": (on_stacks(lambda x, y: x[1:].set(y) ** 2, 1, 1), [(3, 4), (3, 3)]),
    "set elements": (on_stacks(lambda x, y: x[1].set(y) ** 2, 1, 0), [(3, 4), (3,)]),
    "set places of their own": (
        on_stacks(lambda x, y: x[pt.argsort(x)[:2]].set(y) ** 2 * VECTOR[:4], 1, 1),
        [(3, 4), (3, 2)],
    ),
    "set in one array": (on_stacks(lambda y: pt.zeros(3)[ORDER[:2]].set(y) ** 2, 1), [(3, 2)]),
    "increment rows": (on_stacks(lambda x, y: x[ORDER].inc(y) ** 2, 2, 1), [(2, 3, 4), (2, 4)]),
    "repeat": (on_stacks(lambda x: pt.repeat(x, np.array([1, 0, 2, 1])) ** 2, 1), [(3, 4)]),
    "diagonals": (on_stacks(lambda x: pt.diag(x) ** 2, 1), [(3, 4)]),
    "fill diagonals": (on_stacks(lambda x, y: fill_diagonal(x, y) ** 2, 2, 0), [(2, 3, 4), (2,)]),
    "fill upper diagonals": (
        on_stacks(lambda x, y: fill_diagonal_offset(x, y, 1) ** 2, 2, 0),
        [(1, 3, 4), (2,)],
    ),
    "kronecker products": (on_stacks(lambda x, y: pt.linalg.kron(x, y) ** 2, 2, 2), [(2, 3, 3), (2, 3, 2)]),
    "convolutions": (on_stacks(lambda x, y: pt.signal.convolve1d(x, y) ** 2, 1, 1), [(3, 4), (3, 2)]),
    "one kernel": (lambda x, y: pt.signal.convolve1d(x, y) ** 2, [(2, 3, 4), (2,)]),
    "padded by the mean": (on_stacks(lambda x: pt.pad(x, (1, 2), mode="mean") ** 2, 1), [(3, 4)]),
    "splits": (on_stacks(lambda x: pt.split(x, [1, 3])[1] ** 2, 1), [(2, 4)]),
    "tiles": (on_stacks(lambda x: pt.tile(x, 2) ** 2 * np.arange(8), 1), [(2, 4)]),
    "rolled": (on_stacks(lambda x: pt.roll(x, 1) ** 2 * VECTOR[:4], 1), [(2, 4)]),
    "permuted": (on_stacks(lambda x: permute_row_elements(x, ORDER) ** 2 * VECTOR[:3], 1), [(2, 3)]),
    "interpolation": (lambda x, y: pt.interp(x, KNOTS, y), [(6,), (5,)]),
    "nearest of data": (lambda x, y: pt.interpolate1d(KNOTS, y, method="nearest")(x), [(3,), (5,)]),
}

# PyTensor does not know, or gets wrong, the gradient: values alone.
VALUES = {
    "set with repeated places": (lambda x: x[place(x, 4)].set(x), (6,)),
    "unravelled in columns": (lambda x: pt.stack(unravel_index(place(x, 12), (3, 4), order="F")), (6,)),
    "ravelled places": (lambda x: ravel_multi_index((place(x, 3), place(-x, 4)), (3, 4)), (6,)),
    "bits in odd number": (lambda x: CAReduce(ps.xor)(place(x, 8)), (6,)),
    "product without zeros": (lambda x: ProdWithoutZeros(axis=0)(x * (x > 0)), (2, 8)),
    "choice": (lambda x: pt.choose(place(x[0], 3), x[:3, None, :]), (3, 4)),
    "choice, wrapped": (lambda x: pt.choose(place(x, 9) - 4, MATRIX[:, :1], mode="wrap"), (6,)),
    "choice, clipped": (lambda x: pt.choose(place(x, 9) - 4, MATRIX[:, :1], mode="clip"), (6,)),
    "places of a computed order": (lambda x: pt.argsort(pt.argsort(x)), (6,)),
    "sorted stacks": (on_stacks(lambda x: pt.sort(x, axis=0), 2), (2, 3, 4)),
    "mirrored stacks": (on_stacks(lambda x: pt.pad(x, (1, 2), mode="reflect"), 1), (2, 4)),
}

CASES = {**INDICES, **SORTING, **POSITIONS, **PADDING, **DIAGONALS, **SIGNALS, **OTHERS, **SPLINES}
CASES |= {f"stacks: {name}": case for name, case in STACKS.items()}


def assert_native(bound):
    """No PyTensor function takes part."""
    assert "foreign" not in bound.density.graph_text()


@pytest.mark.parametrize("name", CASES)
def test_op(name):
    build, shapes = CASES[name]
    assert_native(check_potential(build, shapes))


@pytest.mark.parametrize("name", VALUES)
def test_value(name):
    build, shape = VALUES[name]
    with pm.Model() as model:
        x = pm.Normal("x", shape=shape)
        pm.Deterministic("y", build(x))
    assert_native(check_model(model))


def test_pad_with_the_edge():
    # PyTensor 2's own graph of it has no gradient.
    with pm.Model() as model:
        x = pm.Normal("x", shape=(2, 3))
        pm.Deterministic("y", pt.pad(x, ((1, 0), (2, 3)), mode="edge"))
    bound = translate_model(model).bind()
    positions = RNG.normal(size=(4, 6))
    for ours, position in zip(bound.evaluate(["y"], positions)["y"], positions, strict=True):
        np.testing.assert_array_equal(ours, np.pad(position.reshape(2, 3), ((1, 0), (2, 3)), mode="edge"))


def density_at(term, position):
    """Log density and gradient of `term(x)` at one position."""
    with pm.Model() as model:
        x = pm.Flat("x", shape=len(position))
        pm.Potential("term", term(x))
    return translate_model(model).bind().density.logp_and_gradient(np.asarray(position, dtype=float))


@pytest.mark.parametrize(
    "term",
    [
        lambda x: x[pt.cast(x[0], "int64")],
        lambda x: x[pt.cast(x, "int64")].sum(),
        lambda x: x[pt.cast(x[0], "int64")].set(0.0).sum(),
        lambda x: x[pt.cast(x[:1], "int64")].inc(1.0).sum(),
        lambda x: x[unravel_index(pt.cast(x[0], "int64"), (3,))[0]],
        lambda x: x[ravel_multi_index((pt.cast(x[0], "int64"),), pt.as_tensor([3]))],
    ],
)
def test_places_outside_make_the_density_nan(term):
    for inside in (0.0, 2.5):
        assert np.isfinite(density_at(term, [inside, 1.0, 2.0])[0])
    for outside in (3.0, 1e9, -7.0):
        assert np.isnan(density_at(term, [outside, 1.0, 2.0])[0])


def test_of_repeated_places_the_last_value_counts():
    logp, gradient = density_at(
        lambda x: (x[pt.cast(x[:2] > 5, "int64")].set(x[1:]) ** 2).sum(), [1.0, 2.0, 3.0]
    )
    assert logp == 3.0**2 + 2.0**2 + 3.0**2
    np.testing.assert_array_equal(gradient, [0.0, 4.0, 12.0])


@pytest.mark.filterwarnings("ignore:xtensor module is experimental")
def test_arrays_with_dims():
    import pymc.dims as dims
    from pytensor.xtensor import as_xtensor
    from pytensor.xtensor.signal import convolve1d

    with pm.Model(coords={"channel": range(3), "date": range(8), "lag": range(3)}) as model:
        x = dims.Normal("x", dims=("date", "channel"))
        w = dims.Normal("w", dims=("channel", "lag"))
        flat = x.stack({"flat": ("channel", "date")})
        terms = {
            "adstock": convolve1d(x, w, dims=("date", "lag"), mode="full"),
            "back": flat.unstack({"flat": {"channel": 3, "date": 8}}).diff("date"),
            "picked": x.isel(
                date=as_xtensor(INDEX, dims=("channel",)), channel=as_xtensor(ORDER, dims=("channel",))
            ),
            "written": x.isel(date=slice(1, None)).set(x.isel(date=0)).cumsum("date"),
        }
        for name, term in terms.items():
            pm.Potential(name, pt.sum(term.values**2))
    assert_native(check_model(model))
