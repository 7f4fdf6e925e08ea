//! What the core's tests share: templates in few words, slow twins of evaluation and of differentiation.

use crate::bind::{Bound, Data, bind_with};
use crate::bound::{BindError, Builder, Id, Op};
use crate::diff;
use crate::graph::{self, DType, Graph, NodeId};
use crate::kernels::evaluate;
use crate::kernels::machine::Workspace;
use crate::plan;
use crate::tensor::{Tensor, size_of};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Random numbers with a fixed seed.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    pub fn vector(&mut self, n: usize, low: f64, high: f64) -> Vec<f64> {
        (0..n).map(|_| self.between(low, high)).collect()
    }

    /// One of 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        (self.between(0.0, n as f64) as usize).min(n - 1)
    }
}

/// A template with its data and the shapes of its parameters.
#[derive(Default)]
pub struct Template {
    pub graph: Graph,
    pub data: Vec<(String, Vec<usize>, Vec<f64>, DType)>,
    pub shapes: HashMap<String, Vec<usize>>,
}

impl Template {
    /// A parameter, whose axes of length 1 broadcast.
    pub fn parameter(&mut self, name: &str, shape: &[usize]) -> NodeId {
        self.shapes.insert(name.into(), shape.to_vec());
        let parameter = self.graph.parameter(name, shape.len()).unwrap();
        if !shape.contains(&1) {
            return parameter;
        }
        let axes = shape.iter().enumerate();
        let order: Vec<i64> = axes
            .map(|(axis, &n)| if n == 1 { -1 } else { axis as i64 })
            .collect();
        self.op_with(
            "dimshuffle",
            &[parameter],
            serde_json::json!({"order": order}),
        )
    }

    pub fn data(&mut self, name: &str, shape: &[usize], values: &[f64], dtype: DType) -> NodeId {
        self.data
            .push((name.into(), shape.to_vec(), values.to_vec(), dtype));
        self.graph.data(name, dtype, shape.len()).unwrap()
    }

    pub fn real(&mut self, shape: &[usize], values: &[f64]) -> NodeId {
        self.graph
            .constant(shape.to_vec(), values.to_vec(), DType::Float64)
    }

    pub fn number(&mut self, value: f64) -> NodeId {
        self.real(&[], &[value])
    }

    pub fn int(&mut self, value: i64) -> NodeId {
        self.ints(&[], &[value])
    }

    pub fn ints(&mut self, shape: &[usize], values: &[i64]) -> NodeId {
        let values = values.iter().map(|&v| v as f64).collect();
        self.graph.constant(shape.to_vec(), values, DType::Int64)
    }

    pub fn bools(&mut self, shape: &[usize], values: &[i64]) -> NodeId {
        let values = values.iter().map(|&v| v as f64).collect();
        self.graph.constant(shape.to_vec(), values, DType::Bool)
    }

    pub fn op(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        self.op_with(name, inputs, Value::Object(Default::default()))
    }

    pub fn op_with(&mut self, name: &str, inputs: &[NodeId], attributes: Value) -> NodeId {
        let Value::Object(attributes) = attributes else {
            panic!("attributes are an object")
        };
        let op = graph::Op::parse(name, attributes).unwrap();
        self.graph.add(op, inputs).unwrap()
    }

    /// Declares the weighted sum of all elements of a node as the log density; no two weights are equal.
    pub fn weigh(&mut self, node: NodeId) {
        let shape = self.op("shape", &[node]);
        let one = self.ints(&[1], &[-1]);
        let flat = self.op_with("reshape", &[node, one], serde_json::json!({"ndim": 1}));
        let length = self.op_with("prod", &[shape], serde_json::json!({"axes": [0]}));
        let (zero, step) = (self.int(0), self.int(1));
        let range = self.op("arange", &[zero, length, step]);
        let weights = self.op("sin", &[range]);
        let two = self.number(2.0);
        let weights = self.op("add", &[weights, two]);
        let product = self.op("mul", &[flat, weights]);
        let total = self.op_with("sum", &[product], serde_json::json!({"axes": [0]}));
        self.graph.output("logp", total).unwrap();
    }

    pub fn bind_with(&self, builder: Builder) -> Result<Bound, BindError> {
        let data = self.data.iter().map(|(name, shape, values, dtype)| {
            let value = Tensor::new(shape.clone(), values);
            let dtype = *dtype;
            (name.clone(), Data { value, dtype })
        });
        bind_with(builder, &self.graph, data.collect(), &self.shapes)
    }

