"""Random PyMC models: hierarchies of priors and likelihoods in drawn parametrisations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pymc as pm
from compare import Bound, Twin, compare
from leaves import fit, leaf_shapes, new_parameter
from program import BINDINGS, Data, Entry, Program, Shape, require, source
from pymc.pytensorf import rewrite_pregrad
from pytensor.graph.replace import clone_replace
from steps import STEPS

from pymc_rustmc.compile import translate_model

MOST = 1.5  # of an unconstrained parameter
REAL, POSITIVE, UNIT, LARGE = (-3.0, 3.0), (0.25, 4.0), (0.125, 0.875), (1.5, 6.0)
EXP = math.exp(MOST)
LOGGED = (1 / EXP, EXP)
BELOW_ONE = 1 / (1 + EXP), EXP / (1 + EXP)

# text after the name, ranges of the arguments, range of the variable
PRIORS = [
    ("pm.Normal({}, {}, {}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.Normal({}, {}, tau={}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.Cauchy({}, {}, {}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.StudentT({}, nu={}, mu={}, sigma={}", [LARGE, REAL, POSITIVE], (-MOST, MOST)),
    ("pm.Laplace({}, {}, {}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.Logistic({}, {}, {}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.Gumbel({}, {}, {}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.SkewNormal({}, mu={}, sigma={}, alpha={}", [REAL, POSITIVE, REAL], (-MOST, MOST)),
    ("pm.AsymmetricLaplace({}, kappa={}, mu={}, b={}", [POSITIVE, REAL, POSITIVE], (-MOST, MOST)),
    ("pm.Moyal({}, {}, {}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.ExGaussian({}, mu={}, sigma={}, nu={}", [REAL, POSITIVE, POSITIVE], (-MOST, MOST)),
    ("pm.Flat({}", [], (-MOST, MOST)),
    ("pm.VonMises({}, {}, {}", [REAL, POSITIVE], (-MOST, MOST)),
    ("pm.HalfNormal({}, {}", [POSITIVE], LOGGED),
    ("pm.HalfCauchy({}, {}", [POSITIVE], LOGGED),
    ("pm.HalfStudentT({}, nu={}, sigma={}", [LARGE, POSITIVE], LOGGED),
    ("pm.Exponential({}, {}", [POSITIVE], LOGGED),
    ("pm.Exponential({}, scale={}", [POSITIVE], LOGGED),
    ("pm.Gamma({}, {}, {}", [POSITIVE, POSITIVE], LOGGED),
    ("pm.Gamma({}, mu={}, sigma={}", [POSITIVE, POSITIVE], LOGGED),
    ("pm.InverseGamma({}, {}, {}", [POSITIVE, POSITIVE], LOGGED),
    ("pm.LogNormal({}, {}, {}", [REAL, POSITIVE], LOGGED),
    ("pm.Weibull({}, {}, {}", [POSITIVE, POSITIVE], LOGGED),
    ("pm.ChiSquared({}, {}", [POSITIVE], LOGGED),
    ("pm.Wald({}, {}, {}", [POSITIVE, POSITIVE], LOGGED),
    ("pm.HalfFlat({}", [], LOGGED),
    ("pm.Beta({}, {}, {}", [POSITIVE, POSITIVE], BELOW_ONE),
    ("pm.Beta({}, mu={}, nu={}", [UNIT, LARGE], BELOW_ONE),
    ("pm.Kumaraswamy({}, {}, {}", [POSITIVE, POSITIVE], BELOW_ONE),
    ("pm.Uniform({}, {}, {}", [REAL, (4.0, 8.0)], (-3, 8)),
    ("pm.TruncatedNormal({}, {}, {}, lower={}, upper={}", [REAL, POSITIVE, REAL, (4.0, 8.0)], (-3, 8)),
    ("pm.Triangular({}, lower={}, c={}, upper={}", [REAL, (3.5, 4.0), (5.0, 8.0)], (-3, 8)),
    ("pm.Pareto({}, {}, {}", [POSITIVE, (0.5, 2.0)], (0.5, 2 + EXP)),
]

# text after the name, ranges of the arguments, values that may be observed
LIKELIHOODS = [
    ("pm.Normal({}, {}, {}", [REAL, POSITIVE], "real"),
    ("pm.StudentT({}, nu={}, mu={}, sigma={}", [LARGE, REAL, POSITIVE], "real"),
    ("pm.Laplace({}, {}, {}", [REAL, POSITIVE], "real"),
    ("pm.SkewNormal({}, mu={}, sigma={}, alpha={}", [REAL, POSITIVE, REAL], "real"),
    (
        "pm.NormalMixture({}, w=np.array([0.25, 0.75]), mu=pt.stack([{}, {}], axis=-1), sigma=np.array(1.5)",
        [REAL, REAL],
        "real",
    ),
    (
        "pm.Censored({}, pm.Normal.dist({}, {}), lower=np.array(-0.5), upper=np.array(1.0)",
        [REAL, POSITIVE],
        "censored",
    ),
    (
        "pm.Truncated({}, pm.Normal.dist({}, {}), lower=np.array(-8.0), upper=np.array(9.0)",
        [REAL, POSITIVE],
        "real",
    ),
    ("pm.Exponential({}, {}", [POSITIVE], "positive"),
    ("pm.Gamma({}, {}, {}", [POSITIVE, POSITIVE], "positive"),
    ("pm.LogNormal({}, {}, {}", [REAL, POSITIVE], "positive"),
    ("pm.Weibull({}, {}, {}", [POSITIVE, POSITIVE], "positive"),
    ("pm.Beta({}, {}, {}", [POSITIVE, POSITIVE], "unit"),
    ("pm.Poisson({}, {}", [POSITIVE], "count"),
    ("pm.NegativeBinomial({}, {}, {}", [POSITIVE, POSITIVE], "count"),
    ("pm.NegativeBinomial({}, n={}, p={}", [POSITIVE, UNIT], "count"),
    ("pm.ZeroInflatedPoisson({}, psi={}, mu={}", [UNIT, POSITIVE], "count"),
    ("pm.ZeroInflatedNegativeBinomial({}, psi={}, mu={}, alpha={}", [UNIT, POSITIVE, POSITIVE], "count"),
    ("pm.HurdlePoisson({}, psi={}, mu={}", [UNIT, POSITIVE], "count"),
    ("pm.Geometric({}, {}", [UNIT], "positive count"),
    ("pm.Binomial({}, np.array(9), {}", [UNIT], "count"),
    ("pm.Binomial({}, np.array(9), logit_p={}", [REAL], "count"),
    ("pm.BetaBinomial({}, n=np.array(9), alpha={}, beta={}", [POSITIVE, POSITIVE], "count"),
    ("pm.Bernoulli({}, {}", [UNIT], "truth"),
    ("pm.Bernoulli({}, logit_p={}", [REAL], "truth"),
    ("pm.OrderedLogistic({}, eta={}, cutpoints=np.array([-0.5, 0.25, 1.0])", [REAL], "category"),
    ("pm.OrderedProbit({}, eta={}, cutpoints=np.array([-0.5, 0.25, 1.0])", [REAL], "category"),
]

OBSERVED: dict[str, Callable[[np.random.Generator, Shape], np.ndarray]] = {
    "real": lambda rng, shape: np.round(16 * rng.normal(size=shape)) / 16,
    "censored": lambda rng, shape: np.clip(np.round(16 * rng.normal(size=shape)) / 16, -0.5, 1.0),
    "positive": lambda rng, shape: (1 + rng.integers(0, 64, size=shape)) / 16,
    "unit": lambda rng, shape: (1 + rng.integers(0, 15, size=shape)) / 17,
    "count": lambda rng, shape: rng.integers(0, 9, size=shape),
    "positive count": lambda rng, shape: rng.integers(1, 9, size=shape),
    "truth": lambda rng, shape: rng.integers(0, 2, size=shape),
    "category": lambda rng, shape: rng.integers(0, 4, size=shape),
}


class Model(Program):
    """A program whose statements are executed in two PyMC models; its parameters are random variables."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.models = pm.Model(), pm.Model()
        for namespace in (self.ours, self.twin):
            namespace["pm"] = pm

    def run(self, text: str) -> list:
        values = []
        for namespace, model in zip((self.ours, self.twin), self.models, strict=True):
            with model:
                values.append(eval(text, namespace))
        return values

    def shared(self, *arrays: np.ndarray) -> Entry:
        require(not self.smooth)
        name = self.new_name()
        static = tuple(1 if all(a.shape[k] == 1 for a in arrays) else None for k in range(arrays[0].ndim))
        text = f"pm.Data({name!r}, {source(arrays[0])}, shape={static})"
        entry = self._add(name, text, [], [array.shape for array in arrays], *spread(arrays))
        self.data[name] = Data(arrays, self.ours[name], self.twin[name])
        self.lines += [f"#    then {source(array)}" for array in arrays[1:]]
        return entry

    def parameter(self, shapes: Sequence[Shape]) -> Entry:
        text, ranges, (low, high) = self.choose(PRIORS)
        arguments = [self.argument(shapes, *bounds) for bounds in ranges]
        if len(set(shapes)) == 1:
            lengths = str(tuple(shapes[0]))
        else:
            # The axes' lengths are those of data.
            like = self.shared(*map(np.zeros, shapes))
            lengths = "(" + "".join(f"{like}.shape[{axis}], " for axis in range(like.ndim)) + ")"
        name = self.new_name()
        text = f"{text.format(repr(name), *arguments)}, shape={lengths})"
        return self.random(name, text, [a for a in arguments if isinstance(a, Entry)], shapes, low, high)

    def argument(self, shapes: Sequence[Shape], low: float, high: float) -> Entry | str:
        """A value in a range that broadcasts to the shapes: an entry or a constant."""

        def fits(x: Entry) -> bool:
            return x.ndim <= len(shapes[0]) and all(
                static == 1 or all(a[axis] == b[axis] for a, b in zip(x.shapes, shapes, strict=True))
                for axis, static in zip(range(-x.ndim, 0), x.var.type.shape, strict=True)
            )

        found = self.find("real", where=fits) if self.flag() else None
        return f"np.array({(low + high) / 2})" if found is None else fit(self, found, low, high)


