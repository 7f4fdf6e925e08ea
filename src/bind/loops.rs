//! Binds loops: the body becomes a bound graph of its own, less what is the same in all steps.

use super::{Binder, fail};
use crate::bound::loops::{Loop, Shared, Source, Trace, body_program};
use crate::bound::steps::{self, Lift, Lifted};
use crate::bound::{BindError, Builder, Id, Op};
use crate::graph::{self, DType, Graph, LoopArguments, NodeId};
use crate::tensor::{Tensor, contiguous_strides, size_of};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// Where an input of the body comes from, in terms of the graph around the loop.
#[derive(Clone, Copy)]
enum Origin {
    Row(Id),
    Whole(Id),
    Earlier { trace: usize, lag: usize },
}

/// A body while it is bound: what depends on no step goes to the graph around the loop.
struct Body<'a> {
    outside: Binder<'a>,
    inside: Binder<'a>,
    origins: Vec<(Id, Origin)>,
    /// Nodes of the graph around the loop that the body reads, and their nodes in the body.
    imported: HashMap<Id, Id>,
}

impl Binder<'_> {
    /// The loop over a body; its results are those of PyTensor's Scan.
    pub(super) fn run_loop(
        &mut self,
        id: NodeId,
        body: &Graph,
        arguments: &LoopArguments,
        inputs: &[Id],
    ) -> Result<Id, BindError> {
        let steps = self.lengths(&inputs[..1])?[0];
        self.b.check_size(steps)?;
        let (sequences, rest) = inputs[1..].split_at(arguments.sequences);
        let (buffers, rest) = rest.split_at(arguments.lags.len());
        let (lasts, constants) = rest.split_at(arguments.lasts);

        // What the leaves of the body are, in order.
        let mut leaves = vec![];
        for &sequence in sequences {
            let rows = self.rows(sequence, 0, steps)?;
            leaves.push(Origin::Row(rows));
        }
        let mut leads = vec![];
        for (trace, (lags, &buffer)) in arguments.lags.iter().zip(buffers).enumerate() {
            let lead = lags.iter().copied().max().unwrap_or(0);
            leads.push((lead, Some(self.rows(buffer, 0, lead)?)));
            leaves.extend(lags.iter().map(|&lag| Origin::Earlier { trace, lag }));
        }
        leads.extend(vec![(0, None); arguments.collected]);
        for &last in lasts {
            let mut shape = self.b.shape(last).to_vec();
            shape.insert(0, 1);
            let row = self.b.reshape(last, &shape);
            let trace = leads.len();
            leads.push((1, Some(row)));
            leaves.push(Origin::Earlier { trace, lag: 1 });
        }
        leaves.extend(constants.iter().map(|&id| Origin::Whole(id)));

        let mut bound = Body {
            inside: Binder::new(body, self.b.sibling()),
            outside: Binder::new(body, std::mem::take(&mut self.b)),
            origins: vec![],
            imported: HashMap::new(),
        };
        let results = bound.lower(body, &leaves, &leads);
        self.b = bound.outside.b;
        let (results, inside, origins) = (results?, bound.inside.b, bound.origins);

        let shapes: Vec<Vec<usize>> = results
            .iter()
            .map(|&id| inside.shape(id).to_vec())
            .collect();
        let dtypes: Vec<DType> = results.iter().map(|&id| inside.node(id).dtype).collect();
        for (trace, &(lead, rows)) in leads.iter().enumerate() {
            if let Some(rows) = rows.filter(|_| lead > 0)
                && self.b.shape(rows)[1..] != shapes[trace]
            {
                return fail(format!(
                    "a state of a loop has the shape {:?} at first and {:?} after a step",
                    &self.b.shape(rows)[1..],
                    shapes[trace]
                ));
            }
        }
        let a_step = shapes.iter().map(|shape| size_of(shape));
        let a_step = a_step.fold(0, usize::saturating_add);
        self.b.check_size(steps.saturating_mul(a_step))?;
        let arrays = self.loop_node(steps, &inside, &origins, &results, &leads);

        let mut parts = vec![];
        for (trace, (shape, &dtype)) in shapes.iter().zip(&dtypes).enumerate() {
            let size = size_of(shape);
            let rows = [&[steps], shape.as_slice()].concat();
            let part = match trace.checked_sub(arguments.lags.len() + arguments.collected) {
                // Of a state that is not traced only the last value counts.
                Some(last) if steps == 0 => lasts[last],
                Some(_) => {
                    let last = (steps - 1) * size;
                    self.b.part(arrays[trace], last, shape.clone(), dtype)
                }
                None => self.b.part(arrays[trace], 0, rows, dtype),
            };
            parts.push(match buffers.get(trace) {
                Some(&buffer) => self.filled(buffer, leads[trace].0, part, steps)?,
                None => part,
            });
        }
        self.parts.insert(id, parts);
        // Only the parts are read.
        Ok(self.b.constant(Tensor::new(vec![1], &[0.0])))
    }

    /// What each trace receives in all steps: by a loop over what has to be done step by step, and by ops on whole
    /// arrays before and behind it.
    fn loop_node(
        &mut self,
        steps: usize,
        body: &Builder,
        origins: &[(Id, Origin)],
        results: &[Id],
        leads: &[(usize, Option<Id>)],
    ) -> Vec<Id> {
        let reachable: HashSet<Id> = body.reachable(results).into_iter().collect();
        let mut carried = HashMap::new();
        let mut is_read = vec![false; results.len()];
        let mut known = HashMap::new();
        for &(id, origin) in origins.iter().filter(|(id, _)| reachable.contains(id)) {
            let (outer, by_step) = match origin {
                Origin::Row(outer) => (outer, true),
                Origin::Whole(outer) => (outer, false),
                Origin::Earlier { trace, lag } => {
                    is_read[trace] = true;
                    carried.insert(id, Source::Earlier { trace, lag });
                    continue;
                }
            };
            known.insert(id, Lifted { id: outer, by_step });
        }
        let read = (0..results.len()).filter(|&trace| is_read[trace]);
        let feeds: HashSet<Id> = read.map(|trace| results[trace]).collect();
        let leaves = carried.keys().copied().collect();
        let split = steps::split(body, steps, results, &leaves, &feeds);

        // States come first among the traces.
        let states: Vec<usize> = (0..results.len()).filter(|&k| is_read[k]).collect();
        let mut kept = split.kept(body, results);
        kept.retain(|id| !feeds.contains(id));
        let place = |trace| states.iter().position(|&k| k == trace).expect("it is read");
        for source in carried.values_mut() {
            if let Source::Earlier { trace, .. } = source {
                *trace = place(*trace);
            }
        }
        let mut traced: Vec<Id> = states.iter().map(|&k| results[k]).collect();
        traced.extend(&kept);
        let mut lift = Lift {
            body,
            outer: &mut self.b,
            steps,
            known,
        };
        if !traced.is_empty() {
            let rest = lift.rest(&split, &carried, &traced);
            let mut arguments = rest.arguments;
            let mut traces = vec![];
            let mut start = 0;
            for (k, &id) in traced.iter().enumerate() {
                let (lead, rows) = states.get(k).map_or((0, None), |&trace| leads[trace]);
                let initial = rows.filter(|_| lead > 0).map(|rows| {
                    arguments.push(rows);
                    arguments.len() - 1
                });
                let size = body.size(id);
                traces.push(Trace {
                    size,
                    lead,
                    initial,
                    start,
                });
                start += steps * size;
            }
            let program = body_program(&rest.builder, &rest.results);
            let op = Op::Loop(Shared::new(Loop {
                steps,
                builder: rest.builder,
                inputs: rest.inputs,
                results: rest.results,
                traces: traces.clone(),
                program,
                code: OnceLock::new(),
            }));
            let packed = lift.outer.push(op, arguments, vec![start], DType::Float64);
            for (&id, trace) in traced.iter().zip(&traces) {
                let node = body.node(id);
                let shape = [&[steps], node.shape.as_slice()].concat();
                let array = lift.outer.part(packed, trace.start, shape, node.dtype);
                lift.known.entry(id).or_insert(Lifted {
                    id: array,
                    by_step: true,
                });
            }
            for (&id, &source) in &carried {
                let Source::Earlier { trace, lag } = source else {
                    continue;
                };
                let (lead, initial) = leads[states[trace]];
                let array = lift.known[&traced[trace]].id;
                let all = match initial.filter(|_| lead > 0) {
                    Some(initial) => lift.outer.concat(&[initial, array], 0),
                    None => array,
                };
                let id_outer = steps::rows(lift.outer, all, lead - lag, steps);
                lift.known.insert(
                    id,
                    Lifted {
                        id: id_outer,
                        by_step: true,
                    },
                );
            }
        }
        lift.lift_all(results);
        results.iter().map(|&id| lift.rows(id)).collect()
    }

    /// `length` rows of an array, from `start` on.
    fn rows(&mut self, id: Id, start: usize, length: usize) -> Result<Id, BindError> {
        let mut shape = self.b.shape(id).to_vec();
        let end = start.saturating_add(length);
        if shape[0] < end {
            return fail(format!(
                "a loop needs {end} entries of an array that has {}",
                shape[0]
            ));
        }
        shape[0] = length;
        let strides = contiguous_strides(&shape);
        let offset = start * size_of(&shape[1..]);
        Ok(self.b.view(id, offset, strides, shape))
    }

    /// A buffer whose rows behind the leading ones are replaced by those of the steps.
    fn filled(
        &mut self,
        buffer: Id,
        lead: usize,
        steps: Id,
        length: usize,
    ) -> Result<Id, BindError> {
        let rest = self.b.shape(buffer)[0].checked_sub(lead.saturating_add(length));
        let Some(rest) = rest else {
            return fail("a loop keeps fewer results than it has steps, which is not supported");
        };
        let mut parts = vec![self.rows(buffer, 0, lead)?, steps];
        parts.push(self.rows(buffer, lead + length, rest)?);
        parts.retain(|&part| self.b.shape(part)[0] > 0);
        Ok(match parts.is_empty() {
            true => buffer,
            false => self.b.concat(&parts, 0),
        })
    }
}

