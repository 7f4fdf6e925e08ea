use crate::bound::{Builder, Op};
use crate::graph::{DType, Graph, NodeId};
use crate::model::Model;
use crate::testing::{Differentiated, Template, check_gradient, close};
use serde_json::json;

const STEPS: usize = 6;

/// x <- tanh(a x) + exp(b)^2 y, where exp(b)^2 is the same in all steps.
fn body() -> Graph {
    let mut body = Template::default();
    let y = body.graph.data("y", DType::Float64, 0).unwrap();
    let x = body.graph.data("x", DType::Float64, 0).unwrap();
    let a = body.graph.data("a", DType::Float64, 0).unwrap();
    let b = body.graph.data("b", DType::Float64, 0).unwrap();
    let next = step(&mut body, x, y, a, b);
    body.graph.output("x", next).unwrap();
    body.graph
}

fn step(t: &mut Template, x: NodeId, y: NodeId, a: NodeId, b: NodeId) -> NodeId {
    let ax = t.op("mul", &[a, x]);
    let tanh = t.op("tanh", &[ax]);
    let e = t.op("exp", &[b]);
    let e = t.op("sqr", &[e]);
    let ey = t.op("mul", &[e, y]);
    t.op("add", &[tanh, ey])
}

fn leaves(t: &mut Template) -> (NodeId, NodeId, NodeId, NodeId) {
    let y = t.parameter("y", &[STEPS]);
    let first = t.parameter("first", &[1]);
    let a = t.parameter("a", &[]);
    let b = t.parameter("b", &[]);
    (y, first, a, b)
}

fn looped() -> Template {
    let mut t = Template::default();
    let (y, first, a, b) = leaves(&mut t);
    let rest = t.real(&[STEPS], &[0.0; STEPS]);
    let buffer = t.op_with("join", &[first, rest], json!({"axis": 0}));
    let steps = t.int(STEPS as i64);
    let body = serde_json::to_value(body()).unwrap();
    let arguments = json!({"sequences": 1, "lags": [[1]], "collected": 0, "lasts": 0});
    let packed = t.op_with(
        "loop",
        &[steps, y, buffer, a, b],
        json!({"body": body, "arguments": arguments}),
    );
    let states = t.op_with("part", &[packed], json!({"index": 0}));
    t.weigh(states);
    t
}

/// The same, step after step.
fn unrolled() -> Template {
    let mut t = Template::default();
    let (y, first, a, b) = leaves(&mut t);
    let zero = t.int(0);
    let mut x = t.op_with("index", &[first, zero], json!({"spec": ["i"]}));
    let mut states = vec![x];
    for k in 0..STEPS {
        let k = t.int(k as i64);
        let y = t.op_with("index", &[y, k], json!({"spec": ["i"]}));
        x = step(&mut t, x, y, a, b);
        states.push(x);
    }
    let states = t.op("make_vector", &states);
    t.weigh(states);
    t
}

const POSITION: [f64; STEPS + 3] = [0.3, -0.2, 0.9, -1.1, 0.4, 0.1, 0.7, 0.8, -0.6];

#[test]
fn a_loop_is_its_steps_one_after_the_other() {
    for builder in [Builder::plain, Builder::default] {
        let found = Differentiated::new(&looped(), builder()).evaluate(&POSITION);
        let wanted = Differentiated::new(&unrolled(), builder()).evaluate(&POSITION);
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(close(*found, wanted, 1e-14), "{found} {wanted}");
        }
    }
}

#[test]
fn adjoints_are_those_of_differences() {
    check_gradient("loop", &looped(), &POSITION);
}

#[test]
fn what_is_the_same_in_all_steps_is_computed_once() {
    let t = looped();
    let bound = t.bind().unwrap();
    let nodes = bound.builder.nodes();
    let body = nodes.iter().find_map(|node| match &node.op {
        Op::Loop(l) => Some(&l.builder),
        _ => None,
    });
    let has_exp = |builder: &Builder| {
        let mut nodes = builder.nodes().iter();
        nodes.any(|node| node.op == Op::Map(crate::scalar::ScalarFn::Exp))
    };
    assert!(has_exp(&bound.builder));
    assert!(!has_exp(body.unwrap()));
}

#[test]
fn a_state_that_changes_its_shape_is_refused() {
    let mut body = Graph::default();
    let x = body.data("x", DType::Float64, 1).unwrap();
    let twice = crate::graph::Op::Join { axis: 0 };
    let next = body.add(twice, &[x, x]).unwrap();
    body.output("x", next).unwrap();
    let mut t = Template::default();
    let buffer = t.parameter("x", &[4, 3]);
    let steps = t.int(3);
    let arguments = json!({"sequences": 0, "lags": [[1]], "collected": 0, "lasts": 0});
    let attributes = json!({"body": serde_json::to_value(body).unwrap(), "arguments": arguments});
    t.op_with("loop", &[steps, buffer], attributes);
    let message = t.bind_error();
    assert!(
        message.contains("[3] at first and [6] after a step"),
        "{message}"
    );
    assert!(message.contains("parameter \"x\""), "{message}");
}

#[test]
fn more_steps_than_rows_are_refused() {
    let mut t = looped();
    t.shapes.insert("y".into(), vec![STEPS - 1]);
    let message = t.bind_error();
    assert!(
        message.contains("needs 6 entries of an array that has 5"),
        "{message}"
    );
}

#[test]
fn bodies_that_do_not_fit_their_loop_are_refused() {
    let mut t = Template::default();
    let y = t.parameter("y", &[STEPS]);
    let steps = t.int(6);
    let mut add = |arguments: serde_json::Value, inputs: &[NodeId]| {
        let mut attributes = serde_json::Map::new();
        attributes.insert("body".into(), serde_json::to_value(body()).unwrap());
        attributes.insert("arguments".into(), arguments);
        let op = crate::graph::Op::parse("loop", attributes).unwrap();
        t.graph.add(op, inputs).unwrap_err().0
    };
    let message = add(
        json!({"sequences": 1, "lags": [[1]], "collected": 0, "lasts": 0}),
        &[steps, y],
    );
    assert!(
        message.contains("takes a number of steps, sequences and states"),
        "{message}"
    );
    let message = add(
        json!({"sequences": 1, "lags": [[1]], "collected": 0, "lasts": 0}),
        &[steps, y, y, y],
    );
    assert!(
        message.contains("inputs are not a step of the loop's"),
        "{message}"
    );
    let message = add(
        json!({"sequences": 1, "lags": [[0]], "collected": 0, "lasts": 0}),
        &[steps, y, y],
    );
    assert!(message.contains("at least one step later"), "{message}");
}

#[test]
fn a_template_with_a_loop_survives_json() {
    let graph = looped().graph;
    let text = serde_json::to_string(&graph).unwrap();
    assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
    assert!(Model::new(&graph, Default::default(), &looped().shapes).is_ok());
}
