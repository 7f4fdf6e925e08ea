//! Runs a program: regions of fused instructions over blocks of 256 elements, and whole-array steps between them.
//!
//! A [`Program`] says where every value lies in an arena; a [`Workspace`] owns one arena and the addresses
//! worked out for it, so that an evaluation allocates nothing and looks nothing up.

use super::block::{BlockFn, MOST_ARGUMENTS, PairFn, Source};
use super::buffer::{Buffer, padded};
use super::crew::Caller;
use super::isa::Isa;
use super::matrix::{self, RowBlocks, RowsFn};
use super::native::{Function, MOST_SUMS, Native};
use super::runs::Runs;
use super::simd::LANES;
use super::split::Split;
use super::sum::{self, BLOCK, Cascade, Partial, across};
use super::whole::{self, Failure, State};
use crate::bound::Node;
use crate::scalar::ScalarFn;
use crate::tensor::{Table, Tensor};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a whole array lies.
#[derive(Clone, Debug)]
pub enum Place {
    /// At an offset in the arena.
    Arena(usize),
    /// In a constant, from an element on.
    Constant(Arc<Tensor>, usize),
}

/// What an instruction reads or writes.
#[derive(Clone, Debug)]
pub enum Operand {
    /// The block's part of an array.
    Array(Place),
    /// A scalar, stored in all lanes.
    Scalar(Place),
    /// A block that lives in cache only.
    Register(usize),
}

/// What an instruction does with a block.
#[derive(Clone, Debug)]
pub enum Kernel {
    /// An elementwise function, and its kernel for this processor.
    Map(ScalarFn, BlockFn),
    /// Elements of a whole array at the table's positions, and its runs if they are long.
    Gather(Arc<Table>, Option<Arc<Runs>>),
    /// Rows of a matrix times a whole vector.
    RowsTimes(Arc<RowBlocks>),
    /// Sum of all elements.
    Sum,
    /// Sum of the products of two arrays' elements.
    Dot,
    /// Elements added to a whole array at the table's positions.
    ScatterAdd(Arc<Table>, Option<Arc<Runs>>),
    /// Vector times the rows of a matrix; partial sums lie at the offset in the arena.
    TimesRows(Arc<RowBlocks>, usize),
}

/// A kernel with its operands.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// What is done.
    pub kernel: Kernel,
    /// From what.
    pub inputs: Vec<Operand>,
    /// To where; the whole result for sums, scatters and products with rows.
    pub output: Operand,
    /// Elements of the result.
    pub output_size: usize,
}

/// A step of a program.
#[derive(Clone, Debug)]
pub enum Step {
    /// Instructions carried out block by block over arrays of one size.
    Region {
        /// Elements of each array.
        size: usize,
        /// In order.
        instructions: Vec<Instruction>,
    },
    /// One op on whole arrays.
    Whole {
        /// The op and the shape of its result.
        node: Node,
        /// Arrays and their numbers of elements.
        inputs: Vec<(Place, usize)>,
        /// Offset of the result in the arena.
        output: usize,
    },
}

/// A stretch of the position vector and its copy in the arena.
#[derive(Clone, Debug)]
pub struct Input {
    /// First entry in the position vector.
    pub position: usize,
    /// Offset in the arena.
    pub arena: usize,
    /// Number of elements.
    pub size: usize,
}

/// All steps of an evaluation, with every place decided.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Parameters copied in first.
    pub inputs: Vec<Input>,
    /// Inputs from this entry of the position vector on keep their values from one evaluation to the next.
    pub kept_from: usize,
    /// In order.
    pub steps: Vec<Step>,
    /// Results and their numbers of elements.
    pub outputs: Vec<(Place, usize)>,
    /// Elements of the arena.
    pub arena: usize,
    /// Blocks in cache that the widest region needs.
    pub registers: usize,
    /// Machine code of what can be compiled.
    pub native: Option<Arc<Native>>,
}

impl Program {
    /// The same with machine code that does steps one at a time.
    pub fn in_steps(&self) -> Program {
        let native = self.native.as_ref();
        let native = native.and_then(|_| Native::compile_apart(self, Isa::detect()));
        Program {
            native: native.map(Arc::new),
            ..self.clone()
        }
    }
}

