//! The Cholesky factor and its adjoint, in blocks of rows.

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::super::sum::first_lanes;
use super::tile::{Strided, add_product, load, product, store, transpose};
use super::triangular::{self, Triangular, solve_rows};
use super::{BLOCK, copy_lower, padded_matrix};

/// A block on the diagonal.
type Square = [[f64; BLOCK]; BLOCK];

/// Elements of scratch memory for [`factor`].
pub fn factor_scratch(n: usize) -> usize {
    padded_matrix(n, n)
}

/// L with L L' = A, for a batch of (n, n) matrices of which only the lower triangle is read; zeros above the diagonal.
///
/// All of L is NaN where A is not positive definite.
pub fn factor([batch, n]: [usize; 2], a: &[f64], out: &mut [f64], scratch: &mut [f64]) {
    factor_on(Isa::detect(), [batch, n], a, out, scratch);
}

pub(super) fn factor_on(
    isa: Isa,
    [batch, n]: [usize; 2],
    a: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    assert!(a.len() == batch * n * n && out.len() == a.len());
    assert!(scratch.len() >= factor_scratch(n));
    let large = per_isa!(fn(n: usize, a: *const f64, u: *mut f64, stride: usize, l: *mut f64) -> bool {
        // SAFETY: the caller vouches for the matrices.
        unsafe {
            transpose_triangle::<V>(n, true, (a, n), (u, stride));
            let done = factor_upper::<V>(n, u, stride);
            transpose_triangle::<V>(n, false, (u, stride), (l, n));
            done
        }
    })[isa as usize];
    let stride = n.next_multiple_of(LANES);
    for s in 0..batch {
        let matrix = s * n * n..(s + 1) * n * n;
        let (a, out) = (&a[matrix.clone()], &mut out[matrix]);
        let done = if n <= BLOCK {
            copy_lower(n, a, out);
            factor_small(n, out)
        } else {
            // U = L' has contiguous rows where the algorithm reads rows, zeros behind them.
            let rows = scratch.chunks_exact_mut(stride).take(n);
            rows.for_each(|row| row[n..].fill(0.0));
            let (u, l) = (scratch.as_mut_ptr(), out.as_mut_ptr());
            // SAFETY: the processor has `isa`; the matrices are (n, n), U with padded rows.
            let done = unsafe { large(n, a.as_ptr(), u, stride, l) };
            (0..n).for_each(|i| out[i * n + i + 1..(i + 1) * n].fill(0.0));
            done
        };
        if !done {
            out.fill(f64::NAN);
        }
    }
}

