//! Plans an evaluation: what is fused into one pass, in which order, and where every value lies.
//!
//! `schedule.rs` groups elementwise nodes of one size, with the gathers, sums, scatters and matrix-vector
//! products around them, into regions; `layout.rs` gives values places in one arena by their life times.

mod layout;
mod print;
mod schedule;

pub use print::text;

use crate::bound::{Builder, Id, Op};
use crate::kernels::machine::Program;

/// The program that computes `roots`, in their order.
pub fn plan(builder: &Builder, roots: &[Id]) -> Program {
    let schedule = schedule::schedule(builder, roots);
    layout::layout(builder, roots, &schedule)
}

/// Whether a view's elements lie one after the other in its source.
fn is_contiguous(op: &Op, shape: &[usize]) -> Option<usize> {
    match op {
        Op::Reshape => Some(0),
        Op::View { offset, strides } => {
            let contiguous = crate::tensor::contiguous_strides(shape);
            let steps = strides.iter().zip(&contiguous).zip(shape);
            let mut steps = steps.filter(|&(_, &length)| length > 1);
            steps
                .all(|((stride, wanted), _)| stride == wanted)
                .then_some(*offset)
        }
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
        match is_contiguous(&node.op, &node.shape) {
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
