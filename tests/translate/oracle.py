"""PyTensor's own compiled log density, gradient and outputs: what a translation must equal."""

import warnings

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import compile as pymc_compile
from pymc.pytensorf import rewrite_pregrad
from pytensor.compile.mode import FAST_COMPILE, Mode
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph

from pymc_rustmc.compile import BoundModel, translate_model
from pymc_rustmc.interpreted import no_compiler, xtensor_rewrites

# Node by node in Python: compiling with C or Numba would take most of the time of these tests.
PYTHON = Mode("py", FAST_COMPILE.provided_optimizer.including("stabilize"))
POINTS = 20


@node_rewriter([pt.log1p])
def _log_of_opposite_probability(fgraph, node):
    """log(1 - sigmoid(x)), as PyMC 5 leaves it, has no digits left where the sigmoid is near 1."""
    product = node.inputs[0].owner
    if product is None or product.op != pt.mul or len(product.inputs) != 2:
        return None
    factor, probability = product.inputs
    is_opposite = isinstance(factor, Constant) and np.all(factor.data == -1)
    if not is_opposite or probability.owner is None or probability.owner.op != pt.sigmoid:
        return None
    return [-pt.softplus(probability.owner.inputs[0])]


class Oracle:
    """Log density, gradient and outputs of a model as PyTensor evaluates them."""

    def __init__(self, model):
        names = [value.name for value in model.value_vars]
        outputs = model.unobserved_value_vars[len(names) :]
        self.output_names = [variable.name for variable in outputs]
        with model, no_compiler():
            logp = FunctionGraph(outputs=[model.logp()], clone=True, copy_inputs=False)
            if needed := xtensor_rewrites():
                rewrite_graph(logp, include=needed)
            accurate = in2out(_log_of_opposite_probability)
            (logp,) = rewrite_graph(rewrite_pregrad(logp), include=(), custom_rewrite=accurate).outputs
            gradient = pytensor.gradient.grad(logp, model.value_vars, disconnected_inputs="ignore")
            self._function = pymc_compile(
                model.value_vars, [logp, *gradient, *outputs], mode=PYTHON, on_unused_input="ignore"
            )
        self._dtypes = [value.dtype for value in model.value_vars]
        self._n = len(names)

    def __call__(self, values):
        """Values of the value variables, in order -> logp, flat gradient, outputs by name."""
        with no_compiler(), np.errstate(all="ignore"):
            logp, *rest = self._function(*map(np.asarray, values, self._dtypes))
        gradient = np.concatenate([np.ravel(g) for g in rest[: self._n]])
        return float(logp), gradient, dict(zip(self.output_names, rest[self._n :], strict=True))


def assert_same_density(
    bound: BoundModel, oracle: Oracle, scale=1.0, centre=0.0, seed=1, points=POINTS, rtol=(1e-10, 1e-8)
):
    """Compare at random points, and demand that most of them have a finite density.

    `rtol` bounds the errors of log density and outputs, and of the gradient relative to its largest element.
    """
    rng = np.random.default_rng(seed)
    positions = centre + scale * rng.normal(size=(points, bound.density.dim))
    names = list(bound.template.outputs)
    ours = bound.evaluate(names, positions)
    finite = 0
    for row, position in enumerate(positions):
        logp, gradient, outputs = oracle(bound.unravel(position).values())
        our_logp, our_gradient = bound.density.logp_and_gradient(position)
        for name in names:
            np.testing.assert_allclose(
                ours[name][row], outputs[name], rtol=rtol[0], atol=1e-2 * rtol[0], err_msg=name
            )
        if not np.isfinite(logp):
            assert not np.isfinite(our_logp)
            continue
        assert abs(our_logp - logp) <= rtol[0] * max(1.0, abs(logp)), (our_logp, logp)
        if np.isfinite(gradient).all():
            error = np.abs(our_gradient - gradient)
            assert (error <= rtol[1] * max(1.0, np.abs(gradient).max())).all(), (our_gradient, gradient)
            finite += 1
    assert finite >= points // 2, "too few points with a finite density: the test shows nothing"


def assert_same(bound, other, tolerance):
    """Two bound models have the same density, gradient and outputs, the latter to a relative tolerance."""
    assert bound.shapes == other.shapes
    dim = sum(int(np.prod(shape)) for shape in bound.shapes.values())
    rng = np.random.default_rng(1)
    names = list(bound.template.outputs)
    for width in (0.3, 1.0, 3.0):
        position = rng.normal(scale=width, size=dim)
        (logp, gradient), (expected, slopes) = (b.logp_and_gradient(position) for b in (bound, other))
        np.testing.assert_allclose(logp, expected, rtol=tolerance)
        size = np.abs(slopes[np.isfinite(slopes)]).max(initial=1e-300)
        np.testing.assert_allclose(gradient / size, slopes / size, atol=100 * tolerance)
        values, others = (b.evaluate(names, position[None]) for b in (bound, other))
        for name in names:
            np.testing.assert_allclose(values[name], others[name], rtol=tolerance, err_msg=name)


def check_model(model, **options):
    """Translate, bind and compare; returns the bound model."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"(pymc|pytensor)\.")  # PyMC's own use of PyTensor
        bound = translate_model(model).bind()
    assert_same_density(bound, Oracle(model), **options)
    return bound


def check_potential(build, shapes, **options):
    """Compare a model whose density is the sum of `build(*values)`, values of the given shapes."""
    with pm.Model() as model:
        values = [pm.Flat(f"x{i}", shape=shape) for i, shape in enumerate(shapes)]
        pm.Potential("term", build(*values))
    return check_model(model, **options)