/// Kernels that are chosen once for this processor.
pub(super) struct Kernels {
    sum: unsafe fn(&Source, usize) -> Partial,
    products: unsafe fn(&Source, &Source, usize) -> Partial,
    rows_times: RowsFn,
    times_rows: RowsFn,
}

impl Kernels {
    fn detect() -> Kernels {
        let isa = Isa::detect() as usize;
        Kernels {
            sum: sum::sums()[isa],
            products: sum::products()[isa],
            rows_times: matrix::rows_times()[isa],
            times_rows: matrix::times_rows()[isa],
        }
    }
}

/// An instruction with addresses instead of places.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) kernel: Kernel,
    pub(super) sources: [Source; MOST_ARGUMENTS],
    /// Elements from one block to the next, an input each.
    strides: [usize; MOST_ARGUMENTS],
    pub(super) output: *mut f64,
    output_stride: usize,
    pub(super) output_size: usize,
    pub(super) scratch: *mut f64,
}

/// What is done with a block.
pub(super) enum Pass {
    /// An instruction, by a kernel.
    Kernel(usize),
    /// An instruction and the next one, by one kernel.
    Pair(usize, PairFn),
    /// A segment of them, by machine code.
    Native {
        function: Function,
        /// Whether elements behind an array's end would count.
        has_sums: bool,
        /// Instructions whose partial sums the code leaves, in their order.
        partial: Vec<usize>,
    },
}

struct Region {
    size: usize,
    instructions: Vec<Linked>,
    passes: Vec<Pass>,
    /// Instructions with something to do before the first block and behind the last.
    ends: Vec<usize>,
    split: Option<Split>,
}

/// What machine code works on besides constants.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// First element of the arena.
    pub(super) arena: *mut f64,
    /// First element of the blocks in cache.
    pub(super) blocks: *mut f64,
    /// Partial sums, behind the blocks.
    pub(super) partial: *const Partial,
}

/// The vectors that machine code reads and writes itself.
#[derive(Clone, Copy)]
struct Vectors {
    position: *const f64,
    /// All results but the first, one after the other.
    results: *mut f64,
}

enum LinkedStep {
    Region(Region),
    /// Steps that are machine code as a whole.
    Native(Function),
    Whole {
        index: usize,
        inputs: Vec<(*const f64, usize)>,
        output: *mut f64,
        state: State,
    },
}

/// One arena and a program linked to it: what a thread needs to evaluate.
pub struct Workspace {
    program: Arc<Program>,
    /// First element of the arena: all addresses derive from it, so that none is invalidated by another.
    base: *mut f64,
    memory: Memory,
    /// Only addresses refer to the arena and the registers.
    _buffers: [Buffer; 2],
    steps: Vec<LinkedStep>,
    /// Inputs that are copied to the arena.
    loaded: Vec<usize>,
    outputs: Vec<(*const f64, usize)>,
    /// Results that are copied out, and to where.
    copied: Vec<(usize, usize)>,
    /// Length of the position vector, and of all results but the first together.
    lengths: [usize; 2],
    /// Of evaluations whose results nobody wants copied.
    unwanted: Vec<f64>,
    cascades: Vec<Cascade>,
    kernels: Kernels,
    /// Whom to ask for help with large regions.
    caller: Option<Caller>,
}

// SAFETY: the addresses point into the workspace's own buffers and into constants that `program` keeps
// alive and nobody changes.
unsafe impl Send for Workspace {}

impl Workspace {
    /// An arena for a program.
    pub fn new(program: Arc<Program>) -> Workspace {
        Workspace::helped(program, None)
    }

