//! With and without the rules a density and its gradient agree, on badly scaled and degenerate data too.

use super::Rules;
use crate::bound::Builder;
use crate::graph::{DType, NodeId};
use crate::kernels::machine::Workspace;
use crate::model::differentiate;
use crate::plan::plan;
use crate::testing::{Random, Template, results};
use serde_json::json;
use std::sync::Arc;

/// An evaluator of the log density with its gradient, and the rules that were applied.
fn evaluator(t: &Template, builder: Builder, rules: Rules) -> (Workspace, Vec<&'static str>) {
    let bound = t.bind_with(builder).unwrap();
    let (builder, roots) = differentiate(&bound, rules).unwrap();
    let fired = Rules::NAMES
        .into_iter()
        .filter(|name| builder.fired().contains_key(name));
    (
        Workspace::new(Arc::new(plan(&builder, &roots))),
        fired.collect(),
    )
}

/// Rewritten or plain, the density and its gradient are the same at 100 points of a normal around `center`, relative
/// to the largest derivative; and the expected rules were applied.
#[track_caller]
fn check(what: &str, t: &Template, center: &[f64], spread: &[f64], expected: &[&str]) {
    let (mut plain, none) = evaluator(t, Builder::plain(), Rules::NONE);
    let (mut exact, fired) = evaluator(t, Builder::default(), Rules::ALL);
    assert_eq!(none, [""; 0], "{what}");
    assert_eq!(fired, expected, "{what}");
    let mut random = Random::new(31);
    for _ in 0..100 {
        let position = center
            .iter()
            .zip(spread)
            .map(|(c, s)| c + s * random.between(-1.0, 1.0));
        let position: Vec<f64> = position.collect();
        let wanted = results(&mut plain, &position).concat();
        let found = results(&mut exact, &position).concat();
        let largest = wanted[1..].iter().fold(0.0f64, |most, x| most.max(x.abs()));
        for (k, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let room = 1e-9 * wanted.abs().max(if k > 0 { 1e-3 * largest } else { 0.0 });
            assert!(wanted.is_finite(), "{what}: result {k} is {wanted}");
            assert!(
                (found - wanted).abs() <= room,
                "{what}: result {k} is {found}, not {wanted}, at {position:?}"
            );
        }
    }
}

/// X b, for a constant X that stands row by row, and a parameter b.
fn product(t: &mut Template, x: &[f64], columns: usize) -> NodeId {
    let rows = x.len() / columns;
    let x = t.data("X", &[rows, columns], x, DType::Float64);
    let b = t.parameter("b", &[columns]);
    let column = t.op_with("dimshuffle", &[b], json!({"order": [0, -1]}));
    let product = t.op("matmul", &[x, column]);
    t.op_with("dimshuffle", &[product], json!({"order": [0]}))
}

/// exp of a parameter.
fn scale(t: &mut Template) -> NodeId {
    let log_sigma = t.parameter("log_sigma", &[]);
    t.op("exp", &[log_sigma])
}

fn member(t: &mut Template, effects: NodeId, groups: &[i64]) -> NodeId {
    let groups = t.ints(&[groups.len()], groups);
    t.op_with("index", &[effects, groups], json!({"spec": ["a"]}))
}

fn groups(random: &mut Random, n: usize, count: usize) -> Vec<i64> {
    (0..n).map(|_| random.below(count) as i64).collect()
}

/// A regression with intercept and scale; elements of X by row and column.
#[track_caller]
fn check_regression(
    what: &str,
    [n, p]: [usize; 2],
    x: impl Fn(&mut Random, usize, usize) -> f64,
    [mean, spread]: [f64; 2],
    expected: &[&str],
) {
    let mut t = Template::default();
    let mut random = Random::new(32);
    let values: Vec<f64> = (0..n * p).map(|k| x(&mut random, k / p, k % p)).collect();
    let y = random.vector(n, mean - spread, mean + spread);
    let linear = product(&mut t, &values, p);
    let a = t.parameter("a", &[]);
    let mu = t.op("add", &[a, linear]);
    let sigma = scale(&mut t);
    let y = t.data("y", &[n], &y, DType::Float64);
    let logp = t.normal(y, mu, sigma);
    t.add_up(logp);
    let mut center = vec![0.0; p + 2];
    center[p] = mean;
    let mut spreads = vec![1.0; p + 2];
    spreads[p] = 2.0 * spread;
    check(what, &t, &center, &spreads, expected);
}

