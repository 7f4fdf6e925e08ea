//! What is fuzzed: a stored graph with data and shapes from anywhere, read, bound, differentiated and evaluated.
//!
//! A case is JSON: `{"graph": ..., "arrays": [[shape, values], ...], "data": {name: [shape, values]}, "shapes":
//! {name: shape}}`. Both the fuzz target and the test of the suite run cases and mutate them by these functions.

use pymc_rustmc::bind::Data;
use pymc_rustmc::density::Density;
use pymc_rustmc::graph::{Array, DType, Graph, NodeId, Op};
use pymc_rustmc::model::Model;
use pymc_rustmc::rewrite::algebra::Rules;
use pymc_rustmc::tensor::{Tensor, size_of};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

/// Elements that an array, all constants, and an evaluation may have.
const ROOM: usize = 1 << 14;

/// A stream of numbers.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number (splitmix64).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// How far a case came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// It is no graph.
    Nothing,
    /// It is a graph, to which data cannot be bound.
    Graph,
    /// It was evaluated, with an error or without.
    Value,
}

/// Runs a case as it is, and if it is no graph, with its invalid nodes left out.
pub fn run(case: &Value) -> Reached {
    let arrays = arrays(&case["arrays"]);
    match Graph::from_stored(case["graph"].clone(), arrays.clone()) {
        Ok(graph) => bind(&graph, case),
        Err(_) => {
            repaired(&case["graph"], &arrays).map_or(Reached::Nothing, |graph| bind(&graph, case))
        }
    }
}

fn bind(graph: &Graph, case: &Value) -> Reached {
    let (mut data, mut shapes) = (HashMap::new(), HashMap::new());
    for node in graph.nodes() {
        match &node.op {
            Op::Data { name } => {
                let value =
                    array(&case["data"][name]).filter(|(shape, _)| shape.len() == node.ndim);
                let (shape, values) = value.unwrap_or_else(|| {
                    let shape = default_shape(node.ndim);
                    let values = (0..size_of(&shape)).map(|i| (i % 2) as f64).collect();
                    (shape, values)
                });
                let value = Tensor::new(shape, &values);
                data.insert(
                    name.clone(),
                    Data {
                        value,
                        dtype: node.dtype,
                    },
                );
            }
            Op::Parameter { name } => {
                let shape =
                    lengths(&case["shapes"][name]).unwrap_or_else(|| default_shape(node.ndim));
                shapes.insert(name.clone(), shape);
            }
            _ => {}
        }
    }
    // Whatever can be integrated out is, of every third graph.
    let marginalised: Vec<String> = match graph.nodes().len().is_multiple_of(3) {
        true => shapes.keys().cloned().collect(),
        false => vec![],
    };
    let Ok(model) = Model::within(ROOM, Rules::ALL, &marginalised, None, graph, data, &shapes)
    else {
        return Reached::Graph;
    };
    let position = |dim: usize| -> Vec<f64> { (0..dim).map(|i| (i as f64 * 0.7).sin()).collect() };
    let mut gradient = vec![0.0; model.dim()];
    let sampled = position(model.dim());
    _ = model.density().logp_and_gradient(&sampled, &mut gradient);
    let position = position(model.whole_dim());
    let names: Vec<String> = model.outputs().map(|(name, _)| name.to_string()).collect();
    _ = model.evaluate(&names, &position, 1);
    if graph.nodes().len().is_multiple_of(8) {
        _ = (model.graph_text(), model.plan_text());
    }
    Reached::Value
}

/// As many elements as a test can bear.
fn default_shape(ndim: usize) -> Vec<usize> {
    vec![if ndim > 4 { 1 } else { 2 }; ndim]
}

