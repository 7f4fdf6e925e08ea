//! A large region in stretches of rows, on one thread or several, with the same bits on any number.
//!
//! How a region is cut depends on the region alone. A stretch has 2^k blocks, so that the sum of its blocks is a node in
//! the tree of pairs that [`Cascade`] adds up: sums have the bits of the uncut region. Scatters and products with
//! rows transposed go to an array for each stretch; these are added up in the order of the stretches.

use super::block::Source;
use super::buffer::Buffer;
use super::crew::Caller;
use super::machine::{Kernel, Kernels, Linked, Memory, Pass, run_blocks};
use super::native::MOST_SUMS;
use super::simd::LANES;
use super::sum::{BLOCK, Cascade, Partial, across};
use super::work;
use std::cell::UnsafeCell;
use std::ops::Range;

/// Nanoseconds, roughly, that a stretch should take: some twenty times what sharing costs. Tests cut small regions too.
const STRETCH_COST: usize = if cfg!(test) { 100 } else { 5_000 };

/// Most stretches: the results of each are added up by one thread.
const MOST_STRETCHES: usize = 64;

/// Positions of the result that an end touches in each stretch, of so many blocks.
fn spans(end: &Linked, size: usize, blocks: usize) -> Vec<Range<usize>> {
    let starts = (0..size).step_by(blocks * BLOCK);
    let span = |start: usize| match &end.kernel {
        Kernel::ScatterAdd(table, _) => {
            let touched = &table[start..(start + blocks * BLOCK).min(size)];
            let low = touched.iter().min().map_or(0, |&low| low as usize);
            low..touched.iter().max().map_or(0, |&high| high as usize + 1)
        }
        Kernel::TimesRows(rows, _) => 0..rows.columns() * LANES,
        _ => 0..0,
    };
    starts.map(span).collect()
}

/// What an end leaves of each stretch.
struct End {
    /// Which instruction it is.
    index: usize,
    /// Positions of its result, by stretch.
    spans: Vec<Range<usize>>,
    /// Where they are kept, or the levels of a sum.
    places: Vec<usize>,
}

/// What a thread needs for a stretch.
struct Member {
    instructions: Vec<Linked>,
    cascades: Vec<Cascade>,
    memory: Memory,
    /// Only addresses refer to it.
    _blocks: Buffer,
}

/// How a region is cut, and the memory for it.
pub struct Split {
    size: usize,
    /// A stretch has `1 << level` blocks.
    level: usize,
    stretches: usize,
    ends: Vec<End>,
    kept: Buffer,
    members: Vec<UnsafeCell<Option<Member>>>,
    /// That of member 0.
    memory: Memory,
    /// Elements of the blocks in cache.
    cached: usize,
}

impl Split {
    /// Cuts a region, if it is worth while; its blocks in cache have so many elements.
    pub(super) fn new(
        size: usize,
        instructions: &[Linked],
        ends: &[usize],
        memory: Memory,
        cached: usize,
        members: usize,
    ) -> Option<Split> {
        let blocks = size.div_ceil(BLOCK);
        let block_cost: usize = instructions.iter().map(|i| work::of_block(&i.kernel)).sum();
        let block_cost = block_cost.max(1);
        let least = STRETCH_COST
            .div_ceil(block_cost)
            .max(blocks.div_ceil(MOST_STRETCHES));
        let mut level = least.next_power_of_two().trailing_zeros() as usize;
        // What stretches add up by themselves must be little beside the region's own work.
        let spans = loop {
            if blocks <= 1 << level {
                return None;
            }
            let spans = ends
                .iter()
                .map(|&k| spans(&instructions[k], size, 1 << level));
            let spans: Vec<Vec<Range<usize>>> = spans.collect();
            let total: usize = spans.iter().flatten().map(ExactSizeIterator::len).sum();
            if total <= blocks * block_cost / 8 {
                break spans;
            }
            level += 1;
        };
        let mut kept = 0;
        let ends = ends.iter().zip(spans).map(|(&index, spans)| {
            let summed = matches!(instructions[index].kernel, Kernel::Sum | Kernel::Dot);
            let lengths = spans.iter().map(|span| match summed {
                true => (level + 1) * LANES,
                false => span.len().next_multiple_of(LANES),
            });
            let place = |length| {
                kept += length;
                kept - length
            };
            let places = lengths.map(place).collect();
            End {
                index,
                spans,
                places,
            }
        });
        let ends: Vec<End> = ends.collect();
        let first = Member {
            instructions: instructions.to_vec(),
            cascades: vec![Cascade::default(); instructions.len()],
            memory,
            _blocks: Buffer::zeros(0),
        };
        let others = (1..members).map(|_| UnsafeCell::new(None));
        Some(Split {
            size,
            level,
            stretches: blocks.div_ceil(1 << level),
            ends,
            kept: Buffer::zeros(kept),
            members: std::iter::once(UnsafeCell::new(Some(first)))
                .chain(others)
                .collect(),
            memory,
            cached,
        })
    }

    /// Carries out the region.
    ///
    /// # Safety
    /// As for [`run_blocks`], for all blocks of the region; the instructions are those it was cut with.
    pub(super) unsafe fn run(
        &mut self,
        kernels: &Kernels,
        instructions: &[Linked],
        passes: &[Pass],
        caller: Option<&mut Caller>,
    ) {
        let kept = self.kept.as_mut_ptr();
        let shared = Shared {
            split: self,
            instructions,
            passes,
            kept,
            kernels,
        };
        // SAFETY: each stretch is worked on once, each member is one thread at a time; the caller vouches for the rest.
        let work = |member: usize, stretch: usize| unsafe { shared.stretch(member, stretch) };
        match caller {
            Some(caller) => caller.share(shared.split.stretches, &work),
            None => (0..shared.split.stretches).for_each(|stretch| work(0, stretch)),
        }
        for end in &self.ends {
            // SAFETY: the result has the elements that the instruction says, and at least a chunk.
            unsafe { self.finish(end, &instructions[end.index]) };
        }
    }