const SQUARES: &[&str] = &["sums_of_squares"];

#[test]
fn regressions_of_all_sizes() {
    for size @ [n, p] in [
        [4, 1],
        [7, 2],
        [8, 2],
        [9, 3],
        [52, 3],
        [600, 40],
        [1000, 10],
        [20_000, 3],
    ] {
        let x = |random: &mut Random, _, _| random.between(-1.0, 1.0);
        // Of the n rows p + 1 are left.
        let expected = if 2 * (p + 1) <= n { SQUARES } else { &[] };
        check_regression(&format!("{n} x {p}"), size, x, [0.0, 3.0], expected);
    }
}

#[test]
fn a_million_rows() {
    let mut t = Template::default();
    let mut random = Random::new(33);
    let y = random.vector(1_000_000, -1.0, 3.0);
    let y = t.data("y", &[y.len()], &y, DType::Float64);
    let mu = t.parameter("mu", &[]);
    let sigma = scale(&mut t);
    let logp = t.normal(y, mu, sigma);
    t.add_up(logp);
    let (mut exact, fired) = evaluator(&t, Builder::default(), Rules::ALL);
    let (mut plain, _) = evaluator(&t, Builder::default(), Rules::NONE);
    assert_eq!(fired, SQUARES);
    for position in [[0.0, 0.0], [3.0, -2.0]] {
        let pairs = results(&mut exact, &position)
            .into_iter()
            .zip(results(&mut plain, &position));
        for (found, wanted) in pairs {
            assert!((found[0] - wanted[0]).abs() <= 1e-11 * wanted[0].abs());
        }
    }
}

#[test]
fn columns_that_depend_on_each_other() {
    let twice =
        |_: &mut Random, row: usize, column: usize| (row as f64 + 1.0).ln() * (column + 1) as f64;
    check_regression("multiples", [100, 3], twice, [0.0, 1.0], SQUARES);
    let constant =
        |_: &mut Random, row: usize, column: usize| if column == 0 { 1.0 } else { row as f64 };
    check_regression("another intercept", [100, 2], constant, [0.0, 1.0], SQUARES);
    let zero = |random: &mut Random, _, column: usize| {
        if column == 1 {
            0.0
        } else {
            random.between(0.0, 1.0)
        }
    };
    check_regression("a column of zeros", [100, 3], zero, [0.0, 1.0], SQUARES);
}

#[test]
fn more_columns_than_rows() {
    let x = |random: &mut Random, _, _| random.between(-1.0, 1.0);
    check_regression("more columns", [20, 30], x, [0.0, 1.0], &[]);
}

#[test]
fn columns_whose_mean_is_far_from_zero() {
    let x = |random: &mut Random, _, _| 1e6 + 1e-6 * random.between(-1.0, 1.0);
    check_regression("columns", [300, 3], x, [1e6, 1e-6], SQUARES);
    check_regression("columns, nothing else", [300, 1], x, [0.0, 1.0], SQUARES);
    // Squares of these would leave the range of f64.
    let huge = |random: &mut Random, _, _| 1e120 * random.between(-1.0, 1.0);
    check_regression("huge columns", [300, 2], huge, [0.0, 1.0], &[]);
}

#[test]
fn a_mean_keeps_the_digits_that_it_shares_with_the_data() {
    let mut t = Template::default();
    let y: Vec<f64> = Random::new(34).vector(500, -1e-6, 1e-6);
    let y: Vec<f64> = y.iter().map(|y| 1e6 + y).collect();
    let y = t.data("y", &[500], &y, DType::Float64);
    let mu = t.parameter("mu", &[]);
    let sigma = scale(&mut t);
    let logp = t.normal(y, mu, sigma);
    t.add_up(logp);
    check("mean", &t, &[1e6, 1e-6f64.ln()], &[1e-5, 0.5], SQUARES);
}

