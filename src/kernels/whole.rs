//! Ops on whole arrays: one place that runs them, for the machine and for constant folding.

use super::buffer::Buffer;
use super::loops::LoopState;
use super::machine::Workspace;
use super::{convolution, linalg, lookup, loops, structural};
use crate::bound::{Lookup, Node, Op};
use thiserror::Error;

/// Why an op could not be carried out, in words for the user.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Failure(pub String);

/// What an op keeps from one evaluation to the next, so that none allocates.
pub enum State {
    /// Nothing.
    None,
    /// Working memory without meaning between evaluations.
    Scratch(Buffer),
    /// What a loop needs.
    Loop(Box<LoopState>),
}

impl State {
    /// The state that a node's op needs.
    pub fn new(node: &Node) -> State {
        let of_loop = |program, compiled| {
            State::Loop(Box::new(LoopState::new(Workspace::new(program), compiled)))
        };
        let scratch = match &node.op {
            Op::Loop(l) => return of_loop(l.program.clone(), l.compiled()),
            Op::LoopGradient(l) => return of_loop(l.program.clone(), l.compiled()),
            Op::MatMul { sizes, transposed } => {
                linalg::product::multiply_scratch(*sizes, *transposed)
            }
            Op::Linalg(op) => linalg::scratch(op),
            _ => 0,
        };
        match scratch {
            0 => State::None,
            _ => State::Scratch(Buffer::zeros(scratch)),
        }
    }

    fn scratch(&mut self) -> &mut [f64] {
        match self {
            State::Scratch(buffer) => buffer,
            _ => &mut [],
        }
    }

    fn of_loop(&mut self) -> &mut LoopState {
        match self {
            State::Loop(state) => state,
            _ => unreachable!("a loop has a body"),
        }
    }
}

/// Carries out a node's op; `input(k)` are the elements of its inputs, `out` those of the result.
pub fn run<'a>(
    node: &Node,
    state: &mut State,
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) -> Result<(), Failure> {
    match &node.op {
        Op::Reshape => out.copy_from_slice(input(0)),
        Op::View { offset, strides } => {
            structural::view(input(0), *offset, strides, &node.shape, out);
        }
        Op::Gather(table) => structural::gather(input(0), table, out),
        Op::ScatterAdd(table) => {
            out.fill(0.0);
            structural::scatter_add(input(0), table, out);
        }
        Op::Reduce(reduction, sizes) => structural::reduce(*reduction, *sizes, input(0), out),
        Op::Run(running, sizes) => structural::run(*running, *sizes, input(0), out),
        Op::Concat { outer, parts } => structural::concat(*outer, parts, input, out),
        Op::MatMul { sizes, transposed } => {
            let (a, b) = (input(0), input(1));
            linalg::product::multiply(*sizes, *transposed, a, b, out, state.scratch());
        }
        Op::Lookup(lookup) => match lookup {
            Lookup::Positions { axes } => lookup::positions(axes, input, out),
            Lookup::Gather => lookup::gather(input(0), input(1), out),
            Lookup::ScatterAdd => lookup::scatter_add(input(0), input(1), out),
            Lookup::LastWriter => lookup::last_writer(input(0), out),
            Lookup::Argsort { length } => lookup::argsort(*length, input(0), out),
            Lookup::Searchsorted { right } => lookup::searchsorted(*right, input(0), input(1), out),
        },
        Op::Convolve(convolution, sizes) => {
            convolution::convolve(*convolution, *sizes, input(0), input(1), out);
        }
        Op::Linalg(op) => linalg::run(op, input, out, state.scratch()),
        Op::Loop(l) => loops::forward(l, l.compiled(), state.of_loop(), input, out)?,
        Op::LoopGradient(l) => loops::backward(l, l.compiled(), state.of_loop(), input, out)?,
        Op::Foreign(call) => call.run(input, out)?,
        Op::Parameter { .. } | Op::Constant(_) | Op::Map(_) | Op::Dot => {
            unreachable!("leaves hold their value, the others read whole chunks")
        }
    }
    Ok(())
}
