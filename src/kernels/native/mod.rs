//! Passes as machine code: values stay in registers from one function to the next.
//!
//! The machine's own loops call a kernel for each function, which writes its value to the cache. Here a run of
//! instructions becomes one loop, and passes over few elements become one function together, which reads the position
//! and writes the gradient. A function is written out as what its kernel does when it is run on lanes that record it
//! ([`trace`]), so results have the same bits. [`code`] joins the functions of a pass, [`body`] puts values into registers,
//! [`pass`] writes the loop, with AVX2 or AVX-512. A program without native code (other processors, or a system that
//! forbids it) runs as before.

mod assembler;
mod body;
mod code;
#[cfg(all(test, target_arch = "x86_64"))]
mod emulator;
mod pass;
mod places;
mod recurrence;
mod trace;

pub use places::Reach;
pub use recurrence::{Recurrence, Row, Steps};
pub use trace::Traced;

use super::isa::Isa;
use super::machine::{Instruction, Kernel, Program, Step};
use super::simd::LANES;
use super::sum::BLOCK;
use crate::scalar::ScalarFn;
use assembler::{Assembler, Width};
use code::{Code, Places};
use memmap2::{Mmap, MmapMut};
use pass::Pass;
use std::collections::HashMap;
use std::ops::Range;

/// Sums of a segment, which may leave them behind the blocks in cache.
pub const MOST_SUMS: usize = 6;

/// Bytes behind the blocks in cache before the room for values without a register.
const SUMS_ROOM: i32 = (MOST_SUMS * LANES * 8) as i32;

/// A function in native code.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    address: usize,
    /// Whether the processor may lack its instructions.
    #[cfg(all(test, target_arch = "x86_64"))]
    emulated: bool,
}

impl Function {
    fn at(address: *const u8, _isa: Isa) -> Function {
        Function {
            address: address as usize,
            #[cfg(all(test, target_arch = "x86_64"))]
            emulated: !Isa::available().contains(&_isa),
        }
    }

    /// Carries out whole steps: with arena, blocks, the position, and what results but the first are copied to, one after
    /// the other.
    ///
    /// # Safety
    /// Arena and blocks are those of a workspace of the program; position and results have the lengths that the program
    /// tells, unless it keeps all inputs; the processor has the instruction set; the function is one of [`Native::steps`].
    #[inline(always)]
    pub unsafe fn run_steps(
        self,
        arena: *mut f64,
        blocks: *mut f64,
        position: *const f64,
        results: *mut f64,
    ) {
        // SAFETY: the caller vouches for the function and its arguments.
        unsafe { self.call(arena, blocks, position as usize, results as usize, 0) }
    }

    /// Carries out a segment on a block: with arena, blocks, bytes to the first whole chunk and to the end of the last
    /// one, and whether a partial chunk follows.
    ///
    /// # Safety
    /// Arena and blocks are those of a workspace of the program, which holds the chunks; the processor has the
    /// instruction set; the function is one of [`Native::segments`].
    #[inline(always)]
    pub unsafe fn run_block(
        self,
        arena: *mut f64,
        blocks: *mut f64,
        from: usize,
        to: usize,
        rest: usize,
    ) {
        // SAFETY: the caller vouches for the function and its arguments.
        unsafe { self.call(arena, blocks, from, to, rest) }
    }

    /// # Safety
    /// The function takes these arguments.
    #[inline(always)]
    unsafe fn call(
        self,
        arena: *mut f64,
        blocks: *mut f64,
        third: usize,
        fourth: usize,
        fifth: usize,
    ) {
        #[cfg(all(test, target_arch = "x86_64"))]
        if self.emulated {
            let arguments = [arena as usize, blocks as usize, third, fourth, fifth];
            // SAFETY: the caller vouches for the arguments.
            return unsafe {
                emulator::call(self.address as *const u8, arguments.map(|x| x as u64))
            };
        }
        #[cfg(target_arch = "x86_64")]
        type Pointer = unsafe extern "sysv64" fn(*mut f64, *mut f64, usize, usize, usize);
        // No code is written for other processors.
        #[cfg(not(target_arch = "x86_64"))]
        type Pointer = unsafe extern "C" fn(*mut f64, *mut f64, usize, usize, usize);
        // SAFETY: a function begins at the address and follows that convention; the caller vouches for the rest.
        unsafe {
            let function = std::mem::transmute::<usize, Pointer>(self.address);
            function(arena, blocks, third, fourth, fifth);
        }
    }
}

