"""Binding: one translation serves every data set; bad data are refused by name."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from oracle import Oracle, assert_same_density
from pymc.exceptions import SamplingError
from pytensor.raise_op import Assert

from pymc_rustmc._core import GraphError
from pymc_rustmc.compile import translate_model
from pymc_rustmc.errors import DataError, NoGradientError, UnsupportedModelError, UnsupportedOpError
from pymc_rustmc.interpreted import no_compiler

RNG = np.random.default_rng(5)


def regression(n=10, groups=3):
    with pm.Model(coords={"obs": range(n), "group": range(groups)}) as model:
        x = pm.Data("x", RNG.normal(size=n), dims="obs")
        group = pm.Data("group_index", RNG.integers(groups, size=n), dims="obs")
        y = pm.Data("y_data", RNG.normal(size=n), dims="obs")
        alpha = pm.Normal("alpha", 0, 2, dims="group")
        effect = pm.Normal("effect", 0, 1, dims="obs")
        sigma = pm.HalfNormal("sigma", 1)
        mu = pm.Deterministic("mu", alpha[group] + x + effect, dims="obs")
        pm.Normal("y", mu, sigma, observed=y, dims="obs")
    return model


def data_of_length(n, groups):
    return {
        "x": RNG.normal(size=n),
        "group_index": RNG.integers(groups, size=n),
        "y_data": RNG.normal(size=n),
    }


def set_data(model, data, obs, group):
    model.set_dim("group", group, coord_values=range(group))
    with model:
        pm.set_data(data, coords={"obs": range(obs)})


def test_set_data_is_seen_by_the_next_bind():
    model = regression()
    template = translate_model(model)
    assert template.bind().shapes == {"alpha": (3,), "effect": (10,), "sigma_log__": ()}
    new = data_of_length(7, 5)
    set_data(model, new, obs=7, group=5)
    bound = template.bind()
    assert bound.shapes == {"alpha": (5,), "effect": (7,), "sigma_log__": ()}
    assert_same_density(bound, Oracle(model))


def test_data_given_to_bind_equal_data_set_in_the_model():
    model = regression()
    template = translate_model(model)
    new = data_of_length(7, 5)
    bound = template.bind({**new, "length of dim 'group'": 5})
    set_data(model, new, obs=7, group=5)
    assert_same_density(bound, Oracle(model))


def test_shapes_of_a_start_point_are_taken():
    model = regression()
    shapes = {name: value.shape for name, value in model.initial_point().items()}
    assert translate_model(model).bind(shapes=shapes).shapes == shapes


def test_position_and_unravel_are_inverse():
    bound = translate_model(regression()).bind()
    position = RNG.normal(size=bound.density.dim)
    point = bound.unravel(position)
    assert {name: value.shape for name, value in point.items()} == bound.shapes
    np.testing.assert_array_equal(bound.position(point), position)
    assert bound.unravel(np.stack([position] * 4).reshape(2, 2, -1))["alpha"].shape == (2, 2, 3)


def test_position_of_a_wrong_shape_names_the_variable():
    bound = translate_model(regression()).bind()
    point = bound.unravel(np.zeros(bound.density.dim))
    with pytest.raises(DataError, match="'alpha' has shape"):
        bound.position({**point, "alpha": np.zeros(4)})


def test_parameters_and_outputs():
    template = translate_model(regression())
    assert template.parameters == ("alpha", "effect", "sigma_log__")
    assert list(template.outputs) == ["sigma", "mu"]
    assert list(translate_model(regression(), var_names=["mu", "alpha"]).outputs) == ["mu"]


def test_dtypes_of_outputs():
    with pm.Model() as model:
        x = pm.Normal("x", shape=3)
        pm.Deterministic("count", (x > 0).sum())
        pm.Deterministic("flag", x > 0)
    assert translate_model(model).outputs == {"count": np.dtype("int64"), "flag": np.dtype("bool")}


def test_shared_variables_get_unique_names():
    with pm.Model() as model:
        x = pm.Normal("x")
        factors = [pytensor.shared(2.0), pytensor.shared(3.0), pytensor.shared(4.0, name="x")]
        pm.Potential("p", -(x**2) * factors[0] * factors[1] * factors[2])
    template = translate_model(model)
    assert set(template.inputs) == {"shared", "shared_1", "x_1"}
    factors[0].set_value(5.0)
    logp, _ = template.bind().density.logp_and_gradient(np.ones(1))
    np.testing.assert_allclose(logp, -60 - 0.5 - 0.5 * np.log(2 * np.pi), rtol=1e-14)


def test_no_data_are_baked_in():
    model = regression()
    text = str(translate_model(model).graph)
    for data in model.data_vars:
        assert f'"{data.name}"' in text


BAD_DATA = {
    "unknown name": ({"z": np.zeros(10)}, "no data named 'z'.*'x'"),
    "NaN": ({"x": np.where(np.arange(10) == 3, np.nan, 1.0)}, "'x' hold 1 NaN"),
    "NaN in observations": ({"y_data": np.full(10, np.nan)}, "'y_data' hold 10 NaN"),
    "infinite observation": ({"y_data": np.full(10, np.inf)}, "'y_data' hold infinite"),
    "rank": ({"x": np.zeros((10, 1))}, "'x' have 2 axes"),
    "dtype": ({"x": np.array(["a"] * 10)}, "'x' have dtype"),
    "fractions for integers": ({"group_index": np.full(10, 0.5)}, "'group_index' must be int64"),
    "lengths that disagree": ({"x": np.zeros(8)}, "length of dim 'obs' is 8"),
    "length of a dim": ({"x": np.zeros(8), "length of dim 'obs'": 10}, "'x' has length 8 .* is 10"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(name):
    data, message = BAD_DATA[name]
    with pytest.raises(DataError, match=message):
        translate_model(regression()).bind(data)


def test_bad_index_and_bad_shape_are_refused():
    template = translate_model(regression())
    with pytest.raises(GraphError, match="index"):
        template.bind({"group_index": np.full(10, 3)})
    with pm.Model() as model:
        x = pm.Data("x", np.zeros(3))
        pm.Normal("y", pm.Normal("a", shape=3) * x, 1, observed=np.zeros(3))
    with pytest.raises(GraphError):
        translate_model(model).bind({"x": np.zeros(4)})


@pytest.mark.parametrize("name", ["x", "y"])
def test_one_value_is_not_spread_over_many(name):
    with pm.Model() as model:
        x, y = pm.Data("x", np.zeros(3)), pm.Data("y", np.zeros(3))
        pm.Normal("L", pm.Normal("a") * x, 1, observed=y)
    with pytest.raises(GraphError, match=f'length 1 does not broadcast to length 3.*data "{name}"'):
        translate_model(model).bind({name: np.zeros(1)})
    translate_model(model).bind({"x": np.zeros(1), "y": np.zeros(1)})


def test_shapes_of_length_one_are_spread():
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", shape=1)
        column = pm.Data("column", np.ones((3, 1)), shape=(3, 1))
        pm.Normal("L", column * pm.Normal("row", shape=(1, 2)), scale, observed=np.ones((3, 2)))
    assert_same_density(translate_model(model).bind(), Oracle(model))


def test_assertions_on_data_hold_at_bind():
    with pm.Model() as model:
        x, group = pm.Data("x", np.zeros(3)), pm.Data("group", np.zeros(3, dtype=int))
        x = Assert("x must be small")(x, pt.all(x < 1))
        group = Assert("group must be below 2")(group, pt.all(group < 2))
        pm.Normal("y", pm.Normal("a", shape=3)[group] * x, 1, observed=np.zeros(3))
    template = translate_model(model)
    template.bind()
    with pytest.raises(GraphError, match=r'x must be small .*data "x"'):
        template.bind({"x": np.ones(3)})
    with pytest.raises(GraphError, match=r'group must be below 2 .*data "group"'):
        template.bind({"group": [0, 1, 2]})


def test_infinite_bounds_are_data():
    with pm.Model() as model:
        upper = pm.Data("upper", np.array([np.inf, 2.0]))
        pm.Censored("y", pm.Normal.dist(pm.Normal("a"), 1), lower=None, upper=upper, observed=[0.5, 2.0])
    assert_same_density(translate_model(model).bind(), Oracle(model))


def test_nan_in_observed_constants():
    with pm.Model() as model:
        pm.CustomDist(
            "y", pm.Normal("a"), logp=lambda v, a: -((v - a) ** 2), observed=np.array([1.0, np.inf])
        )
    with pytest.raises(DataError, match="'y' hold infinite"):
        translate_model(model)


def test_flags_of_pytensor_are_put_back():
    def flags():
        return pytensor.config.cxx, pytensor.config.mode, pytensor.config.traceback__limit

    before = flags()
    with no_compiler():
        inside = flags()
    assert flags() == before != inside


def test_no_model():
    with pytest.raises(TypeError, match="must be a PyMC model, got str"):
        translate_model("model")


def test_no_free_variables():
    with pm.Model() as model:
        pm.Normal("y", 0, 1, observed=[1.0])
    with pytest.raises(SamplingError, match="does not contain any free variables"):
        translate_model(model)


def test_discrete_free_variables_are_named():
    with pm.Model() as model:
        k = pm.Poisson("k", 3)
        pm.Normal("y", k + pm.Normal("a"), 1, observed=[1.0])
    with pytest.raises(UnsupportedModelError, match=r"'k'.*[Mm]arginalize"):
        translate_model(model)


def test_minibatch_is_refused():
    data = pm.Minibatch(np.arange(10.0), batch_size=5)
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("a"), 1, observed=data, total_size=10)
    with pytest.raises(UnsupportedOpError, match=r"'y'.*pm.fit"):
        translate_model(model)


@pytest.mark.filterwarnings("ignore:RandomVariable Ops will stop hiding")  # PyMC 6 in pm.Simulator
def test_simulator_is_refused():
    with pm.Model() as model:
        pm.Simulator("y", lambda rng, a, size=None: rng.normal(a, size=size), pm.Normal("a"), observed=[1.0])
    with pytest.raises(UnsupportedOpError, match=r"'y'.*sample_smc"):
        translate_model(model)


def test_random_deterministic_is_refused():
    with pm.Model() as model:
        a = pm.Normal("a")
        pm.Deterministic("noise", pm.Normal.dist(a, 1))
    with pytest.raises(UnsupportedOpError, match=r"'noise'.*posterior_predictive"):
        translate_model(model)
    assert not translate_model(model, var_names=["a"]).outputs


def test_black_box_without_gradient_names_op_and_variable():
    class Box(pytensor.graph.op.Op):
        itypes = [pytensor.tensor.dscalar]  # noqa: RUF012
        otypes = [pytensor.tensor.dscalar]  # noqa: RUF012

        def perform(self, node, inputs, outputs):
            outputs[0][0] = np.asarray(inputs[0])

    with pm.Model() as model:
        pm.Potential("box", Box()(pm.Normal("a")))
    with pytest.raises(NoGradientError, match=r"Box.*'box'.*rust_funcify"):
        translate_model(model).bind()


def test_an_op_of_ones_own_can_be_registered():
    from pymc_rustmc.translate import rust_funcify

    class Double(pytensor.graph.op.Op):
        itypes = [pytensor.tensor.dscalar]  # noqa: RUF012
        otypes = [pytensor.tensor.dscalar]  # noqa: RUF012

        def perform(self, node, inputs, outputs):
            outputs[0][0] = np.asarray(2 * inputs[0])

    @rust_funcify.register(Double)
    def double(op, node, walker):
        (x,) = walker.inputs(node)
        return walker.op("add", x, x)

    with pm.Model() as model:
        pm.Potential("p", -(Double()(pm.Flat("a")) ** 2))
    logp, gradient = translate_model(model).bind().density.logp_and_gradient(np.array([3.0]))
    assert logp == -36
    np.testing.assert_array_equal(gradient, [-24])
