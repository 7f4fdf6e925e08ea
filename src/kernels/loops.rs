//! Runs loops, forwards and in reverse: row after row through the workspace of the body.

use super::machine::Workspace;
use super::whole::Failure;
use crate::bound::loops::{self, Loop, LoopGradient, Source};

/// Elements of row `t`.
fn row(values: &[f64], t: usize, size: usize) -> &[f64] {
    &values[t * size..(t + 1) * size]
}

/// Loads what is the same in all steps.
fn load_whole<'a>(
    inputs: &[loops::Input],
    body: &mut Workspace,
    input: &impl Fn(usize) -> &'a [f64],
) {
    for index in 0..body.inputs().len() {
        if let Source::Whole(k) = inputs[body.inputs()[index].position].source {
            body.load(index, input(k));
        }
    }
}

/// Does something with the elements of a result, which are one output of the body, or one output each.
#[inline(always)]
fn each(
    body: &Workspace,
    outputs: &mut std::ops::Range<usize>,
    result: &mut [f64],
    act: impl Fn(&mut f64, f64),
) {
    if result.is_empty() {
        outputs.next();
    }
    let mut done = 0;
    while done < result.len() {
        let values = body.output(outputs.next().expect("every result has outputs"));
        match values {
            [value] => act(&mut result[done], *value),
            _ => {
                let targets = result[done..].iter_mut();
                targets.zip(values).for_each(|(to, value)| act(to, *value));
            }
        }
        done += values.len();
    }
}

/// Carries out all steps; `out` receives the traces.
pub fn forward<'a>(
    l: &Loop,
    body: &mut Workspace,
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) -> Result<(), Failure> {
    load_whole(&l.inputs, body, &input);
    for t in 0..l.steps {
        for index in 0..body.inputs().len() {
            let loops::Input { source, size, .. } = l.inputs[body.inputs()[index].position];
            match source {
                Source::Whole(_) => {}
                Source::Row(k) => body.load(index, row(input(k), t, size)),
                Source::Earlier { trace, lag } => {
                    let trace = &l.traces[trace];
                    match (t.checked_sub(lag), trace.initial) {
                        (Some(done), _) => body.load(index, row(&out[trace.start..], done, size)),
                        (None, Some(k)) => {
                            body.load(index, row(input(k), t + trace.lead - lag, size));
                        }
                        (None, None) => unreachable!("a trace that is read has its leading rows"),
                    }
                }
            }
        }
        body.run()?;
        let mut outputs = 0..body.outputs();
        for trace in &l.traces {
            let start = trace.start + t * trace.size;
            let set = |to: &mut f64, value| *to = value;
            each(body, &mut outputs, &mut out[start..start + trace.size], set);
        }
    }
    Ok(())
}

/// Carries out all steps in reverse; a step adds its part to the adjoints of earlier rows.
pub fn backward<'a>(
    l: &LoopGradient,
    body: &mut Workspace,
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) -> Result<(), Failure> {
    let adjoint = input(0);
    let input = |k: usize| input(k + 1);
    out.fill(0.0);
    for carried in &l.carried {
        let (start, size) = (
            carried.start + carried.lead * carried.size,
            l.steps * carried.size,
        );
        out[start..start + size].copy_from_slice(&adjoint[carried.given..carried.given + size]);
    }
    load_whole(&l.inputs, body, &input);
    for t in (0..l.steps).rev() {
        for index in 0..body.inputs().len() {
            let loops::Input { source, size, .. } = l.inputs[body.inputs()[index].position];
            match source {
                Source::Whole(_) => {}
                Source::Row(k) => body.load(index, row(input(k), t, size)),
                Source::Earlier { trace, .. } => {
                    let carried = &l.carried[trace];
                    body.load(index, row(&out[carried.start..], carried.lead + t, size));
                }
            }
        }
        body.run()?;
        let mut outputs = 0..body.outputs();
        for &(source, size, start) in &l.targets {
            let start = start
                + match source {
                    Source::Whole(_) => 0,
                    Source::Row(_) => t * size,
                    Source::Earlier { trace, lag } => (l.carried[trace].lead + t - lag) * size,
                };
            let add = |to: &mut f64, value| *to += value;
            each(body, &mut outputs, &mut out[start..start + size], add);
        }
    }
    Ok(())
}
