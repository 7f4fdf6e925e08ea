//! Takes out of a loop what does not have to be done step by step, and does it for all steps at once.
//!
//! A node of the body must stay if it depends on what the loop carries from step to step and what is carried depends on
//! it. All others have, given the traces, no order: those before the recurrence become arrays whose rows are
//! sequences of the loop, those behind it read the traces. So a recurrence costs its own few operations a step,
//! and the rest is passes over whole arrays.

use super::loops::{Input, Source};
use super::{Builder, Id, Node, Op};
use crate::tensor::{Table, contiguous_strides};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Most elements of an array of all steps: what is larger is better done while it is in the cache.
const MOST_ELEMENTS: usize = 1 << 18;

/// A node of a body in the graph around the loop.
#[derive(Clone, Copy)]
pub struct Lifted {
    /// The node.
    pub id: Id,
    /// Whether it has a row a step; it is the same in all steps if not.
    pub by_step: bool,
}

/// How a body is split.
pub struct Split {
    /// Nodes that are computed step by step.
    pub stays: HashSet<Id>,
    /// The nodes that `results` need, in order.
    ids: Vec<Id>,
}

impl Split {
    /// What the loop has to keep of all steps: nodes that stay and are results, or are read by what does not stay.
    pub fn kept(&self, body: &Builder, results: &[Id]) -> Vec<Id> {
        let mut kept = results.to_vec();
        for id in self.ids.iter().filter(|id| !self.stays.contains(id)) {
            kept.extend(&body.node(*id).inputs);
        }
        kept.retain(|id| self.stays.contains(id));
        kept.sort();
        kept.dedup();
        kept
    }
}

/// Splits the part of a body that `results` need.
///
/// `carried` are the parameters that a step has from others, and `feeds` the results that it gives to others.
pub fn split(
    body: &Builder,
    steps: usize,
    results: &[Id],
    carried: &HashSet<Id>,
    feeds: &HashSet<Id>,
) -> Split {
    let ids = body.reachable(results);
    let mut behind = HashSet::new();
    let mut hard = HashSet::new();
    let mut varies = HashSet::new();
    for &id in &ids {
        let node = body.node(id);
        let is_leaf = matches!(node.op, Op::Parameter { .. } | Op::Constant(_));
        if matches!(node.op, Op::Parameter { .. }) || node.inputs.iter().any(|i| varies.contains(i))
        {
            varies.insert(id);
        }
        if !is_leaf && varies.contains(&id) && !(body.simplifies() && lifts(body, node, steps)) {
            hard.insert(id);
        }
        let is_behind = |input: &Id| behind.contains(input) || hard.contains(input);
        if carried.contains(&id) || node.inputs.iter().any(is_behind) {
            behind.insert(id);
        }
    }
    let mut before = feeds.clone();
    let mut stays = HashSet::new();
    for &id in ids.iter().rev() {
        let node = body.node(id);
        let is_leaf = matches!(node.op, Op::Parameter { .. } | Op::Constant(_));
        if !is_leaf && (hard.contains(&id) || behind.contains(&id) && before.contains(&id)) {
            stays.insert(id);
        }
        if stays.contains(&id) || before.contains(&id) {
            before.extend(&node.inputs);
        }
    }
    Split { stays, ids }
}

/// Whether all steps of a node can be done at once.
fn lifts(body: &Builder, node: &Node, steps: usize) -> bool {
    let inputs = node.inputs.iter().map(|&input| body.size(input));
    let most = inputs.chain([node.size()]).max().unwrap_or(0);
    steps > 1
        && most.saturating_mul(steps) <= MOST_ELEMENTS
        && matches!(
            node.op,
            Op::Map(_)
                | Op::Reshape
                | Op::View { .. }
                | Op::Gather(_)
                | Op::ScatterAdd(_)
                | Op::Reduce(..)
                | Op::Run(..)
                | Op::Concat { .. }
                | Op::MatMul { .. }
        )
}

/// What stays of a body.
pub struct Rest {
    /// The body; the position of its parameter k is k.
    pub builder: Builder,
    /// Its parameters.
    pub inputs: Vec<Input>,
    /// The nodes outside that `Row` and `Whole` name.
    pub arguments: Vec<Id>,
    /// Nodes that were asked for, in their order.
    pub results: Vec<Id>,
}

