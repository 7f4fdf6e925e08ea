//! Runs loops, forwards and in reverse: row after row through the workspace of the body.

use super::machine::Workspace;
use super::whole::Failure;
use crate::bound::loops::{Loop, LoopGradient, Source};

/// Elements of row `t`.
fn row(values: &[f64], t: usize, size: usize) -> &[f64] {
    &values[t * size..(t + 1) * size]
}

/// Loads what is the same in all steps.
fn load_whole<'a>(l: &Loop, body: &mut Workspace, input: &impl Fn(usize) -> &'a [f64]) {
    for index in 0..body.inputs().len() {
        let parameter = body.inputs()[index].position;
        if let Some(Source::Whole(k)) = l.inputs.get(parameter).map(|input| input.source) {
            body.load(index, input(k));
        }
    }
}

/// Loads what step `t` reads from sequences and from what `traces` (the loop's value) received before.
fn load_step<'a>(
    l: &Loop,
    body: &mut Workspace,
    index: usize,
    t: usize,
    traces: &[f64],
    input: &impl Fn(usize) -> &'a [f64],
) {
    let Some(&parameter) = l.inputs.get(body.inputs()[index].position) else {
        return;
    };
    let size = parameter.size;
    match parameter.source {
        Source::Whole(_) | Source::Unused => {}
        Source::Row(k) => body.load(index, row(input(k), t, size)),
        Source::Earlier { trace, lag } => {
            let trace = &l.traces[trace];
            match (t.checked_sub(lag), trace.initial) {
                (Some(done), _) => body.load(index, row(&traces[trace.start..], done, size)),
                (None, Some(k)) => body.load(index, row(input(k), t + trace.lead - lag, size)),
                (None, None) => unreachable!("a trace that is read has its leading rows"),
            }
        }
    }
}

/// Carries out all steps; `out` receives the traces.
pub fn forward<'a>(
    l: &Loop,
    body: &mut Workspace,
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) -> Result<(), Failure> {
    load_whole(l, body, &input);
    for t in 0..l.steps {
        for index in 0..body.inputs().len() {
            load_step(l, body, index, t, out, &input);
        }
        body.run()?;
        for (k, trace) in l.traces.iter().enumerate() {
            let start = trace.start + t * trace.size;
            out[start..start + trace.size].copy_from_slice(body.output(k));
        }
    }
    Ok(())
}

/// Carries out all steps in reverse; every step computes its part of the loop again and its adjoints.
pub fn backward<'a>(
    l: &LoopGradient,
    body: &mut Workspace,
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) -> Result<(), Failure> {
    let forward = &*l.forward;
    let (adjoint, values) = (input(0), input(1));
    let outer = |k: usize| input(k + 2);
    out.fill(0.0);
    for (trace, carried) in forward.traces.iter().zip(&l.carried) {
        if let Some(carried) = carried {
            let (start, size) = (
                carried + trace.lead * trace.size,
                forward.steps * trace.size,
            );
            out[start..start + size].copy_from_slice(&adjoint[trace.start..trace.start + size]);
        }
    }
    load_whole(forward, body, &outer);
    for t in (0..forward.steps).rev() {
        for index in 0..body.inputs().len() {
            let parameter = body.inputs()[index].position;
            match parameter.checked_sub(forward.inputs.len()) {
                None => load_step(forward, body, index, t, values, &outer),
                Some(k) => {
                    let trace = &forward.traces[k];
                    let rows = match l.carried[k] {
                        Some(carried) => row(&out[carried..], trace.lead + t, trace.size),
                        None => row(&adjoint[trace.start..], t, trace.size),
                    };
                    body.load(index, rows);
                }
            }
        }
        body.run()?;
        for (k, &(target, start)) in l.targets.iter().enumerate() {
            let start = start
                + match target.source {
                    Source::Whole(_) | Source::Unused => 0,
                    Source::Row(_) => t * target.size,
                    Source::Earlier { trace, lag } => {
                        (forward.traces[trace].lead + t - lag) * target.size
                    }
                };
            let sums = &mut out[start..start + target.size];
            for (sum, term) in sums.iter_mut().zip(body.output(k)) {
                *sum += term;
            }
        }
    }
    Ok(())
}
