use super::*;
use crate::bound::{BindError, Op};
use crate::graph::NodeId;
use crate::testing::{Differentiated, Random, Template, check_gradient};
use serde_json::json;
use std::collections::HashSet;

/// Where an argument is drawn from: inside the function's domain, away from kinks and jumps.
fn domain(function: ScalarFn, argument: usize) -> (f64, f64) {
    use ScalarFn::*;
    match (function, argument) {
        (Log | Log2 | Log10 | Sqrt | Reciprocal | Abs | Sign, _) => (0.3, 3.0),
        (Log1p, _) | (Xlog1py, 1) => (-0.5, 2.0),
        (Log1mexp, _) => (-3.0, -0.3),
        (Asin | Acos | Atanh, _) => (-0.8, 0.8),
        (Acosh, _) => (1.2, 3.0),
        (Gamma | Lgamma | Digamma | Trigamma, _) => (0.6, 4.0),
        (Erfinv, _) => (-0.8, 0.8),
        (Erfcinv, _) => (0.2, 1.8),
        (NdtriExp, _) => (-3.0, -0.2),
        (Gammainc | Gammaincc, _) => (0.4, 3.0),
        (Betainc, 2) => (0.1, 0.9),
        (Betainc, _) => (0.4, 3.0),
        (Hyp2f1, 3) => (-2.0, 0.8),
        (Hyp2f1, _) => (0.5, 3.0),
        (Polygamma | Ive | Kve | Jv, _) => (0.3, 4.0),
        (Floor | Ceil | Trunc | RoundHalfEven | RoundHalfAway | ToInt64, _) => (1.1, 1.4),
        (Div, 1) | (Pow, 0) | (Xlogy, 1) => (0.5, 2.0),
        (Mod | IntDiv, 0) => (5.2, 5.8),
        (Mod | IntDiv, 1) => (2.1, 2.3),
        (Maximum | Minimum | Eq | Ne | Lt | Le | Gt | Ge, 0) => (0.1, 0.5),
        (Maximum | Minimum | Eq | Ne | Lt | Le | Gt | Ge, 1) => (0.7, 1.5),
        (BitAnd | BitOr | BitXor, _) => (5.1, 5.9),
        (Not | And | Or | Xor | ToBool | Check | Where, _) => (0.5, 2.0),
        _ => (-2.0, 2.0),
    }
}

#[test]
fn adjoints_are_slopes() {
    let mut random = Random::new(1);
    for &function in ScalarFn::ALL {
        // Integer functions have no slope; Scale and Quotient stand in gradients only.
        let skipped = [
            ScalarFn::StopGradient,
            ScalarFn::Rounding,
            ScalarFn::BitNot,
            ScalarFn::Scale,
            ScalarFn::Quotient,
        ];
        if skipped.contains(&function) || matches!(function.adjoint(), Adjoint::Missing) {
            continue;
        }
        // Orders have no rule: they are constants here.
        let orders = match function.adjoint() {
            Adjoint::OfLast(_) => function.arity() - 1,
            _ => 0,
        };
        // All arguments arrays; then one of them a scalar in turn.
        for scalar in (0..=function.arity()).map(|k| k.checked_sub(1)) {
            let mut t = Template::default();
            let mut position = vec![];
            let arguments: Vec<NodeId> = (0..function.arity())
                .map(|k| {
                    let shape: &[usize] = if Some(k) == scalar { &[] } else { &[11] };
                    if k < orders {
                        return t.number(2.0);
                    }
                    let (low, high) = domain(function, k);
                    position.extend(random.vector(shape.iter().product(), low, high));
                    t.parameter(&format!("x{k}"), shape)
                })
                .collect();
            let value = t.op(function.name(), &arguments);
            t.weigh(value);
            check_gradient(function.name(), &t, &position);
        }
    }
}

#[test]
fn functions_without_a_rule_are_refused_by_name() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let y = t.op("i1e", &[x]);
    let y = t.op("gammainc_da", &[y, x]);
    t.graph.output("logp", y).unwrap();
    let mut bound = t.bind().unwrap();
    let parameter = bound.builder.parameter("x".into(), 0, vec![]);
    let logp = bound.outputs[0].1;
    let error = crate::diff::gradient(&mut bound.builder, logp, &[parameter]).unwrap_err();
    assert_eq!(
        error,
        BindError::Misfit("the derivative of `gammainc_da` is not known".into())
    );
}