/// The graph without the nodes that cannot be added; what reads them reads others instead.
fn repaired(stored: &Value, arrays: &[Array]) -> Option<Graph> {
    let mut graph = Graph::default();
    let mut ids: Vec<NodeId> = vec![];
    for node in stored["nodes"].as_array()? {
        let dtype: DType = serde_json::from_value(node["dtype"].clone()).unwrap_or(DType::Float64);
        let ndim = node["ndim"].as_u64().unwrap_or(0) as usize;
        let inputs = node["inputs"].as_array().map_or(&[][..], Vec::as_slice);
        let inputs: Vec<NodeId> = inputs
            .iter()
            .filter_map(|input| {
                ids.get(input.as_u64()? as usize % ids.len().max(1))
                    .copied()
            })
            .collect();
        let op = match node["op"].get("array").and_then(Value::as_u64) {
            Some(index) => arrays
                .get(index as usize)
                .map(|(shape, values)| Op::Constant {
                    shape: shape.clone(),
                    values: values.clone().into(),
                }),
            None => serde_json::from_value(node["op"].clone()).ok(),
        };
        let added = match op {
            Some(Op::Parameter { name }) => graph.parameter(&name, ndim).ok(),
            Some(Op::Data { name }) => graph.data(&name, dtype, ndim).ok(),
            Some(Op::Constant { shape, values })
                if shape.len() <= 32 && size_of(&shape) == values.len() =>
            {
                Some(graph.shared_constant(shape, values, DType::Float64))
            }
            Some(Op::Constant { .. }) | None => None,
            Some(op) => graph.add(op, &inputs).ok(),
        };
        let fallback = |graph: &mut Graph| graph.constant(vec![], vec![1.0], DType::Int64);
        let id = added
            .or_else(|| ids.last().copied())
            .unwrap_or_else(|| fallback(&mut graph));
        ids.push(id);
    }
    for output in stored["outputs"].as_array()? {
        let id = *ids.get(output[1].as_u64()? as usize % ids.len().max(1))?;
        let name = output[0].as_str()?;
        if graph.output(name, id).is_err() && name == "logp" {
            let axes = (0..graph.nodes()[id].ndim).collect();
            let sum = graph.add(Op::Sum { axes }, &[id]).ok()?;
            let real = graph
                .add(
                    Op::Cast {
                        dtype: DType::Float64,
                    },
                    &[sum],
                )
                .ok()?;
            graph.output(name, real).ok()?;
        }
    }
    Some(graph)
}

fn lengths(value: &Value) -> Option<Vec<usize>> {
    let lengths: Option<Vec<usize>> = value
        .as_array()?
        .iter()
        .map(|n| Some(n.as_u64()? as usize))
        .collect();
    lengths.filter(|lengths| lengths.len() <= 32)
}

fn array(value: &Value) -> Option<Array> {
    let shape = lengths(&value[0])?;
    let values: Vec<f64> = value[1]
        .as_array()?
        .iter()
        .map(|v| v.as_f64().unwrap_or(f64::NAN))
        .collect();
    (size_of(&shape) == values.len()).then_some((shape, values))
}

fn arrays(value: &Value) -> Vec<Array> {
    let values = value.as_array().map_or(&[][..], Vec::as_slice);
    values
        .iter()
        .map(|value| array(value).unwrap_or_default())
        .collect()
}

/// Number of nodes.
pub fn size(case: &Value) -> usize {
    case["graph"]["nodes"].as_array().map_or(0, Vec::len)
}

/// Changes a case in a few places.
pub fn mutate(case: &mut Value, numbers: &mut Numbers) {
    for _ in 0..1 + numbers.below(12) {
        match numbers.below(8) {
            0 | 1 => change_node(case, numbers),
            2 => insert_node(case, numbers),
            3 if size(case) > 20 => cut(case, numbers),
            _ => {
                let count = count(case);
                let place = numbers.below(count);
                change_value(case, place, numbers);
            }
        }
    }
}

const NUMBERS: [f64; 20] = [
    0.0,
    1.0,
    2.0,
    3.0,
    4.0,
    7.0,
    8.0,
    9.0,
    31.0,
    33.0,
    -1.0,
    -2.0,
    0.5,
    -0.5,
    255.0,
    4294967296.0,
    9007199254740992.0,
    9.3e18,
    -9.3e18,
    1e308,
];

const WORDS: [&str; 12] = [
    "float64", "int64", "bool", "inf", "-inf", "NaN", ":", "i", "a", "s000", "s111", "s101",
];

fn number(numbers: &mut Numbers) -> Value {
    let value = NUMBERS[numbers.below(NUMBERS.len())];
    match value.fract() == 0.0 && value.abs() < 1e19 {
        true => json!(value as i64),
        false => json!(value),
    }
}

fn nodes(case: &mut Value) -> Option<&mut Vec<Value>> {
    let nodes = case.get_mut("graph")?.get_mut("nodes")?.as_array_mut()?;
    let are_objects = nodes.iter().all(Value::is_object);
    (are_objects && !nodes.is_empty()).then_some(nodes)
}

/// Gives a node the op of another one, or other inputs.
fn change_node(case: &mut Value, numbers: &mut Numbers) {
    let Some(nodes) = nodes(case) else { return };
    let (index, other) = (numbers.below(nodes.len()), numbers.below(nodes.len()));
    let op = nodes[other]["op"].clone();
    let inputs = nodes[other]["inputs"].as_array().map_or(0, Vec::len);
    if numbers.below(2) == 0 {
        nodes[index]["op"] = op;
    }
    let inputs: Vec<usize> = (0..inputs).map(|_| numbers.below(index)).collect();
    nodes[index]["inputs"] = json!(inputs);
}

