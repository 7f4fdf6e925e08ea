//! The forward algorithm with states as they are, and as pairs.

use super::*;
use crate::graph::{DType, Graph};
use crate::kernels::loops::tests::check_loops;
use crate::plan;
use crate::rewrite::fuse::fuse;
use crate::testing::{Differentiated, Random, Template, close, interpret, results};
use serde_json::json;
use std::sync::Arc;

/// f <- e + logsumexp(f[:, None] + c, axis 0), or over axis 1 of c + f[None, :].
fn step(backward: bool) -> Graph {
    let mut body = Template::default();
    let e = body.graph.data("e", DType::Float64, 1).unwrap();
    let f = body.graph.data("f", DType::Float64, 1).unwrap();
    let c = body.graph.data("c", DType::Float64, 2).unwrap();
    let (order, axis) = match backward {
        false => ([0, -1], 0),
        true => ([-1, 0], 1),
    };
    let rows = body.op_with("dimshuffle", &[f], json!({"order": order}));
    let x = match backward {
        false => body.op("add", &[rows, c]),
        true => body.op("add", &[c, rows]),
    };
    let sums = body.op_with("logsumexp", &[x], json!({"axes": [axis]}));
    let next = body.op("add", &[e, sums]);
    body.graph.output("f", next).unwrap();
    body.graph
}

/// All states of so many steps, weighed; parameters are e, the first f and c, unless c is data.
fn forward(steps: usize, k: usize, backward: bool, c: Option<&[f64]>) -> Template {
    let mut t = Template::default();
    let e = t.parameter("e", &[steps, k]);
    let first = t.parameter("first", &[1, k]);
    let c = match c {
        Some(values) => t.data("c", &[k, k], values, DType::Float64),
        None => t.parameter("c", &[k, k]),
    };
    let rest = t.real(&[steps, k], &vec![0.0; steps * k]);
    let buffer = t.op_with("join", &[first, rest], json!({"axis": 0}));
    let count = t.int(steps as i64);
    let body = serde_json::to_value(step(backward)).unwrap();
    let arguments = json!({"sequences": 1, "lags": [[1]], "collected": 0, "lasts": 0});
    let attributes = json!({"body": body, "arguments": arguments});
    let packed = t.op_with("loop", &[count, e, buffer, c], attributes);
    let states = t.op_with("part", &[packed], json!({"index": 0}));
    t.weigh(states);
    t
}

/// Values under the rule and without any, after checks that the rule was applied and that compiled code agrees.
fn both(t: &Template, position: &[f64]) -> [Vec<f64>; 2] {
    let model = Differentiated::new(t, Builder::default());
    let (fused, roots) = fuse(&model.bound.builder, &model.roots);
    assert_eq!(fused.fired().get(RULE), Some(&1));
    check_loops(&fused, &roots, 7);
    let mut workspace =
        crate::kernels::machine::Workspace::new(Arc::new(plan::plan(&fused, &roots)));
    let found = results(&mut workspace, position).concat();
    let slow = Differentiated::new(t, Builder::plain());
    let wanted = interpret(&slow.bound.builder, &slow.roots, position).concat();
    [found, wanted]
}

#[track_caller]
fn assert_same([found, wanted]: [Vec<f64>; 2], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted
        .iter()
        .filter(|x| x.is_finite())
        .fold(1.0f64, |most, x| most.max(x.abs()));
    for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        let near = match wanted.is_finite() {
            true => close(found / scale, wanted / scale, 1e-12),
            false => found == wanted || found.is_nan() && wanted.is_nan(),
        };
        assert!(near, "{what}: {i} is {found}, not {wanted}");
    }
}

#[test]
fn pairs_give_the_states_and_their_gradients() {
    let mut random = Random::new(71);
    for k in [2, 3] {
        for backward in [false, true] {
            // Steps enough for many factors to be handed on, and spreads that make terms vanish.
            for (steps, spread) in [(2, 1.0), (9, 3.0), (40, 1000.0), (400, 0.1), (400, 20.0)] {
                let t = forward(steps, k, backward, None);
                let position = random.vector((steps + 1 + k) * k, -spread, spread);
                let what = format!("{k} states, backward {backward}, {steps} steps, {spread}");
                assert_same(both(&t, &position), &what);
            }
        }
    }
}

#[test]
fn states_that_cannot_be_stay_so() {
    let mut random = Random::new(72);
    let never = f64::NEG_INFINITY;
    // Absorbing states, states that cannot be left together, none that can be reached.
    for c in [
        [0.0, never, never, 0.0],
        [-0.5, never, never, never],
        [never; 4],
        [-0.1, -2.0, never, 0.0],
    ] {
        for spread in [1.0, 900.0] {
            let t = forward(30, 2, false, Some(&c));
            let position = random.vector(62, -spread, spread);
            let [found, wanted] = both(&t, &position);
            // Gradients where there is no density are nobody's business.
            assert_same([vec![found[0]], vec![wanted[0]]], &format!("{c:?}"));
            if wanted[0].is_finite() {
                assert_same([found, wanted], &format!("gradient, {c:?}"));
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_what_it_is() {
    let mut random = Random::new(73);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in [0, 31, 61] {
            let t = forward(30, 2, false, Some(&[-0.3, -1.2, -1.4, -0.3]));
            let mut position = random.vector(62, -1.0, 1.0);
            position[at] = value;
            let [found, wanted] = both(&t, &position);
            assert_same(
                [vec![found[0]], vec![wanted[0]]],
                &format!("{value} at {at}"),
            );
        }
    }
}

#[test]
fn a_state_that_is_read_otherwise_is_left_alone() {
    // The state itself is added: f <- f + logsumexp(f + c).
    let mut body = Template::default();
    let f = body.graph.data("f", DType::Float64, 1).unwrap();
    let c = body.graph.data("c", DType::Float64, 2).unwrap();
    let rows = body.op_with("dimshuffle", &[f], json!({"order": [0, -1]}));
    let x = body.op("add", &[rows, c]);
    let sums = body.op_with("logsumexp", &[x], json!({"axes": [0]}));
    let next = body.op("add", &[f, sums]);
    body.graph.output("f", next).unwrap();
    let mut t = Template::default();
    let first = t.parameter("first", &[1, 2]);
    let c = t.parameter("c", &[2, 2]);
    let rest = t.real(&[5, 2], &[0.0; 10]);
    let buffer = t.op_with("join", &[first, rest], json!({"axis": 0}));
    let count = t.int(5);
    let body = serde_json::to_value(body.graph).unwrap();
    let arguments = json!({"sequences": 0, "lags": [[1]], "collected": 0, "lasts": 0});
    let attributes = json!({"body": body, "arguments": arguments});
    let packed = t.op_with("loop", &[count, buffer, c], attributes);
    let states = t.op_with("part", &[packed], json!({"index": 0}));
    t.weigh(states);
    let model = Differentiated::new(&t, Builder::default());
    let (fused, _) = fuse(&model.bound.builder, &model.roots);
    assert_eq!(fused.fired().get(RULE), None);
}