impl Body<'_> {
    /// Binds all nodes; returns the nodes of the results inside the body.
    fn lower(
        &mut self,
        body: &Graph,
        leaves: &[Origin],
        leads: &[(usize, Option<Id>)],
    ) -> Result<Vec<Id>, BindError> {
        let mut leaves = leaves.iter();
        for (id, node) in body.nodes().iter().enumerate() {
            if let graph::Op::Data { .. } = node.op {
                let leaf = leaves.next().copied();
                let origin =
                    leaf.ok_or_else(|| BindError::Misfit("a loop has too few inputs".into()))?;
                let found = self.leaf(id, origin, leads);
                if found.len() != node.ndim {
                    return fail(format!(
                        "an input of a loop must have {} axes in each step, not {}",
                        node.ndim,
                        found.len()
                    ));
                }
                continue;
            }
            let is_outside = |input: &NodeId| self.outside.ids[*input].is_some();
            match node.inputs.iter().all(is_outside) {
                true => self.outside.bind_node(id)?,
                false => {
                    for &input in &node.inputs {
                        self.inside(input);
                    }
                    self.inside.bind_node(id)?;
                }
            }
        }
        let outputs = body.outputs().iter();
        Ok(outputs.map(|&(_, node)| self.inside(node)).collect())
    }

    /// Places an input of the body; returns its shape.
    fn leaf(&mut self, node: NodeId, origin: Origin, leads: &[(usize, Option<Id>)]) -> Vec<usize> {
        let (outer, shape) = match origin {
            Origin::Whole(id) => {
                self.outside.set_leaf(node, id);
                return self.outside.b.shape(id).to_vec();
            }
            Origin::Row(id) => (id, self.outside.b.shape(id)[1..].to_vec()),
            Origin::Earlier { trace, .. } => {
                let rows = leads[trace].1.expect("a state has leading rows");
                (rows, self.outside.b.shape(rows)[1..].to_vec())
            }
        };
        let dtype = self.outside.b.node(outer).dtype;
        let id = self.parameter(origin, shape.clone(), dtype);
        self.inside.set_leaf(node, id);
        shape
    }

    fn parameter(&mut self, origin: Origin, shape: Vec<usize>, dtype: DType) -> Id {
        let index = self.origins.len();
        let name = format!("input {index}").as_str().into();
        let op = Op::Parameter {
            name,
            offset: index,
        };
        let id = self.inside.b.push(op, vec![], shape, dtype);
        self.origins.push((id, origin));
        id
    }

    /// The node of a bound template node inside the body.
    fn inside(&mut self, node: NodeId) -> Id {
        if let Some(id) = self.inside.ids[node] {
            return id;
        }
        let outer = self.outside.bound(node);
        let id = self.import(outer);
        self.inside.set_leaf(node, id);
        self.inside.fixed[node] = self.outside.fixed[node].clone();
        id
    }

    fn import(&mut self, outer: Id) -> Id {
        if let Some(&id) = self.imported.get(&outer) {
            return id;
        }
        let bound = self.outside.b.node(outer).clone();
        let scalar = self.outside.b.scalar_of(outer);
        let id = match (&bound.op, scalar) {
            (Op::Constant(_), _) => self
                .inside
                .b
                .push(bound.op, vec![], bound.shape, bound.dtype),
            // A scalar stays one, whatever the shape that it is spread over.
            (_, Some(scalar)) if scalar != outer => {
                let scalar = self.import(scalar);
                self.inside.b.broadcast(scalar, &bound.shape)
            }
            _ => self.parameter(Origin::Whole(outer), bound.shape, bound.dtype),
        };
        self.imported.insert(outer, id);
        id
    }
}

#[cfg(test)]
mod tests;
