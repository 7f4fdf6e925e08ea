"""Linear algebra: values and gradients equal PyTensor's, for matrices and for stacks, small and large."""

import numpy as np
import oracle
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_rustmc.compile import translate_model

RNG = np.random.default_rng(11)
LINALG = pt.linalg
# PyTensor renamed the option.
UPPER = {"UPLO": "U"} if pm.__version__.startswith("5.") else {"lower": False}


def check_model(model, **options):
    """Compare, and demand that nothing is left to PyTensor."""
    bound = oracle.check_model(model, **options)
    assert bound.density.foreign_times() == []
    return bound


def check_potential(build, shapes, **options):
    """Compare a density that is the sum of `build(*values)`, and demand that nothing is left to PyTensor."""
    bound = oracle.check_potential(build, shapes, **options)
    assert bound.density.foreign_times() == []


def spd(x):
    """A positive definite matrix of any square one."""
    return x @ x.mT + pt.eye(x.shape[-1])


def near_identity(x):
    """An invertible matrix of any square one; its triangles are invertible, too."""
    return 0.2 * x + pt.eye(x.shape[-1])


def weighted(y):
    """No two elements count alike: no mistake hides in their sum."""
    return y * pt.cos(pt.arange(y.size).reshape(y.shape))


def solve_triangular(**options):
    return lambda x, y: LINALG.solve_triangular(near_identity(x), y, **options)


def solve(matrix=near_identity, **options):
    return lambda x, y: LINALG.solve(matrix(x), y, **options)


def tridiagonal(x):
    return pt.triu(pt.tril(near_identity(x), 1), -1)


def from_eigenvectors(x, **options):
    """The logarithm of a matrix: it does not depend on the eigenvectors' signs."""
    w, v = LINALG.eigh(spd(x), **options)
    return (v * pt.log(w)[..., None, :]) @ v.mT


def conditional_mean(x, y):
    """How a Gaussian process predicts."""
    chol = LINALG.cholesky(spd(x))
    return LINALG.solve_triangular(chol.mT, LINALG.solve_triangular(chol, y, lower=True), lower=False)


