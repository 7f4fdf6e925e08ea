//! Binds data to a template: every length becomes known, every parameter-free node a constant.

mod foreign;
pub(crate) mod index;
mod linalg;
mod lookup;
mod loops;
mod lower;

use crate::bound::{BindError, Builder, Id};
use crate::graph::{DType, Graph, NodeId, Op};
use crate::kernels::whole::Failure;
use crate::tensor::{Tensor, broadcast_shapes, size_of};
use std::collections::HashMap;

/// An array given for a data input.
pub struct Data {
    /// Row-major values.
    pub value: Tensor,
    /// Type of the elements.
    pub dtype: DType,
}

/// A value variable's place in the position vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name of the value variable.
    pub name: String,
    /// First entry in the position vector.
    pub offset: usize,
    /// Lengths of its axes.
    pub shape: Vec<usize>,
}

/// A template with its data.
pub struct Bound {
    /// The nodes.
    pub builder: Builder,
    /// Value variables in the order of the position vector.
    pub parameters: Vec<Parameter>,
    /// Length of the position vector.
    pub dim: usize,
    /// Named outputs, in the template's order.
    pub outputs: Vec<(String, Id)>,
}

impl Bound {
    /// Forgets the nodes that no output needs.
    pub fn forget_others(&mut self) {
        let ids: Vec<Id> = self.outputs.iter().map(|(_, id)| *id).collect();
        let kept = self.builder.forget_others(&ids);
        for ((_, id), kept) in self.outputs.iter_mut().zip(kept) {
            *id = kept;
        }
    }
}

/// f64 holds all integers up to this one.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn fail<T>(message: impl Into<String>) -> Result<T, BindError> {
    Err(BindError::Misfit(message.into()))
}

/// The error of what must be known at bind and depends on a parameter.
fn varies<T>(message: impl Into<String>) -> Result<T, BindError> {
    Err(BindError::Varies {
        text: message.into(),
        outputs: vec![],
    })
}

/// Binds `data` and the parameters' shapes, both by name.
pub fn bind(
    graph: &Graph,
    data: HashMap<String, Data>,
    shapes: &HashMap<String, Vec<usize>>,
) -> Result<Bound, BindError> {
    bind_with(Builder::default(), graph, data, shapes)
}

/// As [`bind`], into a given builder.
pub(crate) fn bind_with(
    builder: Builder,
    graph: &Graph,
    mut data: HashMap<String, Data>,
    shapes: &HashMap<String, Vec<usize>>,
) -> Result<Bound, BindError> {
    let mut binder = Binder::new(graph, builder);
    let (mut parameters, mut dim) = (vec![], 0);
    for (id, node) in graph.nodes().iter().enumerate() {
        let bound = match &node.op {
            Op::Parameter { name } => {
                let shape = shapes.get(name).ok_or_else(|| {
                    BindError::Misfit(format!("no shape was given for parameter {name:?}"))
                })?;
                if shape.len() != node.ndim {
                    return fail(format!(
                        "parameter {name:?} has {} axes, but its shape {shape:?} was given",
                        node.ndim
                    ));
                }
                let parameter = Parameter {
                    name: name.clone(),
                    offset: dim,
                    shape: shape.clone(),
                };
                binder.b.check_size(size_of(shape).saturating_add(dim))?;
                dim += size_of(shape);
                parameters.push(parameter);
                match size_of(shape) {
                    0 => binder.b.constant(Tensor::new(shape.clone(), &[])),
                    _ => binder.b.parameter(
                        name.as_str().into(),
                        dim - size_of(shape),
                        shape.clone(),
                    ),
                }
            }
            Op::Data { name } => {
                let Data { value, dtype } = data
                    .remove(name)
                    .ok_or_else(|| BindError::Misfit(format!("no data were given for {name:?}")))?;
                check_data(name, &value, dtype, node.dtype, node.ndim)?;
                binder.b.typed_constant(value, node.dtype)
            }
            _ => {
                binder
                    .bind_node(id)
                    .map_err(|error| binder.explain(id, error))?;
                continue;
            }
        };
        binder.set_leaf(id, bound);
    }
    if let Some(name) = data.keys().next() {
        return fail(format!(
            "data were given for {name:?}, which the model does not have"
        ));
    }
    let outputs = graph
        .outputs()
        .iter()
        .map(|(name, id)| (name.clone(), binder.bound(*id)))
        .collect();
    Ok(Bound {
        builder: binder.b,
        parameters,
        dim,
        outputs,
    })
}

