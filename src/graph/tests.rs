use super::*;
use serde_json::{Value, json};

fn op(name: &str, attributes: Value) -> Op {
    let Value::Object(attributes) = attributes else {
        panic!("attributes are an object")
    };
    Op::parse(name, attributes).unwrap()
}

/// Leaves of several types and ranks: x f64[?, ?], v f64[?], n i64, i i64[?], flag bool.
fn leaves() -> (Graph, [NodeId; 5]) {
    let mut graph = Graph::default();
    let x = graph.parameter("x", 2).unwrap();
    let v = graph.data("v", DType::Float64, 1).unwrap();
    let n = graph.data("n", DType::Int64, 0).unwrap();
    let i = graph.data("i", DType::Int64, 1).unwrap();
    let flag = graph.data("flag", DType::Bool, 0).unwrap();
    (graph, [x, v, n, i, flag])
}

#[test]
fn malformed_nodes_are_refused_in_words() {
    let (mut graph, [x, v, n, i, _]) = leaves();
    let cases: &[(&str, Value, &[NodeId], &str)] = &[
        ("add", json!({}), &[], "takes 2 inputs, not 0"),
        ("exp", json!({}), &[x, v], "takes 1 inputs, not 2"),
        ("gt", json!({}), &[n], "takes 2 inputs, not 1"),
        ("sub", json!({}), &[n, n, n], "takes 2 inputs, not 3"),
        ("where", json!({}), &[x, v], "takes 3 inputs, not 2"),
        (
            "exp",
            json!({}),
            &[99],
            "refers to node 99, which does not exist",
        ),
        ("sum", json!({"axes": [2]}), &[x], "an axis is out of range"),
        (
            "sum",
            json!({"axes": [0, 0]}),
            &[x],
            "an axis is named twice",
        ),
        ("sum", json!({"axes": []}), &[], "takes 1 input, not 0"),
        (
            "cumsum",
            json!({"axis": 1}),
            &[v],
            "the axis is out of range",
        ),
        (
            "dimshuffle",
            json!({"order": [0, 0]}),
            &[x],
            "an axis is named twice",
        ),
        (
            "dimshuffle",
            json!({"order": [0, 2]}),
            &[x],
            "an axis is out of range",
        ),
        (
            "reshape",
            json!({"ndim": 1}),
            &[x, n],
            "the shape must be a vector",
        ),
        ("reshape", json!({"ndim": 1}), &[x, v], "must be integers"),
        ("broadcast_to", json!({}), &[x, n], "more axes than lengths"),
        (
            "specify_shape",
            json!({"given": [true]}),
            &[x, n],
            "another rank",
        ),
        ("matmul", json!({}), &[x, v], "takes matrices"),
        ("join", json!({"axis": 0}), &[x, v], "one rank"),
        ("join", json!({"axis": 0}), &[], "at least one"),
        ("make_vector", json!({}), &[v], "takes scalars"),
        ("arange", json!({}), &[n, n], "takes 3 inputs, not 2"),
        ("eye", json!({}), &[n, n, v], "must be integers"),
        ("eye", json!({}), &[n, n, i], "must be scalars"),
        (
            "check",
            json!({"message": "m"}),
            &[x, v],
            "conditions must be scalars",
        ),
        (
            "extract_diag",
            json!({"offset": 0, "axis1": 1, "axis2": 1}),
            &[x],
            "must differ",
        ),
        (
            "index",
            json!({"spec": ["i", "i", "i"]}),
            &[x, n, n, n],
            "more entries",
        ),
        (
            "index",
            json!({"spec": ["i"]}),
            &[x],
            "takes 1 inputs, not 0",
        ),
        (
            "index",
            json!({"spec": ["i"]}),
            &[x, i],
            "positions must be scalars",
        ),
        (
            "index",
            json!({"spec": ["a"]}),
            &[x, v],
            "positions must be integers",
        ),
        (
            "index",
            json!({"spec": ["s110"]}),
            &[x, n],
            "takes 2 inputs, not 1",
        ),
        ("set_index", json!({"spec": []}), &[x], "what goes into it"),
        (
            "softmax",
            json!({"axes": [5]}),
            &[x],
            "an axis is out of range",
        ),
    ];
    for (name, attributes, inputs, part) in cases {
        let before = graph.nodes().len();
        let error = graph.add(op(name, attributes.clone()), inputs).unwrap_err();
        assert!(error.0.contains(part), "{name} {attributes}: {error}");
        assert!(error.0.contains(name), "the op is not named: {error}");
        assert_eq!(graph.nodes().len(), before);
    }
}