    /// As [`Workspace::new`], with help on large regions; results have the same bits.
    pub fn helped(program: Arc<Program>, caller: Option<Caller>) -> Workspace {
        let mut arena = Buffer::zeros(program.arena);
        // Behind the blocks: partial sums, and what native code needs.
        let room = program.native.as_ref().map_or(0, |native| native.room);
        let mut registers = Buffer::zeros(program.registers * BLOCK + MOST_SUMS * LANES + room);
        let (base, register) = (arena.as_mut_ptr(), registers.as_mut_ptr());
        let cached = program.registers * BLOCK;
        let memory = Memory {
            arena: base,
            blocks: register,
            partial: register.wrapping_add(cached).cast::<Partial>().cast_const(),
        };
        let address = |place: &Place| -> *const f64 {
            match place {
                Place::Arena(offset) => base.wrapping_add(*offset),
                Place::Constant(tensor, offset) => tensor.buffer().as_ptr().wrapping_add(*offset),
            }
        };
        let link = |operand: &Operand| -> (*const f64, usize, usize) {
            match operand {
                Operand::Array(place) => (address(place), LANES, BLOCK),
                Operand::Scalar(place) => (address(place), 0, 0),
                Operand::Register(index) => {
                    (register.wrapping_add(index * BLOCK) as *const f64, LANES, 0)
                }
            }
        };
        let mut most_sums = 0;
        let mut link_step = |index: usize, step: &Step| match step {
            Step::Region { size, instructions } => {
                let mut linked = vec![];
                let mut ends = vec![];
                for (k, instruction) in instructions.iter().enumerate() {
                    let mut sources = [Source {
                        pointer: base,
                        step: 0,
                    }; MOST_ARGUMENTS];
                    let mut strides = [0; MOST_ARGUMENTS];
                    for (i, input) in instruction.inputs.iter().enumerate() {
                        let (pointer, step, stride) = link(input);
                        sources[i] = Source { pointer, step };
                        strides[i] = stride;
                    }
                    if matches!(
                        instruction.kernel,
                        Kernel::Gather(..) | Kernel::RowsTimes(_)
                    ) {
                        strides[0] = 0; // read as a whole in every block
                    }
                    let (output, _, output_stride) = link(&instruction.output);
                    let is_end = matches!(
                        instruction.kernel,
                        Kernel::Sum | Kernel::Dot | Kernel::ScatterAdd(..) | Kernel::TimesRows(..)
                    );
                    let scratch = match instruction.kernel {
                        Kernel::TimesRows(_, offset) => base.wrapping_add(offset),
                        _ => base,
                    };
                    if is_end {
                        ends.push(k);
                    }
                    linked.push(Linked {
                        kernel: instruction.kernel.clone(),
                        sources,
                        strides,
                        output: output.cast_mut(),
                        output_stride: if is_end { 0 } else { output_stride },
                        output_size: instruction.output_size,
                        scratch,
                    });
                }
                most_sums = most_sums.max(linked.len());
                let native = program.native.as_ref();
                let segments = native.map_or(&[][..], |native| native.segments(index));
                let mut passes = vec![];
                let mut next = 0;
                for segment in segments {
                    passes.extend(kernel_passes(&linked, next..segment.range.start));
                    next = segment.range.end;
                    let sums = segment.range.clone().filter(|k| ends.contains(k));
                    let sums: Vec<usize> = sums.collect();
                    let has_sums = !sums.is_empty();
                    let mut partial = sums;
                    if *size <= BLOCK {
                        // The code itself writes the whole sum of a single block.
                        ends.retain(|k| !segment.range.contains(k));
                        partial.clear();
                    }
                    passes.push(Pass::Native {
                        function: segment.function,
                        has_sums,
                        partial,
                    });
                }
                passes.extend(kernel_passes(&linked, next..linked.len()));
                let members = caller.as_ref().map_or(1, Caller::members);
                LinkedStep::Region(Region {
                    size: *size,
                    split: Split::new(*size, &linked, &ends, memory, cached, members),
                    instructions: linked,
                    passes,
                    ends,
                })
            }
            Step::Whole {
                node,
                inputs,
                output,
            } => LinkedStep::Whole {
                index,
                inputs: inputs
                    .iter()
                    .map(|(place, size)| (address(place), *size))
                    .collect(),
                output: base.wrapping_add(*output),
                state: State::new(node),
            },
        };
        let native = program.native.as_ref();
        let mut steps = vec![];
        let mut next = 0;
        while next < program.steps.len() {
            match native.and_then(|native| native.steps(next)) {
                Some((range, function)) => {
                    steps.push(LinkedStep::Native(function));
                    next = range.end;
                }
                None => {
                    steps.push(link_step(next, &program.steps[next]));
                    next += 1;
                }
            }
        }
        let outputs = program
            .outputs
            .iter()
            .map(|(place, size)| (address(place), *size))
            .collect();
        let reads = |k: &usize| {
            program.inputs[*k].position < program.kept_from
                && native.is_none_or(|native| !native.reach.inputs[*k])
        };
        let loaded = (0..program.inputs.len()).filter(reads).collect();
        let mut copied = vec![];
        let mut length = 0;
        for (k, (_, size)) in program.outputs.iter().enumerate().skip(1) {
            if native.is_none_or(|native| !native.reach.outputs[k]) {
                copied.push((k, length));
            }
            length += size;
        }
        let given = program
            .inputs
            .iter()
            .filter(|i| i.position < program.kept_from);
        let ends = given.map(|i| i.position + i.size);
        let lengths = [ends.max().unwrap_or(0), length];
        let cascades = vec![Cascade::default(); most_sums];
        let kernels = Kernels::detect();
        Workspace {
            program,
            base,
            memory,
            _buffers: [arena, registers],
            steps,
            loaded,
            outputs,
            copied,
            lengths,
            unwanted: vec![0.0; length],
            cascades,
            kernels,
            caller,
        }
    }