# name: (function of the value variables, their shapes, options of the comparison)
CASES = {
    "cholesky": (lambda x: LINALG.cholesky(spd(x)), [(4, 4)], {}),
    "cholesky of order 1": (lambda x: LINALG.cholesky(spd(x)), [(1, 1)], {}),
    "cholesky, upper": (lambda x: LINALG.cholesky(spd(x), lower=False), [(4, 4)], {}),
    "cholesky, one triangle": (lambda x: LINALG.cholesky(x + 9 * np.eye(4)), [(4, 4)], {}),
    "cholesky, other triangle": (lambda x: LINALG.cholesky(x + 9 * np.eye(4), lower=False), [(4, 4)], {}),
    "cholesky of a stack": (lambda x: LINALG.cholesky(spd(x)), [(2, 3, 2, 2)], {}),
    "cholesky of a large matrix": (lambda x: LINALG.cholesky(spd(x)), [(19, 19)], {}),
    "triangular": (solve_triangular(lower=True), [(4, 4), (4,)], {}),
    "triangular, upper": (solve_triangular(lower=False), [(4, 4), (4,)], {}),
    "triangular, transposed": (solve_triangular(lower=True, trans=1), [(4, 4), (4,)], {}),
    "triangular, upper, transposed": (solve_triangular(lower=False, trans=1), [(4, 4), (4, 3)], {}),
    "triangular, unit diagonal": (solve_triangular(lower=True, unit_diagonal=True), [(4, 4), (4, 3)], {}),
    "triangular, columns": (solve_triangular(lower=True), [(4, 4), (4, 3)], {}),
    "triangular, stacks": (solve_triangular(lower=True), [(2, 4, 4), (2, 4, 3)], {}),
    "triangular, many vectors": (solve_triangular(lower=True, b_ndim=1), [(4, 4), (5, 4)], {}),
    "triangular, stacks of vectors": (solve_triangular(lower=True, b_ndim=1), [(2, 4, 4), (3, 2, 4)], {}),
    "triangular, stack of matrices": (solve_triangular(lower=False, b_ndim=1), [(2, 4, 4), (4,)], {}),
    "triangular, large": (solve_triangular(lower=True), [(21, 21), (21, 3)], {}),
    "conditional mean": (conditional_mean, [(4, 4), (4, 2)], {}),
    "solve": (solve(), [(4, 4), (4,)], {}),
    "solve, columns": (solve(), [(4, 4), (4, 3)], {}),
    "solve, stacks": (solve(b_ndim=1), [(2, 4, 4), (3, 1, 4)], {}),
    "solve, many vectors": (solve(b_ndim=1), [(4, 4), (5, 4)], {}),
    "solve, symmetric": (solve(spd, assume_a="sym"), [(4, 4), (4,)], {}),
    "solve, symmetric, lower": (solve(spd, assume_a="sym", lower=True), [(4, 4), (4, 2)], {}),
    "solve, positive definite": (solve(spd, assume_a="pos"), [(4, 4), (4, 2)], {}),
    "solve, positive definite, lower": (solve(spd, assume_a="pos", lower=True), [(4, 4), (4,)], {}),
    "solve, tridiagonal": (solve(tridiagonal, assume_a="tridiagonal"), [(4, 4), (4,)], {}),
    "solve, banded": (solve(tridiagonal, assume_a="banded"), [(4, 4), (4, 2)], {}),
    "solve, diagonal": (solve(lambda x: pt.diag(pt.exp(x)), assume_a="diagonal"), [(4,), (4, 2)], {}),
    "solve, upper triangular": (solve(assume_a="upper triangular"), [(4, 4), (4,)], {}),
    "solve, lower triangular": (solve(assume_a="lower triangular"), [(4, 4), (4,)], {}),
    "det": (lambda x: LINALG.det(near_identity(x)), [(4, 4)], {}),
    "det of a stack": (lambda x: LINALG.det(near_identity(x)), [(3, 2, 2)], {}),
    "slogdet": (lambda x: LINALG.slogdet(x)[0] * LINALG.slogdet(x)[1], [(4, 4)], {}),
    "logdet": (lambda x: pm.math.logdet(spd(x)), [(4, 4)], {}),
    "inverse": (lambda x: LINALG.inv(near_identity(x)), [(4, 4)], {}),
    "inverse of a stack": (lambda x: LINALG.inv(near_identity(x)), [(2, 3, 3)], {}),
    "eigh": (from_eigenvectors, [(4, 4)], {}),
    "eigh, eigenvalues": (lambda x: LINALG.eigh(x + x.T)[0], [(4, 4)], {}),
    "eigh, one triangle": (lambda x: LINALG.eigh(x)[0], [(4, 4)], {}),
    "eigh, other triangle": (lambda x: LINALG.eigh(x, **UPPER)[0], [(4, 4)], {}),
    "eigh, of a large matrix": (from_eigenvectors, [(12, 12)], {"scale": 0.5}),
    "qr, full": (lambda x: LINALG.qr(x)[1], [(4, 4)], {}),
    "qr, r": (lambda x: LINALG.qr(x, mode="r"), [(3, 4)], {}),
    "matmul of large matrices": (lambda x, y: x @ y, [(17, 9), (9, 21)], {}),
    "kronecker product": (lambda x, y: LINALG.kron(x, y), [(2, 3), (3, 2)], {}),
    "block diagonal": (lambda x, y: LINALG.block_diag(x, y), [(2, 3), (1, 2)], {}),
    "block diagonal of stacks": (lambda x, y: LINALG.block_diag(x, y), [(2, 2, 2), (2, 1, 2)], {}),
    "kron_dot": (lambda x, y: pm.math.kron_dot([x, 2 * x], y), [(2, 2), (4,)], {}),
    "kron_solve_lower": (
        lambda x, y: pm.math.kron_solve_lower([near_identity(x)] * 2, y),
        [(2, 2), (4,)],
        {},
    ),
    "kron_solve_upper": (
        lambda x, y: pm.math.kron_solve_upper([near_identity(x)] * 2, y),
        [(2, 2), (4,)],
        {},
    ),
    "expand_packed_triangular": (lambda x: pm.math.expand_packed_triangular(3, x), [(6,)], {}),
    "mahalanobis distances": (
        lambda x, y: LINALG.solve_triangular(LINALG.cholesky(spd(x)), y, lower=True, b_ndim=1) ** 2,
        [(3, 3), (7, 3)],
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_op(name):
    build, shapes, options = CASES[name]
    check_potential(lambda *values: weighted(build(*values)), shapes, **options)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3)])
