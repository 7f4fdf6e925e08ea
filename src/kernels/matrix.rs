//! A constant tall matrix times a vector, by blocks of rows.

use super::block::{Source, store};
use super::buffer::Buffer;
use super::isa::per_isa;
use super::simd::{LANES, Lanes};
use super::sum::{BLOCK, first_lanes};

/// A matrix in blocks of [`BLOCK`] rows, column-major within a block and padded to whole chunks:
/// one pass over it serves both X v and X' w.
#[derive(Debug)]
pub struct RowBlocks {
    columns: usize,
    values: Buffer,
}

impl RowBlocks {
    /// Packs a row-major matrix.
    pub fn pack(matrix: &[f64], rows: usize, columns: usize) -> RowBlocks {
        let whole = rows / BLOCK * BLOCK;
        let mut values = Buffer::zeros((whole + (rows - whole).next_multiple_of(LANES)) * columns);
        for start in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - start);
            let stride = height.next_multiple_of(LANES);
            for row in 0..height {
                for column in 0..columns {
                    values[start * columns + column * stride + row] =
                        matrix[(start + row) * columns + column];
                }
            }
        }
        RowBlocks { columns, values }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(&*self.values)
    }

    /// First value of the block that starts at a row.
    pub fn block(&self, start: usize) -> *const f64 {
        self.values[start * self.columns..].as_ptr()
    }
}

/// One block of rows: (values, columns, rows in the block, vector, result).
///
/// # Safety
/// `values` is a block of that many rows and columns of a [`RowBlocks`]; vector and result hold what the kernel
/// says; the processor has the instruction set.
pub type RowsFn = unsafe fn(*const f64, usize, usize, *const f64, *mut f64);

/// X v of a block: the vector has a value a column, the result one a row, in whole chunks.
pub fn rows_times() -> [RowsFn; 3] {
    per_isa!(fn(x: *const f64, columns: usize, rows: usize, v: *const f64, out: *mut f64) {
        let chunks = rows.div_ceil(LANES);
        let mut chunk = 0;
        // SAFETY: the caller vouches for the block, the vector and the result.
        unsafe {
            while chunk + 8 <= chunks {
                some_rows::<V, 8>(x, columns, chunks, chunk, v, out);
                chunk += 8;
            }
            while chunk + 2 <= chunks {
                some_rows::<V, 2>(x, columns, chunks, chunk, v, out);
                chunk += 2;
            }
            if chunk < chunks {
                some_rows::<V, 1>(x, columns, chunks, chunk, v, out);
            }
        }
    })
}

/// `N` chunks of rows, from `chunk` on, times the vector. Their sums hide each other's latency.
///
/// # Safety
/// As for [`RowsFn`]; the block has these chunks.
#[inline(always)]
unsafe fn some_rows<V: Lanes, const N: usize>(
    x: *const f64,
    columns: usize,
    chunks: usize,
    chunk: usize,
    v: *const f64,
    out: *mut f64,
) {
    let mut sums = [V::splat(0.0); N];
    // SAFETY: the caller vouches for the block, the vector and the result.
    unsafe {
        for column in 0..columns {
            let factor = V::splat(*v.add(column));
            let pointer = x.add((column * chunks + chunk) * LANES);
            let source = Source {
                pointer,
                step: LANES,
            };
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = source.load::<V>(i).mul_add(factor, *sum);
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            store(out, chunk + i, sum);
        }
    }
}

/// Adds X' w of a block to the result: the vector has a value a row, in whole chunks of which only the block's
/// rows count; the result eight partial sums a column.
pub fn times_rows() -> [RowsFn; 3] {
    per_isa!(fn(x: *const f64, columns: usize, rows: usize, w: *const f64, out: *mut f64) {
        let mut column = 0;
        // SAFETY: the caller vouches for the block, the vector and the result.
        unsafe {
            while column + 4 <= columns {
                some_columns::<V, 4>(x, rows, column, w, out);
                column += 4;
            }
            for column in column..columns {
                some_columns::<V, 1>(x, rows, column, w, out);
            }
        }
    })
}

/// The vector times `N` columns, from `column` on: each chunk of the vector is read once for all of them.
///
/// # Safety
/// As for [`RowsFn`]; the block has these columns.
#[inline(always)]
unsafe fn some_columns<V: Lanes, const N: usize>(
    x: *const f64,
    rows: usize,
    column: usize,
    w: *const f64,
    out: *mut f64,
) {
    let (chunks, whole, rest) = (rows.div_ceil(LANES), rows / LANES, rows % LANES);
    let w = Source {
        pointer: w,
        step: LANES,
    };
    // SAFETY: the caller vouches for the block, the vector and the result.
    unsafe {
        let source = |k: usize| Source {
            pointer: x.add((column + k) * chunks * LANES),
            step: LANES,
        };
        let columns: [Source; N] = std::array::from_fn(source);
        let (mut even, mut odd) = ([V::splat(0.0); N], [V::splat(0.0); N]);
        for pair in 0..whole / 2 {
            let (w0, w1) = (w.load::<V>(2 * pair), w.load::<V>(2 * pair + 1));
            for k in 0..N {
                even[k] = columns[k].load::<V>(2 * pair).mul_add(w0, even[k]);
                odd[k] = columns[k].load::<V>(2 * pair + 1).mul_add(w1, odd[k]);
            }
        }
        if whole % 2 == 1 {
            let last = w.load::<V>(whole - 1);
            for k in 0..N {
                even[k] = columns[k].load::<V>(whole - 1).mul_add(last, even[k]);
            }
        }
        if rest > 0 {
            let last = first_lanes(w.load::<V>(whole), rest);
            for k in 0..N {
                odd[k] = columns[k].load::<V>(whole).mul_add(last, odd[k]);
            }
        }
        let so_far = Source {
            pointer: out,
            step: LANES,
        };
        for k in 0..N {
            let total = so_far.load::<V>(column + k) + (even[k] + odd[k]);
            store(out, column + k, total);
        }
    }
}

#[cfg(test)]
mod tests;
