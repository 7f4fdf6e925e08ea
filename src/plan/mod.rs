//! Plans an evaluation: what is fused into one pass, in which order, and where every value lies.
//!
//! `schedule.rs` groups elementwise nodes of one size, with the gathers, sums, scatters and matrix-vector
//! products around them, into regions; `layout.rs` gives values places in one arena by their life times; `shared.rs` keeps
//! programs for graphs that differ in their data alone.

mod layout;
mod print;
mod schedule;
pub mod shared;

pub use print::{steps, text};
pub use schedule::rows_product;

use crate::bound::{Builder, Id, Op};
use crate::kernels::machine::Program;
use crate::tensor::is_contiguous;

/// The program that computes `roots`, in their order.
pub fn plan(builder: &Builder, roots: &[Id]) -> Program {
    plan_keeping(builder, roots, usize::MAX)
}

/// As [`plan`], for a program that is run again with some inputs as they are: they keep their values.
pub fn plan_repeated(builder: &Builder, roots: &[Id]) -> Program {
    plan_keeping(builder, roots, 0)
}

/// As [`plan_repeated`], of inputs from entry `kept_from` of the position vector on.
pub fn plan_keeping(builder: &Builder, roots: &[Id], kept_from: usize) -> Program {
    let schedule = schedule::schedule(builder, roots);
    layout::layout(builder, roots, &schedule, kept_from)
}

/// Where a view's elements begin in its source, if they lie there one after the other.
fn stretch_start(op: &Op, shape: &[usize]) -> Option<usize> {
    match op {
        Op::Reshape => Some(0),
        Op::View { offset, strides } => is_contiguous(strides, shape).then_some(*offset),
        _ => None,
    }
}

/// The node whose storage a node shares, and from which element on. A single element is no alias of an array:
/// scalars are stored in all lanes.
fn storage(builder: &Builder, id: Id) -> (Id, usize) {
    let (mut id, mut offset) = (id, 0);
    loop {
        let node = builder.node(id);
        let source = match node.inputs.first() {
            Some(&source) if (node.size() == 1) == (builder.size(source) == 1) => source,
            _ => return (id, offset),
        };
        match stretch_start(&node.op, &node.shape) {
            Some(start) => {
                offset += start;
                id = source;
            }
            None => return (id, offset),
        }
    }
}

#[cfg(test)]
mod tests;
