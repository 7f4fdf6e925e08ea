//! Passes of cheap functions as machine code: values stay in registers from one function to the next.
//!
//! The machine's own loops write each value to the cache and read it back, which costs more than an addition. Here a run
//! of instructions ([`segment`]) becomes one loop, with AVX2 or AVX-512; what is costly in itself, such as `exp`,
//! remains a kernel between two segments. The operations and their order are those of the kernels, so results have
//! the same bits. A program without native code (other processors, or a system that forbids it) runs as before.

mod assembler;
mod segment;

pub use segment::compiles;

use super::isa::Isa;
use super::machine::{Kernel, Program, Step};
use assembler::{Assembler, Width};
use memmap2::{Mmap, MmapMut};
use segment::Segment;
use std::collections::HashMap;
use std::ops::Range;

/// Partial sums that a segment may leave behind the blocks in cache.
pub const MOST_SUMS: usize = 6;

/// A segment's function: arena, blocks, bytes to the first whole chunk and to the end of the last one, and whether a
/// partial chunk follows.
///
/// # Safety
/// Arena and blocks are those of a workspace of the program, which holds the chunks; the processor has the
/// instruction set.
#[cfg(target_arch = "x86_64")]
pub type SegmentFn = unsafe extern "sysv64" fn(*mut f64, *mut f64, usize, usize, usize);
/// No code is written for other processors.
#[cfg(not(target_arch = "x86_64"))]
pub type SegmentFn = unsafe extern "C" fn(*mut f64, *mut f64, usize, usize, usize);

/// Consecutive instructions of a pass that one function carries out.
#[derive(Debug)]
pub struct Compiled {
    /// Which.
    pub range: Range<usize>,
    /// The function.
    pub function: SegmentFn,
}

/// The native code of a program.
#[derive(Debug)]
pub struct Native {
    /// By step.
    segments: HashMap<usize, Vec<Compiled>>,
    /// Holds the functions.
    _code: Mmap,
}

impl Native {
    /// Compiles what can be of a program; `None` if nothing can.
    pub fn compile(program: &Program, isa: Isa) -> Option<Native> {
        let width = match isa {
            Isa::Baseline => return None,
            Isa::Avx2 => Width::Ymm,
            Isa::Avx512 => Width::Zmm,
        };
        let mut assembler = Assembler::default();
        let mut found: Vec<(usize, Range<usize>, usize)> = vec![];
        for (step, content) in program.steps.iter().enumerate() {
            let Step::Region { size, instructions } = content else {
                continue;
            };
            let mut start = 0;
            while start < instructions.len() {
                let range = start..segment_end(*size, &instructions[start..], width) + start;
                if range.is_empty() {
                    start += 1;
                    continue;
                }
                start = range.end;
                let segment = Segment {
                    size: *size,
                    instructions,
                    range: range.clone(),
                    blocks: program.registers,
                };
                let entry = assembler.len();
                segment.compile(&mut assembler, width)?;
                found.push((step, range, entry));
            }
        }
        if found.is_empty() {
            return None;
        }
        let bytes = assembler.finish();
        let mut memory = MmapMut::map_anon(bytes.len()).ok()?;
        memory.copy_from_slice(&bytes);
        let code = memory.make_exec().ok()?;
        let mut segments: HashMap<usize, Vec<Compiled>> = HashMap::new();
        for (step, range, entry) in found {
            let address = code[entry..].as_ptr();
            // SAFETY: the segment's code begins there and follows the convention of its type.
            let function = unsafe { std::mem::transmute::<*const u8, SegmentFn>(address) };
            let compiled = Compiled { range, function };
            segments.entry(step).or_default().push(compiled);
        }
        Some(Native {
            segments,
            _code: code,
        })
    }

    /// The segments of a step, in order.
    pub fn segments(&self, step: usize) -> &[Compiled] {
        self.segments.get(&step).map_or(&[], Vec::as_slice)
    }
}

/// How many of the first instructions make a segment.
fn segment_end(size: usize, instructions: &[super::machine::Instruction], width: Width) -> usize {
    let mut sums = 0;
    for (index, instruction) in instructions.iter().enumerate() {
        if !segment::fits(size, instruction) {
            return index;
        }
        if matches!(instruction.kernel, Kernel::Sum | Kernel::Dot) {
            sums += 1;
            if sums > segment::most_sums(width) {
                return index;
            }
        }
    }
    instructions.len()
}

#[cfg(test)]
mod tests;