/// Consecutive instructions of a pass that one function carries out.
#[derive(Debug)]
pub struct Compiled {
    /// Which.
    pub range: Range<usize>,
    /// The function.
    pub function: Function,
}

/// The native code of a program.
#[derive(Debug)]
pub struct Native {
    /// Of steps that are not carried out whole, by step.
    segments: HashMap<usize, Vec<Compiled>>,
    /// Steps that are, by the first.
    steps: HashMap<usize, (Range<usize>, Function)>,
    /// What of the position and the results the code reads and writes itself.
    pub reach: Reach,
    /// Elements that it needs behind the blocks in cache and the partial sums.
    pub room: usize,
    /// Holds the functions.
    _code: Mmap,
}

/// Functions as offsets in the code, while it is written.
enum Entry {
    Segment(usize, Range<usize>),
    Steps(Range<usize>),
}

impl Native {
    /// Compiles what can be of a program; `None` if nothing can.
    pub fn compile(program: &Program, isa: Isa) -> Option<Native> {
        Native::compile_joined(program, isa, true)
    }

    /// As [`Native::compile`], with a function for each step, so that each can be repeated by itself.
    pub fn compile_apart(program: &Program, isa: Isa) -> Option<Native> {
        Native::compile_joined(program, isa, false)
    }

    fn compile_joined(program: &Program, isa: Isa, joined: bool) -> Option<Native> {
        let width = width(isa)?;
        let parts: Vec<Vec<Range<usize>>> = program.steps.iter().map(segments).collect();
        let is_whole = |index: usize| match &program.steps[index] {
            Step::Region { size, instructions } => {
                let parts = &parts[index];
                let covered: usize = parts.iter().map(ExactSizeIterator::len).sum();
                *size <= BLOCK && covered == instructions.len()
            }
            Step::Whole { .. } => false,
        };
        let whole: Vec<bool> = (0..program.steps.len()).map(is_whole).collect();
        let (reach, places) = places::survey(program, &whole);
        let mut writer = Writer {
            assembler: Assembler::default(),
            program,
            width,
            room: 0,
        };
        let mut entries = vec![];
        let mut step = 0;
        while step < program.steps.len() {
            let entry = writer.assembler.len();
            if whole[step] {
                let mut end = step;
                while end < whole.len() && whole[end] && (joined || end == step) {
                    for range in &parts[end] {
                        writer.pass(end, range.clone(), &places[end], true)?;
                    }
                    end += 1;
                }
                writer.assembler.end();
                entries.push((entry, Entry::Steps(step..end)));
                step = end;
            } else {
                for range in &parts[step] {
                    let entry = writer.assembler.len();
                    writer.pass(step, range.clone(), &places[step], false)?;
                    entries.push((entry, Entry::Segment(step, range.clone())));
                }
                step += 1;
            }
        }
        if entries.is_empty() {
            return None;
        }
        let room = writer.room as usize / 8;
        let code = executable(&writer.assembler.finish())?;
        let mut native = Native {
            segments: HashMap::new(),
            steps: HashMap::new(),
            reach,
            room,
            _code: code,
        };
        for (offset, entry) in entries {
            let function = Function::at(native._code[offset..].as_ptr(), isa);
            match entry {
                Entry::Segment(step, range) => {
                    let compiled = Compiled { range, function };
                    native.segments.entry(step).or_default().push(compiled);
                }
                Entry::Steps(range) => {
                    native.steps.insert(range.start, (range, function));
                }
            }
        }
        Some(native)
    }

    /// Has all functions emulated, or none.
    #[cfg(all(test, target_arch = "x86_64"))]
    fn emulate(&mut self, emulated: bool) {
        let segments = self.segments.values_mut().flatten();
        let segments = segments.map(|compiled| &mut compiled.function);
        let steps = self.steps.values_mut().map(|(_, function)| function);
        segments.chain(steps).for_each(|f| f.emulated = emulated);
    }

    /// The segments of a step, in order.
    pub fn segments(&self, step: usize) -> &[Compiled] {
        self.segments.get(&step).map_or(&[], Vec::as_slice)
    }

    /// The function that carries out a step and others behind it, and all of them.
    pub fn steps(&self, first: usize) -> Option<(Range<usize>, Function)> {
        self.steps.get(&first).cloned()
    }
}

/// The widest registers that code for an instruction set uses, if there is code for it.
fn width(isa: Isa) -> Option<Width> {
    match isa {
        Isa::Baseline => None,
        Isa::Avx2 => Some(Width::Ymm),
        Isa::Avx512 => Some(Width::Zmm),
    }
}

