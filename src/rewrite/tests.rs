use crate::bound::{Builder, Id, LowerAdjoint, Op, Reduction, Routine};
use crate::graph::{DType, NodeId};
use crate::scalar::ScalarFn::{self, *};
use crate::tensor::{Table, Tensor};
use crate::testing::{Differentiated, Random, Template, close, interpret};
use serde_json::json;
use std::sync::Arc;

/// Simplified or not, a model has the same density and gradient at 100 points around `center`.
#[track_caller]
fn check_model(what: &str, t: &Template, center: &[f64], spread: &[f64]) {
    let plain = Differentiated::new(t, Builder::plain());
    let simplified = Differentiated::new(t, Builder::default());
    let steps = |model: &Differentiated| model.bound.builder.reachable(&model.roots).len();
    assert!(
        steps(&simplified) < steps(&plain),
        "{what}: nothing was simplified"
    );
    let mut random = Random::new(9);
    for _ in 0..100 {
        let position: Vec<f64> = center
            .iter()
            .zip(spread)
            .map(|(c, s)| c + s * random.between(-1.0, 1.0))
            .collect();
        let (wanted, found) = (plain.evaluate(&position), simplified.evaluate(&position));
        for (k, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            assert!(wanted.is_finite(), "{what}: result {k} is {wanted}");
            assert!(
                close(*found, *wanted, 1e-9),
                "{what}: result {k} is {found}, not {wanted}, at {position:?}"
            );
        }
    }
}

impl Template {
    /// Sum of all elements, as the log density.
    pub(super) fn add_up(&mut self, terms: NodeId) {
        let axes: Vec<usize> = (0..self.graph.nodes()[terms].ndim).collect();
        let total = self.op_with("sum", &[terms], json!({"axes": axes}));
        self.graph.output("logp", total).unwrap();
    }

    /// PyMC's normal log density, with its check.
    pub(super) fn normal(&mut self, value: NodeId, mu: NodeId, sigma: NodeId) -> NodeId {
        let (half, two) = (self.number(-0.5), self.int(2));
        let norm = self.number((2.0 * std::f64::consts::PI).sqrt().ln());
        let difference = self.op("sub", &[value, mu]);
        let z = self.op("div", &[difference, sigma]);
        let square = self.op("pow", &[z, two]);
        let exponent = self.op("mul", &[half, square]);
        let centered = self.op("sub", &[exponent, norm]);
        let log_sigma = self.op("log", &[sigma]);
        let logp = self.op("sub", &[centered, log_sigma]);
        let zero = self.number(0.0);
        let positive = self.op("gt", &[sigma, zero]);
        let ndim = self.graph.nodes()[positive].ndim;
        let axes: Vec<usize> = (0..ndim).collect();
        let ok = self.op_with("all", &[positive], json!({"axes": axes}));
        self.op_with("check", &[logp, ok], json!({"message": "sigma > 0"}))
    }
}

#[test]
fn a_normal_likelihood_keeps_its_value() {
    for (name, sigmas) in [("scalar sigma", 1), ("vector sigma", 300)] {
        let mut t = Template::default();
        let mut random = Random::new(10);
        let y = random.vector(300, -3.0, 3.0);
        let y = t.data("y", &[300], &y, DType::Float64);
        let mu = t.parameter("mu", &[]);
        let log_sigma = t.parameter("log_sigma", &[]);
        let sigma = t.op("exp", &[log_sigma]);
        let sigma = match sigmas {
            1 => sigma,
            _ => {
                let weights = random.vector(sigmas, 0.5, 2.0);
                let weights = t.real(&[sigmas], &weights);
                t.op("mul", &[weights, sigma])
            }
        };
        let logp = t.normal(y, mu, sigma);
        t.add_up(logp);
        check_model(name, &t, &[0.0, 0.0], &[2.0, 1.0]);
    }
}

#[test]
fn digits_that_data_and_mean_share_are_not_lost() {
    // Mean 10^6, spread 10^-3.
    let mut t = Template::default();
    let y: Vec<f64> = Random::new(11).vector(500, -1e-3, 1e-3);
    let y: Vec<f64> = y.iter().map(|y| 1e6 + y).collect();
    let y = t.data("y", &[500], &y, DType::Float64);
    let mu = t.parameter("mu", &[]);
    let log_sigma = t.parameter("log_sigma", &[]);
    let sigma = t.op("exp", &[log_sigma]);
    let logp = t.normal(y, mu, sigma);
    t.add_up(logp);
    check_model("badly scaled", &t, &[1e6, 1e-3f64.ln()], &[1e-3, 0.5]);
}