fn check_data(
    name: &str,
    value: &Tensor,
    given: DType,
    wanted: DType,
    ndim: usize,
) -> Result<(), BindError> {
    if value.shape().len() != ndim {
        let found = value.shape().len();
        return fail(format!(
            "data {name:?} must have {ndim} axes, but the new value has {found}"
        ));
    }
    if given > wanted {
        return fail(format!(
            "data {name:?} are {}, but the new value is {}: convert it, so that nothing is cut off unseen",
            wanted.name(),
            given.name()
        ));
    }
    // 2**53 itself may be what is left of 2**53 + 1.
    if given == DType::Int64 && value.values().iter().any(|v| v.abs() >= EXACT) {
        return fail(format!(
            "data {name:?} hold integers of 2**53 or more, which are not represented exactly"
        ));
    }
    Ok(())
}

struct Binder<'a> {
    graph: &'a Graph,
    b: Builder,
    /// The bound nodes of the template's nodes so far.
    ids: Vec<Option<Id>>,
    /// Axes of each template node whose length is that of a parameter or of data.
    fixed: Vec<Vec<bool>>,
    /// The results of template nodes that have several.
    parts: HashMap<NodeId, Vec<Id>>,
}

impl<'a> Binder<'a> {
    fn new(graph: &'a Graph, builder: Builder) -> Binder<'a> {
        let count = graph.nodes().len();
        Binder {
            graph,
            b: builder,
            ids: vec![None; count],
            fixed: vec![vec![]; count],
            parts: HashMap::new(),
        }
    }
}

impl Binder<'_> {
    /// The bound node of a template node.
    fn bound(&self, node: NodeId) -> Id {
        self.ids[node].expect("inputs are bound before their users")
    }

    /// Notes the bound node of a leaf.
    fn set_leaf(&mut self, leaf: NodeId, bound: Id) {
        self.ids[leaf] = Some(bound);
        self.fixed[leaf] = vec![true; self.graph.nodes()[leaf].ndim];
    }

    /// Binds a node whose inputs are bound.
    fn bind_node(&mut self, id: NodeId) -> Result<(), BindError> {
        let lowered = self.lower(id);
        if let Some(Failure(message)) = self.b.take_failure() {
            return fail(message);
        }
        let bound = lowered?;
        let node = &self.graph.nodes()[id];
        debug_assert_eq!(self.b.shape(bound).len(), node.ndim, "`{}`", node.op);
        debug_assert_eq!(self.b.node(bound).dtype, node.dtype, "`{}`", node.op);
        self.ids[id] = Some(bound);
        self.fix_axes(id)
    }

    /// Finds out which axes of a bound node are fixed; refuses to broadcast such an axis of length 1.
    ///
    /// PyTensor knows from the type of an array which axes broadcast. A vector of data that happens to have
    /// one element does not: most likely the user gave too few.
    fn fix_axes(&mut self, id: NodeId) -> Result<(), BindError> {
        let node = &self.graph.nodes()[id];
        let mut fixed = vec![false; node.ndim];
        match &node.op {
            Op::Dimshuffle { order } => {
                for (new, &old) in fixed.iter_mut().zip(order) {
                    *new = old >= 0 && self.fixed[node.inputs[0]][old as usize];
                }
            }
            Op::Map { .. } | Op::Clip | Op::Cast { .. } => {
                let shape = self.b.shape(self.bound(id));
                for &input in &node.inputs {
                    let lead = node.ndim - self.fixed[input].len();
                    let lengths = self.b.shape(self.bound(input));
                    for (axis, &is_fixed) in self.fixed[input].iter().enumerate() {
                        if is_fixed && lengths[axis] == 1 && shape[lead + axis] != 1 {
                            return fail(format!(
                                "an axis of length 1 does not broadcast to length {}: give it as many \
                                 entries, or the shape (1,) from the start if one is meant for all",
                                shape[lead + axis]
                            ));
                        }
                        fixed[lead + axis] |= is_fixed;
                    }
                }
            }
            _ => {}
        }
        self.fixed[id] = fixed;
        Ok(())
    }

