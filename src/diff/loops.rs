//! Reverse mode of loops: a loop backwards over the steps, which carries the adjoints of the traces.
//!
//! The body's pullback reads what the loop stored. What it computes from that alone, and what it makes of the carried
//! adjoints but does not hand on, is done for all steps at once (see [`crate::bound::steps`]): the backward loop of a
//! linear recurrence is one multiplication and addition a step.

use super::{flows_to, pullback, whole};
use crate::bound::loops::{Carried, Input, Loop, LoopGradient, Shared, Source, body_program};
use crate::bound::steps::{self, Lift, Lifted};
use crate::bound::{BindError, Builder, Id, Node, Op, Reduction};
use crate::graph::DType;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// One contribution an input of the loop.
pub fn contributions(
    b: &mut Builder,
    id: Id,
    node: &Node,
    l: &Shared<Loop>,
    g: Id,
) -> Result<Vec<Option<Id>>, BindError> {
    let mut body = l.builder.clone();
    let mut pairs = vec![];
    let mut adjoints: Vec<Option<Id>> = vec![];
    for (k, &result) in l.results.iter().enumerate() {
        adjoints.push(flows_to(&body, result).then(|| {
            let shape = body.shape(result).to_vec();
            let adjoint = body.adjoint_parameter(l.inputs.len() + k, shape);
            pairs.push((result, adjoint));
            adjoint
        }));
    }
    let wanted = |body: &Builder, source: Source, input: Id| {
        flows_to(body, input)
            && match source {
                Source::Row(k) | Source::Whole(k) => flows_to(b, node.inputs[k]),
                Source::Earlier { trace, .. } => adjoints[trace].is_some(),
            }
    };
    let inputs = l.inputs.iter().copied();
    let inputs: Vec<Input> = inputs
        .filter(|input| wanted(&body, input.source, input.id))
        .collect();
    let ids: Vec<Id> = inputs.iter().map(|input| input.id).collect();
    let results = pullback(&mut body, &pairs, &ids)?;
    let targets: Vec<(Input, Id)> = inputs.into_iter().zip(results).collect();
    let is_zero = |result: Id| body.uniform_value(result) == Some(0.0);
    let targets = targets
        .into_iter()
        .filter(|&(_, result)| !is_zero(result))
        .collect();
    let g = whole(b, g, &node.shape);
    let reverse = Reverse {
        l,
        body,
        adjoints,
        targets,
    };
    let contributions = reverse.add_to(b, id, node, g);
    let flowing = node.inputs.iter().zip(contributions);
    Ok(flowing
        .map(|(&input, adjoint)| adjoint.filter(|_| flows_to(b, input)))
        .collect())
}

/// A body with its pullback.
struct Reverse<'a> {
    l: &'a Loop,
    body: Builder,
    /// The parameter that is the adjoint of each result.
    adjoints: Vec<Option<Id>>,
    /// Inputs of the body, and the nodes that are their adjoints.
    targets: Vec<(Input, Id)>,
}