/// X b + a for a constant X of `rows` rows; its columns have a mean and a spread.
fn linear(t: &mut Template, rows: usize, columns: usize, (mean, spread): (f64, f64)) -> NodeId {
    let x = Random::new(12).vector(rows * columns, mean - spread, mean + spread);
    let x = t.data("X", &[rows, columns], &x, DType::Float64);
    let b = t.parameter("b", &[columns]);
    let a = t.parameter("a", &[]);
    let column = t.op_with("dimshuffle", &[b], json!({"order": [0, -1]}));
    let product = t.op("matmul", &[x, column]);
    let product = t.op_with("dimshuffle", &[product], json!({"order": [0]}));
    t.op("add", &[product, a])
}

#[test]
fn a_logistic_regression_keeps_its_value() {
    for (what, scale, spread) in [
        ("logistic", (0.0, 1.0), 1.0),
        ("logistic, badly scaled", (1e6, 1e-3), 1e-6),
    ] {
        let mut t = Template::default();
        let eta = linear(&mut t, 400, 3, scale);
        let y: Vec<i64> = (0..400).map(|i| i64::from(i % 3 == 0)).collect();
        let y = t.bools(&[400], &y);
        let minus = t.op("neg", &[eta]);
        let log_p = t.op("softplus", &[minus]);
        let log_p = t.op("neg", &[log_p]);
        let log_q = t.op("softplus", &[eta]);
        let log_q = t.op("neg", &[log_q]);
        let logp = t.op("where", &[y, log_p, log_q]);
        t.add_up(logp);
        check_model(what, &t, &[0.0; 4], &[spread, spread, spread, 1.0]);
    }
}

#[test]
fn a_probability_that_is_checked_keeps_its_value() {
    // Bernoulli of p = sigmoid(eta): where(y, log p, log1p(-p)), 0 <= p <= 1.
    let mut t = Template::default();
    let eta = linear(&mut t, 100, 3, (0.0, 1.0));
    let p = t.op("sigmoid", &[eta]);
    let y: Vec<i64> = (0..100).map(|i| i64::from(i % 3 == 0)).collect();
    let y = t.bools(&[100], &y);
    let log_p = t.op("log", &[p]);
    let minus = t.op("neg", &[p]);
    let log_q = t.op("log1p", &[minus]);
    let logp = t.op("where", &[y, log_p, log_q]);
    let (zero, one) = (t.number(0.0), t.number(1.0));
    let low = t.op("le", &[zero, p]);
    let high = t.op("le", &[p, one]);
    let both = t.op("and", &[low, high]);
    let ok = t.op_with("all", &[both], json!({"axes": [0]}));
    let logp = t.op_with("check", &[logp, ok], json!({"message": "0 <= p <= 1"}));
    t.add_up(logp);
    check_model("bernoulli", &t, &[0.0; 4], &[2.0; 4]);
    let bound = Differentiated::new(&t, Builder::default());
    let text = bound.bound.builder.text(&[("logp".into(), bound.roots[0])]);
    assert!(!text.contains("check") && !text.contains("le("), "{text}");
}

#[test]
fn a_hierarchical_model_keeps_its_value() {
    let mut t = Template::default();
    let z = t.parameter("z", &[8]);
    let mu = t.parameter("mu", &[]);
    let log_tau = t.parameter("log_tau", &[]);
    let tau = t.op("exp", &[log_tau]);
    let scaled = t.op("mul", &[z, tau]);
    let effects = t.op("add", &[mu, scaled]);
    let groups: Vec<i64> = (0..300).map(|i| (i * i + i / 7) % 8).collect();
    let groups = t.ints(&[300], &groups);
    let mean = t.op_with("index", &[effects, groups], json!({"spec": ["a"]}));
    let y = Random::new(13).vector(300, -3.0, 3.0);
    let y = t.data("y", &[300], &y, DType::Float64);
    let (one, zero) = (t.number(1.0), t.number(0.0));
    let likelihood = t.normal(y, mean, one);
    let prior_z = t.normal(z, zero, one);
    let prior_mu = t.normal(mu, zero, tau);
    let terms = [likelihood, prior_z].map(|x| t.op_with("sum", &[x], json!({"axes": [0]})));
    let total = t.op("add", &[terms[0], terms[1], prior_mu, log_tau]);
    t.graph.output("logp", total).unwrap();
    check_model("hierarchical", &t, &[0.0; 10], &[2.0; 10]);
}

