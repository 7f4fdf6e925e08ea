//! Ops on whole arrays: one place that runs them, for the machine and for constant folding.

use super::buffer::Buffer;
use super::machine::Workspace;
use super::{convolution, lookup, loops, matrix, structural};
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
    #[allow(dead_code)]
    /// Working memory without meaning between evaluations.
    Scratch(Buffer),
    /// What a loop's body needs.
    Body(Box<Workspace>),
}

impl State {
    /// The state that a node's op needs, for inputs of these sizes.
    pub fn new(node: &Node, _sizes: &[usize]) -> State {
        match &node.op {
            Op::Loop(l) => State::Body(Box::new(Workspace::new(l.program.clone()))),
            Op::LoopGradient(l) => State::Body(Box::new(Workspace::new(l.program.clone()))),
            _ => State::None,
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
    match (&node.op, state) {
        (Op::Loop(l), State::Body(body)) => return loops::forward(l, body, input, out),
        (Op::LoopGradient(l), State::Body(body)) => return loops::backward(l, body, input, out),
        (Op::Foreign(call), _) => return call.run(input, out),
        (op, _) => run_stateless(op, &node.shape, input, out),
    }
    Ok(())
}

fn run_stateless<'a>(
    op: &Op,
    shape: &[usize],
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) {
    match op {
        Op::Reshape => out.copy_from_slice(input(0)),
        Op::View { offset, strides } => {
            structural::view(input(0), *offset, strides, shape, out);
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
            matrix::matmul(*sizes, *transposed, input(0), input(1), out);
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
        Op::Parameter { .. } | Op::Constant(_) | Op::Map(_) | Op::Dot => {
            unreachable!("leaves hold their value, the others read whole chunks")
        }
        Op::Loop(_) | Op::LoopGradient(_) | Op::Foreign(_) => unreachable!("these can fail"),
    }
}
