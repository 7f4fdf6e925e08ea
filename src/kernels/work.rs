//! How long passes take, roughly, told by their plan alone: the same on every machine, as draws must be.

use super::machine::{Kernel, Program, Step};
use super::sum::BLOCK;
use crate::bound::{Node, Op};

/// Nanoseconds that an instruction takes at least.
const DISPATCH: f64 = 2.0;
/// Nanoseconds that an op on whole arrays takes at least.
const CALL: f64 = 20.0;
/// Nanoseconds of a product and a sum in a product of matrices.
const PRODUCT: f64 = 0.1;

/// Nanoseconds that an instruction takes for a block.
pub(super) fn of_block(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::Map(..) => 60,
        Kernel::Gather(..) | Kernel::ScatterAdd(..) => 150,
        Kernel::RowsTimes(blocks) | Kernel::TimesRows(blocks, _) => 20 * blocks.columns(),
        Kernel::Sum | Kernel::Dot => 20,
    }
}

/// Nanoseconds that an op on whole arrays of so many elements in all takes; infinite where nothing is known of it.
fn of_whole(node: &Node, elements: usize) -> f64 {
    let product = |sizes: &[usize]| sizes.iter().map(|&size| size as f64).product::<f64>();
    CALL + match &node.op {
        Op::MatMul { sizes, .. } => PRODUCT * product(sizes),
        Op::Convolve(_, sizes) => product(sizes),
        Op::Loop(l) => l.steps as f64 * l.program.work(),
        Op::LoopGradient(l) => l.steps as f64 * l.program.work(),
        // As many operations as for one matrix of all elements.
        Op::Linalg(_) => elements as f64 * (elements as f64).sqrt(),
        Op::Foreign(_) => f64::INFINITY,
        _ => elements as f64,
    }
}

impl Program {
    /// Nanoseconds that an evaluation takes; infinite where a call of a foreign function is part of it.
    pub fn work(&self) -> f64 {
        let of_step = |step: &Step| match step {
            Step::Region { size, instructions } => {
                let blocks = *size as f64 / BLOCK as f64;
                let kernels = instructions.iter().map(|i| of_block(&i.kernel) as f64);
                kernels.map(|work| DISPATCH + blocks * work).sum()
            }
            Step::Whole { node, inputs, .. } => {
                let read: usize = inputs.iter().map(|(_, size)| size).sum();
                of_whole(node, read + node.size())
            }
        };
        self.steps.iter().map(of_step).sum()
    }
}