#[test]
fn a_gamma_likelihood_keeps_its_value() {
    let mut t = Template::default();
    let y = Random::new(14).vector(200, 0.1, 5.0);
    let y = t.data("y", &[200], &y, DType::Float64);
    let (a, b) = (t.parameter("a", &[]), t.parameter("b", &[]));
    let (alpha, beta) = (t.op("exp", &[a]), t.op("exp", &[b]));
    let log_beta = t.op("log", &[beta]);
    let first = t.op("xlogy", &[alpha, beta]);
    let lgamma = t.op("lgamma", &[alpha]);
    let one = t.number(1.0);
    let less = t.op("sub", &[alpha, one]);
    let log_y = t.op("log", &[y]);
    let third = t.op("mul", &[less, log_y]);
    let fourth = t.op("mul", &[beta, y]);
    let sum = t.op("sub", &[first, lgamma]);
    let sum = t.op("add", &[sum, third]);
    let sum = t.op("sub", &[sum, fourth]);
    let zero = t.number(0.0);
    let positive = t.op("ge", &[y, zero]);
    let never = t.number(f64::NEG_INFINITY);
    let logp = t.op("where", &[positive, sum, never]);
    let oks = [alpha, beta].map(|x| t.op("gt", &[x, zero]));
    let logp = t.op_with(
        "check",
        &[logp, oks[0], oks[1]],
        json!({"message": "alpha, beta > 0"}),
    );
    let logp = t.op("add", &[logp, log_beta]);
    t.add_up(logp);
    check_model("gamma", &t, &[0.0, 0.0], &[1.0, 1.0]);
}

#[test]
fn a_mixture_keeps_its_value() {
    let mut t = Template::default();
    let y = Random::new(15).vector(120, -3.0, 3.0);
    let y = t.data("y", &[120], &y, DType::Float64);
    let y = t.op_with("dimshuffle", &[y], json!({"order": [0, -1]}));
    let mu = t.parameter("mu", &[3]);
    let logits = t.parameter("logits", &[3]);
    let log_sigma = t.parameter("log_sigma", &[]);
    let sigma = t.op("exp", &[log_sigma]);
    let weights = t.op_with("log_softmax", &[logits], json!({"axes": [0]}));
    let logp = t.normal(y, mu, sigma);
    let logp = t.op("add", &[logp, weights]);
    let logp = t.op_with("logsumexp", &[logp], json!({"axes": [1]}));
    t.add_up(logp);
    check_model(
        "mixture",
        &t,
        &[0.0; 7],
        &[1.5, 1.5, 1.5, 1.0, 1.0, 1.0, 0.7],
    );
}

/// Values where identities of real numbers fail in floating point.
const SPECIAL: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    -2.5,
    3.0,
    1e-310,
    1e-200,
    1e200,
    -1e200,
    1e308,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Values of a function of a parameter of all special values, without and with simplification.
fn both(make: impl Fn(&mut Builder, Id) -> Id) -> [Vec<f64>; 2] {
    [Builder::plain(), Builder::default()].map(|mut b| {
        let x = b.parameter("x".into(), 0, vec![SPECIAL.len()]);
        let root = make(&mut b, x);
        interpret(&b, &[root], &SPECIAL).remove(0)
    })
}

/// Whether both builders agree at x: to rounding, and on what is not finite.
fn agree(plain: f64, simplified: f64) -> bool {
    close(plain, simplified, 1e-12) && plain.is_finite() == simplified.is_finite()
}

#[test]
fn compositions_keep_their_values_everywhere() {
    // Integer functions are not meant for real numbers.
    let unary = |f: &&ScalarFn| f.arity() == 1 && **f != BitNot;
    for &f in ScalarFn::ALL.iter().filter(unary) {
        for &g in ScalarFn::ALL.iter().filter(unary) {
            let [plain, simplified] = both(|b, x| {
                let inner = b.map(g, &[x]);
                b.map(f, &[inner])
            });
            for ((x, u), v) in SPECIAL.iter().zip(plain).zip(simplified) {
                // log(exp(x)) is x, also where exp(x) is infinite or 0.
                let better = (f, g) == (Log, Exp) && v == *x;
                assert!(agree(u, v) || better, "{f}({g}({x})) = {u}, simplified {v}");
            }
        }
    }
}

#[test]
fn operations_with_constants_keep_their_values_everywhere() {
    let binary = |f: &&ScalarFn| f.arity() == 2;
    for &f in ScalarFn::ALL.iter().filter(binary) {
        for &c in &SPECIAL {
            for constant_first in [false, true] {
                let [plain, simplified] = both(|b, x| {
                    let c = b.number(c);
                    let arguments = if constant_first { [c, x] } else { [x, c] };
                    b.map(f, &arguments)
                });
                for ((x, u), v) in SPECIAL.iter().zip(plain).zip(simplified) {
                    // pow(-inf, 0.5) is inf, its square root NaN: as in PyTensor.
                    let root = f == Pow && c == 0.5 && *x == f64::NEG_INFINITY;
                    // Comparisons known by their range hold for NaN: see `ranges`.
                    assert!(
                        agree(u, v) || root,
                        "{f} of {x} and {c} = {u}, simplified {v}"
                    );
                }
            }
        }
    }
}