    /// What it carries out.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Whether it has regions that others can help with.
    pub fn is_shared(&self) -> bool {
        let shared = |step: &LinkedStep| matches!(step, LinkedStep::Region(region) if region.split.is_some());
        self.steps.iter().any(shared)
    }

    /// Gives the inputs that keep their values these values, in the order of their positions.
    pub fn hold(&mut self, constants: &[Arc<Tensor>]) {
        let inputs = self.program.inputs.iter().enumerate();
        let kept = inputs.filter(|(_, input)| input.position >= self.program.kept_from);
        let mut kept: Vec<(usize, usize)> = kept.map(|(k, input)| (input.position, k)).collect();
        kept.sort_unstable();
        for ((_, index), constant) in kept.into_iter().zip(constants) {
            self.load(index, constant.values());
        }
    }

    /// Carries out all steps at a position, with the inputs that keep their values as they are.
    pub fn evaluate(&mut self, position: &[f64]) -> Result<(), Failure> {
        let mut unwanted = std::mem::take(&mut self.unwanted);
        let result = self.run_at(position, unwanted.as_mut_ptr());
        self.unwanted = unwanted;
        result
    }

    /// As [`Workspace::evaluate`], with all results but the first copied, one after the other; panics where the lengths
    /// are not those of the program.
    pub fn evaluate_into(&mut self, position: &[f64], results: &mut [f64]) -> Result<(), Failure> {
        assert_eq!(results.len(), self.lengths[1]);
        self.run_at(position, results.as_mut_ptr())?;
        for &(index, start) in &self.copied {
            match self.output(index) {
                // Without the call that a copy of unknown length is.
                [value] => results[start] = *value,
                values => results[start..start + values.len()].copy_from_slice(values),
            }
        }
        Ok(())
    }

    /// Carries out all steps at a position; there is room for the results.
    fn run_at(&mut self, position: &[f64], results: *mut f64) -> Result<(), Failure> {
        assert!(position.len() >= self.lengths[0]);
        for k in 0..self.loaded.len() {
            let index = self.loaded[k];
            let input = &self.program.inputs[index];
            self.load(
                index,
                &position[input.position..input.position + input.size],
            );
        }
        let vectors = Vectors {
            position: position.as_ptr(),
            results,
        };
        (0..self.steps.len()).try_for_each(|index| self.run_step(index, vectors))
    }

    /// First element of the arena.
    pub(super) fn arena(&mut self) -> *mut f64 {
        self.base
    }

    /// What the program reads.
    pub fn inputs(&self) -> &[Input] {
        &self.program.inputs
    }

    /// Copies the values of one of the program's inputs into the arena.
    pub fn load(&mut self, index: usize, values: &[f64]) {
        let input = &self.program.inputs[index];
        // SAFETY: the plan gave the parameter that stretch of the arena, and no other reference is alive.
        let target = unsafe {
            std::slice::from_raw_parts_mut(self.base.add(input.arena), padded(input.size))
        };
        match values {
            [value] => target[..LANES].fill(*value),
            _ => target[..input.size].copy_from_slice(values),
        }
    }