@pytest.mark.parametrize("parts", [(0, 1), (0,), (1,)])
def test_qr(shape, parts):
    def build(x):
        results = LINALG.qr(x, mode="economic")
        return sum(weighted(results[part]).sum() for part in parts)

    check_potential(build, [shape])


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("shape", [(4,), (4, 2)])
def test_cho_solve_is_solve(lower, shape):
    """PyTensor cannot differentiate it, but ours must equal what it stands for."""

    def density(solution):
        with pm.Model() as model:
            x, y = pm.Flat("x", shape=(4, 4)), pm.Flat("y", shape=shape)
            pm.Potential("term", weighted(solution(spd(x), y)))
        return translate_model(model).bind().density

    ours = density(lambda a, y: LINALG.cho_solve((LINALG.cholesky(a, lower=lower), lower), y))
    plain = density(LINALG.solve)
    position = RNG.normal(size=ours.dim)
    for found, wanted in zip(
        ours.logp_and_gradient(position), plain.logp_and_gradient(position), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_rejects():
    with pm.Model() as model:
        rho = pm.Flat("rho")
        pm.MvNormal("x", np.zeros(2), pt.stack([[1.0, rho], [rho, 1.0]]), observed=[0.3, -0.2])
    bound = check_model(model, scale=0.3)
    assert bound.density.logp_and_gradient(np.array([1.5]))[0] == -np.inf


@pytest.mark.parametrize("n", [2, 9, 70])
def test_badly_conditioned_covariance(n):
    """A squared exponential covariance whose condition number is 1e5 and more."""
    distance = np.subtract.outer(np.arange(n), np.arange(n))
    with pm.Model() as model:
        x = pm.Normal("x", 1.0, 0.3)
        covariance = pt.exp(-0.5 * (distance / pt.exp(x)) ** 2) + 1e-4 * np.eye(n)
        pm.MvNormal("y", np.zeros(n), covariance, observed=np.sin(np.arange(n)))
    check_model(model, centre=1.0, scale=0.2)


def parametrisations(x):
    matrix = spd(x)
    return {
        "cov": {"cov": matrix},
        "tau": {"tau": matrix},
        "chol": {"chol": LINALG.cholesky(matrix)},
        "upper chol": {"chol": LINALG.cholesky(matrix, lower=False), "lower": False},
    }


@pytest.mark.parametrize("parametrisation", ["cov", "tau", "chol", "upper chol"])
@pytest.mark.parametrize("size", [(3,), (5, 3)])
def test_mv_normal(parametrisation, size):
    with pm.Model() as model:
        x = pm.Normal("x", shape=(3, 3))
        mu = pm.Normal("mu", shape=3)
        pm.MvNormal("y", mu, **parametrisations(x)[parametrisation], observed=RNG.normal(size=size))
        pm.MvNormal("z", mu, **parametrisations(x)[parametrisation], shape=size)
    check_model(model)


@pytest.mark.parametrize("parametrisation", ["scale", "tau", "chol"])
def test_mv_student_t(parametrisation):
    with pm.Model() as model:
        x = pm.Normal("x", shape=(3, 3))
        nu = pm.Exponential("nu", 0.1)
        options = dict(zip(["scale", "tau", "chol"], list(parametrisations(x).values())[:3], strict=True))
        (value,) = options[parametrisation].values()
        pm.MvStudentT(
            "y", nu=nu, mu=np.zeros(3), **{parametrisation: value}, observed=RNG.normal(size=(5, 3))
        )
    check_model(model)


def lkj_cholesky_cov():
    chol, *_ = pm.LKJCholeskyCov("chol", n=3, eta=2, sd_dist=pm.Exponential.dist(1))
    pm.MvNormal("y", np.zeros(3), chol=chol, observed=RNG.normal(size=(6, 3)))


def lkj_corr():
    corr = pm.LKJCorr("corr", n=3, eta=2)
    if corr.ndim == 2:  # in PyMC 5 it is the triangle alone
        pm.MvNormal("y", np.zeros(3), corr, observed=RNG.normal(size=(6, 3)))


def matrix_normal():
    x = pm.Normal("x", shape=(2, 2))
    s = pm.HalfNormal("s", shape=3)
    pm.MatrixNormal("y", pt.zeros((2, 3)), spd(x), colcov=pt.diag(s), observed=RNG.normal(size=(2, 3)))
    pm.MatrixNormal("z", pt.zeros((2, 3)), rowchol=LINALG.cholesky(spd(x)), colcov=np.eye(3) + 0.2)


def kronecker_normal():
    x = pm.Normal("x", shape=(2, 2))
    s = pm.HalfNormal("s")
    covs = [spd(x), np.array([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 3.0]])]
    pm.KroneckerNormal("y", np.zeros(6), covs=covs, sigma=s, observed=RNG.normal(size=6))
    pm.KroneckerNormal(
        "z", np.zeros(6), chols=[LINALG.cholesky(c) for c in covs], observed=RNG.normal(size=6)
    )


def wishart():
    x = pm.Normal("x", shape=(3, 3))
    pm.Potential("p", pm.logp(pm.Wishart.dist(nu=5, V=spd(x)), np.eye(3) + 0.3))


X = np.linspace(0, 1, 9)[:, None]
Y = RNG.normal(size=9)


def gp_latent():
    ell, eta = pm.Gamma("ell", 2, 1), pm.HalfNormal("eta")
    cov = eta**2 * pm.gp.cov.Matern52(1, ell)
    f = pm.gp.Latent(cov_func=cov).prior("f", X=X)
    pm.Normal("y", f, 1, observed=Y)


