//! The Cholesky factor, and solutions by it.

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::panels::{Panels, packed_size, panels_size};
use super::tile::{add_panels, load, store};
use super::triangular::{self, Triangular};
use std::ops::Range;

/// Rows of U that are eliminated together: their sums fill what registers there are with AVX2.
const ROWS: usize = 4;

/// Rows after which what is behind them is brought up to date, so that these are read from cache.
const BAND: usize = 64;

/// Elements of scratch memory for [`factor`].
pub fn factor_scratch(n: usize) -> usize {
    panels_size(n)
}

/// L with L L' = A, for a batch of (n, n) matrices of which only the lower triangle is read; zeros above the diagonal.
///
/// All of L is NaN where A is not positive definite.
pub fn factor(sizes: [usize; 2], a: &[f64], out: &mut [f64], scratch: &mut [f64]) {
    factor_on(Isa::detect(), sizes, false, a, out, scratch);
}

/// As [`factor`], of packed lower triangles.
pub fn factor_packed(sizes: [usize; 2], a: &[f64], out: &mut [f64], scratch: &mut [f64]) {
    factor_on(Isa::detect(), sizes, true, a, out, scratch);
}

pub(super) fn factor_on(
    isa: Isa,
    [batch, n]: [usize; 2],
    packed: bool,
    a: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    let size = if packed { packed_size(n) } else { n * n };
    assert!(a.len() == batch * size && out.len() == batch * n * n);
    let u = Panels::new(n, scratch);
    let kernel = per_isa!(fn(n: usize, packed: bool, a: *const f64, u: Panels, l: *mut f64) -> bool {
        // SAFETY: the caller vouches for the matrices.
        unsafe {
            match packed {
                true => u.read_packed::<V>(n, a),
                false => u.read_lower::<V>(n, a),
            }
            // Rows behind the last are those of the identity.
            u.clear_behind(n, ROWS);
            let rows = n.next_multiple_of(ROWS);
            for i in n..rows {
                for j in i..rows {
                    *u.element(i, j) = f64::from(u8::from(i == j));
                }
            }
            let done = factor_upper::<V>(rows, u);
            u.write_lower::<V>(n, l);
            done
        }
    })[isa as usize];
    for s in 0..batch {
        let (a, out) = (
            &a[s * size..(s + 1) * size],
            &mut out[s * n * n..(s + 1) * n * n],
        );
        let done = match n <= ROWS && !packed {
            true => factor_small(n, a, out),
            // SAFETY: the processor has `isa`; the matrices are (n, n).
            false => unsafe { kernel(n, packed, a.as_ptr(), u, out.as_mut_ptr()) },
        };
        if !done {
            out.fill(f64::NAN);
        }
    }
}

