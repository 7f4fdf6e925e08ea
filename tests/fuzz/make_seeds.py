"""Write the seeds: small models of the catalogue as cases (see case.rs)."""

import json
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pymc_rustmc.compile import translate_model

RNG = np.random.default_rng(1)
SEEDS = Path(__file__).parent / "seeds"


def regression(model):
    x = pm.Data("x", RNG.normal(size=(5, 2)).round(2))
    y = pm.Data("y_seen", RNG.normal(size=5).round(2))
    group = pm.Data("group", np.array([0, 1, 2, 1, 0]))
    beta = pm.Normal("beta", shape=2)
    alpha = pm.Normal("alpha", shape=3)
    sigma = pm.HalfNormal("sigma")
    pm.Normal("y", x @ beta + alpha[group], sigma, observed=y)


def mixture(model):
    w = pm.Dirichlet("w", np.ones(2))
    mu = pm.Normal("mu", shape=2, transform=pm.distributions.transforms.ordered)
    pm.NormalMixture("y", w, mu, 1.0, observed=np.array([0.1, 0.5, 2.0]))


def counts(model):
    rate = pm.Gamma("rate", 2, 1)
    psi = pm.Beta("psi", 1, 1)
    pm.ZeroInflatedPoisson("y", psi, rate, observed=np.array([0, 1, 4, 0]))
    pm.NegativeBinomial("z", mu=rate, alpha=2.0, observed=np.array([0, 1, 4]))


def indexing(model):
    x = pm.Normal("x", shape=(3, 4))
    i = pm.Data("i", np.array([2, 0]))
    mask = pt.as_tensor([True, False, True])
    parts = [x[1:, ::-1], x[i, 1:3], x[mask], pt.set_subtensor(x[0, :2], 1.0), x[:, i][i]]
    parts += [pt.diagonal(x, 1), x.T.reshape((2, 6)), pt.concatenate([x[0], x[1]]), pt.eye(3) @ x]
    pm.Potential("p", sum(pt.sqr(part).sum() for part in parts))


def reductions(model):
    x = pm.Normal("x", shape=(2, 3))
    n = pm.Data("n", np.array(3))
    parts = [x.max(0), x.min(1), x.prod(1), pt.cumsum(x, 1), pt.cumprod(x, 0), pt.special.softmax(x, 1)]
    parts += [pm.math.logsumexp(x, axis=0), pt.arange(n) * x[0], pt.switch(x > 0, x, -x), x.argmax(1) * 1.0]
    parts += [pt.tril(pt.ones((3, 3))) @ x.T, pt.stack([x, x]), pt.any(x > 0, axis=0) * 2.0]
    pm.Potential("p", sum(pt.tanh(part).sum() for part in parts))


def process(model):
    pm.AR("ar", [0.5, 0.2], sigma=pm.HalfNormal("s"), init_dist=pm.Normal.dist(), steps=4)
    pm.GaussianRandomWalk("walk", sigma=1, init_dist=pm.Normal.dist(), steps=3)


def covariance(model):
    chol, *_ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
    pm.MvNormal("y", np.zeros(2), chol=chol, observed=np.array([[0.1, 0.2], [0.3, -0.1]]))


def process_prior(model):
    scale = pm.HalfNormal("scale")
    points = np.linspace(0, 1, 4)[:, None]
    prior = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, scale))
    f = prior.prior("f", points)
    pm.Bernoulli("y", logit_p=f, observed=np.array([0, 1, 1, 0]))


def loop(model):
    y = pm.Data("y", np.array([0.1, -0.2, 0.4]))
    a = pm.Normal("a")

    def step(y, h, a):
        return a * h + pt.sqr(y)

    h = pytensor.scan(step, sequences=[y], outputs_info=[pt.exp(a)], non_sequences=[a], return_updates=False)
    pm.Normal("z", h, 1.0, observed=np.zeros(3))


def matrices(model):
    a = pm.Normal("a", shape=(2, 2))
    spd = a @ a.T + pt.eye(2)
    parts = [pt.linalg.solve(spd, a), pt.linalg.inv(spd), pt.linalg.det(spd), pt.linalg.cholesky(spd)]
    parts += [pt.linalg.solve(spd, a[0], assume_a="pos"), pt.linalg.slogdet(spd)[1], pt.linalg.eigh(spd)[0]]
    parts += [pt.linalg.solve_triangular(pt.tril(spd), a, lower=True), pt.linalg.qr(spd)[1]]
    parts += [pt.linalg.kron(a, spd), pt.linalg.block_diag(a, spd)]
    pm.Potential("p", sum(pt.tanh(part).sum() for part in parts))


def lookups(model):
    x = pm.Normal("x", shape=5)
    d = pm.Data("d", np.array([3, 1, 2, 1, 0]))
    parts = [pt.sort(x), x[pt.argsort(x)], x[pt.unique(d)], x[pt.searchsorted(pt.sort(d), d)]]
    parts += [pt.repeat(x, d), pt.pad(x, (1, 2)), x[pt.nonzero(d)[0]], pt.diff(x), pt.tile(x, 2)]
    parts += [x[pt.argmax(x)], pt.signal.convolve1d(x, x[:2], mode="full"), pt.diag(x)]
    parts += [pt.split(x, [2, 3], n_splits=2)[1], pt.set_subtensor(x[d[:2]], 0.5), pt.inc_subtensor(x[d], x)]
    pm.Potential("p", sum(pt.tanh(part).sum() for part in parts))


def truncation(model):
    mu = pm.Normal("mu")
    pm.Truncated("t", pm.Normal.dist(mu, 1), lower=-1, upper=2, observed=np.array([0.1, 0.5]))
    pm.Censored("c", pm.Normal.dist(mu, 1), lower=None, upper=1, observed=np.array([0.1, 1.0]))
    pm.StudentT("s", nu=3, mu=mu, sigma=1, observed=np.array([0.1, 0.5]))
    pm.Beta("b", pt.exp(mu), 2.0)


def case(build):
    with pm.Model() as model:
        build(model)
    bound = translate_model(model).bind()
    stored, arrays = bound.template.graph.to_stored()
    return {
        "graph": json.loads(stored),
        "arrays": [[array.shape, array.ravel().tolist()] for array in arrays],
        "data": {name: [np.shape(v), np.ravel(v).astype(float).tolist()] for name, v in bound.data.items()},
        "shapes": {name: list(shape) for name, shape in bound.shapes.items()},
    }


MODELS = [
    regression,
    mixture,
    counts,
    indexing,
    reductions,
    process,
    covariance,
    process_prior,
    matrices,
    lookups,
    loop,
    truncation,
]

if __name__ == "__main__":
    for build in MODELS:
        try:
            text = json.dumps(case(build))
        except Exception as error:
            print(build.__name__, type(error).__name__, str(error)[:100])
            continue
        (SEEDS / f"{build.__name__}.json").write_text(text + "\n")
        print(build.__name__, len(text))