#[test]
fn the_derivative_in_an_order_is_refused() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let y = t.op("kve", &[x, x]);
    t.graph.output("logp", y).unwrap();
    let mut bound = t.bind().unwrap();
    let parameter = bound.builder.parameter("x".into(), 0, vec![]);
    let logp = bound.outputs[0].1;
    let error = crate::diff::gradient(&mut bound.builder, logp, &[parameter]).unwrap_err();
    let text = "the derivative of `kve` with respect to argument 1 is not known";
    assert_eq!(error, BindError::Misfit(text.into()));
}

#[test]
fn a_stopped_gradient_is_zero() {
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let stopped = t.op("stop_gradient", &[x]);
    let product = t.op("mul", &[stopped, x]);
    let sum = t.op_with("sum", &[product], json!({"axes": [0]}));
    t.graph.output("logp", sum).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[1.0, 2.0, 3.0]);
    assert_eq!(found, [14.0, 1.0, 2.0, 3.0]);
}

#[test]
fn names_are_unique_and_found() {
    let names: HashSet<&str> = ScalarFn::ALL.iter().map(|f| f.name()).collect();
    assert_eq!(names.len(), ScalarFn::ALL.len());
    for &function in ScalarFn::ALL {
        assert_eq!(ScalarFn::from_name(function.name()), Some(function));
    }
    assert_eq!(ScalarFn::from_name("frobnicate"), None);
}

#[test]
fn results_have_numpys_types() {
    use DType::{Bool, Float64, Int64};
    let cases: &[(ScalarFn, &[DType], DType)] = &[
        (ScalarFn::Add, &[Bool, Bool], Int64),
        (ScalarFn::Add, &[Int64, Float64], Float64),
        (ScalarFn::Div, &[Int64, Int64], Float64),
        (ScalarFn::IntDiv, &[Int64, Int64], Int64),
        (ScalarFn::Pow, &[Int64, Int64], Int64),
        (ScalarFn::Sqrt, &[Int64], Float64),
        (ScalarFn::Abs, &[Int64], Int64),
        (ScalarFn::Maximum, &[Bool, Bool], Bool),
        (ScalarFn::Maximum, &[Bool, Int64], Int64),
        (ScalarFn::Lt, &[Float64, Int64], Bool),
        (ScalarFn::Not, &[Int64], Bool),
        (ScalarFn::BitAnd, &[Int64, Bool], Int64),
        (ScalarFn::Where, &[Float64, Bool, Int64], Int64),
        (ScalarFn::ToInt64, &[Float64], Int64),
        (ScalarFn::ToBool, &[Float64], Bool),
        (ScalarFn::ToFloat64, &[Bool], Float64),
        (ScalarFn::Check, &[Float64, Bool], Float64),
    ];
    for (function, arguments, wanted) in cases {
        assert_eq!(
            function.dtype(arguments),
            *wanted,
            "{function} of {arguments:?}"
        );
    }
}

#[test]
fn functions_that_commute_do() {
    let points = [
        -1.5,
        0.0,
        0.5,
        2.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    // Of real numbers; bits of those mean nothing.
    let commute = |f: &&ScalarFn| f.commutes() && f.dtype(&[DType::Float64; 2]) != DType::Int64;
    let functions: Vec<ScalarFn> = ScalarFn::ALL.iter().filter(commute).copied().collect();
    assert!(functions.len() >= 8);
    for function in functions {
        let mut t = Template::default();
        let (column, row) = (t.real(&[7, 1], &points), t.real(&[7], &points));
        let table = t.op(function.name(), &[column, row]);
        let table = t.value(table);
        let at = |i: usize, j: usize| table.values()[7 * i + j];
        for (i, j) in (0..7).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let (u, v) = (at(i, j), at(j, i));
            assert!(u == v || (u.is_nan() && v.is_nan()), "{function}: {u} {v}");
        }
    }
}

/// where(x > 0, f(x), 0) at points on both sides and on the border.
fn guarded(function: &str) -> Template {
    let mut t = Template::default();
    let x = t.parameter("x", &[4]);
    let zero = t.number(0.0);
    let positive = t.op("gt", &[x, zero]);
    let value = t.op(function, &[x]);
    let chosen = t.op("where", &[positive, value, zero]);
    let sum = t.op_with("sum", &[chosen], json!({"axes": [0]}));
    t.graph.output("logp", sum).unwrap();
    t
}