#[test]
fn products_and_sums_of_two_keep_their_values_everywhere() {
    // f(g(x), h(s)) for a scalar s, where most rules apply.
    for f in [Add, Sub, Mul, Div, Maximum, Scale, Quotient] {
        for (g, h) in [
            (Neg, Neg),
            (Neg, Exp),
            (Abs, Neg),
            (Sqr, Reciprocal),
            (Exp, Abs),
        ] {
            for &s in &SPECIAL {
                let [plain, simplified] = [Builder::plain(), Builder::default()].map(|mut b| {
                    let x = b.parameter("x".into(), 0, vec![SPECIAL.len()]);
                    let scalar = b.parameter("s".into(), SPECIAL.len(), vec![]);
                    let (u, v) = (b.map(g, &[x]), b.map(h, &[scalar]));
                    let value = b.map(f, &[u, v]);
                    let root = b.map(Neg, &[value]);
                    let position = [&SPECIAL[..], &[s]].concat();
                    interpret(&b, &[root], &position).remove(0)
                });
                for ((x, u), v) in SPECIAL.iter().zip(plain).zip(simplified) {
                    // x / d is x (1 / d), which overflows or loses digits where 1 / d does.
                    let divisor = match h {
                        Neg => -s,
                        Exp => s.exp(),
                        Abs => s.abs(),
                        _ => 1.0 / s,
                    };
                    let reciprocal = f == Div && !(1.0 / divisor).is_normal();
                    let text = format!("-{f}({g}({x}), {h}({s})) = {u}, simplified {v}");
                    assert!(agree(u, v) || reciprocal, "{text}");
                }
            }
        }
    }
}

#[test]
fn divisions_by_constants_become_products_where_that_is_safe() {
    let divides = |divisor: &[f64]| {
        let mut b = Builder::default();
        let x = b.parameter("x".into(), 0, vec![divisor.len()]);
        let divisor = b.constant(Tensor::new(vec![divisor.len()], divisor));
        let root = b.map(Div, &[x, divisor]);
        b.node(root).op == Op::Map(Div)
    };
    assert!(!divides(&[2.0, 3.0]));
    for unsafe_divisor in [0.0, 1e-310, 1e308, f64::INFINITY, f64::NAN] {
        assert!(divides(&[2.0, unsafe_divisor]), "{unsafe_divisor}");
    }
}

#[test]
fn constant_factors_do_not_overflow_together() {
    let [plain, simplified] = both(|b, x| {
        let small = b.mul_number(1e-200, x);
        b.mul_number(1e-200, small)
    });
    for (u, v) in plain.iter().zip(&simplified) {
        assert!(agree(*u, *v), "{u} {v}");
    }
}

#[test]
fn integers_and_truth_values_keep_their_types() {
    let mut b = Builder::default();
    let flags = b.parameter("x".into(), 0, vec![3]);
    let flags = b.map(ToBool, &[flags]);
    let numbers = b.map(ToInt64, &[flags]);
    let [zero, one, two, minus, half] =
        [0.0, 1.0, 2.0, -1.0, 0.5].map(|v| b.typed_constant(Tensor::scalar(v), DType::Int64));
    let half_real = b.number(0.5);
    let cases = [
        (Add, flags, zero),
        (Mul, flags, one),
        (Mul, numbers, minus),
        (Pow, numbers, two),
        (Pow, numbers, minus),
        (Pow, numbers, half),
        (Pow, numbers, half_real),
        (Pow, flags, one),
        (Div, numbers, one),
        (Div, numbers, two),
        (And, numbers, one),
        (Or, numbers, zero),
        (Maximum, flags, zero),
    ];
    for (f, x, c) in cases {
        let wanted = f.dtype(&[b.node(x).dtype, b.node(c).dtype]);
        let root = b.map(f, &[x, c]);
        assert_eq!(b.node(root).dtype, wanted, "{f} of {:?}", b.node(x));
    }
}

