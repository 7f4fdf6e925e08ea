//! Reverse mode of loops: a loop backwards over the steps, which carries the adjoints of the traces.

use super::{flows_to, pullback, whole};
use crate::bound::loops::{Loop, LoopGradient, Shared, Source, Trace, body_program};
use crate::bound::{BindError, Builder, Id, Node, Op};
use crate::graph::DType;

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
    let mut flows = vec![];
    for (k, &result) in l.results.iter().enumerate() {
        flows.push(flows_to(&body, result));
        if flows[k] {
            let shape = body.shape(result).to_vec();
            let adjoint = body.adjoint_parameter(l.inputs.len() + k, shape);
            pairs.push((result, adjoint));
        }
    }
    let wanted = |body: &Builder, source: Source, input: Id| {
        flows_to(body, input)
            && match source {
                Source::Row(k) | Source::Whole(k) => flows_to(b, node.inputs[k]),
                Source::Earlier { trace, .. } => flows[trace],
                Source::Unused => false,
            }
    };
    let inputs = l.inputs.iter().copied();
    let inputs: Vec<_> = inputs
        .filter(|input| wanted(&body, input.source, input.id))
        .collect();
    let ids: Vec<Id> = inputs.iter().map(|input| input.id).collect();
    let results = pullback(&mut body, &pairs, &ids)?;

    let mut size = 0;
    let mut place = |length: usize| {
        size += length;
        size - length
    };
    let mut carried = vec![None; l.traces.len()];
    let mut starts = vec![None; node.inputs.len()];
    let (mut targets, mut roots) = (vec![], vec![]);
    for (input, result) in inputs.into_iter().zip(results) {
        if body.uniform_value(result) == Some(0.0) {
            continue;
        }
        let start = match input.source {
            Source::Earlier { trace, .. } => {
                let Trace { size, lead, .. } = l.traces[trace];
                *carried[trace].get_or_insert_with(|| place((lead + l.steps) * size))
            }
            Source::Row(k) => *starts[k].insert(place(l.steps * input.size)),
            Source::Whole(k) => *starts[k].insert(place(input.size)),
            Source::Unused => continue,
        };
        targets.push((input, start));
        roots.push(result);
    }
    for (trace, carried) in l.traces.iter().zip(&carried) {
        if let Some(k) = trace.initial {
            starts[k] = *carried;
        }
    }
    let program = body_program(&body, &roots);
    let gradient = LoopGradient {
        forward: l.clone(),
        carried,
        targets,
        size,
        program,
    };
    let g = whole(b, g, &node.shape);
    let arguments = [&[g, id], node.inputs.as_slice()].concat();
    let op = Op::LoopGradient(Shared::new(gradient));
    let packed = b.push(op, arguments, vec![size], DType::Float64);
    let adjoint = |(&input, start): (&Id, Option<usize>)| {
        let start = start.filter(|_| flows_to(b, input))?;
        let shape = b.shape(input).to_vec();
        Some(b.part(packed, start, shape, DType::Float64))
    };
    Ok(node.inputs.iter().zip(starts).map(adjoint).collect())
}