/// L in place of A, row by row; whether A is positive definite.
fn factor_small(n: usize, l: &mut [f64]) -> bool {
    for i in 0..n {
        let (above, row) = l.split_at_mut(i * n);
        for (j, other) in above.chunks_exact(n).enumerate() {
            let sum = (0..j).fold(row[j], |sum, k| sum - row[k] * other[k]);
            row[j] = sum / other[j];
        }
        let pivot = (0..i).fold(row[i], |sum, k| sum - row[k] * row[k]);
        if !(pivot > 0.0 && pivot < f64::INFINITY) {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// The lower triangle of a matrix with rows `from.1` elements apart, and the other halves of the squares on its
/// diagonal, as the upper one of a matrix with rows `to.1` apart; or the reverse.
///
/// # Safety
/// Both are (n, n) matrices.
#[inline(always)]
unsafe fn transpose_triangle<V: Lanes>(
    n: usize,
    lower: bool,
    from: (*const f64, usize),
    to: (*mut f64, usize),
) {
    let mut i = 0;
    while i < n {
        let rows = BLOCK.min(n - i);
        let mut j = 0;
        while j <= i {
            let columns = BLOCK.min(n - j);
            let (row, column) = if lower { (i, j) } else { (j, i) };
            let (rows, columns) = if lower {
                (rows, columns)
            } else {
                (columns, rows)
            };
            // SAFETY: the square lies in the matrix, its transposed one in the other.
            unsafe {
                let (from, to) = (
                    (from.0.add(row * from.1 + column), from.1),
                    (to.0.add(column * to.1 + row), to.1),
                );
                if rows == BLOCK && columns == BLOCK {
                    let mut square = [V::splat(0.0); BLOCK];
                    for r in 0..BLOCK {
                        square[r] = load(from.0.add(r * from.1));
                    }
                    transpose(&mut square);
                    for r in 0..BLOCK {
                        store(to.0.add(r * to.1), square[r]);
                    }
                } else {
                    for r in 0..rows {
                        for c in 0..columns {
                            *to.0.add(c * to.1 + r) = *from.0.add(r * from.1 + c);
                        }
                    }
                }
            }
            j += BLOCK;
        }
        i += BLOCK;
    }
}

/// U with U' U = A in place of the upper triangle of A; whether A is positive definite.
///
/// # Safety
/// U has n rows of whole chunks, `stride` elements apart, zeros behind the n-th column.
#[inline(always)]
unsafe fn factor_upper<V: Lanes>(n: usize, u: *mut f64, stride: usize) -> bool {
    // Rows of L = U'.
    let l = Strided {
        first: u,
        row: 1,
        column: stride as isize,
    };
    // SAFETY: the caller vouches for the matrix.
    unsafe {
        for j in (0..n).step_by(BLOCK) {
            let rows = BLOCK.min(n - j);
            let square = u.add(j * stride + j);
            let mut block = [V::splat(0.0); BLOCK];
            if rows == BLOCK {
                let known: [[V; 1]; BLOCK] = product(l.from(j, 0), u.add(j), stride as isize, j);
                for r in 0..BLOCK {
                    block[r] = load::<V>(square.add(r * stride)) - known[r][0];
                }
            } else {
                for r in 0..rows {
                    let row = l.from(j + r, 0);
                    let known: [[V; 1]; 1] = product(row, u.add(j), stride as isize, j);
                    block[r] = load::<V>(square.add(r * stride)) - known[0][0];
                }
            }
            if !factor_block(&mut block, rows) {
                return false;
            }
            for r in 0..rows {
                store(square.add(r * stride), block[r]);
            }
            if rows == BLOCK {
                let (right, chunks) = (u.add(j + BLOCK), (stride - j) / LANES - 1);
                solve_rows::<V, BLOCK>(l.from(j, 0), false, j, right, stride as isize, chunks);
            }
        }
    }
    true
}

/// U with U' U = A in place of A, for the first rows of a square of one chunk a row; whether A is positive definite.
#[inline(always)]
fn factor_block<V: Lanes>(block: &mut [V; BLOCK], rows: usize) -> bool {
    for s in 0..rows {
        let row = block[s].to_array();
        let pivot = row[s];
        if !(pivot > 0.0 && pivot < f64::INFINITY) {
            return false;
        }
        let root = pivot.sqrt();
        let mut scaled = (block[s] * (1.0 / root)).to_array();
        scaled[s] = root;
        let row = V::from_array(scaled);
        block[s] = row;
        for r in s + 1..rows {
            block[r] = V::splat(-scaled[r]).mul_add(row, block[r]);
        }
    }
    true
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

/// The adjoint of A from that of L, both read and written in the lower triangle; zeros above the diagonal.
///
/// After Murray (2016), Differentiation of the Cholesky decomposition, section 4. The adjoint counts an element below
/// the diagonal for itself alone, as [`factor`] reads it.
pub fn adjoint([batch, n]: [usize; 2], l: &[f64], l_bar: &[f64], out: &mut [f64]) {
    adjoint_on(Isa::detect(), [batch, n], l, l_bar, out);
}

pub(super) fn adjoint_on(
    isa: Isa,
    [batch, n]: [usize; 2],
    l: &[f64],
    l_bar: &[f64],
    out: &mut [f64],
) {
    assert!(l.len() == batch * n * n && l_bar.len() == l.len() && out.len() == l.len());
    let kernel = per_isa!(fn(n: usize, l: *const f64, bar: *mut f64) {
        // SAFETY: the caller vouches for the matrices.
        unsafe { adjoint_lower::<V>(n, l, bar) }
    })[isa as usize];
    for s in 0..batch {
        let matrix = s * n * n..(s + 1) * n * n;
        let (l, out) = (&l[matrix.clone()], &mut out[matrix.clone()]);
        copy_lower(n, &l_bar[matrix], out);
        // SAFETY: the processor has `isa`; both matrices are (n, n).
        unsafe { kernel(n, l.as_ptr(), out.as_mut_ptr()) };
        for i in 0..n {
            out[i * n + i] *= 0.5;
            out[i * n + i + 1..(i + 1) * n].fill(0.0);
        }
    }
}

/// The adjoint of A in place of that of L, block column by block column from the last.
///
/// With D on the diagonal of a block column and C below it, and the symmetric matrix S of which the columns behind it
/// hold the adjoint of A already (twice that on the diagonal), C_bar <- (C_bar - S C) D^-1, then
/// D_bar <- adjoint of the factor D given D_bar - C_bar' C. This is Murray's algorithm with the updates of a block
/// gathered until it is reached.
///
/// # Safety
/// Both matrices are (n, n).
#[inline(always)]
unsafe fn adjoint_lower<V: Lanes>(n: usize, l: *const f64, bar: *mut f64) {
    let mut j = n.next_multiple_of(BLOCK);
    while j > 0 {
        j -= BLOCK;
        let k = (j + BLOCK).min(n);
        let (rows, below) = (k - j, n - k);
        // SAFETY: the caller vouches for the matrices; the blocks lie at and below their diagonals, and those below
        // have rows only if D is a whole block.
        unsafe {
            let d = lower_square(l.add(j * n + j), n, rows);
            let mut d_bar = lower_square(bar.add(j * n + j), n, rows);
            if below > 0 {
                let (c, c_bar) = (l.add(k * n + j), bar.add(k * n + j));
                let s = bar.add(k * n + k);
                subtract_symmetric::<V>(s, below, c, c_bar, n);
                solve_right::<V>(&d, below, c_bar, n);
                let columns = Strided {
                    first: c_bar,
                    row: 1,
                    column: n as isize,
                };
                let known: [[V; 1]; BLOCK] = product(columns, c, n as isize, below);
                for i in 0..BLOCK {
                    d_bar[i] = (V::from_array(d_bar[i]) - known[i][0]).to_array();
                }
            }
            adjoint_block::<V>(&d, &mut d_bar, rows);
            for i in 0..rows {
                for s in 0..=i {
                    let value = d_bar[i][s] * if i == s { 2.0 } else { 1.0 };
                    *bar.add((j + i) * n + j + s) = value;
                    *bar.add((j + s) * n + j + i) = value;
                }
            }
        }
    }
}

/// X <- X - S B for a symmetric matrix S of `size` rows, of which the blocks at and below the diagonal are given; B and
/// X are one chunk wide, and all have rows n elements apart.
///
/// # Safety
/// The matrices have these rows.
#[inline(always)]
unsafe fn subtract_symmetric<V: Lanes>(
    s: *const f64,
    size: usize,
    b: *const f64,
    x: *mut f64,
    n: usize,
) {
    let stride = n as isize;
    let row = |i: usize| Strided {
        first: s.wrapping_add(i * n),
        row: stride,
        column: 1,
    };
    let mut i = 0;
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        while i + BLOCK <= size {
            let end = i + BLOCK;
            let column = Strided {
                first: s.wrapping_add(end * n + i),
                row: 1,
                column: stride,
            };
            let mut sums: [[V; 1]; BLOCK] = product(row(i), b, stride, end);
            add_product(
                column,
                b.wrapping_add(end * n),
                stride,
                size - end,
                &mut sums,
            );
            for r in 0..BLOCK {
                let at = x.add((i + r) * n);
                store(at, load::<V>(at) - sums[r][0]);
            }
            i = end;
        }
        for i in i..size {
            let sums: [[V; 1]; 1] = product(row(i), b, stride, size);
            let at = x.add(i * n);
            store(at, load::<V>(at) - sums[0][0]);
        }
    }
}

/// The lower triangle of a square with rows n elements apart; zeros above and behind it.
///
/// # Safety
/// The address holds it.
#[inline(always)]
unsafe fn lower_square(first: *const f64, n: usize, rows: usize) -> Square {
    let mut square = [[0.0; BLOCK]; BLOCK];
    for i in 0..rows {
        for s in 0..=i {
            // SAFETY: the caller vouches for the square.
            square[i][s] = unsafe { *first.add(i * n + s) };
        }
    }
    square
}

/// X <- X D^-1 for a block column of `rows` rows.
///
/// # Safety
/// X has these rows of one chunk, n elements apart.
#[inline(always)]
unsafe fn solve_right<V: Lanes>(d: &Square, rows: usize, x: *mut f64, n: usize) {
    let mut inverse = [0.0; BLOCK];
    for s in 0..BLOCK {
        inverse[s] = 1.0 / d[s][s];
    }
    for i in (0..rows).step_by(BLOCK) {
        let held = BLOCK.min(rows - i);
        let mut columns = [V::splat(0.0); BLOCK];
        // SAFETY: the caller vouches for the rows.
        unsafe {
            for r in 0..held {
                columns[r] = load(x.add((i + r) * n));
            }
            transpose(&mut columns);
            for s in (0..BLOCK).rev() {
                let mut value = columns[s];
                for r in s + 1..BLOCK {
                    value = V::splat(-d[r][s]).mul_add(columns[r], value);
                }
                columns[s] = value * inverse[s];
            }
            transpose(&mut columns);
            for r in 0..held {
                store(x.add((i + r) * n), columns[r]);
            }
        }
    }
}

/// The adjoint of a block in place: the lower triangle of S + S' with S = L'^-1 P(L' L_bar) L^-1, where P keeps the lower
/// triangle and half the diagonal, and half of its diagonal (Murray 2016, section 3).
#[inline(always)]
fn adjoint_block<V: Lanes>(l: &Square, bar: &mut Square, rows: usize) {
    let mut l = *l;
    for i in rows..BLOCK {
        l[i][i] = 1.0;
    }
    let mut x = [V::splat(0.0); BLOCK];
    for i in 0..BLOCK {
        let mut sum = V::splat(0.0);
        for k in i..BLOCK {
            sum = V::splat(l[k][i]).mul_add(V::from_array(bar[k]), sum);
        }
        let mut kept = first_lanes(sum, i + 1).to_array();
        kept[i] *= 0.5;
        x[i] = V::from_array(kept);
    }
    let mut inverse = [0.0; BLOCK];
    for i in 0..BLOCK {
        inverse[i] = 1.0 / l[i][i];
    }
    // L'^-1 from the left, and after a transposition from what was the right.
    for side in 0..2 {
        for i in (0..BLOCK).rev() {
            let mut value = x[i];
            for k in i + 1..BLOCK {
                value = V::splat(-l[k][i]).mul_add(x[k], value);
            }
            x[i] = value * inverse[i];
        }
        if side == 0 {
            transpose(&mut x);
        }
    }
    let mut transposed = x;
    transpose(&mut transposed);
    for i in 0..BLOCK {
        bar[i] = (x[i] + transposed[i]).to_array();
        bar[i][i] *= 0.5;
    }
}
