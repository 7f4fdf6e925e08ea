//! The stored form of a template graph: JSON, with large constants in a list of arrays beside it.
//!
//! What is read may come from anywhere. Every node goes through the same checks as when it is built.

use super::{DType, Graph, GraphError, NodeId, Op, ensure};
use crate::tensor::size_of;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// Shape and row-major values of a constant that is stored beside the graph.
pub type Array = (Vec<usize>, Vec<f64>);

/// Constants of more elements than these are stored beside the graph.
const MAX_INLINE: usize = 8;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    nodes: Vec<StoredNode>,
    outputs: Vec<(String, NodeId)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNode {
    /// An op with its attributes, or `{"array": k}`.
    op: Value,
    inputs: Vec<NodeId>,
    dtype: DType,
    ndim: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<(DType, usize)>,
}

impl Graph {
    /// The stored form, and the arrays beside it.
    ///
    /// # Errors
    /// If an op cannot be stored; the text names it.
    pub fn to_stored(&self) -> Result<(Value, Vec<Array>), GraphError> {
        let mut arrays = vec![];
        let stored = self.store(MAX_INLINE, &mut arrays)?;
        Ok((stored, arrays))
    }

    fn store(&self, most_inline: usize, arrays: &mut Vec<Array>) -> Result<Value, GraphError> {
        let nodes: Result<Vec<StoredNode>, GraphError> = self
            .nodes
            .iter()
            .map(|node| {
                let op = match &node.op {
                    Op::Constant { shape, values } if values.len() > most_inline => {
                        arrays.push((shape.clone(), values.to_vec()));
                        json!({"array": arrays.len() - 1})
                    }
                    op => serde_json::to_value(op).map_err(|error| {
                        GraphError(format!("op `{op}` cannot be stored: {error}"))
                    })?,
                };
                Ok(StoredNode {
                    op,
                    inputs: node.inputs.clone(),
                    dtype: node.dtype,
                    ndim: node.ndim,
                    parts: node.parts.clone(),
                })
            })
            .collect();
        let stored = Stored {
            nodes: nodes?,
            outputs: self.outputs.clone(),
        };
        serde_json::to_value(stored).map_err(|error| GraphError(error.to_string()))
    }

    /// The graph of a stored form.
    ///
    /// # Errors
    /// If it is no graph, or one that could not have been built.
    pub fn from_stored(value: Value, arrays: Vec<Array>) -> Result<Graph, GraphError> {
        let stored: Stored = serde_json::from_value(value)
            .map_err(|error| GraphError(format!("no stored graph: {error}")))?;
        let mut arrays: Vec<Option<Array>> = arrays.into_iter().map(Some).collect();
        let mut graph = Graph::default();
        for (id, node) in stored.nodes.into_iter().enumerate() {
            let op = match node.op.get("array").and_then(Value::as_u64) {
                Some(index) => {
                    let array = arrays.get_mut(index as usize).and_then(Option::take);
                    let (shape, values) = array.ok_or_else(|| {
                        GraphError(format!(
                            "node {id} needs the array {index}, which is not there"
                        ))
                    })?;
                    let values = values.into();
                    Op::Constant { shape, values }
                }
                None => serde_json::from_value(node.op)
                    .map_err(|error| GraphError(format!("node {id} is no op: {error}")))?,
            };
            graph.add_stored(id, op, &node.inputs, node.dtype, node.ndim)?;
            let added = &graph.nodes[id];
            ensure!(
                (added.dtype, added.ndim, &added.parts) == (node.dtype, node.ndim, &node.parts),
                "node {id} is {} of rank {}, not {} of rank {}",
                added.dtype,
                added.ndim,
                node.dtype,
                node.ndim
            );
        }
        for (name, node) in stored.outputs {
            graph.output(&name, node)?;
        }
        Ok(graph)
    }

    fn add_stored(
        &mut self,
        id: NodeId,
        op: Op,
        inputs: &[NodeId],
        dtype: DType,
        ndim: usize,
    ) -> Result<NodeId, GraphError> {
        let leaf = matches!(
            op,
            Op::Parameter { .. } | Op::Data { .. } | Op::Constant { .. }
        );
        ensure!(!leaf || inputs.is_empty(), "leaf {id} has inputs");
        match op {
            Op::Parameter { name } => self.parameter(&name, ndim),
            Op::Data { name } => self.data(&name, dtype, ndim),
            Op::Constant { shape, values } => {
                check_constant(id, &shape, &values, dtype)?;
                Ok(self.shared_constant(shape, values, dtype))
            }
            op => self.add(op, inputs),
        }
    }
}

/// An error unless the values fill the shape and are of the type.
fn check_constant(
    id: NodeId,
    shape: &[usize],
    values: &[f64],
    dtype: DType,
) -> Result<(), GraphError> {
    ensure!(
        shape.len() <= super::MAX_RANK,
        "constant {id} has more than {} axes",
        super::MAX_RANK
    );
    ensure!(
        size_of(shape) == values.len(),
        "constant {id} does not fill its shape"
    );
    let fits = |value: &f64| match dtype {
        DType::Bool => *value == 0.0 || *value == 1.0,
        DType::Int64 => value.fract() == 0.0,
        DType::Float64 => true,
    };
    ensure!(
        values.iter().all(fits),
        "constant {id} holds values that are not {}",
        dtype.name()
    );
    Ok(())
}

/// As part of something stored, with all constants inside.
impl Serialize for Graph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let stored = self.store(usize::MAX, &mut vec![]);
        stored.map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Graph {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Graph, D::Error> {
        use serde::de::Error;
        let stored = Value::deserialize(deserializer)?;
        Graph::from_stored(stored, vec![]).map_err(D::Error::custom)
    }
}