#[test]
fn known_weights() {
    let mut t = Template::default();
    let mut random = Random::new(35);
    let (x, y) = (random.vector(300, -1.0, 1.0), random.vector(300, -3.0, 3.0));
    let weights = random.vector(300, 0.5, 2.0);
    let linear = product(&mut t, &x, 1);
    let sigma = scale(&mut t);
    let weights = t.real(&[300], &weights);
    let sigma = t.op("mul", &[weights, sigma]);
    let y = t.data("y", &[300], &y, DType::Float64);
    let logp = t.normal(y, linear, sigma);
    t.add_up(logp);
    check(
        "weights",
        &t,
        &[0.0; 2],
        &[1.0; 2],
        &["sums_of_squares", "linear_sums"],
    );
}

/// a[g] + b[g] x + X beta for n rows, and what is far from zero in them.
fn check_groups(what: &str, [n, count, p]: [usize; 3], far: f64, spread: f64, crossed: bool) {
    let mut t = Template::default();
    let mut random = Random::new(36);
    let mut column = || {
        let values = random.vector(n, -1.0, 1.0);
        values
            .iter()
            .map(|value| far + spread * value)
            .collect::<Vec<f64>>()
    };
    let (slopes, y) = (column(), column());
    let x: Vec<f64> = (0..p).flat_map(|_| column()).collect();
    let [a, b] = ["a", "b"].map(|name| t.parameter(name, &[count]));
    let first = groups(&mut random, n, count);
    let a = member(&mut t, a, &first);
    let second = if crossed {
        groups(&mut random, n, count)
    } else {
        first
    };
    let b = member(&mut t, b, &second);
    let slopes = t.real(&[n], &slopes);
    let b = if crossed {
        b
    } else {
        t.op("mul", &[b, slopes])
    };
    let mut mu = t.op("add", &[a, b]);
    if p > 0 {
        t.shapes.remove("b");
        let beta = t.parameter("beta", &[p]);
        let x = t.data("X", &[n, p], &x, DType::Float64);
        let column = t.op_with("dimshuffle", &[beta], json!({"order": [0, -1]}));
        let linear = t.op("matmul", &[x, column]);
        let linear = t.op_with("dimshuffle", &[linear], json!({"order": [0]}));
        mu = t.op("add", &[mu, linear]);
        t.shapes.insert("b".into(), vec![count]);
    }
    let sigma = scale(&mut t);
    let y = t.data("y", &[n], &y, DType::Float64);
    let logp = t.normal(y, mu, sigma);
    t.add_up(logp);
    let dim = 2 * count + p + 1;
    check(what, &t, &vec![0.0; dim], &vec![1.0; dim], SQUARES);
}

#[test]
fn groups_with_intercepts_and_slopes() {
    check_groups("intercepts and slopes", [300, 9, 0], 0.0, 1.0, false);
    check_groups("and common slopes", [300, 9, 4], 0.0, 1.0, false);
    check_groups("crossed", [400, 5, 2], 0.0, 1.0, true);
    check_groups("far from zero", [300, 9, 2], 1e6, 1e-6, false);
    check_groups("far from zero, crossed", [400, 5, 2], 1e6, 1e-6, true);
}

#[test]
fn groups_with_scales_of_their_own() {
    for (far, spread) in [(0.0, 3.0), (1e6, 1e-6)] {
        let mut t = Template::default();
        let mut random = Random::new(37);
        let groups = groups(&mut random, 300, 6);
        let y = random.vector(300, far - spread, far + spread);
        let [mu, log_sigma] = ["mu", "log_sigma"].map(|name| t.parameter(name, &[6]));
        let sigma = t.op("exp", &[log_sigma]);
        let (mu, sigma) = (member(&mut t, mu, &groups), member(&mut t, sigma, &groups));
        let y = t.data("y", &[300], &y, DType::Float64);
        let logp = t.normal(y, mu, sigma);
        t.add_up(logp);
        check(
            "scales",
            &t,
            &[0.0; 12],
            &[1.0; 12],
            &["sums_of_squares", "linear_sums", "equal_rows"],
        );
    }
}

#[test]
fn as_many_effects_as_rows_stay_as_they_are() {
    let mut t = Template::default();
    let mut random = Random::new(38);
    let y = random.vector(30, -3.0, 3.0);
    let y = t.data("y", &[30], &y, DType::Float64);
    let theta = t.parameter("theta", &[30]);
    let sigma = scale(&mut t);
    let logp = t.normal(y, theta, sigma);
    t.add_up(logp);
    check("effects", &t, &[0.0; 31], &[1.0; 31], &[]);
}