/// Moves nodes of a body to the graph around the loop.
pub struct Lift<'a> {
    /// The body.
    pub body: &'a Builder,
    /// The graph around the loop.
    pub outer: &'a mut Builder,
    /// Number of steps.
    pub steps: usize,
    /// What is there already: parameters and results of the loop.
    pub known: HashMap<Id, Lifted>,
}

impl Lift<'_> {
    /// Lifts what `results` need of nodes that are not known yet.
    pub fn lift_all(&mut self, results: &[Id]) {
        let mut wanted = HashSet::new();
        let mut open = results.to_vec();
        while let Some(id) = open.pop() {
            if !self.known.contains_key(&id) && wanted.insert(id) {
                open.extend(&self.body.node(id).inputs);
            }
        }
        let mut wanted: Vec<Id> = wanted.into_iter().collect();
        wanted.sort(); // inputs come before their users
        for id in wanted {
            let lifted = self.lift(id);
            self.known.insert(id, lifted);
        }
    }

    /// The part of the body that stays, for some results; what it reads of the others is lifted. `carried` says what its
    /// parameters are that a step has from others.
    pub fn rest(&mut self, split: &Split, carried: &HashMap<Id, Source>, results: &[Id]) -> Rest {
        let body = self.body;
        let mut ids: Vec<Id> = split.stays.iter().copied().collect();
        ids.sort();
        let read = ids.iter().flat_map(|&id| &body.node(id).inputs);
        let mut leaves: Vec<Id> = read.chain(results).copied().collect();
        leaves.retain(|id| !split.stays.contains(id));
        leaves.sort();
        leaves.dedup();
        let lifted: Vec<Id> = leaves
            .iter()
            .copied()
            .filter(|id| !carried.contains_key(id))
            .collect();
        self.lift_all(&lifted);

        let mut rest = Rest {
            builder: body.sibling(),
            inputs: vec![],
            arguments: vec![],
            results: vec![],
        };
        let mut map: HashMap<Id, Id> = HashMap::new();
        for leaf in leaves {
            let node = body.node(leaf);
            let source = match (carried.get(&leaf), self.known.get(&leaf)) {
                (Some(&source), _) => source,
                (None, Some(&Lifted { id, by_step })) => {
                    if let (false, Some(value)) = (by_step, self.outer.constant_value(id)) {
                        let op = Op::Constant(value.clone());
                        let id = rest
                            .builder
                            .push(op, vec![], node.shape.clone(), node.dtype);
                        map.insert(leaf, id);
                        continue;
                    }
                    rest.arguments.push(id);
                    let argument = rest.arguments.len() - 1;
                    match by_step {
                        true => Source::Row(argument),
                        false => Source::Whole(argument),
                    }
                }
                (None, None) => unreachable!("leaves were lifted"),
            };
            let op = Op::Parameter {
                name: format!("input {}", rest.inputs.len()).as_str().into(),
                offset: rest.inputs.len(),
            };
            let id = rest
                .builder
                .push(op, vec![], node.shape.clone(), node.dtype);
            let size = node.size();
            rest.inputs.push(Input { id, source, size });
            map.insert(leaf, id);
        }
        for id in ids {
            let node = body.node(id);
            let inputs = node.inputs.iter().map(|input| map[input]).collect();
            let (op, shape) = (node.op.clone(), node.shape.clone());
            map.insert(id, rest.builder.push(op, inputs, shape, node.dtype));
        }
        rest.results = results.iter().map(|result| map[result]).collect();
        rest
    }

    /// All steps of a known node: an array with a row for each.
    pub fn rows(&mut self, id: Id) -> Id {
        let Lifted { id: outer, by_step } = self.known[&id];
        let shape = self.with_steps(self.body.shape(id));
        match by_step {
            true => self.outer.reshape(outer, &shape),
            false => self.outer.broadcast(outer, &shape),
        }
    }

    fn with_steps(&self, shape: &[usize]) -> Vec<usize> {
        [&[self.steps], shape].concat()
    }

    fn lift(&mut self, id: Id) -> Lifted {
        let body = self.body;
        let node = body.node(id);
        let by_step = node.inputs.iter().any(|input| self.known[input].by_step);
        let id = match by_step {
            true => self.all_steps(node),
            false => self.once(node),
        };
        Lifted { id, by_step }
    }

    /// A node that is the same in all steps.
    fn once(&mut self, node: &Node) -> Id {
        let inputs: Vec<Id> = node
            .inputs
            .iter()
            .map(|input| self.known[input].id)
            .collect();
        match node.op {
            Op::Map(function) => {
                let value = self.outer.map(function, &inputs);
                match self.outer.size(value) == node.size() {
                    true => self.outer.reshape(value, &node.shape),
                    false => self.outer.broadcast(value, &node.shape),
                }
            }
            _ => self
                .outer
                .push(node.op.clone(), inputs, node.shape.clone(), node.dtype),
        }
    }

    fn all_steps(&mut self, node: &Node) -> Id {
        let (body, steps) = (self.body, self.steps);
        let shape = self.with_steps(&node.shape);
        if let Op::Map(function) = node.op {
            let arguments = node.inputs.iter().map(|&input| {
                let Lifted { id, by_step } = self.known[&input];
                match (by_step, body.size(input) == 1) {
                    (true, true) => {
                        let column = [&[steps][..], &vec![1; node.shape.len()]].concat();
                        self.outer.reshape(id, &column)
                    }
                    (true, false) => self.outer.reshape(id, &shape),
                    (false, true) => self.outer.reshape(id, &[]),
                    (false, false) => self.outer.reshape(id, &node.shape),
                }
            });
            let arguments: Vec<Id> = arguments.collect();
            let value = self.outer.map(function, &arguments);
            return match self.outer.size(value) == steps * node.size() {
                true => self.outer.reshape(value, &shape),
                false => self.outer.broadcast(value, &shape),
            };
        }
        let rows: Vec<Id> = node.inputs.iter().map(|&input| self.rows(input)).collect();
        let size = body.size(node.inputs[0]);
        let repeated = |table: &Table, width: usize| {
            let positions =
                (0..steps).flat_map(|t| table.iter().map(move |p| (t * width) as u32 + p));
            Arc::new(Table::new(positions.collect()))
        };
        let op = match &node.op {
            Op::Reshape => return self.outer.reshape(rows[0], &shape),
            Op::View { offset, strides } => {
                let strides = [&[size as isize], strides.as_slice()].concat();
                return self.outer.view(rows[0], *offset, strides, shape);
            }
            Op::Gather(table) => {
                return self.outer.gather(rows[0], repeated(table, size), shape);
            }
            Op::ScatterAdd(table) => {
                let source = match size == table.len() {
                    true => rows[0],
                    false => {
                        let column = self.outer.reshape(rows[0], &[steps, 1]);
                        self.outer.broadcast(column, &[steps, table.len()])
                    }
                };
                let table = repeated(table, node.size());
                return self.outer.scatter_add(source, table, shape);
            }
            Op::Reduce(reduction, [o, l, i]) => Op::Reduce(*reduction, [steps * o, *l, *i]),
            Op::Run(running, [o, l, i]) => Op::Run(*running, [steps * o, *l, *i]),
            Op::Concat { outer, parts } => Op::Concat {
                outer: steps * outer,
                parts: parts.clone(),
            },
            Op::MatMul {
                sizes: [batch, m, k, n],
                transposed,
            } => Op::MatMul {
                sizes: [steps * batch, *m, *k, *n],
                transposed: *transposed,
            },
            _ => unreachable!("`lifts` named the others"),
        };
        self.outer.push(op, rows, shape, node.dtype)
    }
}

/// Rows `start..start + steps` of an array that has a row a step and more.
pub fn rows(b: &mut Builder, array: Id, start: usize, steps: usize) -> Id {
    let mut shape = b.shape(array).to_vec();
    shape[0] = steps;
    let strides = contiguous_strides(&shape);
    let offset = start * strides[0] as usize;
    b.view(array, offset, strides, shape)
}

#[cfg(test)]
mod tests;