#[test]
fn a_comparison_with_nan_is_not_known_to_hold() {
    for (f, x_first) in [(Ge, true), (Le, false)] {
        let mut b = Builder::default();
        let x = b.parameter("x".into(), 0, vec![2]);
        let e = b.map(Exp, &[x]);
        let bound = b.constant(Tensor::new(vec![2], &[f64::NAN, -1.0]));
        let arguments = if x_first { [e, bound] } else { [bound, e] };
        let root = b.map(f, &arguments);
        assert_eq!(interpret(&b, &[root], &[0.0, 0.0]), [[0.0, 1.0]]);
        let bound = b.number(0.0);
        let arguments = if x_first { [e, bound] } else { [bound, e] };
        let root = b.map(f, &arguments);
        assert!(b.constant_value(root).is_some() || b.scalar_of(root).is_some());
    }
}

#[test]
fn branches_share_a_costly_function_once() {
    let count = |size: usize| {
        let mut b = Builder::default();
        let x = b.parameter("x".into(), 0, vec![size]);
        let y = b.parameter("y".into(), size, vec![size]);
        let condition = b.typed_constant(Tensor::new(vec![2], &[0.0, 1.0]), DType::Bool);
        let (u, v) = (b.map(Log, &[x]), b.map(Log, &[y]));
        let root = b.select(condition, u, v);
        let logs = |id: &Id| b.node(*id).op == Op::Map(Log);
        let nodes = b.reachable(&[root]);
        let position: Vec<f64> = (0..2 * size).map(|i| 1.0 + i as f64).collect();
        let value = interpret(&b, &[root], &position).remove(0);
        let wanted = [position[size].ln(), position[size - 1].ln()];
        assert!(value.iter().zip(wanted).all(|(a, b)| close(*a, b, 1e-15)));
        nodes.iter().filter(|id| logs(id)).count()
    };
    // Of arrays one call an element instead of two; of two scalars the two calls stay.
    assert_eq!(count(2), 1);
    assert_eq!(count(1), 2);
}

#[test]
fn functions_of_repeated_elements_come_before_the_repetition() {
    let count = |positions: &[u32]| {
        let [plain, simplified] = [Builder::plain(), Builder::default()].map(|mut b| {
            let [x, y] =
                [("x", 0), ("y", 3)].map(|(name, at)| b.parameter(name.into(), at, vec![3]));
            let s = b.parameter("s".into(), 6, vec![]);
            let table = Arc::new(Table::new(positions.to_vec()));
            let [x, y] = [x, y].map(|v| b.gather(v, table.clone(), vec![positions.len()]));
            let e = b.map(Exp, &[x]);
            let sum = b.add(e, y);
            let root = b.mul(sum, s);
            let value = interpret(&b, &[root], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).remove(0);
            (value, b.fired().get("f(x[i]) = f(x)[i]").copied())
        });
        assert_eq!(plain.0, simplified.0);
        simplified.1
    };
    assert_eq!(count(&[0, 1, 2, 2, 1, 0]), Some(3));
    // Too few to gain by it, or one that nobody reads.
    assert_eq!(count(&[0, 1, 2, 2]), None);
    assert_eq!(count(&[0, 1, 1, 0, 1, 0]), None);
}

#[test]
fn views_read_what_arrays_were_put_together_from() {
    // Element i of the position is i.
    let made = |b: &mut Builder, what: &str| {
        let [x, y] = [("x", 0, 4), ("y", 4, 8)]
            .map(|(name, offset, size)| b.parameter(name.into(), offset, vec![size]));
        match what {
            "concat" => b.concat(&[x, y], 0),
            "where" => {
                let condition: Vec<f64> = (0..8).map(|i| f64::from(i < 3)).collect();
                let condition = Tensor::new(vec![8], &condition);
                let condition = b.typed_constant(condition, DType::Bool);
                let zero = b.number(0.0);
                b.select(condition, y, zero)
            }
            _ => b.gather(y, Arc::new(Table::new(vec![7, 0, 0, 5, 6, 7, 1])), vec![7]),
        }
    };
    for (what, offset, strides, shape, gone) in [
        ("concat", 0, vec![1], vec![4], true),
        ("concat", 3, vec![-1], vec![3], true),
        ("concat", 5, vec![2, 1], vec![2, 2], true),
        ("concat", 11, vec![0], vec![20], true),
        ("concat", 3, vec![1], vec![2], false),
        ("concat", 4, vec![-1], vec![2], false),
        ("where", 0, vec![1], vec![3], true),
        ("where", 7, vec![-2], vec![3], true),
        ("where", 2, vec![1], vec![2], false),
        ("gather", 3, vec![1], vec![3], true),
        ("gather", 6, vec![-2], vec![3], true),
        ("gather", 2, vec![0], vec![9], false),
    ] {
        let [wanted, found] = [Builder::plain(), Builder::default()].map(|mut b| {
            let whole = made(&mut b, what);
            let view = b.view(whole, offset, strides.clone(), shape.clone());
            assert_eq!(b.shape(view), shape);
            let position: Vec<f64> = (0..12).map(f64::from).collect();
            let value = interpret(&b, &[view], &position).remove(0);
            (value, b.reachable(&[view]).contains(&whole))
        });
        assert_eq!(found.0, wanted.0, "{what}");
        assert_eq!(
            !found.1, gone,
            "{what}, from {offset} by {strides:?} as {shape:?}"
        );
    }
}