#[test]
fn a_branch_not_taken_has_no_gradient() {
    let position = [-1.0, 0.0, 0.5, 2.0];
    for (function, slopes) in [
        ("log", [2.0, 0.5]),
        ("sqrt", [0.5 / 0.5f64.sqrt(), 0.5 / 2f64.sqrt()]),
        ("reciprocal", [-4.0, -0.25]),
        ("log2", [2.0 / LN_2, 0.5 / LN_2]),
    ] {
        for builder in [Builder::default(), Builder::plain()] {
            let found = Differentiated::new(&guarded(function), builder).evaluate(&position);
            assert!(found[0].is_finite(), "{function}: {found:?}");
            for (found, wanted) in found[1..].iter().zip([0.0, 0.0, slopes[0], slopes[1]]) {
                assert!(
                    (found - wanted).abs() < 1e-15,
                    "{function}: {found} {wanted}"
                );
            }
        }
    }
}

#[test]
fn a_branch_not_taken_has_no_gradient_whatever_the_function_and_its_arguments() {
    for &function in ScalarFn::ALL {
        let orders = match function.adjoint() {
            Adjoint::Rule(_) => 0,
            Adjoint::OfLast(_) => function.arity() - 1,
            Adjoint::Zero | Adjoint::Missing => continue,
        };
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
            let mut t = Template::default();
            let selector = t.parameter("selector", &[]);
            let mut position = vec![-1.0];
            let arguments: Vec<NodeId> = (0..function.arity())
                .map(|k| {
                    if k < orders {
                        return t.number(2.0);
                    }
                    position.push(value);
                    t.parameter(&format!("x{k}"), &[])
                })
                .collect();
            let value = t.op(function.name(), &arguments);
            let zero = t.number(0.0);
            let positive = t.op("gt", &[selector, zero]);
            let chosen = t.op("where", &[positive, value, zero]);
            t.graph.output("logp", chosen).unwrap();
            for builder in [Builder::default(), Builder::plain()] {
                let found = Differentiated::new(&t, builder).evaluate(&position);
                let wanted = vec![0.0; position.len() + 1];
                assert_eq!(found, wanted, "{function} at {position:?}");
            }
        }
    }
}

#[test]
fn a_branch_not_taken_has_no_gradient_far_below_the_selection() {
    // where(x > 0, sum(A log(x)), 0): between selection and logarithm lie a product and a gather.
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let zero = t.number(0.0);
    let log = t.op("log", &[x]);
    let rows = t.ints(&[5], &[0, 1, 2, 1, 0]);
    let gathered = t.op_with("index", &[log, rows], json!({"spec": ["a"]}));
    let factors = t.real(&[5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    let product = t.op("mul", &[gathered, factors]);
    let arguments = t.op_with("index", &[x, rows], json!({"spec": ["a"]}));
    let positive = t.op("gt", &[arguments, zero]);
    let chosen = t.op("where", &[positive, product, zero]);
    let sum = t.op_with("sum", &[chosen], json!({"axes": [0]}));
    t.graph.output("logp", sum).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[0.0, 2.0, -3.0]);
    assert_eq!(found[1..], [0.0, 3.0, 0.0]);
}

#[test]
fn unselected_gradients_stay_plain_products() {
    // Without a selection nothing pays for Scale.
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let value = t.op("exp", &[x]);
    t.weigh(value);
    let model = Differentiated::new(&t, Builder::default());
    let nodes = model.bound.builder.nodes();
    assert!(!nodes.iter().any(|n| n.op == Op::Map(ScalarFn::Scale)));
}

#[test]
fn a_tie_passes_its_adjoint_on_once() {
    for function in ["maximum", "minimum"] {
        let mut t = Template::default();
        let x = t.parameter("x", &[]);
        let y = t.parameter("y", &[]);
        let best = t.op(function, &[x, y]);
        t.graph.output("logp", best).unwrap();
        let found = Differentiated::new(&t, Builder::default()).evaluate(&[1.0, 1.0]);
        assert_eq!(found, [1.0, 1.0, 0.0], "{function}");
    }
}
