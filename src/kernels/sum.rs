//! Sums in one fixed order: lanes within a block, pairs of blocks above. The same bits on every processor.

use super::block::Source;
use super::buffer::Buffer;
use super::isa::{Isa, per_isa};
use super::simd::{LANES, Lanes};

/// Elements of a block.
pub const BLOCK: usize = 256;

/// Eight partial sums.
pub type Partial = [f64; LANES];

/// Lane by lane sum of the first `length` (at most [`BLOCK`]) elements; two accumulators hide the latency of addition.
///
/// # Safety
/// The source holds `length` elements rounded up to whole chunks.
#[inline(always)]
pub unsafe fn block_lanes<V: Lanes>(source: &Source, length: usize) -> V {
    let mut even = V::splat(0.0);
    let mut odd = V::splat(0.0);
    let whole = length / LANES;
    // SAFETY: all chunks up to the last, partial one lie inside the source.
    unsafe {
        for i in 0..whole / 2 {
            even += source.load::<V>(2 * i);
            odd += source.load::<V>(2 * i + 1);
        }
        if whole % 2 == 1 {
            even += source.load::<V>(whole - 1);
        }
        if !length.is_multiple_of(LANES) {
            odd += first_lanes(source.load::<V>(whole), length % LANES);
        }
    }
    even + odd
}

/// Lane by lane sum of the products of the first `length` (at most [`BLOCK`]) elements, as [`block_lanes`].
///
/// # Safety
/// The sources hold `length` elements rounded up to whole chunks.
#[inline(always)]
pub unsafe fn block_products<V: Lanes>(x: &Source, y: &Source, length: usize) -> V {
    let (mut even, mut odd) = (V::splat(0.0), V::splat(0.0));
    let whole = length / LANES;
    // SAFETY: all chunks up to the last, partial one lie inside the sources.
    unsafe {
        let product = |chunk: usize, sum: V| {
            let (x, y) = (x.load::<V>(chunk), y.load::<V>(chunk));
            x.mul_add(y, sum)
        };
        for pair in 0..whole / 2 {
            even = product(2 * pair, even);
            odd = product(2 * pair + 1, odd);
        }
        if whole % 2 == 1 {
            even = product(whole - 1, even);
        }
        let rest = length % LANES;
        if rest > 0 {
            let (x, y) = (x.load::<V>(whole), y.load::<V>(whole));
            odd = first_lanes(x, rest).mul_add(first_lanes(y, rest), odd);
        }
    }
    even + odd
}

/// The first lanes of a chunk, zeros behind: what lies beyond an array's end may be anything.
#[inline(always)]
pub fn first_lanes<V: Lanes>(chunk: V, lanes: usize) -> V {
    const ONES: f64 = f64::from_bits(u64::MAX);
    static MASKS: [f64; 2 * LANES] = {
        let mut masks = [0.0; 2 * LANES];
        let mut lane = 0;
        while lane < LANES {
            masks[lane] = ONES;
            lane += 1;
        }
        masks
    };
    chunk.and(V::load(&MASKS[LANES - lanes..]))
}

/// Sum of the lanes, in pairs.
#[inline(always)]
pub fn across(v: Partial) -> f64 {
    ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
}

fn add(a: Partial, b: Partial) -> Partial {
    std::array::from_fn(|lane| a[lane] + b[lane])
}

/// Adds block sums in pairs, then pairs of pairs, so that rounding errors grow with the logarithm of their number.
#[derive(Clone, Copy)]
pub struct Cascade {
    levels: [Partial; 48],
    blocks: u64,
}

impl Default for Cascade {
    fn default() -> Cascade {
        Cascade {
            levels: [[0.0; LANES]; 48],
            blocks: 0,
        }
    }
}

impl Cascade {
    /// Adds the sum of one more block.
    #[inline]
    pub fn push(&mut self, mut block: Partial) {
        let mut level = 0;
        while self.blocks >> level & 1 == 1 {
            block = add(self.levels[level], block);
            level += 1;
        }
        self.levels[level] = block;
        self.blocks += 1;
    }

    /// Writes what [`Cascade::append`] takes, of at most `1 << level` blocks.
    pub fn write(&self, level: usize, levels: &mut [Partial]) {
        levels[..=level].copy_from_slice(&self.levels[..=level]);
    }

    /// Adds the sums of `blocks` more blocks, `1 << level` of them but for the last call, as if each had been pushed.
    pub fn append(&mut self, blocks: u64, level: usize, levels: &[Partial]) {
        if blocks < 1 << level {
            self.levels[..level].copy_from_slice(&levels[..level]);
            self.blocks += blocks;
            return;
        }
        let (mut sum, mut at) = (levels[level], level);
        while self.blocks >> at & 1 == 1 {
            sum = add(self.levels[at], sum);
            at += 1;
        }
        self.levels[at] = sum;
        self.blocks += blocks;
    }