/// Memory that holds the code and may be run; `None` where the system forbids that.
fn executable(code: &[u8]) -> Option<Mmap> {
    let mut memory = MmapMut::map_anon(code.len()).ok()?;
    memory.copy_from_slice(code);
    memory.make_exec().ok()
}

struct Writer<'a> {
    assembler: Assembler,
    program: &'a Program,
    width: Width,
    room: i32,
}

impl Writer<'_> {
    /// Writes consecutive instructions of a step; `None` if a place is too far away for an address.
    fn pass(
        &mut self,
        step: usize,
        range: Range<usize>,
        places: &Places,
        whole: bool,
    ) -> Option<()> {
        let Step::Region { size, instructions } = &self.program.steps[step] else {
            unreachable!("only passes are compiled")
        };
        let scales = *size > 1 && self.width == Width::Zmm;
        let code = Code::of(instructions, range, *size, scales, places);
        if !code.is_near() {
            return None;
        }
        let pass = Pass {
            code: &code,
            size: *size,
            width: self.width,
            blocks: self.program.registers,
            taken: SUMS_ROOM,
        };
        let room = match whole {
            true => pass.write_whole(&mut self.assembler),
            false => pass.write_block(&mut self.assembler),
        };
        self.room = self.room.max(room);
        Some(())
    }
}

/// The stretches of a step's instructions that can be compiled.
fn segments(step: &Step) -> Vec<Range<usize>> {
    let Step::Region { size, instructions } = step else {
        return vec![];
    };
    let mut found = vec![];
    let mut start = 0;
    while start < instructions.len() {
        let end = start + segment_end(*size, &instructions[start..]);
        match end == start {
            true => start += 1,
            false => found.push(start..end),
        }
        start = start.max(end);
    }
    found
}

/// How many of the first instructions make a segment.
fn segment_end(size: usize, instructions: &[Instruction]) -> usize {
    let mut sums = 0;
    for (index, instruction) in instructions.iter().enumerate() {
        if !fits(size, instruction) {
            return index;
        }
        if matches!(instruction.kernel, Kernel::Sum | Kernel::Dot) {
            sums += 1;
            if sums > MOST_SUMS {
                return index;
            }
        }
    }
    instructions.len()
}

/// Whether segments of a pass over arrays of `size` elements can hold the instruction.
fn fits(size: usize, instruction: &Instruction) -> bool {
    match &instruction.kernel {
        Kernel::Map(function, _) => compiles(*function, size),
        Kernel::Gather(table, _) => size == 1 && table.len() == 1,
        Kernel::Sum | Kernel::Dot => size > 1,
        _ => false,
    }
}

/// Most elements of a pass that costly functions are part of: over more, the compiler's kernels, which work on two
/// registers by turns, are faster by more than the way through the cache costs.
const FEW: usize = 16;

/// Whether segments of a pass over so many elements can hold the function.
pub fn compiles(function: ScalarFn, size: usize) -> bool {
    is_cheap(function) || size <= FEW && is_straight(function)
}

/// Whether a function takes a few instructions.
fn is_cheap(function: ScalarFn) -> bool {
    use ScalarFn::*;
    matches!(
        function,
        Neg | Abs
            | Sign
            | Sqr
            | Sqrt
            | Reciprocal
            | Floor
            | Ceil
            | Trunc
            | RoundHalfEven
            | RoundHalfAway
            | StopGradient
            | Rounding
            | IsNan
            | IsInf
            | Not
            | ToFloat64
            | ToInt64
            | ToBool
            | Add
            | Sub
            | Mul
            | Div
            | IntDiv
            | Mod
            | Maximum
            | Minimum
            | Eq
            | Ne
            | Lt
            | Le
            | Gt
            | Ge
            | And
            | Or
            | Xor
            | Check
            | Scale
            | Quotient
            | MulAdd
            | MulSub
            | SubMul
            | Where
            | Usually
    )
}

/// Whether a function takes many instructions, the same whatever the values of its lanes.
fn is_straight(function: ScalarFn) -> bool {
    use ScalarFn::*;
    matches!(
        function,
        Exp | Exp2
            | Expm1
            | Log
            | Log2
            | Log10
            | Log1p
            | Log1mexp
            | Softplus
            | Sigmoid
            | Tanh
            | Sinh
            | Cosh
            | Asinh
            | Acosh
            | Atanh
            | Asin
            | Acos
            | Atan
            | Atan2
            | Erf
            | Erfc
            | Erfcx
            | Logaddexp
            | Xlogy
            | Xlog1py
    )
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