/// The sum of y eta - f(eta), eta = X b, for counts y and few or many distinct rows.
fn check_counts(what: &str, f: &str, kinds: usize, far: f64, expected: &[&str]) {
    let mut t = Template::default();
    let mut random = Random::new(39);
    let n = 300;
    let distinct = random.vector(2 * kinds, -1.0, 1.0);
    let x: Vec<f64> = (0..2 * n)
        .map(|k| far + distinct[k % (2 * kinds)])
        .collect();
    let y: Vec<f64> = (0..n).map(|k| (k % kinds % 7) as f64).collect();
    let eta = product(&mut t, &x, 2);
    let y = t.data("y", &[n], &y, DType::Float64);
    let value = t.op(f, &[eta]);
    let linear = t.op("mul", &[y, eta]);
    let logp = t.op("sub", &[linear, value]);
    t.add_up(logp);
    check(what, &t, &[0.0; 2], &[0.5 / (1.0 + far); 2], expected);
}

#[test]
fn exponential_families() {
    check_counts("poisson", "exp", 300, 0.0, &["linear_sums"]);
    check_counts("binomial", "softplus", 300, 0.0, &["linear_sums"]);
    check_counts("poisson, far from zero", "exp", 300, 1e6, &["linear_sums"]);
    check_counts(
        "few kinds of rows",
        "exp",
        10,
        0.0,
        &["linear_sums", "equal_rows"],
    );
}

#[test]
fn a_function_of_few_values_is_computed_once_for_each() {
    // The negative binomial's lgamma(y + alpha), beside terms whose rows all differ.
    let mut t = Template::default();
    let mut random = Random::new(40);
    let y: Vec<f64> = (0..400).map(|_| random.below(9) as f64).collect();
    let x = random.vector(400, -1.0, 1.0);
    let y = t.data("y", &[400], &y, DType::Float64);
    let eta = product(&mut t, &x, 1);
    let alpha = scale(&mut t);
    let shifted = t.op("add", &[y, alpha]);
    let (lgamma, softplus) = (t.op("lgamma", &[shifted]), t.op("softplus", &[eta]));
    let product = t.op("mul", &[shifted, softplus]);
    let logp = t.op("sub", &[lgamma, product]);
    t.add_up(logp);
    check("lgamma", &t, &[0.0; 2], &[1.0; 2], &["equal_rows"]);
}

#[test]
fn what_rows_are_weighted_by_may_differ() {
    // Counts of groups with exposures of their own: sum y (a[g] + log e) - e exp(a[g]).
    let mut t = Template::default();
    let mut random = Random::new(42);
    let groups = groups(&mut random, 400, 7);
    let y: Vec<f64> = (0..400).map(|_| random.below(9) as f64).collect();
    let exposure = random.vector(400, -1.0, 2.0);
    let a = t.parameter("a", &[7]);
    let a = member(&mut t, a, &groups);
    let exposure = t.real(&[400], &exposure);
    let eta = t.op("add", &[a, exposure]);
    let y = t.data("y", &[400], &y, DType::Float64);
    let (linear, mean) = (t.op("mul", &[y, eta]), t.op("exp", &[eta]));
    let logp = t.op("sub", &[linear, mean]);
    t.add_up(logp);
    check(
        "exposures",
        &t,
        &[0.0; 7],
        &[1.0; 7],
        &["linear_sums", "equal_rows"],
    );
}

#[test]
fn a_rule_that_is_off_is_not_applied() {
    let mut t = Template::default();
    let y = Random::new(41).vector(50, -1.0, 1.0);
    let y = t.data("y", &[50], &y, DType::Float64);
    let mu = t.parameter("mu", &[]);
    let sigma = scale(&mut t);
    let logp = t.normal(y, mu, sigma);
    t.add_up(logp);
    for name in Rules::NAMES {
        let mut rules = Rules::ALL;
        assert!(rules.switch(name, false) && rules != Rules::ALL);
        let (_, fired) = evaluator(&t, Builder::default(), rules);
        assert!(!fired.contains(&name), "{name}");
    }
    assert!(!Rules::ALL.clone().switch("no such rule", true));
}
