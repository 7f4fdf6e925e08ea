//! How long passes take, roughly, told by their plan alone: the same on every machine, as draws must be.

use super::machine::{Kernel, Program, Step};
use super::sum::BLOCK;

/// Nanoseconds that an instruction takes at least.
const DISPATCH: f64 = 2.0;

/// Nanoseconds that an instruction takes for a block.
pub(super) fn of_block(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::Map(..) => 60,
        Kernel::Gather(..) | Kernel::ScatterAdd(..) => 150,
        Kernel::RowsTimes(blocks) | Kernel::TimesRows(blocks, _) => 20 * blocks.columns(),
        Kernel::Sum | Kernel::Dot => 20,
    }
}

impl Program {
    /// Nanoseconds that an evaluation takes; infinite where an op on whole arrays is part of it.
    pub fn work(&self) -> f64 {
        let of_step = |step: &Step| match step {
            Step::Region { size, instructions } => {
                let blocks = *size as f64 / BLOCK as f64;
                let kernels = instructions.iter().map(|i| of_block(&i.kernel) as f64);
                kernels.map(|work| DISPATCH + blocks * work).sum()
            }
            _ => f64::INFINITY,
        };
        self.steps.iter().map(of_step).sum()
    }
}