    pub fn bind(&self) -> Result<Bound, BindError> {
        self.bind_with(Builder::default())
    }

    /// The message of a bind that must fail.
    pub fn bind_error(&self) -> String {
        match self.bind() {
            Ok(_) => panic!("the template was bound:\n{}", self.graph),
            Err(error) => error.to_string(),
        }
    }

    /// Value of a node that depends on no parameter.
    pub fn value(&mut self, node: NodeId) -> Arc<Tensor> {
        self.graph.output("value", node).unwrap();
        let bound = self.bind().unwrap();
        let id = bound.outputs.last().unwrap().1;
        bound.builder.constant_value(id).unwrap().clone()
    }
}

/// The bound log density with its gradient, and their nodes.
pub struct Differentiated {
    pub bound: Bound,
    pub roots: Vec<Id>,
}

impl Differentiated {
    pub fn new(template: &Template, builder: Builder) -> Differentiated {
        let mut bound = template.bind_with(builder).unwrap();
        let logp = bound.outputs.iter().find(|o| o.0 == "logp").unwrap().1;
        let parameters: Vec<Id> = bound
            .parameters
            .iter()
            .filter(|p| size_of(&p.shape) > 0)
            .map(|p| {
                let (name, shape) = (p.name.as_str().into(), p.shape.clone());
                bound.builder.parameter(name, p.offset, shape)
            })
            .collect();
        let mut roots = vec![logp];
        roots.extend(diff::gradient(&mut bound.builder, logp, &parameters).unwrap());
        Differentiated { bound, roots }
    }

    pub fn workspace(&self) -> Workspace {
        Workspace::new(Arc::new(plan::plan(&self.bound.builder, &self.roots)))
    }

    /// The log density, then its gradient.
    pub fn evaluate(&self, position: &[f64]) -> Vec<f64> {
        results(&mut self.workspace(), position).concat()
    }
}

/// All results of a workspace at a position.
pub fn results(workspace: &mut Workspace, position: &[f64]) -> Vec<Vec<f64>> {
    workspace.evaluate(position).unwrap();
    (0..workspace.outputs())
        .map(|k| workspace.output(k).to_vec())
        .collect()
}

/// The slow twin of plan and machine: one node after the other.
pub fn interpret(builder: &Builder, roots: &[Id], position: &[f64]) -> Vec<Vec<f64>> {
    let mut values: HashMap<Id, Arc<Tensor>> = HashMap::new();
    for id in builder.reachable(roots) {
        let node = builder.node(id);
        let value = match &node.op {
            Op::Parameter { offset, .. } => {
                let stretch = &position[*offset..*offset + node.size()];
                Arc::new(Tensor::new(node.shape.clone(), stretch))
            }
            Op::Constant(value) => value.clone(),
            _ => {
                let inputs: Vec<&Tensor> = node.inputs.iter().map(|i| &*values[i]).collect();
                Arc::new(evaluate::node(node, &inputs).unwrap())
            }
        };
        values.insert(id, value);
    }
    roots
        .iter()
        .map(|id| values[id].values().to_vec())
        .collect()
}

/// Central differences of order six.
pub fn differences(f: impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    const STEP: f64 = 2e-3;
    (0..x.len())
        .map(|i| {
            let at = |steps: f64| {
                let mut moved = x.to_vec();
                moved[i] += steps * STEP;
                f(&moved)
            };
            let odd = |steps: f64| at(steps) - at(-steps);
            (45.0 * odd(1.0) - 9.0 * odd(2.0) + odd(3.0)) / (60.0 * STEP)
        })
        .collect()
}

/// Whether two numbers agree to `tolerance`, relative above 1 and absolute below.
pub fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

/// Asserts that the gradient of a template's log density is that of its differences, simplified or not.
#[track_caller]
pub fn check_gradient(what: &str, template: &Template, position: &[f64]) {
    for builder in [Builder::plain(), Builder::default()] {
        let model = Differentiated::new(template, builder);
        let logp = |x: &[f64]| model.evaluate(x)[0];
        let wanted = differences(logp, position);
        let found = &model.evaluate(position)[1..];
        for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            assert!(
                close(*found, *wanted, 1e-8),
                "{what}: derivative {i} is {found}, differences say {wanted}\n{}",
                template.graph
            );
        }
        assert_eq!(found.len(), position.len(), "{what}");
    }
}