    /// The result of an end from those of all stretches.
    ///
    /// # Safety
    /// The instruction's result is there; nobody works on a stretch.
    unsafe fn finish(&self, end: &End, instruction: &Linked) {
        let parts = || end.places.iter().zip(&end.spans);
        // SAFETY: the caller vouches for the result.
        let out = unsafe {
            std::slice::from_raw_parts_mut(instruction.output, instruction.output_size.max(LANES))
        };
        match &instruction.kernel {
            Kernel::ScatterAdd(..) => {
                out.fill(0.0);
                for (&place, span) in parts() {
                    let part = &self.kept[place..place + span.len()];
                    out[span.clone()]
                        .iter_mut()
                        .zip(part)
                        .for_each(|(sum, value)| *sum += value);
                }
            }
            Kernel::TimesRows(rows, _) => {
                let (first, others) = end.places.split_first().expect("there are stretches");
                for (column, value) in out.iter_mut().enumerate().take(rows.columns()) {
                    let lanes = |place: &usize| -> Partial {
                        let start = place + column * LANES;
                        std::array::from_fn(|lane| self.kept[start + lane])
                    };
                    let add = |sum: Partial, place| -> Partial {
                        let part = lanes(place);
                        std::array::from_fn(|lane| sum[lane] + part[lane])
                    };
                    *value = across(others.iter().fold(lanes(first), add));
                }
            }
            _ => {
                let mut cascade = Cascade::default();
                for (stretch, &place) in end.places.iter().enumerate() {
                    let levels = &self.kept[place..place + (self.level + 1) * LANES];
                    let (levels, _) = levels.as_chunks::<LANES>();
                    cascade.append(self.blocks(stretch).len() as u64, self.level, levels);
                }
                out[0] = cascade.total();
            }
        }
        if instruction.output_size == 1 {
            let value = out[0];
            out.fill(value);
        }
    }

    fn blocks(&self, stretch: usize) -> Range<usize> {
        let first = stretch << self.level;
        first..(first + (1 << self.level)).min(self.size.div_ceil(BLOCK))
    }

    /// A helper, with blocks in cache of its own.
    fn helper(&self, instructions: &[Linked]) -> Member {
        let mut blocks = Buffer::zeros(self.cached + MOST_SUMS * LANES);
        let (theirs, own) = (self.memory.blocks, blocks.as_mut_ptr());
        let cached = theirs..theirs.wrapping_add(self.cached);
        let moved = |address: *mut f64| match cached.contains(&address) {
            // SAFETY: both belong to one buffer.
            true => own.wrapping_add(unsafe { address.offset_from(theirs) } as usize),
            false => address,
        };
        let own_instructions = instructions.iter().cloned().map(|mut instruction| {
            instruction.output = moved(instruction.output);
            instruction.sources = instruction.sources.map(|source| Source {
                pointer: moved(source.pointer.cast_mut()),
                ..source
            });
            instruction
        });
        Member {
            instructions: own_instructions.collect(),
            cascades: vec![Cascade::default(); instructions.len()],
            memory: Memory {
                arena: self.memory.arena,
                blocks: own,
                partial: own.wrapping_add(self.cached).cast::<Partial>().cast_const(),
            },
            _blocks: blocks,
        }
    }
}

/// What the threads share that work on stretches.
struct Shared<'a> {
    split: &'a Split,
    instructions: &'a [Linked],
    passes: &'a [Pass],
    kept: *mut f64,
    kernels: &'a Kernels,
}

// SAFETY: a member is used by one thread at a time, and each stretch has a part of `kept` of its own.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    /// Carries out a stretch, and keeps what its ends give.
    ///
    /// # Safety
    /// As for [`Split::run`]; no other thread works on this stretch or as this member.
    unsafe fn stretch(&self, number: usize, stretch: usize) {
        let split = self.split;
        // SAFETY: the caller vouches for the member.
        let member = unsafe { &mut *split.members[number].get() };
        let member = member.get_or_insert_with(|| split.helper(self.instructions));
        for end in &split.ends {
            let instruction = &mut member.instructions[end.index];
            let kept = self.kept.wrapping_add(end.places[stretch]);
            let span = &end.spans[stretch];
            match &instruction.kernel {
                Kernel::ScatterAdd(..) => instruction.output = kept.wrapping_sub(span.start),
                Kernel::TimesRows(..) => instruction.scratch = kept,
                _ => member.cascades[end.index].clear(),
            }
            // SAFETY: the place has as many elements as the span.
            unsafe { kept.write_bytes(0, span.len()) };
        }
        // SAFETY: the caller vouches for the addresses of the region; ends write to the stretch's own places.
        unsafe {
            run_blocks(
                self.kernels,
                &mut member.cascades,
                member.memory,
                split.size,
                &member.instructions,
                self.passes,
                split.blocks(stretch),
            );
        }
        for end in &split.ends {
            if matches!(
                member.instructions[end.index].kernel,
                Kernel::Sum | Kernel::Dot
            ) {
                // SAFETY: the place has so many levels, and is aligned for f64, as a Partial is.
                let levels = unsafe {
                    let place = self.kept.add(end.places[stretch]).cast::<Partial>();
                    std::slice::from_raw_parts_mut(place, split.level + 1)
                };
                member.cascades[end.index].write(split.level, levels);
            }
        }
    }
}
