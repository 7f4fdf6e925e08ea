//! Writes passes: straight-line code for a chunk, in a loop over chunks, with the sums behind it.
//!
//! Sums have two accumulators, for even and odd chunks, and so the order of `sum::block_lanes`.

use super::assembler::*;
use super::body::{Addressing, Body, CHUNK, Part};
use super::code::Code;
use crate::kernels::simd::LANES;
use crate::kernels::sum::BLOCK;

/// Most chunks of a pass that are written one after the other, without a loop.
const UNROLLED: usize = 2;

/// A pass to be written.
pub struct Pass<'a> {
    pub code: &'a Code,
    /// Elements of its arrays.
    pub size: usize,
    /// The widest registers.
    pub width: Width,
    /// Number of blocks in cache, behind which there is room for partial sums and more.
    pub blocks: usize,
    /// Bytes of that room that are taken.
    pub taken: i32,
}

/// What holds a place, or the end, of a pass within one function.
const PLACE: Gpr = Gpr::R8;

impl Pass<'_> {
    /// Registers that a chunk takes.
    fn halves(&self) -> usize {
        match self.width {
            Width::Ymm => 2,
            _ => 1,
        }
    }

    /// Writes the pass over single values or over arrays of one block, which begins at their first elements. Returns the
    /// room that it needs, in bytes.
    ///
    /// In `rdi` is the arena, in `rsi` the blocks, in `rdx` the position, in `rcx` what results are copied to.
    pub fn write_whole(&self, a: &mut Assembler) -> i32 {
        let addressing = Addressing {
            index: None,
            blocks: Gpr::Rsi,
            slots: self.slots(),
            free: vec![Gpr::R10, Gpr::R11],
            cursors: vec![],
        };
        if self.size == 1 {
            let code = self.code;
            let mut body = Body::new(a, Width::Xmm, self.width, code, addressing, 0);
            body.write(Part {
                displacement: 0,
                accumulator: 0,
                first: None,
            });
            return body.room();
        }
        let has_rest = self.code.touches_vectors()
            || !self.code.sums.is_empty()
            || self.size % LANES <= LANES / self.halves();
        let (whole, rest) = match has_rest {
            true => (self.size / LANES, self.size % LANES),
            false => (self.size.div_ceil(LANES), 0),
        };
        let is_loop = whole > UNROLLED;
        let addressing = Addressing {
            index: is_loop.then_some(PLACE),
            ..addressing
        };
        let accumulators = 2 * self.halves();
        let mut body = Body::new(
            a,
            self.width,
            self.width,
            self.code,
            addressing,
            accumulators,
        );
        body.prepare_loop();
        if is_loop {
            body.a.set(PLACE, 0);
            let start = body.a.label();
            self.chunk(&mut body, 0, 0, None);
            self.chunk(&mut body, 1, 1, None);
            body.a.address(PLACE, PLACE, 2 * CHUNK);
            body.a.compare_number(PLACE, whole as i32 / 2 * 2 * CHUNK);
            body.a.jump_to(Condition::Below, start);
        }
        // From the loop's end, or the start.
        let left = if is_loop { whole % 2 } else { whole };
        for chunk in 0..left {
            self.chunk(&mut body, chunk, chunk % 2, None);
        }
        if rest > 0 {
            self.chunk(&mut body, left, 1, Some(rest));
        }
        self.finish_sums(&mut body);
        body.room()
    }

    /// Writes a function that carries out the pass on a block; returns the room that it needs, in bytes.
    ///
    /// Its arguments are in `rdi` the arena, in `rsi` the blocks, in `rdx` and `rcx` the bytes from the start of arrays
    /// to the first whole chunk of the block and to the end of the last, in `r8` whether a partial chunk follows.
    pub fn write_block(&self, a: &mut Assembler) -> i32 {
        if self.size == 1 {
            let room = self.write_whole(a);
            a.end();
            return room;
        }
        let (place, end) = (Gpr::Rdx, Gpr::Rcx);
        let addressing = Addressing {
            index: Some(place),
            blocks: Gpr::R11,
            slots: self.slots(),
            free: vec![Gpr::R10, Gpr::R9],
            cursors: vec![],
        };
        let accumulators = 2 * self.halves();
        // Blocks are addressed from the start of arrays too.
        a.address(Gpr::R11, Gpr::Rsi, 0);
        a.subtract(Gpr::R11, place);
        let mut body = Body::new(
            a,
            self.width,
            self.width,
            self.code,
            addressing,
            accumulators,
        );
        body.prepare_loop();
        let start = body.a.label();
        body.a.address(Gpr::Rax, place, 2 * CHUNK);
        body.a.compare(Gpr::Rax, end);
        let last = body.a.jump(Condition::Above);
        self.chunk(&mut body, 0, 0, None);
        self.chunk(&mut body, 1, 1, None);
        body.a.address(place, place, 2 * CHUNK);
        body.a.jump_to(Condition::Always, start);
        body.a.land(last);
        body.a.compare(place, end);
        let done = body.a.jump(Condition::NotBelow);
        self.chunk(&mut body, 0, 0, None);
        body.a.address(place, place, CHUNK);
        body.a.land(done);
        let rest = self.size % LANES;
        if rest > 0 && !self.code.sums.is_empty() {
            body.a.test(Gpr::R8);
            let done = body.a.jump(Condition::Zero);
            self.chunk(&mut body, 0, 1, Some(rest));
            body.a.land(done);
        }
        self.finish_sums(&mut body);
        let room = body.room();
        a.end();
        room
    }

    fn slots(&self) -> i32 {
        (8 * self.blocks * BLOCK) as i32 + self.taken
    }

    /// The chunk that begins `chunk` chunks from the index, of which `first` elements count, if not all do.
    fn chunk(&self, body: &mut Body, chunk: usize, parity: usize, first: Option<usize>) {
        let lanes = LANES / self.halves();
        // What no element lies in can be left out.
        let halves = first.map_or(self.halves(), |first| first.div_ceil(lanes));
        for half in 0..halves {
            body.write(Part {
                displacement: chunk as i32 * CHUNK + half as i32 * 32,
                accumulator: parity * self.halves() + half,
                first: first.map(|first| first.saturating_sub(lanes * half) as u8),
            });
        }
    }

    /// Writes sums of one block whole, or else partial sums behind the blocks in cache.
    fn finish_sums(&self, body: &mut Body) {
        let halves = self.halves();
        for (sum, output) in self.code.sums.iter().enumerate() {
            let accumulators = body.settled(sum);
            let (even, odd) = accumulators.split_at(halves);
            for (&even, &odd) in even.iter().zip(odd) {
                let odd = Operand::Register(odd);
                body.a.vector(ADD, self.width, even, even, odd, None, None);
            }
            if self.size <= BLOCK {
                let high = (halves == 2).then(|| even[1]);
                body.a.add_across(even[0], high);
                for &location in output {
                    body.keep_single(0, location);
                }
            } else {
                for (half, &register) in even.iter().enumerate() {
                    let offset = 8 * self.blocks * BLOCK + CHUNK as usize * sum + 32 * half;
                    let target = Operand::Memory(Memory::At(Gpr::Rsi, None, offset as i32));
                    body.a
                        .vector(STORE, self.width, register, 0, target, None, None);
                }
            }
        }
    }
}
