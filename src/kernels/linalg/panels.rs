//! A square matrix in panels of eight columns, as the Cholesky factorisation and its adjoint hold it while they work.

use super::super::simd::{LANES, Lanes};
use super::super::sum::first_lanes;
use super::tile::{Strided, load, store};

/// Elements of a packed lower triangle: its columns one after the other, each from the diagonal down.
pub const fn packed_size(n: usize) -> usize {
    n * (n + 1) / 2
}

/// Elements of the panels of an (n, n) matrix; n is rounded up to whole chunks.
pub const fn panels_size(n: usize) -> usize {
    let rows = n.next_multiple_of(LANES);
    rows * rows
}

/// Panels one after the other, each with its rows, a chunk a row: what the inner loops read lies side by side.
#[derive(Clone, Copy)]
pub struct Panels {
    first: *mut f64,
    rows: usize,
}

impl Panels {
    /// Those of an (n, n) matrix in memory of [`panels_size`] elements.
    pub fn new(n: usize, memory: &mut [f64]) -> Panels {
        assert!(memory.len() >= panels_size(n));
        Panels {
            first: memory.as_mut_ptr(),
            rows: n.next_multiple_of(LANES),
        }
    }

    /// Row i of the panel with column j, eight elements.
    #[inline(always)]
    pub fn chunk(self, i: usize, j: usize) -> *mut f64 {
        self.first.wrapping_add((j / LANES * self.rows + i) * LANES)
    }

    /// Element (i, j).
    #[inline(always)]
    pub fn element(self, i: usize, j: usize) -> *mut f64 {
        self.chunk(i, j).wrapping_add(j % LANES)
    }

    /// The transposed matrix from element (i, j) of this one on, within the panel.
    #[inline(always)]
    pub fn columns(self, i: usize, j: usize) -> Strided {
        Strided {
            first: self.element(i, j),
            row: 1,
            column: LANES as isize,
        }
    }

    /// Takes over a packed lower triangle, transposed: its columns become rows.
    ///
    /// # Safety
    /// The matrix is (n, n), the triangle as long as it should be.
    #[inline(always)]
    pub unsafe fn read_packed<V: Lanes>(self, n: usize, packed: *const f64) {
        let end = packed_size(n);
        let mut at = 0;
        for i in 0..n {
            // Where the row's whole first chunk would begin: it brings elements along that nobody reads.
            let mut from = at - i % LANES;
            for j in (i / LANES * LANES..n).step_by(LANES) {
                // SAFETY: the caller vouches for both; chunks at the end are cut off.
                unsafe {
                    let to = self.chunk(i, j);
                    if from + LANES <= end {
                        store(to, load::<V>(packed.add(from)));
                    } else {
                        for s in 0..end - from {
                            *to.add(s) = *packed.add(from + s);
                        }
                    }
                }
                from += LANES;
            }
            at += n - i;
        }
    }

    /// Takes over the lower triangle of a matrix, transposed.
    ///
    /// # Safety
    /// Both are (n, n).
    #[inline(always)]
    pub unsafe fn read_lower<V: Lanes>(self, n: usize, a: *const f64) {
        for i in (0..n).step_by(LANES) {
            let rows = LANES.min(n - i);
            // SAFETY: the caller vouches for both; a square left of the one on the diagonal has all its columns.
            unsafe {
                for j in (0..i).step_by(LANES) {
                    let mut square = [V::splat(0.0); LANES];
                    for r in 0..rows {
                        square[r] = load(a.add((i + r) * n + j));
                    }
                    V::transpose(&mut square);
                    for r in 0..LANES {
                        store(self.chunk(j + r, i), square[r]);
                    }
                }
                for r in 0..rows {
                    for s in 0..=r {
                        *self.element(i + s, i + r) = *a.add((i + r) * n + i + s);
                    }
                }
            }
        }
    }

    /// Zeros behind the n-th column, up to the next multiple of `columns`, in the first n rows.
    ///
    /// # Safety
    /// The matrix is (n, n).
    #[inline(always)]
    pub unsafe fn clear_behind(self, n: usize, columns: usize) {
        for j in n..n.next_multiple_of(columns) {
            for i in 0..n {
                // SAFETY: the caller vouches for the matrix.
                unsafe { *self.element(i, j) = 0.0 };
            }
        }
    }

    /// Writes the upper triangle as a lower one, with zeros above the diagonal.
    ///
    /// # Safety
    /// Both are (n, n).
    #[inline(always)]
    pub unsafe fn write_lower<V: Lanes>(self, n: usize, l: *mut f64) {
        for i in (0..n).step_by(LANES) {
            let rows = LANES.min(n - i);
            for j in (0..n).step_by(LANES) {
                let mut square = [V::splat(0.0); LANES];
                // SAFETY: the caller vouches for both.
                unsafe {
                    if j <= i {
                        for r in 0..LANES {
                            square[r] = load(self.chunk(j + r, i));
                        }
                        V::transpose(&mut square);
                    }
                    for r in 0..rows {
                        let row = if i == j {
                            first_lanes(square[r], r + 1)
                        } else {
                            square[r]
                        };
                        store_some(l.add((i + r) * n + j), row, n - j);
                    }
                }
            }
        }
    }
}

/// Writes as many of a chunk's elements as there are.
///
/// # Safety
/// The address holds them.
#[inline(always)]
pub unsafe fn store_some<V: Lanes>(to: *mut f64, chunk: V, held: usize) {
    // SAFETY: the caller vouches for the elements.
    unsafe {
        if held >= LANES {
            return store(to, chunk);
        }
        let values = chunk.to_array();
        for s in 0..held {
            *to.add(s) = values[s];
        }
    }
}