impl Reverse<'_> {
    /// Adds the reverse of a loop, the node `id`, to the graph around it; one contribution an input.
    fn add_to(&self, b: &mut Builder, id: Id, node: &Node, g: Id) -> Vec<Option<Id>> {
        let (l, body) = (self.l, &self.body);
        let mut size = 0;
        let mut place = |length: usize| {
            size += length;
            size - length
        };
        // Traces whose adjoints are carried, and the parameters and results of the body that carry them.
        let mut carried: Vec<Carried> = vec![];
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut parameters: HashMap<Id, Source> = HashMap::new();
        let mut feeds = HashSet::new();
        for (input, result) in &self.targets {
            let Source::Earlier { trace, .. } = input.source else {
                continue;
            };
            feeds.insert(*result);
            places.entry(trace).or_insert_with(|| {
                let t = l.traces[trace];
                carried.push(Carried {
                    size: t.size,
                    lead: t.lead,
                    given: t.start,
                    start: place((t.lead + l.steps) * t.size),
                });
                let adjoint = self.adjoints[trace].expect("adjoints flow to the trace");
                let trace = carried.len() - 1;
                parameters.insert(adjoint, Source::Earlier { trace, lag: 0 });
                trace
            });
        }
        let results: Vec<Id> = self.targets.iter().map(|&(_, result)| result).collect();
        let leaves = parameters.keys().copied().collect();
        let split = steps::split(body, l.steps, &results, &leaves, &feeds);
        let known = self.known(b, id, node, g, &results, &parameters);
        let mut lift = Lift {
            body,
            outer: b,
            steps: l.steps,
            known,
        };

        // What the loop computes: for earlier rows, and what stays of the rest.
        let is_inside = |input: &Input, result: &Id| {
            matches!(input.source, Source::Earlier { .. }) || split.stays.contains(result)
        };
        let mut inside = vec![];
        let mut roots = vec![];
        let mut starts: HashMap<usize, usize> = HashMap::new();
        for (input, result) in self.targets.iter().filter(|(i, r)| is_inside(i, r)) {
            let (source, start) = match input.source {
                Source::Earlier { trace, lag } => {
                    let trace = places[&trace];
                    (Source::Earlier { trace, lag }, carried[trace].start)
                }
                Source::Row(k) => (
                    input.source,
                    *starts
                        .entry(k)
                        .or_insert_with(|| place(l.steps * input.size)),
                ),
                Source::Whole(k) => (
                    input.source,
                    *starts.entry(k).or_insert_with(|| place(input.size)),
                ),
            };
            inside.push((source, input.size, start));
            roots.push(*result);
        }
        let kept = split.kept(body, &[]);
        let mut rows = vec![];
        for &id in &kept {
            let size = body.size(id);
            let start = place(l.steps * size);
            inside.push((Source::Row(0), size, start));
            roots.push(id);
            rows.push(start);
        }
        let mut packed = None;
        if !inside.is_empty() {
            let rest = lift.rest(&split, &parameters, &roots);
            let gradient = LoopGradient {
                steps: l.steps,
                inputs: rest.inputs,
                carried: carried.clone(),
                targets: inside,
                size,
                program: body_program(&rest.builder, &rest.results),
                code: OnceLock::new(),
            };
            let arguments = [&[g], rest.arguments.as_slice()].concat();
            let op = Op::LoopGradient(Shared::new(gradient));
            packed = Some(lift.outer.push(op, arguments, vec![size], DType::Float64));
        }
        let part = |b: &mut Builder, start: usize, shape: Vec<usize>| {
            let packed = packed.expect("something was computed inside");
            b.part(packed, start, shape, DType::Float64)
        };
        for (&id, &start) in kept.iter().zip(&rows) {
            let shape = [&[l.steps], body.shape(id)].concat();
            let id_outside = part(lift.outer, start, shape);
            lift.known.insert(
                id,
                Lifted {
                    id: id_outside,
                    by_step: true,
                },
            );
        }
        for (&trace, &place) in &places {
            let adjoint = self.adjoints[trace].expect("it is carried");
            let Carried {
                lead, start, size, ..
            } = carried[place];
            let shape = [&[l.steps], body.shape(adjoint)].concat();
            let id = part(lift.outer, start + lead * size, shape);
            lift.known.insert(adjoint, Lifted { id, by_step: true });
        }

        let mut contributions: Vec<Option<Id>> = vec![None; node.inputs.len()];
        for (&k, &start) in &starts {
            let shape = lift.outer.shape(node.inputs[k]).to_vec();
            contributions[k] = Some(part(lift.outer, start, shape));
        }
        for (trace, t) in l.traces.iter().enumerate() {
            if let (Some(k), Some(&place)) = (t.initial, places.get(&trace)) {
                let shape = lift.outer.shape(node.inputs[k]).to_vec();
                contributions[k] = Some(part(lift.outer, carried[place].start, shape));
            }
        }
        let outside = self.targets.iter().filter(|(i, r)| !is_inside(i, r));
        let outside: Vec<&(Input, Id)> = outside.collect();
        let lifted: Vec<Id> = outside.iter().map(|(_, result)| *result).collect();
        lift.lift_all(&lifted);
        for &&(input, result) in &outside {
            let (k, total) = match input.source {
                Source::Row(k) => (k, lift.rows(result)),
                Source::Whole(k) => {
                    let Lifted { id, by_step } = lift.known[&result];
                    let total = match by_step {
                        true => {
                            let rows = lift.rows(result);
                            lift.outer.reduce(Reduction::Sum, rows, &[0])
                        }
                        false => lift.outer.mul_number(l.steps as f64, id),
                    };
                    (k, total)
                }
                Source::Earlier { .. } => unreachable!("it is inside"),
            };
            let shape = lift.outer.shape(node.inputs[k]).to_vec();
            let total = whole(lift.outer, total, &shape);
            contributions[k] = Some(match contributions[k] {
                Some(other) => lift.outer.add(other, total),
                None => total,
            });
        }
        contributions
    }

    /// What is known of the body's parameters when the backward loop begins.
    fn known(
        &self,
        b: &mut Builder,
        id: Id,
        node: &Node,
        g: Id,
        results: &[Id],
        carried: &HashMap<Id, Source>,
    ) -> HashMap<Id, Lifted> {
        let (l, body) = (self.l, &self.body);
        let reachable: HashSet<Id> = body.reachable(results).into_iter().collect();
        let mut known = HashMap::new();
        let rows_of = |b: &mut Builder, packed: Id, trace: usize| {
            let node = body.node(l.results[trace]);
            let shape = [&[l.steps], node.shape.as_slice()].concat();
            b.part(packed, l.traces[trace].start, shape, node.dtype)
        };
        for input in l
            .inputs
            .iter()
            .filter(|input| reachable.contains(&input.id))
        {
            let (outer, by_step) = match input.source {
                Source::Row(k) => (node.inputs[k], true),
                Source::Whole(k) => (node.inputs[k], false),
                Source::Earlier { trace, lag } => {
                    let t = l.traces[trace];
                    let initial =
                        node.inputs[t.initial.expect("a trace that is read has leading rows")];
                    let made = rows_of(b, id, trace);
                    let all = b.concat(&[initial, made], 0);
                    (steps::rows(b, all, t.lead - lag, l.steps), true)
                }
            };
            known.insert(input.id, Lifted { id: outer, by_step });
        }
        for (trace, adjoint) in self.adjoints.iter().enumerate() {
            let Some(adjoint) =
                adjoint.filter(|a| reachable.contains(a) && !carried.contains_key(a))
            else {
                continue;
            };
            let id = rows_of(b, g, trace);
            known.insert(adjoint, Lifted { id, by_step: true });
        }
        known
    }
}