#[test]
fn signs_that_data_select_are_a_factor() {
    for swapped in [false, true] {
        let mut b = Builder::default();
        let x = b.parameter("x".into(), 0, vec![3]);
        let condition = b.typed_constant(Tensor::new(vec![3], &[1.0, 0.0, 1.0]), DType::Bool);
        let minus = b.map(Neg, &[x]);
        let (u, v) = if swapped { (x, minus) } else { (minus, x) };
        let root = b.select(condition, u, v);
        assert_eq!(b.node(root).op, Op::Map(Mul));
        let wanted = if swapped {
            [1.0, -2.0, 3.0]
        } else {
            [-1.0, 2.0, -3.0]
        };
        assert_eq!(interpret(&b, &[root], &[1.0, 2.0, 3.0])[0], wanted);
    }
}

#[test]
fn what_real_numbers_cannot_equal() {
    let mut b = Builder::default();
    let x = b.parameter("x".into(), 0, vec![3]);
    let (zero, infinite) = (b.number(0.0), b.number(f64::NEG_INFINITY));
    let (e, log) = (b.map(Exp, &[x]), b.map(Log, &[x]));
    let sum = b.add(x, e);
    let scaled = b.mul_number(2.0, e);
    for (value, other, known) in [
        (scaled, zero, true),
        (e, zero, true),
        (sum, infinite, true),
        (x, zero, false),
        (log, infinite, false),
    ] {
        let equal = b.map(Eq, &[value, other]);
        assert_eq!(b.constant_value(equal).is_some(), known);
    }
}

#[test]
fn the_logarithm_of_a_scaled_exponential_function() {
    let mut b = Builder::default();
    let x = b.parameter("x".into(), 0, vec![3]);
    let e = b.map(Exp, &[x]);
    let repeated = b.gather(e, Arc::new(Table::new(vec![2, 0, 0])), vec![3]);
    let [positive, mixed] =
        [[1.0, 2.0, 3.0], [1.0, -2.0, 3.0]].map(|c| b.constant(Tensor::new(vec![3], &c)));
    let [u, v, w] = [(positive, e), (positive, repeated), (mixed, e)].map(|(c, e)| {
        let product = b.mul(c, e);
        b.map(Log, &[product])
    });
    assert_eq!(
        [u, v, w].map(|id| b.node(id).op == Op::Map(Add)),
        [true, true, false]
    );
    let values = interpret(&b, &[u, v], &[0.5, -1.0, 2000.0]).concat();
    let ln = f64::ln;
    let wanted = [
        0.5,
        ln(2.0) - 1.0,
        ln(3.0) + 2000.0,
        2000.0,
        ln(2.0) + 0.5,
        ln(3.0) + 0.5,
    ];
    assert!(
        values
            .iter()
            .zip(wanted)
            .all(|(value, wanted)| close(*value, wanted, 1e-15))
    );
}

#[test]
fn the_logarithm_of_the_opposite_probability() {
    let mut b = Builder::default();
    let x = b.parameter("x".into(), 0, vec![5]);
    let p = b.map(Sigmoid, &[x]);
    let minus_one = b.constant(Tensor::new(vec![5], &[-1.0; 5]));
    let (negated, product) = (b.neg(p), b.mul(minus_one, p));
    let logs = [negated, product].map(|minus_p| b.map(Log1p, &[minus_p]));
    assert_eq!(logs[0], logs[1]);
    let position = [-800.0, -1.0, 0.5, 36.0, 800.0];
    let values = interpret(&b, &logs[..1], &position).concat();
    // log1p(-sigmoid(36)) has lost three digits, and that of 800 is infinite.
    let wanted = [
        0.0,
        -(-1.0_f64).exp().ln_1p(),
        -0.5 - (-0.5_f64).exp().ln_1p(),
        -36.0,
        -800.0,
    ];
    assert!(
        values
            .iter()
            .zip(wanted)
            .all(|(value, wanted)| close(*value, wanted, 1e-15))
    );
}