def gp_latent_centred():
    ell = pm.Gamma("ell", 2, 1)
    gp = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, ell))
    gp.prior("f", X=X, reparameterize=False)


def gp_latent_predictions():
    ell = pm.Gamma("ell", 2, 1)
    gp = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, ell))
    gp.prior("f", X=X)
    gp.conditional("g", np.linspace(1.2, 1.6, 3)[:, None])


def gp_tp():
    ell = pm.Gamma("ell", 2, 1)
    pm.gp.TP(scale_func=pm.gp.cov.ExpQuad(1, ell), nu=3).prior("f", X=X)


def gp_marginal():
    ell, sigma = pm.Gamma("ell", 2, 1), pm.HalfNormal("sigma")
    gp = pm.gp.Marginal(cov_func=pm.gp.cov.ExpQuad(1, ell))
    gp.marginal_likelihood("y", X=X, y=Y, sigma=sigma)


def gp_marginal_approx(approximation):
    def build():
        ell, sigma = pm.Gamma("ell", 2, 1), pm.HalfNormal("sigma")
        gp = pm.gp.MarginalApprox(cov_func=pm.gp.cov.ExpQuad(1, ell), approx=approximation)
        gp.marginal_likelihood("y", X=X, Xu=X[::3] + 0.05, y=Y, sigma=sigma)

    return build


def gp_latent_kron():
    ell = pm.Gamma("ell", 2, 1, shape=2)
    covs = [pm.gp.cov.ExpQuad(1, ell[0]), pm.gp.cov.Matern32(1, ell[1])]
    pm.gp.LatentKron(cov_funcs=covs).prior("f", Xs=[X[:3], X[:4]])


def gp_marginal_kron():
    ell, sigma = pm.Gamma("ell", 2, 1, shape=2), pm.HalfNormal("sigma")
    covs = [pm.gp.cov.ExpQuad(1, ell[0]), pm.gp.cov.Matern32(1, ell[1])]
    y = RNG.normal(size=12)
    pm.gp.MarginalKron(cov_funcs=covs).marginal_likelihood("y", Xs=[X[:3], X[:4]], y=y, sigma=sigma)


def gp_hsgp():
    ell = pm.Gamma("ell", 2, 1)
    gp = pm.gp.HSGP(m=[5], c=2.0, cov_func=pm.gp.cov.ExpQuad(1, ell))
    pm.Normal("y", gp.prior("f", X=X), 1, observed=Y)


def gp_coregion():
    w = pm.Normal("w", shape=(2, 2))
    cov = pm.gp.cov.ExpQuad(2, 0.5, active_dims=[0]) * pm.gp.cov.Coregion(
        2, active_dims=[1], W=w, kappa=pm.HalfNormal("kappa", shape=2)
    )
    points = np.column_stack([X[:, 0], np.arange(9) % 2])
    pm.gp.Marginal(cov_func=cov).marginal_likelihood("y", X=points, y=Y, sigma=0.3)


def car():
    adjacency = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]])
    alpha = pm.Uniform("alpha")
    pm.CAR("x", np.zeros(4), adjacency, alpha=alpha, tau=2.0)


MODELS = {
    "LKJCholeskyCov": (lkj_cholesky_cov, {"scale": 0.5}),
    "LKJCorr": (lkj_corr, {"scale": 0.3}),
    "MatrixNormal": (matrix_normal, {}),
    "KroneckerNormal": (kronecker_normal, {"scale": 0.5}),
    "Wishart": (wishart, {}),
    "CAR": (car, {}),
    "gp.Latent": (gp_latent, {"scale": 0.3}),
    "gp.Latent, centred": (gp_latent_centred, {"scale": 0.3, "centre": -2}),
    "gp.Latent, predictions": (gp_latent_predictions, {"scale": 0.3, "centre": -2}),
    "gp.TP": (gp_tp, {"scale": 0.3}),
    "gp.Marginal": (gp_marginal, {"scale": 0.3}),
    "gp.MarginalApprox, FITC": (gp_marginal_approx("FITC"), {"scale": 0.3}),
    "gp.MarginalApprox, DTC": (gp_marginal_approx("DTC"), {"scale": 0.3}),
    "gp.MarginalApprox, VFE": (gp_marginal_approx("VFE"), {"scale": 0.3}),
    "gp.LatentKron": (gp_latent_kron, {"scale": 0.3}),
    "gp.MarginalKron": (gp_marginal_kron, {"scale": 0.3}),
    "gp.HSGP": (gp_hsgp, {"scale": 0.5}),
    "gp.cov.Coregion": (gp_coregion, {"scale": 0.5}),
}


@pytest.mark.parametrize("name", MODELS)
def test_model(name):
    build, options = MODELS[name]
    with pm.Model() as model:
        build()
    check_model(model, **options)
