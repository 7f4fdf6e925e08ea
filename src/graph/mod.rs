//! The template graph: what a PyMC model says, before any data or length is known.
//!
//! Nodes are verified as they are added: number, type and rank of the inputs. [`crate::bind`] turns the
//! template and a set of data into a bound graph.

mod dtype;
mod exact;
mod op;
mod rules;
mod stored;

pub use dtype::DType;
pub use op::{Assumption, IndexEntry, LoopArguments, Op, UniquePart};
pub use stored::Array;

use crate::tensor::Values;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use thiserror::Error;

/// Index of a node in its graph.
pub type NodeId = usize;

/// A malformed node, in words for whoever built it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct GraphError(pub String);

/// A node: operation, inputs, and what is known of the result without data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// From which nodes.
    pub inputs: Vec<NodeId>,
    /// Type of the elements.
    pub dtype: DType,
    /// Number of axes.
    pub ndim: usize,
    /// Type and rank of each result of an op that has several; only `Part` reads such a node. Its own value is
    /// the vector of all their elements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(DType, usize)>,
}

/// A template graph with named outputs; the output `logp` is the log density.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    outputs: Vec<(String, NodeId)>,
    /// Names of parameters and data.
    names: HashSet<String>,
}

/// NumPy arrays had at most this many axes for twenty years.
const MAX_RANK: usize = 32;

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(GraphError(format!($($message)*)));
        }
    };
}
use ensure;

impl Graph {
    /// All nodes, inputs before users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Named outputs, in order of declaration.
    pub fn outputs(&self) -> &[(String, NodeId)] {
        &self.outputs
    }

    /// Adds a parameter: a real array of which only the rank is known.
    pub fn parameter(&mut self, name: &str, ndim: usize) -> Result<NodeId, GraphError> {
        ensure!(
            ndim <= MAX_RANK,
            "parameter {name:?} has more than {MAX_RANK} axes"
        );
        ensure!(
            self.names.insert(name.into()),
            "parameter {name:?} is declared twice"
        );
        Ok(self.leaf(Op::Parameter { name: name.into() }, DType::Float64, ndim))
    }

    /// Adds an input that is bound later.
    pub fn data(&mut self, name: &str, dtype: DType, ndim: usize) -> Result<NodeId, GraphError> {
        ensure!(
            ndim <= MAX_RANK,
            "data {name:?} have more than {MAX_RANK} axes"
        );
        ensure!(
            self.names.insert(name.into()),
            "data {name:?} are declared twice"
        );
        Ok(self.leaf(Op::Data { name: name.into() }, dtype, ndim))
    }

    /// Adds a literal.
    pub fn constant(&mut self, shape: Vec<usize>, values: Vec<f64>, dtype: DType) -> NodeId {
        self.shared_constant(shape, values.into(), dtype)
    }

    /// As [`Graph::constant`], of elements that are not copied.
    pub fn shared_constant(&mut self, shape: Vec<usize>, values: Values, dtype: DType) -> NodeId {
        let ndim = shape.len();
        self.leaf(Op::Constant { shape, values }, dtype, ndim)
    }

    fn leaf(&mut self, op: Op, dtype: DType, ndim: usize) -> NodeId {
        self.nodes.push(Node {
            op,
            inputs: vec![],
            dtype,
            ndim,
            parts: vec![],
        });
        self.nodes.len() - 1
    }

    /// Adds an operation on existing nodes.
    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        for &input in inputs {
            ensure!(
                input < self.nodes.len(),
                "op `{op}` refers to node {input}, which does not exist"
            );
        }
        let nodes: Vec<&Node> = inputs.iter().map(|&input| &self.nodes[input]).collect();
        let inferred = rules::results(&op, &nodes).and_then(|parts| match parts.is_empty() {
            true => rules::infer(&op, &nodes).map(|(dtype, ndim)| (dtype, ndim, parts)),
            false => Ok((DType::Float64, 1, parts)),
        });
        let (dtype, ndim, parts) =
            inferred.map_err(|error| GraphError(format!("op `{op}`: {}", error.0)))?;
        ensure!(
            ndim <= MAX_RANK,
            "the result of op `{op}` has more than {MAX_RANK} axes"
        );
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            dtype,
            ndim,
            parts,
        });
        Ok(self.nodes.len() - 1)
    }

    /// Names a node as an output.
    pub fn output(&mut self, name: &str, node: NodeId) -> Result<(), GraphError> {
        ensure!(
            node < self.nodes.len(),
            "output {name:?} refers to node {node}, which does not exist"
        );
        ensure!(
            !self.outputs.iter().any(|(other, _)| other == name),
            "output {name:?} is declared twice"
        );
        let Node {
            dtype,
            ndim,
            ref parts,
            ..
        } = self.nodes[node];
        ensure!(
            parts.is_empty(),
            "output {name:?} must be one result of `{}`, not all of them",
            self.nodes[node].op
        );
        ensure!(
            name != "logp" || (dtype == DType::Float64 && ndim == 0),
            "the log density must be a real scalar, not {dtype} of rank {ndim}"
        );
        self.outputs.push((name.into(), node));
        Ok(())
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, node) in self.nodes.iter().enumerate() {
            write!(f, "%{id}: {}", node.dtype)?;
            if node.ndim > 0 {
                write!(f, "[{}]", vec!["?"; node.ndim].join(", "))?;
            }
            write!(f, " = {}", node.op)?;
            if !node.inputs.is_empty() {
                let inputs: Vec<String> = node
                    .inputs
                    .iter()
                    .map(|input| format!("%{input}"))
                    .collect();
                write!(f, "({})", inputs.join(", "))?;
            }
            writeln!(f)?;
        }
        for (name, id) in &self.outputs {
            writeln!(f, "{name} = %{id}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