    /// Carries out all steps of a program that keeps all inputs, with those loaded before.
    pub fn run(&mut self) -> Result<(), Failure> {
        debug_assert_eq!(self.program.kept_from, 0);
        let vectors = Vectors {
            position: std::ptr::null(),
            results: std::ptr::null_mut(),
        };
        (0..self.steps.len()).try_for_each(|index| self.run_step(index, vectors))
    }

    /// Time of each step of a program [`in_steps`](Program::in_steps) at a position, repeated on its own until the clock
    /// sees it.
    pub fn time_steps(&mut self, position: &[f64]) -> Result<Vec<Duration>, Failure> {
        self.evaluate(position)?;
        let mut unwanted = self.unwanted.clone();
        let vectors = Vectors {
            position: position.as_ptr(),
            results: unwanted.as_mut_ptr(),
        };
        let steps = 0..self.steps.len();
        steps.map(|index| self.time_step(index, vectors)).collect()
    }

    fn time_step(&mut self, index: usize, vectors: Vectors) -> Result<Duration, Failure> {
        let mut run = |repeats: u32| {
            let began = Instant::now();
            (0..repeats).try_for_each(|_| self.run_step(index, vectors))?;
            Ok(began.elapsed())
        };
        let mut repeats = 1;
        while run(repeats)? < Duration::from_micros(20) {
            repeats *= 2;
        }
        // The least of several is what other load on the machine disturbed least.
        let times: Result<Vec<Duration>, Failure> = (0..5).map(|_| run(repeats)).collect();
        Ok(times?.into_iter().min().unwrap_or_default() / repeats)
    }

    /// Carries out a step. It may be repeated: no step writes what it reads.
    fn run_step(&mut self, index: usize, vectors: Vectors) -> Result<(), Failure> {
        match &mut self.steps[index] {
            LinkedStep::Native(function) => {
                // SAFETY: the code is that of this program, for this processor; the arena and the blocks are its own, and
                // the vectors have its lengths.
                unsafe {
                    function.run_steps(
                        self.memory.arena,
                        self.memory.blocks,
                        vectors.position,
                        vectors.results,
                    )
                };
            }
            LinkedStep::Region(region) => {
                // SAFETY: the plan gave every array of the region `size` elements, padded to whole chunks, and
                // values that live at the same time places of their own.
                unsafe {
                    match &mut region.split {
                        Some(split) => {
                            let caller = self.caller.as_mut();
                            split.run(&self.kernels, &region.instructions, &region.passes, caller);
                        }
                        None => run_region(&self.kernels, &mut self.cascades, self.memory, region),
                    }
                }
            }
            LinkedStep::Whole {
                index,
                inputs,
                output,
                state,
            } => {
                let Step::Whole { node, .. } = &self.program.steps[*index] else {
                    unreachable!("steps keep their kind")
                };
                // SAFETY: the plan keeps the result apart from the inputs, each within its buffer.
                unsafe {
                    let (pointer, size) = (*output, node.size());
                    let out = std::slice::from_raw_parts_mut(pointer, size);
                    let input = |k: usize| std::slice::from_raw_parts(inputs[k].0, inputs[k].1);
                    whole::run(node, state, input, out)?;
                    if size == 1 {
                        fill_lanes(pointer);
                    }
                }
            }
        }
        Ok(())
    }

    /// Number of results.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// A result of the last evaluation.
    pub fn output(&self, index: usize) -> &[f64] {
        let (pointer, size) = self.outputs[index];
        // SAFETY: results lie in the arena or in a constant, and live until the next evaluation.
        unsafe { std::slice::from_raw_parts(pointer, size) }
    }
}