#[test]
fn names_are_taken_once() {
    let (mut graph, [x, v, n, ..]) = leaves();
    let message = |result: Result<NodeId, GraphError>| result.unwrap_err().0;
    assert_eq!(
        message(graph.parameter("x", 0)),
        "parameter \"x\" is declared twice"
    );
    assert_eq!(
        message(graph.data("v", DType::Bool, 0)),
        "data \"v\" are declared twice"
    );
    let error = graph.output("logp", x).unwrap_err();
    assert_eq!(
        error.0,
        "the log density must be a real scalar, not f64 of rank 2"
    );
    assert!(
        graph
            .output("logp", n)
            .unwrap_err()
            .0
            .contains("not i64 of rank 0")
    );
    graph.output("y", v).unwrap();
    assert!(
        graph
            .output("y", v)
            .unwrap_err()
            .0
            .contains("declared twice")
    );
    assert!(
        graph
            .output("z", 99)
            .unwrap_err()
            .0
            .contains("does not exist")
    );
}

#[test]
fn ops_and_attributes_are_parsed_strictly() {
    let parse = |name: &str, attributes: Value| match attributes {
        Value::Object(attributes) => Op::parse(name, attributes),
        _ => unreachable!("attributes are an object"),
    };
    assert_eq!(
        parse("cumsum", json!({"axis": 2})),
        Ok(Op::Cumsum { axis: 2 })
    );
    for (name, attributes) in [
        ("frobnicate", json!({})),
        ("cumsum", json!({})),
        ("cumsum", json!({"axis": 0, "extra": 1})),
        ("sum", json!({"axes": [-1]})),
        ("clip", json!({"lo": 0})),
        ("exp", json!({"axis": 0})),
        ("index", json!({"spec": ["x"]})),
    ] {
        let error = parse(name, attributes).unwrap_err();
        assert!(error.contains(name), "the op is not named: {error}");
    }
}

#[test]
fn index_entries_are_text() {
    for text in [":", "i", "a", "s000", "s101", "s111"] {
        let entry = IndexEntry::try_from(text.to_string()).unwrap();
        assert_eq!(String::from(entry), text);
        assert_eq!(entry.leaves(), text.matches(['1', 'i', 'a']).count());
    }
    for text in ["", "s", "s11", "s112", "s1111", "::", "b"] {
        let error = IndexEntry::try_from(text.to_string()).unwrap_err();
        assert!(error.contains("is no index entry"), "{error}");
    }
}

#[test]
fn types_and_ranks_follow_the_inputs() {
    let (mut graph, [x, v, n, i, flag]) = leaves();
    let cases: &[(&str, Value, &[NodeId], DType, usize)] = &[
        ("add", json!({}), &[x, v, n], DType::Float64, 2),
        ("add", json!({}), &[flag, flag], DType::Int64, 0),
        ("clip", json!({}), &[n, n, v], DType::Float64, 1),
        (
            "check",
            json!({"message": "m"}),
            &[v, flag],
            DType::Float64,
            1,
        ),
        (
            "dimshuffle",
            json!({"order": [-1, 0, -1]}),
            &[i],
            DType::Int64,
            3,
        ),
        ("reshape", json!({"ndim": 3}), &[flag, i], DType::Bool, 3),
        ("shape", json!({}), &[x], DType::Int64, 1),
        ("sum", json!({"axes": [0]}), &[i], DType::Int64, 0),
        ("max", json!({"axes": [0, 1]}), &[x], DType::Float64, 0),
        ("argmax", json!({"axes": [1]}), &[x], DType::Int64, 1),
        ("any", json!({"axes": [0]}), &[i], DType::Bool, 0),
        ("matmul", json!({}), &[x, x], DType::Float64, 2),
        ("logsumexp", json!({"axes": [1]}), &[x], DType::Float64, 1),
        (
            "index",
            json!({"spec": [":", "i"]}),
            &[x, n],
            DType::Float64,
            1,
        ),
        (
            "index",
            json!({"spec": ["a", "a"]}),
            &[x, i, n],
            DType::Float64,
            1,
        ),
        ("index", json!({"spec": ["s010"]}), &[i, n], DType::Int64, 1),
        ("make_vector", json!({}), &[], DType::Int64, 1),
        ("arange", json!({}), &[n, n, flag], DType::Int64, 1),
    ];
    for (name, attributes, inputs, dtype, ndim) in cases {
        let id = graph.add(op(name, attributes.clone()), inputs).unwrap();
        let node = &graph.nodes()[id];
        assert_eq!(
            (node.dtype, node.ndim),
            (*dtype, *ndim),
            "{name} {attributes}"
        );
    }
}