    /// The error with the leaves that the node is computed from, so that the user finds the variable.
    fn explain(&self, id: NodeId, error: BindError) -> BindError {
        let (mut stack, mut seen, mut names) = (vec![id], vec![false; id + 1], vec![]);
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            let node = &self.graph.nodes()[id];
            match &node.op {
                Op::Parameter { name } => names.push(format!("parameter {name:?}")),
                Op::Data { name } => names.push(format!("data {name:?}")),
                _ => stack.extend(&node.inputs),
            }
        }
        names.sort();
        let explained = match names.is_empty() {
            true => error.to_string(),
            false => format!("{error} (computed from {})", names.join(", ")),
        };
        match error {
            BindError::Misfit(_) => BindError::Misfit(explained),
            BindError::Varies { .. } => BindError::Varies {
                text: explained,
                outputs: self.needing(id),
            },
        }
    }

    /// The outputs that are computed from a node.
    fn needing(&self, id: NodeId) -> Vec<String> {
        let mut needs = vec![false; self.graph.nodes().len()];
        needs[id] = true;
        for (other, node) in self.graph.nodes().iter().enumerate().skip(id + 1) {
            needs[other] = node.inputs.iter().any(|&input| needs[input]);
        }
        let outputs = self.graph.outputs().iter();
        let outputs = outputs.filter(|(_, node)| needs[*node]);
        outputs.map(|(name, _)| name.clone()).collect()
    }

    /// The integers of a node that decides about a shape or a position.
    fn integers(&self, id: Id) -> Result<Vec<i64>, BindError> {
        match self.b.constant_value(id) {
            Some(tensor) => Ok(tensor.values().iter().map(|&value| value as i64).collect()),
            None => varies("a shape or an index depends on a parameter"),
        }
    }

    fn integer(&self, id: Id) -> Result<i64, BindError> {
        Ok(self.integers(id)?[0])
    }

    fn lengths(&self, ids: &[Id]) -> Result<Vec<usize>, BindError> {
        ids.iter()
            .map(|&id| {
                let length = self.integer(id)?;
                usize::try_from(length)
                    .or_else(|_| fail(format!("an axis would have the length {length}")))
            })
            .collect()
    }

    fn vector(&mut self, values: &[i64]) -> Id {
        let values: Vec<f64> = values.iter().map(|&v| v as f64).collect();
        self.b
            .typed_constant(Tensor::new(vec![values.len()], &values), DType::Int64)
    }

    fn broadcast(&mut self, id: Id, shape: &[usize]) -> Result<Id, BindError> {
        match broadcast_shapes(self.b.shape(id), shape) {
            Some(both) if both == shape => Ok(self.b.broadcast(id, shape)),
            _ => fail(format!(
                "an array of shape {:?} does not broadcast to {shape:?}",
                self.b.shape(id)
            )),
        }
    }

    /// Names the results of a packed op, which lie one after the other in its vector; returns that vector.
    fn unpack(&mut self, id: NodeId, packed: Id, results: Vec<(Vec<usize>, DType)>) -> Id {
        let mut start = 0;
        let parts = results.into_iter().map(|(shape, dtype)| {
            let offset = start;
            start += size_of(&shape);
            self.b.part(packed, offset, shape, dtype)
        });
        let parts = parts.collect();
        self.parts.insert(id, parts);
        packed
    }
}

#[cfg(test)]
mod tests;