/// Instructions one after the other, two at a time where one kernel does both.
fn kernel_passes(instructions: &[Linked], range: Range<usize>) -> Vec<Pass> {
    let pair = |k: usize| match &instructions[k..range.end] {
        [a, b, ..] if a.sources[0] == b.sources[0] => match (&a.kernel, &b.kernel) {
            (Kernel::Map(f, _), Kernel::Map(g, _)) => f.paired_with(*g),
            _ => None,
        },
        _ => None,
    };
    let mut passes = vec![];
    let mut next = range.start;
    while next < range.end {
        match pair(next) {
            Some(kernels) => {
                passes.push(Pass::Pair(next, kernels[Isa::detect() as usize]));
                next += 2;
            }
            None => {
                passes.push(Pass::Kernel(next));
                next += 1;
            }
        }
    }
    passes
}

/// Elements of a block that are done in whole chunks, and how many are left; without sums a partial chunk is as good as
/// a whole one.
fn whole_chunks(length: usize, has_sums: bool) -> (usize, usize) {
    match has_sums {
        true => (length / LANES * LANES, length % LANES),
        false => (length.next_multiple_of(LANES), 0),
    }
}

/// Carries out a region's instructions block by block.
///
/// # Safety
/// All addresses hold what their instructions read and write for `size` elements rounded up to whole chunks.
unsafe fn run_region(kernels: &Kernels, cascades: &mut [Cascade], memory: Memory, region: &Region) {
    let Region {
        size,
        instructions,
        passes,
        ends,
        ..
    } = region;
    for &k in ends {
        let end = &instructions[k];
        // SAFETY: results and partial sums have that many elements.
        unsafe {
            match &end.kernel {
                Kernel::ScatterAdd(..) => end.output.write_bytes(0, end.output_size),
                Kernel::TimesRows(blocks, _) => {
                    end.scratch.write_bytes(0, blocks.columns() * LANES)
                }
                _ => cascades[k].clear(),
            }
        }
    }
    // SAFETY: the caller vouches for all blocks.
    unsafe {
        let blocks = 0..size.div_ceil(BLOCK);
        run_blocks(
            kernels,
            cascades,
            memory,
            *size,
            instructions,
            passes,
            blocks,
        );
    }
    for &k in ends {
        let end = &instructions[k];
        // SAFETY: as for the start; a result of one element has a whole chunk.
        unsafe {
            match &end.kernel {
                Kernel::Sum | Kernel::Dot => *end.output = cascades[k].total(),
                Kernel::TimesRows(blocks, _) => {
                    for column in 0..blocks.columns() {
                        *end.output.add(column) =
                            across(end.scratch.add(column * LANES).cast::<Partial>().read());
                    }
                }
                _ => {}
            }
            if end.output_size == 1 {
                fill_lanes(end.output);
            }
        }
    }
}

/// Carries out a region's instructions on some of its blocks, one after the other.
///
/// # Safety
/// All addresses hold what their instructions read and write for these blocks of `size` elements rounded up to whole
/// chunks.
pub(super) unsafe fn run_blocks(
    kernels: &Kernels,
    cascades: &mut [Cascade],
    memory: Memory,
    size: usize,
    instructions: &[Linked],
    passes: &[Pass],
    blocks: Range<usize>,
) {
    for block in blocks {
        let start = block * BLOCK;
        let length = BLOCK.min(size - start);
        for pass in passes {
            // SAFETY: the block lies inside every array of `size` elements.
            unsafe {
                match pass {
                    Pass::Kernel(k) => {
                        let (instruction, cascade) = (&instructions[*k], &mut cascades[*k]);
                        run_instruction(kernels, cascade, instruction, start, length);
                    }
                    Pass::Pair(k, function) => {
                        let (a, b) = (&instructions[*k], &instructions[k + 1]);
                        let source = Source {
                            pointer: a.sources[0].pointer.add(block * a.strides[0]),
                            ..a.sources[0]
                        };
                        let outputs = [a, b].map(|x| x.output.add(block * x.output_stride));
                        function(outputs, source, length.div_ceil(LANES));
                    }
                    Pass::Native {
                        function,
                        has_sums,
                        partial,
                    } => {
                        let (whole, rest) = whole_chunks(length, *has_sums);
                        function.run_block(
                            memory.arena,
                            memory.blocks,
                            8 * start,
                            8 * (start + whole),
                            rest,
                        );
                        for (slot, &k) in partial.iter().enumerate() {
                            cascades[k].push(memory.partial.add(slot).read());
                        }
                    }
                }
            }
        }
    }
}

