//! Runs loops, forwards and in reverse: row after row through the workspace of the body, or compiled as a whole.

use super::buffer::Buffer;
use super::isa::Isa;
use super::machine::{Input, Program, Workspace};
use super::native::{Recurrence, Row, Steps};
use super::whole::Failure;
use crate::bound::loops::{self, Loop, LoopGradient, Source};

/// What a cursor of a compiled loop moves over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Track {
    /// An input of the loop, with rows of so many elements.
    Input(usize, usize),
    /// The loop's result, with rows of so many elements, or none where it stays.
    Result(usize),
}

/// A loop as machine code.
#[derive(Debug)]
pub struct Compiled {
    recurrence: Recurrence,
    tracks: Vec<Track>,
    /// Steps that are left to the workspace: they read rows from before the first.
    before: usize,
}

/// What one evaluation of a loop needs and keeps.
pub struct LoopState {
    body: Workspace,
    /// For compiled code.
    scratch: Buffer,
    cursors: Vec<*mut f64>,
}

// SAFETY: cursors have no meaning between evaluations.
unsafe impl Send for LoopState {}

impl LoopState {
    /// Memory for a loop with that body.
    pub fn new(body: Workspace, compiled: Option<&Compiled>) -> LoopState {
        LoopState {
            body,
            scratch: Buffer::zeros(compiled.map_or(0, |compiled| compiled.recurrence.room)),
            cursors: vec![],
        }
    }
}

/// Numbers the tracks that a loop's body needs.
#[derive(Default)]
struct Tracks(Vec<Track>);

impl Tracks {
    fn row(&mut self, track: Track, at: usize) -> Row {
        let found = self.0.iter().position(|other| *other == track);
        let cursor = found.unwrap_or_else(|| {
            self.0.push(track);
            self.0.len() - 1
        });
        Row { cursor, at }
    }

    /// Where the body's inputs are; `earlier` tells where in the result the row of a trace is, of a lag and a size.
    fn reads(
        &mut self,
        body: &Program,
        inputs: &[loops::Input],
        earlier: impl Fn(usize, usize, usize) -> usize,
    ) -> Vec<Option<Row>> {
        let read = |input: &Input| {
            let loops::Input { source, size, .. } = inputs[input.position];
            match source {
                Source::Whole(_) => None,
                Source::Row(k) => Some(self.row(Track::Input(k, size), 0)),
                Source::Earlier { trace, lag } => {
                    Some(self.row(Track::Result(size), earlier(trace, lag, size)))
                }
            }
        };
        body.inputs.iter().map(read).collect()
    }
}

impl Track {
    fn size(self) -> usize {
        match self {
            Track::Input(_, size) | Track::Result(size) => size,
        }
    }
}

impl Compiled {
    /// Compiles a loop, if it can be.
    pub fn forward(l: &Loop, isa: Isa) -> Option<Compiled> {
        let lags = l.inputs.iter().map(|input| match input.source {
            Source::Earlier { lag, .. } => lag,
            _ => 0,
        });
        let before = lags.max().unwrap_or(0);
        let mut tracks = Tracks::default();
        // The cursor of a trace stands `before` rows before the step's own.
        let reads = tracks.reads(&l.program, &l.inputs, |trace, lag, size| {
            l.traces[trace].start + (before - lag) * size
        });
        let mut writes = vec![];
        for trace in &l.traces {
            for element in 0..trace.size {
                let at = trace.start + before * trace.size + element;
                writes.push((tracks.row(Track::Result(trace.size), at), false));
            }
        }
        let steps = Steps {
            strides: tracks.0.iter().map(|track| track.size() as isize).collect(),
            reads,
            writes,
        };
        Some(Compiled {
            recurrence: Recurrence::compile(&l.program, &steps, isa)?,
            tracks: tracks.0,
            before,
        })
    }

    /// Compiles the reverse of a loop, if it can be.
    pub fn backward(l: &LoopGradient, isa: Isa) -> Option<Compiled> {
        let mut tracks = Tracks::default();
        let reads = tracks.reads(&l.program, &l.inputs, |trace, _, size| {
            l.carried[trace].start + l.carried[trace].lead * size
        });
        let mut writes = vec![];
        for &(source, size, start) in &l.targets {
            let (track, start) = match source {
                Source::Whole(_) => (Track::Result(0), start),
                Source::Row(_) => (Track::Result(size), start),
                Source::Earlier { trace, lag } => {
                    let rows = l.carried[trace].lead.checked_sub(lag)?;
                    (Track::Result(size), start + rows * size)
                }
            };
            for element in 0..size {
                writes.push((tracks.row(track, start + element), true));
            }
        }
        let steps = Steps {
            strides: tracks
                .0
                .iter()
                .map(|track| -(track.size() as isize))
                .collect(),
            reads,
            writes,
        };
        Some(Compiled {
            recurrence: Recurrence::compile(&l.program, &steps, isa)?,
            tracks: tracks.0,
            before: 0,
        })
    }

    /// Carries out so many steps, of which the first is `first`; the result's cursors stand at `row`.
    ///
    /// # Safety
    /// The loop's inputs and its result are those that it was compiled for; the processor has the instruction set.
    unsafe fn run<'a>(
        &self,
        state: &mut LoopState,
        input: impl Fn(usize) -> &'a [f64],
        out: &mut [f64],
        first: usize,
        row: usize,
        steps: usize,
    ) {
        let out = out.as_mut_ptr();
        state.cursors.clear();
        state
            .cursors
            .extend(self.tracks.iter().map(|track| match *track {
                Track::Input(k, size) => input(k)[first * size..].as_ptr().cast_mut(),
                Track::Result(size) => out.wrapping_add(row * size),
            }));
        let (arena, scratch) = (state.body.arena(), state.scratch.as_mut_ptr());
        // SAFETY: the cursors stand at rows of the inputs and the result, and move within them; inputs are only read.
        unsafe { self.recurrence.run(arena, scratch, &state.cursors, steps) };
    }
}

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
    compiled: Option<&Compiled>,
    state: &mut LoopState,
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) -> Result<(), Failure> {
    let body = &mut state.body;
    load_whole(&l.inputs, body, &input);
    let slow = compiled.map_or(l.steps, |compiled| compiled.before.min(l.steps));
    for t in 0..slow {
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
    if let Some(compiled) = compiled
        && slow < l.steps
    {
        // SAFETY: inputs and result are the loop's, and the code is for this processor.
        unsafe { compiled.run(state, input, out, slow, 0, l.steps - slow) };
    }
    Ok(())
}

/// Carries out all steps in reverse; a step adds its part to the adjoints of earlier rows.
pub fn backward<'a>(
    l: &LoopGradient,
    compiled: Option<&Compiled>,
    state: &mut LoopState,
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
    let body = &mut state.body;
    load_whole(&l.inputs, body, &input);
    if let (Some(compiled), Some(last)) = (compiled, l.steps.checked_sub(1)) {
        // SAFETY: inputs and result are the loop's, and the code is for this processor.
        unsafe { compiled.run(state, input, out, last, last, l.steps) };
        return Ok(());
    }
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

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod tests;
