"""Time series: PyMC's distributions, and recursions written with pytensor.scan."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import collect_default_updates

from catalogue.entry import entries

RNG = np.random.default_rng(5)
SERIES = RNG.normal(size=6)
SERIES_2D = RNG.normal(size=(5, 2))
CHOL = np.array([[1.2, 0.0], [0.4, 0.8]])


def ar():
    pm.AR("x", rho=[0.2, 0.3, -0.2], sigma=1.5, constant=True, init_dist=pm.Normal.dist(), steps=5)


def ar_observed():
    rho, sigma = pm.Normal("rho", 0, 0.5, shape=2), pm.HalfNormal("sigma")
    pm.AR("y", rho=rho, sigma=sigma, init_dist=pm.Normal.dist(0, 10), ar_order=2, observed=SERIES)


def batched_ar():
    rho = pm.Normal("rho", 0, 0.5, shape=(2, 1))
    pm.AR("x", rho=rho, sigma=1, init_dist=pm.Normal.dist(0, 10, shape=(2, 1)), steps=3)


def gaussian_random_walk():
    sigma = pm.HalfNormal("sigma")
    pm.GaussianRandomWalk("x", mu=pm.Normal("mu"), sigma=sigma, init_dist=pm.Normal.dist(), steps=4)


def gaussian_random_walk_observed():
    sigma = pm.HalfNormal("sigma")
    pm.GaussianRandomWalk("y", mu=0.1, sigma=sigma, init_dist=pm.Normal.dist(), observed=SERIES)


def gaussian_random_walk_with_dims():
    pm.modelcontext(None).add_coords({"time": range(4), "series": range(2)})
    sigma = pm.HalfNormal("sigma", dims="series")
    pm.GaussianRandomWalk("x", sigma=sigma, init_dist=pm.Normal.dist(0, 2, shape=2), dims=("series", "time"))


def mv_gaussian_random_walk():
    s = pm.HalfNormal("s")
    init = pm.MvNormal.dist(np.zeros(2), np.eye(2))
    pm.MvGaussianRandomWalk("x", mu=np.zeros(2), chol=s * CHOL, init_dist=init, steps=3)


def mv_gaussian_random_walk_observed():
    s = pm.HalfNormal("s")
    init = pm.MvNormal.dist(np.zeros(2), np.eye(2))
    pm.MvGaussianRandomWalk(
        "y", mu=pm.Normal("mu", shape=2), cov=s * np.eye(2), init_dist=init, observed=SERIES_2D
    )


def mv_student_t_random_walk():
    s = pm.HalfNormal("s")
    init = pm.MvNormal.dist(np.zeros(2), np.eye(2))
    pm.MvStudentTRandomWalk(
        "x", nu=pm.Gamma("nu", 2, 0.5), mu=np.zeros(2), scale=s * (CHOL @ CHOL.T), init_dist=init, steps=3
    )


def random_walk_of_laplace_steps():
    b = pm.HalfNormal("b")
    pm.RandomWalk("x", init_dist=pm.Normal.dist(), innovation_dist=pm.Laplace.dist(0, b), steps=4)


def random_walk_of_gamma_steps_observed():
    alpha = pm.Gamma("alpha", 2, 1)
    pm.RandomWalk(
        "y",
        init_dist=pm.Normal.dist(),
        innovation_dist=pm.Gamma.dist(alpha, 1),
        observed=np.cumsum(np.abs(SERIES)),
    )


def garch11():
    pm.GARCH11("x", omega=0.5, alpha_1=0.2, beta_1=0.3, initial_vol=1.0, shape=4)


def garch11_observed():
    omega, initial = pm.HalfNormal("omega"), pm.HalfNormal("initial")
    alpha, beta = pm.Beta("alpha", 2, 2), pm.Beta("beta", 2, 2)
    pm.GARCH11("y", omega=omega, alpha_1=alpha, beta_1=beta, initial_vol=initial, observed=SERIES)


def _towards_zero(x, rate, noise):
    return -rate * x, noise


def euler_maruyama():
    rate, noise = pm.HalfNormal("rate"), pm.HalfNormal("noise")
    pm.EulerMaruyama(
        "x", dt=0.1, sde_fn=_towards_zero, sde_pars=(rate, noise), init_dist=pm.Normal.dist(0, 2), steps=4
    )


def euler_maruyama_observed():
    rate, noise = pm.HalfNormal("rate"), pm.HalfNormal("noise")
    pm.EulerMaruyama(
        "y",
        dt=0.1,
        sde_fn=_towards_zero,
        sde_pars=(rate, noise),
        init_dist=pm.Normal.dist(0, 2),
        observed=SERIES,
    )


def _scan(step, **arguments):
    """Results of `pytensor.scan`, in both its old and its new form."""
    return pytensor.scan(step, return_updates=False, **arguments)


def scan_ar_by_hand():
    rho = pm.Normal("rho", 0, 0.5)
    noise = pm.Normal("noise", shape=5)
    x = _scan(
        lambda e, previous, r: r * previous + e, sequences=noise, outputs_info=pt.zeros(()), non_sequences=rho
    )
    pm.Deterministic("x", x)
    pm.Normal("y", x, 1, observed=SERIES[:5])


def scan_arma():
    phi, theta = pm.Normal("phi", 0, 0.5), pm.Normal("theta", 0, 0.5)

    def step(now, before, error, phi, theta):
        return now - phi * before - theta * error

    errors = _scan(
        step,
        sequences={"input": pt.as_tensor(SERIES), "taps": [0, -1]},
        outputs_info=pt.as_tensor(SERIES[0]),
        non_sequences=[phi, theta],
    )
    pm.Potential("errors", pm.logp(pm.Normal.dist(0, pm.HalfNormal("sigma")), errors))


def scan_hidden_markov():
    transition = pm.Dirichlet("transition", np.ones((2, 2)))
    emission = pm.logp(pm.Normal.dist(pm.Normal("mu", shape=2), 1), SERIES[:, None])

    def step(log_emission, state, log_transition):
        return pt.logsumexp(state[:, None] + log_transition, axis=0) + log_emission

    states = _scan(
        step, sequences=emission[1:], outputs_info=emission[0] - np.log(2), non_sequences=pt.log(transition)
    )
    pm.Potential("evidence", pt.logsumexp(states[-1]))


def scan_garch_by_hand():
    omega, alpha, beta = pm.HalfNormal("omega"), pm.Beta("alpha", 2, 2), pm.Beta("beta", 2, 2)

    def step(y, variance, omega, alpha, beta):
        return omega + alpha * y**2 + beta * variance

    variance = _scan(
        step,
        sequences=pt.as_tensor(SERIES),
        outputs_info=pt.as_tensor(1.0, dtype="float64"),
        non_sequences=[omega, alpha, beta],
    )
    pm.Normal("y", 0, pt.sqrt(variance[:-1]), observed=SERIES[1:])


def scan_cumulative():
    x = pm.Normal("x", shape=(4, 2))
    total = _scan(lambda row, total: total + row, sequences=x, outputs_info=pt.zeros(2))
    pm.Potential("p", -pt.sum(total**2))


def scan_reversed():
    x = pm.Normal("x", shape=4)
    total = _scan(
        lambda now, total: pt.tanh(total + now), sequences=x, outputs_info=pt.zeros(()), go_backwards=True
    )
    pm.Potential("p", -pt.sum(total * np.arange(4)))


def scan_with_taps():
    rho, noise = pm.Normal("rho", 0, 0.3, shape=2), pm.Normal("noise", shape=5)
    x = _scan(
        lambda e, before, last, rho: rho[0] * last + rho[1] * before + e,
        sequences=noise,
        outputs_info={"initial": pt.as_tensor([0.5, -0.5]), "taps": [-2, -1]},
        non_sequences=rho,
    )
    pm.Normal("y", x, 1, observed=SERIES[:5])


def scan_with_several_outputs():
    rate = pm.HalfNormal("rate")
    start = pm.HalfNormal("start", shape=2)

    def step(prey, hunters, rate):
        eaten = 0.1 * rate * prey * hunters
        return prey + 0.1 * prey - eaten, hunters - 0.05 * hunters + eaten, eaten

    prey, hunters, eaten = _scan(step, outputs_info=[start[0], start[1], None], non_sequences=rate, n_steps=5)
    pm.Deterministic("eaten", eaten)
    pm.LogNormal("y", pt.log(prey + hunters), 0.3, observed=np.exp(SERIES[:5]))


def scan_without_state():
    x = pm.Normal("x", shape=(4, 3))
    norms = _scan(lambda row: pt.sqrt(pt.sum(row**2)), sequences=x)
    pm.Normal("y", norms, 1, observed=SERIES[:4])


def scan_of_kalman_filter():
    q, r = pm.HalfNormal("q"), pm.HalfNormal("r")
    transition = np.array([[1.0, 1.0], [0.0, 1.0]])

    def step(y, mean, variance, q, r):
        mean = pt.dot(transition, mean)
        variance = pt.dot(pt.dot(transition, variance), transition.T) + q * pt.eye(2)
        innovation, s = y - mean[0], variance[0, 0] + r
        gain = variance[:, 0] / s
        logp = -0.5 * (pt.log(2 * np.pi * s) + innovation**2 / s)
        return mean + gain * innovation, variance - pt.outer(gain, variance[0]), logp

    _, _, logp = _scan(
        step,
        sequences=pt.as_tensor(SERIES),
        outputs_info=[pt.zeros(2), pt.eye(2), None],
        non_sequences=[q, r],
    )
    pm.Potential("evidence", logp)


def scan_over_data_of_any_length():
    series = pm.Data("series", SERIES)
    rho = pm.Normal("rho", 0, 0.5)
    level = _scan(
        lambda y, level, rho: rho * level + (1 - rho) * y,
        sequences=series,
        outputs_info=pt.zeros(()),
        non_sequences=rho,
    )
    pm.Normal("y", level[:-1], pm.HalfNormal("sigma"), observed=series[1:])


def custom_dist_by_scan():
    def walk(rho, sigma, size):
        def step(previous, rho, sigma):
            x = pm.Normal.dist(rho * previous, sigma)
            return x, collect_default_updates([x])

        x, _updates = pytensor.scan(
            step, outputs_info=pt.zeros(()), non_sequences=[rho, sigma], n_steps=5, strict=True
        )
        return x

    pm.CustomDist("y", pm.Normal("rho", 0, 0.5), pm.HalfNormal("sigma"), dist=walk, observed=SERIES[:5])


ENTRIES = entries(
    ar,
    ar_observed,
    batched_ar,
    gaussian_random_walk,
    gaussian_random_walk_observed,
    gaussian_random_walk_with_dims,
    mv_gaussian_random_walk,
    mv_gaussian_random_walk_observed,
    mv_student_t_random_walk,
    random_walk_of_laplace_steps,
    random_walk_of_gamma_steps_observed,
    garch11,
    garch11_observed,
    euler_maruyama,
    euler_maruyama_observed,
    scan_ar_by_hand,
    scan_arma,
    scan_hidden_markov,
    scan_garch_by_hand,
    scan_cumulative,
    scan_reversed,
    scan_with_taps,
    scan_with_several_outputs,
    scan_without_state,
    scan_of_kalman_filter,
    scan_over_data_of_any_length,
    custom_dist_by_scan,
)