/// Carries out an instruction on the block of `length` elements that begins at `start`.
///
/// # Safety
/// As for [`run_region`].
#[inline(always)]
unsafe fn run_instruction(
    kernels: &Kernels,
    cascade: &mut Cascade,
    instruction: &Linked,
    start: usize,
    length: usize,
) {
    // SAFETY: the caller vouches for the block.
    unsafe {
        if start == 0 {
            let (sources, output) = (&instruction.sources, instruction.output);
            return run_block(
                kernels,
                cascade,
                instruction,
                sources,
                output,
                start,
                length,
            );
        }
        let block = start / BLOCK;
        let mut sources = instruction.sources;
        for (source, stride) in sources.iter_mut().zip(instruction.strides) {
            source.pointer = source.pointer.add(block * stride);
        }
        let output = instruction.output.add(block * instruction.output_stride);
        run_block(
            kernels,
            cascade,
            instruction,
            &sources,
            output,
            start,
            length,
        );
    }
}

/// Carries out an instruction on the block of `length` elements that begins at `start`.
///
/// # Safety
/// As for [`run_region`]; `sources` and `output` are the block's addresses.
#[inline(always)]
unsafe fn run_block(
    kernels: &Kernels,
    cascade: &mut Cascade,
    instruction: &Linked,
    sources: &[Source; MOST_ARGUMENTS],
    output: *mut f64,
    start: usize,
    length: usize,
) {
    // SAFETY: the caller vouches for the addresses.
    unsafe {
        match &instruction.kernel {
            Kernel::Map(_, function) => function(output, sources, length.div_ceil(LANES)),
            Kernel::Gather(_, Some(runs)) => {
                runs.gather(start / BLOCK, length, sources[0].pointer, output);
            }
            Kernel::Gather(table, None) => {
                gather(sources[0].pointer, &table[start..start + length], output)
            }
            Kernel::RowsTimes(blocks) => {
                let (values, vector) = (blocks.block(start), sources[0].pointer);
                (kernels.rows_times)(values, blocks.columns(), length, vector, output);
                if length == 1 {
                    fill_lanes(output);
                }
            }
            Kernel::Sum => cascade.push((kernels.sum)(&sources[0], length)),
            Kernel::Dot => cascade.push((kernels.products)(&sources[0], &sources[1], length)),
            Kernel::ScatterAdd(_, Some(runs)) => {
                runs.scatter_add(start / BLOCK, sources[0].pointer, output);
            }
            Kernel::ScatterAdd(table, None) => {
                scatter_add(sources[0].pointer, &table[start..start + length], output);
            }
            Kernel::TimesRows(blocks, _) => {
                let (values, vector) = (blocks.block(start), sources[0].pointer);
                (kernels.times_rows)(
                    values,
                    blocks.columns(),
                    length,
                    vector,
                    instruction.scratch,
                );
            }
        }
    }
}

/// The elements at the table's positions; a single one in all lanes.
///
/// # Safety
/// The source holds all positions, `out` as many elements as the table and a whole chunk.
#[inline(never)]
unsafe fn gather(source: *const f64, table: &[u32], out: *mut f64) {
    // SAFETY: the caller vouches for both addresses.
    unsafe {
        for (i, &position) in table.iter().enumerate() {
            *out.add(i) = *source.add(position as usize);
        }
        if table.len() == 1 {
            fill_lanes(out);
        }
    }
}

/// Adds the elements to the table's positions.
///
/// # Safety
/// `out` holds all positions, the source as many elements as the table.
#[inline(never)]
unsafe fn scatter_add(source: *const f64, table: &[u32], out: *mut f64) {
    // SAFETY: the caller vouches for both addresses.
    unsafe {
        for (i, &position) in table.iter().enumerate() {
            *out.add(position as usize) += *source.add(i);
        }
    }
}

/// Copies the first lane to all.
///
/// # Safety
/// The address holds a chunk.
unsafe fn fill_lanes(value: *mut f64) {
    // SAFETY: the caller vouches for the chunk.
    unsafe { std::slice::from_raw_parts_mut(value, LANES).fill(*value) }
}