/// Appends a node like another one on any nodes, and makes it an output.
fn insert_node(case: &mut Value, numbers: &mut Numbers) {
    let Some(nodes) = nodes(case) else { return };
    let last = nodes.len();
    let mut node = nodes[numbers.below(last)].clone();
    let inputs = node["inputs"].as_array().map_or(0, Vec::len);
    let inputs: Vec<usize> = (0..inputs)
        .map(|_| last - 1 - numbers.below(last.min(12)))
        .collect();
    node["inputs"] = json!(inputs);
    nodes.push(node);
    let position = numbers.below(8);
    if let Some(outputs) = case["graph"]
        .get_mut("outputs")
        .and_then(Value::as_array_mut)
    {
        match outputs
            .get_mut(position)
            .and_then(|output| output.get_mut(1))
        {
            Some(output) => *output = json!(last),
            None => outputs.push(json!([format!("output {last}"), last])),
        }
    }
}

/// Keeps a node and a few of those that it is computed from; others become parameters and data.
fn cut(case: &mut Value, numbers: &mut Numbers) {
    let Some(nodes) = nodes(case) else { return };
    let inputs = |node: &Value| -> Vec<usize> {
        let inputs = node["inputs"].as_array().map_or(&[][..], Vec::as_slice);
        inputs
            .iter()
            .filter_map(|input| Some(input.as_u64()? as usize))
            .collect()
    };
    let (mut kept, mut leaves) = (BTreeSet::new(), BTreeSet::new());
    let (mut waiting, most) = (vec![numbers.below(nodes.len())], 1 + numbers.below(12));
    while let Some(id) = waiting.pop() {
        let has_parts = nodes[id].get("parts").is_some();
        if kept.len() < most || has_parts {
            let earlier = inputs(&nodes[id]).into_iter().filter(|&input| input < id);
            waiting.extend(earlier.filter(|input| !kept.contains(input)));
            kept.insert(id);
        } else {
            leaves.insert(id);
        }
    }
    let ids: Vec<usize> = kept.union(&leaves).copied().collect();
    let rest = ids.iter().map(|id| {
        let mut node = nodes[*id].clone();
        if kept.contains(id) {
            let place = |input: usize| ids.binary_search(&input).unwrap_or(0);
            node["inputs"] = inputs(&node).into_iter().map(place).collect();
        } else if node["op"].get("array").is_none() && node["op"]["op"] != "constant" {
            let kind = if node["dtype"] == "float64" {
                "parameter"
            } else {
                "data"
            };
            node["op"] = json!({"op": kind, "name": format!("leaf {id}")});
            node["inputs"] = json!([]);
        }
        node
    });
    *nodes = rest.collect();
    case["graph"]["outputs"] = json!([["logp", ids.len() - 1], ["value", ids.len() - 1]]);
}

/// Number of values in a value, itself included.
pub fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value at a place, counted in depth-first order.
fn change_value(value: &mut Value, mut place: usize, numbers: &mut Numbers) {
    if place == 0 {
        return change(value, numbers);
    }
    place -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => vec![],
    };
    for item in inner {
        let count = count(item);
        if place < count {
            return change_value(item, place, numbers);
        }
        place -= count;
    }
}

fn change(value: &mut Value, numbers: &mut Numbers) {
    match value {
        Value::Number(_) => *value = number(numbers),
        Value::String(text) => *text = WORDS[numbers.below(WORDS.len())].into(),
        Value::Bool(flag) => *flag = !*flag,
        Value::Null => *value = number(numbers),
        Value::Array(items) if items.is_empty() => items.push(number(numbers)),
        Value::Array(items) => {
            let index = numbers.below(items.len());
            match numbers.below(3) {
                0 => drop(items.remove(index)),
                1 => items.push(items[index].clone()),
                _ => {
                    let other = numbers.below(items.len());
                    items.swap(index, other);
                }
            }
        }
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            match (keys.is_empty(), numbers.below(3)) {
                (true, _) => *value = Value::Object(Map::new()),
                (false, 0) => drop(fields.remove(&keys[numbers.below(keys.len())])),
                (false, _) => {
                    let (one, other) = (
                        &keys[numbers.below(keys.len())],
                        &keys[numbers.below(keys.len())],
                    );
                    let copied = fields[other].clone();
                    fields.insert(one.clone(), copied);
                }
            }
        }
    }
}