    /// The sum of all blocks.
    #[inline]
    pub fn total(&self) -> f64 {
        let mut total = [0.0; LANES];
        let mut blocks = self.blocks;
        while blocks != 0 {
            total = add(self.levels[blocks.trailing_zeros() as usize], total);
            blocks &= blocks - 1;
        }
        across(total)
    }

    /// Forgets everything.
    #[inline]
    pub fn clear(&mut self) {
        self.blocks = 0;
    }
}

/// Sums of the rows of a row-major matrix.
pub fn rows(matrix: &[f64], length: usize, out: &mut [f64]) {
    rows_on(Isa::detect(), matrix, length, out);
}

fn rows_on(isa: Isa, matrix: &[f64], length: usize, out: &mut [f64]) {
    // Rows of few elements, each padded by zeros in the order of `across`.
    match length {
        0 => return out.fill(0.0),
        1..=4 => {
            for (value, row) in out.iter_mut().zip(matrix.chunks_exact(length)) {
                let at = |i: usize| row.get(i).map_or(0.0, |x| x + 0.0);
                *value = (at(0) + at(2)) + (at(1) + at(3));
            }
            return;
        }
        _ => {}
    }
    let sums = per_isa!(fn(matrix: &[f64], length: usize, out: &mut [f64]) {
        for (value, row) in out.iter_mut().zip(matrix.chunks_exact(length)) {
            // Large, and not needed for a single block.
            let mut cascade = (length > BLOCK).then(Cascade::default);
            let mut only = [0.0; LANES];
            for block in row.chunks(BLOCK) {
                let (pairs, rest) = block.as_chunks::<{ 2 * LANES }>();
                let (mut even, mut odd) = (V::splat(0.0), V::splat(0.0));
                for pair in pairs {
                    even += V::load(pair);
                    odd += V::load(&pair[LANES..]);
                }
                let mut last = [0.0; 2 * LANES];
                last[..rest.len()].copy_from_slice(rest);
                let sum = (even + V::load(&last)) + (odd + V::load(&last[LANES..]));
                match &mut cascade {
                    None => only = sum.to_array(),
                    Some(cascade) => cascade.push(sum.to_array()),
                }
            }
            *value = cascade.map_or_else(|| across(only), |cascade| cascade.total());
        }
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { sums(matrix, length, out) };
}

/// Sum of the products of two slices of one length, both padded to whole chunks.
pub fn dot(x: &Buffer, y: &Buffer, length: usize) -> f64 {
    let products = products()[Isa::detect() as usize];
    let mut cascade = Cascade::default();
    for start in (0..length).step_by(BLOCK) {
        let source = |b: &Buffer| Source {
            pointer: b[start..].as_ptr(),
            step: LANES,
        };
        // SAFETY: buffers are padded to whole chunks; `detect` names an instruction set of this processor.
        let block = unsafe { products(&source(x), &source(y), BLOCK.min(length - start)) };
        cascade.push(block);
    }
    cascade.total()
}

/// [`block_lanes`] for every instruction set.
pub fn sums() -> [unsafe fn(&Source, usize) -> Partial; 3] {
    per_isa!(fn(source: &Source, length: usize) -> Partial {
        // SAFETY: the caller vouches for the source.
        unsafe { block_lanes::<V>(source, length) }.to_array()
    })
}

/// [`block_products`] for every instruction set.
pub fn products() -> [unsafe fn(&Source, &Source, usize) -> Partial; 3] {
    per_isa!(fn(x: &Source, y: &Source, length: usize) -> Partial {
        // SAFETY: the caller vouches for the sources.
        unsafe { block_products::<V>(x, y, length) }.to_array()
    })
}

/// Sums of the columns of a row-major matrix: blocks of rows, then the blocks' sums.
pub fn columns(matrix: &[f64], rows: usize, out: &mut [f64]) {
    columns_on(Isa::detect(), matrix, rows, out);
}

fn columns_on(isa: Isa, matrix: &[f64], rows: usize, out: &mut [f64]) {
    const ROWS: usize = 16;
    let add_block = per_isa!(fn(block: &[f64], out: &mut [f64]) {
        let width = out.len();
        let (chunks, tail) = out.as_chunks_mut::<LANES>();
        for (i, chunk) in chunks.iter_mut().enumerate() {
            let mut sum = V::splat(0.0);
            for row in block.chunks_exact(width) {
                sum += V::load(&row[i * LANES..]);
            }
            *chunk = (V::from_array(*chunk) + sum).to_array();
        }
        let start = width - tail.len();
        for (column, value) in tail.iter_mut().enumerate() {
            *value += block[start + column..].iter().step_by(width).sum::<f64>();
        }
    })[isa as usize];
    out.fill(0.0);
    if rows > 0 && !out.is_empty() {
        let blocks = matrix.chunks(ROWS * out.len());
        // SAFETY: the processor has `isa`.
        blocks.for_each(|block| unsafe { add_block(block, out) });
    }
}

#[cfg(test)]
mod tests;