#[test]
fn a_positive_factor_leaves_the_comparison() {
    let mut b = Builder::default();
    let s = b.parameter("s".into(), 0, vec![]);
    let (zero, positive) = (b.number(0.0), b.constant(Tensor::new(vec![2], &[1.0, 2.0])));
    let mixed = b.constant(Tensor::new(vec![2], &[1.0, -2.0]));
    let [u, v] = [positive, mixed].map(|array| b.mul(s, array));
    let [u, v] = [u, v].map(|product| b.map(Gt, &[product, zero]));
    assert!(b.scalar_of(u).is_some() && b.scalar_of(v).is_none());
    assert_eq!(interpret(&b, &[u, v], &[3.0]), [[1.0, 1.0], [1.0, 0.0]]);
}

#[test]
fn sums_along_rows_are_a_product_with_the_matrix() {
    let mut b = Builder::default();
    let v = b.parameter("v".into(), 0, vec![2]);
    let x = b.constant(Tensor::new(vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let products = b.mul(x, v);
    let root = b.reduce(Reduction::Sum, products, &[1]);
    assert_eq!(b.shape(root), [3]);
    assert_eq!(interpret(&b, &[root], &[1.0, 10.0])[0], [21.0, 43.0, 65.0]);
    let is_product = |id: &Id| matches!(b.node(*id).op, Op::MatMul { .. });
    assert!(b.reachable(&[root]).iter().any(is_product));
}

#[test]
fn a_sign_goes_into_a_constant_factor() {
    // Wherever the constant stands among the nodes.
    for constant_first in [false, true] {
        let mut b = Builder::default();
        if constant_first {
            b.number(2.0);
        }
        let x = b.parameter("x".into(), 0, vec![3]);
        let product = b.mul_number(2.0, x);
        let minus = b.map(Neg, &[product]);
        assert_eq!(minus, b.mul_number(-2.0, x));
    }
}

#[test]
fn a_row_times_a_column_is_a_sum_of_products() {
    let mut b = Builder::default();
    let x = b.parameter("x".into(), 0, vec![1, 3]);
    let y = b.constant(Tensor::new(vec![1, 3, 1], &[1.0, 2.0, 3.0]));
    let row = b.reshape(x, &[1, 1, 3]);
    let product = b.matmul(row, y, [false, false]);
    assert_eq!(b.shape(product), [1, 1, 1]);
    assert_eq!(interpret(&b, &[product], &[4.0, 5.0, 6.0]), [[32.0]]);
    let nodes = b.reachable(&[product]);
    assert!(
        !nodes
            .iter()
            .any(|&id| matches!(b.node(id).op, Op::MatMul { .. }))
    );
}

#[test]
fn a_product_of_scaled_constant_matrices_is_computed_once() {
    let mut b = Builder::default();
    let [s, t] = ["s", "t"].map(|name| b.parameter(name.into(), usize::from(name == "t"), vec![]));
    let x = b.constant(Tensor::new(vec![1, 2, 1], &[1.0, -3.0]));
    let y = b.constant(Tensor::new(vec![1, 1, 3], &[2.0, 5.0, 0.5]));
    let (sx, ty) = (b.mul(s, x), b.mul(t, y));
    let scaled = [(sx, ty), (sx, y), (x, ty)].map(|(x, y)| b.matmul(x, y, [false, false]));
    assert!(scaled.iter().all(|&id| b.shape(id) == [1, 2, 3]));
    let nodes = b.reachable(&scaled);
    assert!(
        !nodes
            .iter()
            .any(|&id| matches!(b.node(id).op, Op::MatMul { .. }))
    );
    let product = [2.0, 5.0, 0.5, -6.0, -15.0, -1.5];
    let values = interpret(&b, &scaled, &[10.0, 7.0]);
    for (values, factor) in values.iter().zip([70.0, 10.0, 7.0]) {
        assert_eq!(*values, product.map(|value| factor * value));
    }
}

#[test]
fn a_squared_distance_is_a_constant_times_a_scalar() {
    // (x_i / l)^2 + (x_j / l)^2 - 2 (x_i / l) (x_j / l), as PyMC writes it, far from 0 too.
    for offset in [0.0, 1e3] {
        let mut t = Template::default();
        let x = Random::new(14).vector(12, offset, offset + 3.0);
        let x = t.real(&[12], &x);
        let log_l = t.parameter("log_l", &[]);
        let l = t.op("exp", &[log_l]);
        let one = t.number(1.0);
        let s = t.op("div", &[one, l]);
        let z = t.op("mul", &[x, s]);
        let [column, row] = [[0, -1], [-1, 0]].map(|order| json!({"order": order}));
        let square = t.op("sqr", &[z]);
        let terms = [&column, &row].map(|o| t.op_with("dimshuffle", &[square], o.clone()));
        let factors = [&column, &row].map(|o| t.op_with("dimshuffle", &[z], o.clone()));
        let squares = t.op("add", &terms);
        let product = t.op("mul", &factors);
        let two = t.number(2.0);
        let product = t.op("mul", &[two, product]);
        let distance = t.op("sub", &[squares, product]);
        let half = t.number(-0.5);
        let exponent = t.op("mul", &[half, distance]);
        let kernel = t.op("exp", &[exponent]);
        t.add_up(kernel);
        check_model("distance", &t, &[1.0], &[0.3]);
        let simplified = Differentiated::new(&t, Builder::default());
        let b = &simplified.bound.builder;
        let is_array = |id: &Id| b.size(*id) > 1 && b.constant_value(*id).is_none();
        let arrays = b.reachable(&simplified.roots).into_iter().filter(is_array);
        assert!(arrays.count() <= 4, "{}", b.text(&[]));
    }
}

#[test]
fn half_of_a_covariance_matrix_is_enough_for_its_factor() {
    // A Gaussian process at points of which the squared distances are data, some of them a little below zero; one
    // right-hand side, then two; a stack of matrices.
    for (n, stack, columns) in [(9, 1, 1), (20, 1, 2), (8, 2, 1)] {
        let mut t = Template::default();
        let mut random = Random::new(15);
        let x = random.vector(stack * n, 0.0, 6.0);
        let distance = |p: usize| {
            let (s, i, j) = (p / (n * n), p / n % n, p % n);
            let difference = x[s * n + i] - x[s * n + j];
            difference * difference - if (i + j) % 3 == 0 { 1e-12 } else { 0.0 }
        };
        let distances: Vec<f64> = (0..stack * n * n).map(distance).collect();
        let distances = t.real(&[stack, n, n], &distances);
        let [l, eta, sigma] = ["log_l", "log_eta", "log_sigma"].map(|name| {
            let log = t.parameter(name, &[]);
            let positive = t.op("exp", &[log]);
            t.op("sqr", &[positive])
        });
        let scaled = t.op("div", &[distances, l]);
        let (zero, end, half) = (t.number(0.0), t.number(f64::INFINITY), t.number(-0.5));
        let clipped = t.op("clip", &[scaled, zero, end]);
        let exponent = t.op("mul", &[half, clipped]);
        let kernel = t.op("exp", &[exponent]);
        let kernel = t.op("mul", &[eta, kernel]);
        let (order, on) = (t.int(n as i64), t.int(0));
        let identity = t.op("eye", &[order, order, on]);
        let noise = t.op("mul", &[sigma, identity]);
        let covariance = t.op("add", &[kernel, noise]);
        let factor = t.op_with("cholesky", &[covariance], json!({"lower": true}));
        let y = random.vector(stack * n * columns, -1.0, 1.0);
        let y = t.real(&[stack, n, columns], &y);
        let form = json!({"lower": true, "unit": false, "b_ndim": 2});
        let z = t.op_with("solve_triangular", &[factor, y], form);
        let square = t.op("sqr", &[z]);
        let quadratic = t.op_with("sum", &[square], json!({"axes": [0, 1, 2]}));
        let quadratic = t.op("mul", &[half, quadratic]);
        let form = json!({"offset": 0, "axis1": 1, "axis2": 2});
        let diagonal = t.op_with("extract_diag", &[factor], form);
        let logs = t.op("log", &[diagonal]);
        let determinant = t.op_with("sum", &[logs], json!({"axes": [0, 1]}));
        let logp = t.op("sub", &[quadratic, determinant]);
        t.graph.output("logp", logp).unwrap();
        let what = format!("{stack} of order {n}");
        check_model(&what, &t, &[0.3, 0.2, -0.5], &[0.4, 0.4, 0.4]);
        let simplified = Differentiated::new(&t, Builder::default());
        let fired = simplified.bound.builder.fired();
        for rule in [
            "half of a matrix for its Cholesky factor",
            "clip(s c) = s clip(c)",
        ] {
            assert!(fired.contains_key(rule), "{what}: {fired:?}");
        }
        let b = &simplified.bound.builder;
        let adjoint = b.reachable(&simplified.roots).into_iter();
        let kinds = adjoint.filter_map(|id| match &b.node(id).op {
            Op::Linalg(linalg) => match linalg.routine {
                Routine::CholeskyAdjoint(kinds) => Some(kinds),
                _ => None,
            },
            _ => None,
        });
        let wanted = LowerAdjoint {
            packed: true,
            dense: false,
            columns,
            diagonal: true,
        };
        assert_eq!(kinds.collect::<Vec<_>>(), [wanted], "{what}");
    }
}