/// A graph with an op of every kind of attribute and constants that JSON has no numbers for.
fn rich() -> Graph {
    let (mut graph, [x, _, n, i, flag]) = leaves();
    let values = vec![
        f64::NEG_INFINITY,
        f64::INFINITY,
        f64::NAN,
        -0.0,
        0.1 + 0.2,
        5e-324,
        1e308,
    ];
    graph.constant(vec![7], values, DType::Float64);
    let cast = graph
        .add(op("cast", json!({"dtype": "float64"})), &[i])
        .unwrap();
    graph
        .add(op("reshape", json!({"ndim": 2})), &[cast, i])
        .unwrap();
    graph
        .add(op("check", json!({"message": "\"sigma\" > 0"})), &[x, flag])
        .unwrap();
    graph
        .add(op("index", json!({"spec": [":", "s010"]})), &[x, n])
        .unwrap();
    graph
        .add(
            op("specify_shape", json!({"given": [true, false]})),
            &[x, n],
        )
        .unwrap();
    let total = graph.add(op("sum", json!({"axes": [0, 1]})), &[x]).unwrap();
    let log = graph.add(op("log", json!({})), &[total]).unwrap();
    graph.output("logp", log).unwrap();
    graph
}

#[test]
fn a_graph_survives_json() {
    let graph = rich();
    let text = serde_json::to_string(&graph).unwrap();
    let back: Graph = serde_json::from_str(&text).unwrap();
    assert_eq!(back.outputs(), graph.outputs());
    assert_eq!(back.to_string(), graph.to_string());
    for (a, b) in graph.nodes().iter().zip(back.nodes()) {
        match (&a.op, &b.op) {
            (Op::Constant { values: u, .. }, Op::Constant { values: v, .. }) => {
                let same =
                    |(u, v): (&f64, &f64)| u.to_bits() == v.to_bits() || u.is_nan() && v.is_nan();
                assert!(u.iter().zip(v.iter()).all(same), "{u:?} {v:?}");
            }
            _ => assert_eq!(a, b),
        }
    }
}

#[test]
fn a_stored_graph_is_verified() {
    let stored = serde_json::to_value(rich()).unwrap();
    let read = |stored: Value| serde_json::from_value::<Graph>(stored).map_err(|e| e.to_string());
    assert!(read(stored.clone()).is_ok());
    let changes: [(&str, Value, &str); 5] = [
        (
            "/nodes/6/inputs/0",
            json!(60),
            "node 60, which does not exist",
        ),
        (
            "/nodes/6/dtype",
            json!("int64"),
            "node 6 is f64 of rank 1, not i64",
        ),
        (
            "/nodes/5/op/values",
            json!([1.0]),
            "constant 5 does not fill its shape",
        ),
        (
            "/nodes/5/op/values/0",
            json!("minus"),
            "\"minus\" is no number",
        ),
        (
            "/outputs/0/1",
            json!(0),
            "the log density must be a real scalar",
        ),
    ];
    for (place, value, part) in changes {
        let mut changed = stored.clone();
        *changed.pointer_mut(place).unwrap() = value;
        let error = read(changed).unwrap_err();
        assert!(error.contains(part), "{place}: {error}");
    }
}

#[test]
fn text_is_one_node_a_line() {
    let mut graph = Graph::default();
    let x = graph.parameter("x", 1).unwrap();
    let c = graph.constant(vec![], vec![2.0], DType::Int64);
    let sum = graph.add(op("sum", json!({"axes": [0]})), &[x]).unwrap();
    let product = graph.add(op("mul", json!({})), &[c, sum]).unwrap();
    graph.output("logp", product).unwrap();
    let wanted = "%0: f64[?] = parameter \"x\"\n%1: i64 = 2.0\n%2: f64 = sum axes=[0](%0)\n\
                  %3: f64 = mul(%1, %2)\nlogp = %3\n";
    assert_eq!(graph.to_string(), wanted);
}