def spread(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([np.zeros(1), *map(np.ravel, arrays)]).astype(float)
    return values.min(), values.max()


def vector(model: Program) -> None:
    """A vector whose elements depend on each other: in order, of a given sum, correlated, in time."""
    n = model.integer(2, 5)
    sigma = model.argument([()] * BINDINGS, *POSITIVE)
    name = model.new_name()
    ordered = "pm.distributions.transforms.ordered"
    walk = "init_dist=pm.Normal.dist(np.array(0.0), np.array(1.0))"
    text, low, high = model.choose(
        [
            (f"pm.Normal({{}}, np.array(0.0), {{}}, shape={n}, transform={ordered})", -MOST, MOST + n * EXP),
            (f"pm.ZeroSumNormal({{}}, sigma={{}}, shape={n})", -4.0 * n, 4.0 * n),
            (f"pm.Dirichlet({{}}, a={{}} * np.ones({n}))", 0, 1),
            (f"pm.MvNormal({{}}, np.zeros({n}), cov={{}} * (np.eye({n}) + 0.25))", -MOST, MOST),
            (f"pm.MvNormal({{}}, np.ones({n}), chol={{}} * np.tri({n}))", -MOST, MOST),
            (f"pm.MvStudentT({{}}, np.array(5.0), mu=np.ones({n}), scale={{}} * np.eye({n}))", -MOST, MOST),
            (f"pm.GaussianRandomWalk({{}}, sigma={{}}, {walk}, steps={n - 1})", -MOST, MOST),
            (f"pm.AR({{}}, rho=np.array([0.25, -0.5]), sigma={{}}, {walk}, shape={n})", -MOST, MOST),
        ]
    )
    inputs = [sigma] if isinstance(sigma, Entry) else []
    model.random(name, text.format(repr(name), sigma), inputs, [(n,)] * BINDINGS, low, high)


def observe(model: Program) -> None:
    """A likelihood with data or constants as observations."""
    text, ranges, kind = model.choose(LIKELIHOODS)
    x = model.find("real", where=lambda x: not x.fixed and x.ndim < 3)
    shapes = leaf_shapes(model) if x is None else x.shapes
    arguments = [model.argument(shapes, *bounds) for bounds in ranges]
    if x is not None:
        arguments[0] = fit(model, x, *ranges[0])
    rng = model.rng()
    arrays = [OBSERVED[kind](rng, shape) for shape in shapes]
    same = len(set(shapes)) == 1 and model.flag()
    observed = source(arrays[0]) if same else model.shared(*arrays)
    if "NormalMixture" in text:
        zeros = f"pt.zeros({observed}.shape) + "
        arguments = [f"({zeros}{argument})" for argument in arguments]
    name = model.new_name()
    text = f"{text.format(repr(name), *arguments)}, observed={observed})"
    model.lines.append(text)
    model.run(text)
    model.unused.difference_update(arguments)


MODEL_STEPS = [new_parameter, observe, *STEPS, *[new_parameter, observe, vector] * 6]


def finish(model: Model) -> None:
    """Make every value a Deterministic, and those that nothing uses part of the density."""
    for entry in model.entries:
        if entry.name not in model.parameters and entry.name not in model.data:
            model.run(f"pm.Deterministic({entry.name!r}, {entry})")
    for entry in model.entries:
        is_end = entry in model.unused and entry.name not in model.parameters
        if is_end and entry.kind == "real" and not entry.fixed:
            text = f"pm.Potential({'p_' + entry.name!r}, -pt.sqr({entry}).sum())"
            model.lines.append(text)
            model.run(text)


def compare_models(program: Model, seed: int) -> int:
    """Compare densities, gradients, Deterministics and variables of the two models."""
    ours, twin = program.models
    names = [entry.name for entry in program.entries]
    values = twin.replace_rvs_by_values([program.twin[name] for name in names])
    evaluated = Twin(
        dict(zip(names, values, strict=True)),
        rewrite_pregrad(clone_replace(twin.logp())),  # log(1 + erf(x)), as it is written, is inaccurate
        twin.value_vars,
        {data.twin: data.values for data in program.data.values()},
    )
    template = translate_model(ours)
    outputs = [name for name in names if name in template.outputs]

    def bind(binding: int) -> Bound:
        bound = template.bind({name: data.values[binding] for name, data in program.data.items()})
        assert not bound.density.foreign_times(), "left to PyTensor, which would be compared with itself"

        def evaluate(position: np.ndarray):
            named = bound.evaluate(outputs, position[None])
            logp_and_gradient = bound.density.logp_and_gradient(position)
            return {name: value[0] for name, value in named.items()}, *logp_and_gradient

        return Bound(bound.shapes, evaluate)

    return compare(program, evaluated, bind, np.random.default_rng(seed), MOST)
