//! Adjoints of functions of others: one more function of others.

use super::{flows_to, whole};
use crate::bound::{BindError, Builder, Id, Node, Op};
use crate::foreign::Call;
use crate::graph::DType;
use crate::scalar::Adjoint;
use crate::tensor::{contiguous_strides, size_of};

/// One contribution an input of a call whose packed results have the adjoint `g`.
pub fn contributions(
    b: &mut Builder,
    node: &Node,
    call: &Call,
    g: Id,
) -> Result<Vec<Option<Id>>, BindError> {
    let mut contributions = vec![None; node.inputs.len()];
    let wanted: Vec<usize> = (0..node.inputs.len())
        .filter(|&k| flows_to(b, node.inputs[k]) && varies(b, node.inputs[k]))
        .collect();
    if wanted.is_empty() {
        return Ok(contributions);
    }
    let shapes: Vec<Vec<usize>> = wanted.iter().map(|&k| call.inputs[k].clone()).collect();
    let adjoints = if is_scalar(call) {
        let function = call.function.with_gradient(&wanted)?;
        let results = [&[vec![]], shapes.as_slice()].concat();
        let gradient = Call {
            function,
            inputs: call.inputs.clone(),
            results,
            value_of: Some(call.function.clone()),
            meter: call.meter.clone(),
        };
        let g = b.reshape(g, &[]);
        let mut parts = apply(b, gradient, node.inputs.clone());
        parts.remove(0);
        parts.into_iter().map(|part| b.scale(g, part)).collect()
    } else {
        let (connected, cotangents) = cotangents(b, call, g);
        let function = call.function.pullback(&wanted, &connected)?;
        let given = connected.iter().map(|&k| call.results[k].clone());
        let pullback = Call {
            function,
            inputs: call.inputs.iter().cloned().chain(given).collect(),
            results: shapes,
            value_of: None,
            meter: call.meter.clone(),
        };
        apply(b, pullback, [&node.inputs[..], &cotangents].concat())
    };
    for (k, adjoint) in wanted.into_iter().zip(adjoints) {
        contributions[k] = Some(adjoint);
    }
    Ok(contributions)
}

/// Whether value and gradient come from one call: the gradient is known before the adjoint is.
fn is_scalar(call: &Call) -> bool {
    call.results == [vec![0; 0]] && call.function.results() == [(DType::Float64, 0)]
}

/// The results of a call, each under its own shape.
fn apply(b: &mut Builder, call: Call, inputs: Vec<Id>) -> Vec<Id> {
    let results = call.results.clone();
    let packed = b.foreign(call, inputs);
    let mut start = 0;
    let parts = results.into_iter().map(|shape| {
        let offset = start;
        start += size_of(&shape);
        b.part(packed, offset, shape, DType::Float64)
    });
    parts.collect()
}

/// The results that anything flows back to, and their adjoints.
fn cotangents(b: &mut Builder, call: &Call, g: Id) -> (Vec<usize>, Vec<Id>) {
    let total = call.size();
    let g = whole(b, g, &[total]);
    let (mut connected, mut cotangents) = (vec![], vec![]);
    let mut start = 0;
    for (k, shape) in call.results.iter().enumerate() {
        let size = size_of(shape);
        if call.function.results()[k].0 == DType::Float64 && !is_zero(b, g, start, size) {
            let strides = contiguous_strides(shape);
            connected.push(k);
            cotangents.push(b.view(g, start, strides, shape.clone()));
        }
        start += size;
    }
    (connected, cotangents)
}

/// Whether nothing flows back to a stretch of a vector: it was filled up with zeros.
fn is_zero(b: &Builder, vector: Id, start: usize, size: usize) -> bool {
    let node = b.node(vector);
    match &node.op {
        Op::Constant(value) => value.values()[start..start + size]
            .iter()
            .all(|&v| v == 0.0),
        Op::Concat { outer: 1, .. } => {
            let mut from = 0;
            node.inputs.iter().all(|&part| {
                let (begin, end) = (from, from + b.size(part));
                from = end;
                let (first, last) = (start.max(begin), (start + size).min(end));
                first >= last || is_zero(b, part, first - begin, last - first)
            })
        }
        _ => false,
    }
}

/// Whether a node depends on a parameter by a path on which derivatives are not zero throughout.
fn varies(b: &Builder, id: Id) -> bool {
    let (mut stack, mut seen) = (vec![id], vec![false; id.index() + 1]);
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut seen[id.index()], true) || !flows_to(b, id) {
            continue;
        }
        let node = b.node(id);
        match &node.op {
            Op::Parameter { .. } => return true,
            Op::Map(function) if matches!(function.adjoint(), Adjoint::Zero) => {}
            _ => stack.extend(&node.inputs),
        }
    }
    false
}