/// As [`factor`], row by row; whether A is positive definite.
fn factor_small(n: usize, a: &[f64], l: &mut [f64]) -> bool {
    for i in 0..n {
        let (above, row) = l.split_at_mut(i * n);
        let (row, a) = (&mut row[..n], &a[i * n..]);
        row[i + 1..].fill(0.0);
        for (j, other) in above.chunks_exact(n).enumerate() {
            let sum = (0..j).fold(a[j], |sum, k| sum - row[k] * other[k]);
            row[j] = sum / other[j];
        }
        let pivot = (0..i).fold(a[i], |sum, k| sum - row[k] * row[k]);
        if !(pivot > 0.0 && pivot < f64::INFINITY) {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// U with U' U = A in place of the upper triangle of A; whether A is positive definite.
///
/// # Safety
/// U has `rows` rows, a multiple of [`ROWS`].
#[inline(always)]
unsafe fn factor_upper<V: Lanes>(rows: usize, u: Panels) -> bool {
    let mut band = 0;
    for j in (0..rows).step_by(ROWS) {
        // SAFETY: the caller vouches for the matrix.
        unsafe {
            if rows > 2 * BAND && j == band + BAND {
                for column in (j..rows).step_by(LANES) {
                    for i in (j..rows.min(column + LANES)).step_by(ROWS) {
                        let block: [[V; 1]; ROWS] = remainder(u, band..j, i, column);
                        for r in 0..ROWS {
                            store(u.chunk(i + r, column), block[r][0]);
                        }
                    }
                }
                band = j;
            }
            let mut block: [[V; 1]; ROWS] = remainder(u, band..j, j, j);
            let mut a = [[0.0; ROWS]; ROWS];
            for s in 0..ROWS {
                let row = block[s][0].to_array();
                for r in s..ROWS {
                    a[r][s] = row[j % LANES + r];
                }
            }
            let Some(square) = factor_square(&a) else {
                return false;
            };
            substitute(&square, &mut block);
            for r in 0..ROWS {
                store(u.chunk(j + r, j), block[r][0]);
                *u.element(j + r, j + r) = square.root[r];
            }
            let mut column = j / LANES * LANES + LANES;
            if V::REGISTERS == 1 {
                while column + LANES < rows {
                    eliminate::<V, 2>(u, band, j, column, &square);
                    column += 2 * LANES;
                }
            }
            while column < rows {
                eliminate::<V, 1>(u, band, j, column, &square);
                column += LANES;
            }
        }
    }
    true
}

/// Rows i.. of A in `C` panels from a column on, less the product of rows `known` of U.
///
/// # Safety
/// U has these rows and panels.
#[inline(always)]
unsafe fn remainder<V: Lanes, const C: usize>(
    u: Panels,
    known: Range<usize>,
    i: usize,
    column: usize,
) -> [[V; C]; ROWS] {
    let mut block = [[V::splat(0.0); C]; ROWS];
    // SAFETY: the caller vouches for the matrix.
    unsafe {
        let left = u.columns(known.start, i);
        let mut right = [std::ptr::null(); C];
        for c in 0..C {
            right[c] = u.chunk(known.start, column + c * LANES).cast_const();
        }
        add_panels(left, right, known.len(), &mut block);
        for r in 0..ROWS {
            for c in 0..C {
                let a = load::<V>(u.chunk(i + r, column + c * LANES));
                block[r][c] = a - block[r][c];
            }
        }
    }
    block
}

/// Rows j.. of U in `C` panels from a column on, given the square on their diagonal.
///
/// # Safety
/// As for [`remainder`].
#[inline(always)]
unsafe fn eliminate<V: Lanes, const C: usize>(
    u: Panels,
    band: usize,
    j: usize,
    column: usize,
    square: &Square,
) {
    // SAFETY: the caller vouches for the matrix.
    unsafe {
        let mut block: [[V; C]; ROWS] = remainder(u, band..j, j, column);
        substitute(square, &mut block);
        for r in 0..ROWS {
            for c in 0..C {
                store(u.chunk(j + r, column + c * LANES), block[r][c]);
            }
        }
    }
}

/// A square on the diagonal of L: below it, on it, and what it is divided by.
struct Square {
    below: [[f64; ROWS]; ROWS],
    root: [f64; ROWS],
    inverse: [f64; ROWS],
}

/// The factor of a square, by its lower triangle; `None` if it is not positive definite.
///
/// Square roots are taken at the end, all at once: an element waits for a division and two products of those before it.
#[inline(always)]
fn factor_square(a: &[[f64; ROWS]; ROWS]) -> Option<Square> {
    let mut below = *a;
    for s in 0..ROWS {
        let pivot = below[s][s];
        if !(f64::MIN_POSITIVE..f64::INFINITY).contains(&pivot) {
            return None;
        }
        let inverse = 1.0 / pivot;
        for r in s + 1..ROWS {
            let factor = below[r][s] * inverse;
            for c in s + 1..=r {
                below[r][c] = (-factor).mul_add(below[c][s], below[r][c]);
            }
        }
    }
    let (mut root, mut inverse) = ([0.0; ROWS], [0.0; ROWS]);
    for s in 0..ROWS {
        root[s] = below[s][s].sqrt();
        inverse[s] = 1.0 / root[s];
        for r in s + 1..ROWS {
            below[r][s] *= inverse[s];
        }
    }
    Some(Square {
        below,
        root,
        inverse,
    })
}

/// X <- D^-1 X with the square D on the diagonal of L.
#[inline(always)]
fn substitute<V: Lanes, const C: usize>(d: &Square, x: &mut [[V; C]; ROWS]) {
    for s in 0..ROWS {
        for c in 0..C {
            x[s][c] = x[s][c] * d.inverse[s];
            for r in s + 1..ROWS {
                x[r][c] = V::splat(-d.below[r][s]).mul_add(x[s][c], x[r][c]);
            }
        }
    }
}

/// Elements of scratch memory for [`solve`].
pub fn solve_scratch([batch, n, columns]: [usize; 3]) -> usize {
    batch * n * columns + triangular::solve_scratch(n, columns)
}

/// Solves A X = B, given L with L L' = A, for a batch of matrices and (n, columns) right-hand sides.
pub fn solve(
    sizes @ [batch, n, columns]: [usize; 3],
    l: &[f64],
    b: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    let (middle, scratch) = scratch.split_at_mut(batch * n * columns);
    let half = |transposed: bool| Triangular {
        lower: true,
        transposed,
        unit: false,
    };
    triangular::solve(half(false), sizes, l, b, middle, scratch);
    triangular::solve(half(true), sizes, l, middle, out, scratch);
}
