//! Triangular systems T X = B, by substitution in blocks of rows.

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::super::sum::across;
use super::tile::{Strided, load, product, store};
use super::{BLOCK, padded_matrix};

/// A triangular system, for (batch, n, n) matrices and (batch, n, columns) right-hand sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Triangular {
    /// Whether the elements at and below the diagonal are read; those at and above it if not.
    pub lower: bool,
    /// Whether the system is T' X = B.
    pub transposed: bool,
    /// Whether the diagonal counts as ones.
    pub unit: bool,
}

/// Elements of scratch memory for [`solve`].
pub fn solve_scratch(n: usize, columns: usize) -> usize {
    match columns {
        1 => 0,
        _ => padded_matrix(n, columns),
    }
}

/// Solves a batch of systems; NaN where the diagonal holds a zero.
pub fn solve(
    system: Triangular,
    [batch, n, columns]: [usize; 3],
    t: &[f64],
    b: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    solve_on(
        Isa::detect(),
        system,
        [batch, n, columns],
        t,
        b,
        out,
        scratch,
    );
}

pub(super) fn solve_on(
    isa: Isa,
    system: Triangular,
    [batch, n, columns]: [usize; 3],
    t: &[f64],
    b: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    assert!(t.len() == batch * n * n && b.len() == batch * n * columns);
    assert!(out.len() == b.len() && scratch.len() >= solve_scratch(n, columns));
    let vector = per_isa!(fn(system: Triangular, t: &[f64], x: &mut [f64]) {
        solve_vector::<V>(system, t, x)
    })[isa as usize];
    let matrix = per_isa!(fn(t: Strided, unit: bool, n: usize, x: *mut f64, stride: isize, chunks: usize) {
        // SAFETY: the caller vouches for the matrices.
        unsafe { solve_lower::<V>(t, unit, n, x, stride, chunks) }
    })[isa as usize];
    let width = columns.next_multiple_of(LANES);
    for s in 0..batch {
        let t = &t[s * n * n..(s + 1) * n * n];
        let b = &b[s * n * columns..(s + 1) * n * columns];
        let out = &mut out[s * n * columns..(s + 1) * n * columns];
        if !system.unit && (0..n).any(|i| t[i * n + i] == 0.0) {
            out.fill(f64::NAN);
        } else if columns == 1 {
            out.copy_from_slice(b);
            // SAFETY: the processor has `isa`.
            unsafe { vector(system, t, out) };
        } else if n > 0 && columns > 0 {
            for (row, b) in scratch.chunks_exact_mut(width).zip(b.chunks_exact(columns)) {
                row[..columns].copy_from_slice(b);
                row[columns..].fill(0.0);
            }
            let size = n as isize;
            let (row, column) = if system.transposed {
                (1, size)
            } else {
                (size, 1)
            };
            let first = t.as_ptr();
            // An upper triangular system is a lower triangular one read backwards.
            let (t, x, stride) = if system.lower != system.transposed {
                (
                    Strided { first, row, column },
                    scratch.as_mut_ptr(),
                    width as isize,
                )
            } else {
                let last = Strided { first, row, column }.from(n - 1, n - 1);
                let t = Strided {
                    row: -row,
                    column: -column,
                    ..last
                };
                let x = scratch[(n - 1) * width..].as_mut_ptr();
                (t, x, -(width as isize))
            };
            // SAFETY: the processor has `isa`; the matrix is (n, n), the scratch memory (n, width).
            unsafe { matrix(t, system.unit, n, x, stride, width / LANES) };
            for (out, row) in out
                .chunks_exact_mut(columns)
                .zip(scratch.chunks_exact(width))
            {
                out.copy_from_slice(&row[..columns]);
            }
        }
    }
}

/// Solves T X = B in place for a lower triangular T; rows of X are `chunks` chunks, `stride` elements apart.
///
/// # Safety
/// T is (n, n), X has n such rows.
#[inline(always)]
unsafe fn solve_lower<V: Lanes>(
    t: Strided,
    unit: bool,
    n: usize,
    x: *mut f64,
    stride: isize,
    chunks: usize,
) {
    let mut j = 0;
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        while j + BLOCK <= n {
            solve_rows::<V, BLOCK>(t.from(j, 0), unit, j, x, stride, chunks);
            j += BLOCK;
        }
        while j < n {
            solve_rows::<V, 1>(t.from(j, 0), unit, j, x, stride, chunks);
            j += 1;
        }
    }
}

/// Solves for `R` rows of X from row `j` on, those above being solved: X_j <- T_jj^-1 (X_j - T_j X), where `t` starts with
/// the first of these rows of T.
///
/// # Safety
/// T has these rows and j + R columns, X j + R rows of `chunks` chunks.
#[inline(always)]
pub unsafe fn solve_rows<V: Lanes, const R: usize>(
    t: Strided,
    unit: bool,
    j: usize,
    x: *mut f64,
    stride: isize,
    chunks: usize,
) {
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let diagonal = t.from(0, j);
        let (mut square, mut inverse) = ([[0.0; R]; R], [1.0; R]);
        for r in 0..R {
            for s in 0..=r {
                square[r][s] = diagonal.at(r, s);
            }
            if !unit {
                inverse[r] = 1.0 / square[r][r];
            }
        }
        let target = x.offset(j as isize * stride);
        let mut chunk = 0;
        while chunk + 2 <= chunks {
            let (x, target) = (x.add(chunk * LANES), target.add(chunk * LANES));
            substitute::<V, R, 2>(&square, &inverse, t, j, x, target, stride);
            chunk += 2;
        }
        if chunk < chunks {
            let (x, target) = (x.add(chunk * LANES), target.add(chunk * LANES));
            substitute::<V, R, 1>(&square, &inverse, t, j, x, target, stride);
        }
    }
}

/// As [`solve_rows`], for `C` chunks.
///
/// # Safety
/// As for [`solve_rows`].
#[inline(always)]
unsafe fn substitute<V: Lanes, const R: usize, const C: usize>(
    square: &[[f64; R]; R],
    inverse: &[f64; R],
    t: Strided,
    j: usize,
    x: *const f64,
    target: *mut f64,
    stride: isize,
) {
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let mut rows: [[V; C]; R] = product(t, x, stride, j);
        for r in 0..R {
            for c in 0..C {
                let at = target.offset(r as isize * stride).add(c * LANES);
                let mut value = load::<V>(at) - rows[r][c];
                for s in 0..r {
                    value = V::splat(-square[r][s]).mul_add(rows[s][c], value);
                }
                rows[r][c] = value * inverse[r];
                store(at, rows[r][c]);
            }
        }
    }
}

/// Solves T x = b in place for one right-hand side, in blocks: only within one does an element wait for another.
#[inline(always)]
fn solve_vector<V: Lanes>(system: Triangular, t: &[f64], x: &mut [f64]) {
    let n = x.len();
    let forwards = system.lower != system.transposed;
    for step in (0..n).step_by(BLOCK) {
        let (start, end) = match forwards {
            true => (step, n.min(step + BLOCK)),
            false => (n.saturating_sub(step + BLOCK), n - step),
        };
        // Columns of these rows outside the square on the diagonal; whole chunks if they are known already.
        let outside = if system.lower { 0..start } else { end..n };
        if !system.transposed && step > 0 {
            let mut sums = [V::splat(0.0); BLOCK];
            for i in start..end {
                let row = &t[i * n..(i + 1) * n];
                let mut sum = V::splat(0.0);
                for at in outside.clone().step_by(LANES) {
                    sum = V::load(&row[at..]).mul_add(V::load(&x[at..]), sum);
                }
                sums[i - start] = sum;
            }
            V::transpose(&mut sums);
            let [a, b, c, d, e, f, g, h] = sums;
            let total = (((a + e) + (c + g)) + ((b + f) + (d + h))).to_array();
            for i in start..end {
                x[i] -= total[i - start];
            }
        }
        let mut inverse = [1.0; BLOCK];
        if !system.unit {
            for i in start..end {
                inverse[i - start] = 1.0 / t[i * n + i];
            }
        }
        for k in 0..end - start {
            let (i, waiting) = match forwards {
                true => (start + k, start + k + 1..end),
                false => (end - 1 - k, start..end - 1 - k),
            };
            let value = x[i] * inverse[i - start];
            x[i] = value;
            for j in waiting {
                let factor = if system.transposed {
                    t[i * n + j]
                } else {
                    t[j * n + i]
                };
                x[j] = (-value).mul_add(factor, x[j]);
            }
        }
        if system.transposed {
            let (known, waiting) = match system.lower {
                true => {
                    let (waiting, known) = x[..end].split_at_mut(start);
                    (known, waiting)
                }
                false => x[start..].split_at_mut(end - start),
            };
            let rows = &t[start * n..end * n];
            subtract_rows::<V>(known, rows, n, outside.start, waiting);
        }
    }
}

/// y <- y - T' x, for columns of T from `first` on; rows are n elements apart.
#[inline(always)]
fn subtract_rows<V: Lanes>(x: &[f64], t: &[f64], n: usize, first: usize, y: &mut [f64]) {
    let whole = y.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let mut sum = V::load(&y[at..]);
        for k in 0..x.len() {
            sum = V::splat(-x[k]).mul_add(V::load(&t[k * n + first + at..]), sum);
        }
        sum.store(&mut y[at..]);
    }
    for k in 0..x.len() {
        for i in whole..y.len() {
            y[i] = (-x[k]).mul_add(t[k * n + first + i], y[i]);
        }
    }
}

/// Sum of products.
#[inline(always)]
pub fn dot<V: Lanes>(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [V::splat(0.0); 2];
    for (k, (x, y)) in x.iter().zip(y).enumerate() {
        sums[k % 2] = V::from_array(*x).mul_add(V::from_array(*y), sums[k % 2]);
    }
    let tail = x_tail
        .iter()
        .zip(y_tail)
        .fold(0.0, |sum, (x, y)| x.mul_add(*y, sum));
    match x.is_empty() {
        true => tail,
        false => across((sums[0] + sums[1]).to_array()) + tail,
    }
}

/// y <- y - a x
#[inline(always)]
pub fn subtract<V: Lanes>(a: f64, x: &[f64], y: &mut [f64]) {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    let factor = V::splat(-a);
    for (x, y) in x.iter().zip(y) {
        *y = factor
            .mul_add(V::from_array(*x), V::from_array(*y))
            .to_array();
    }
    for (x, y) in x_tail.iter().zip(y_tail) {
        *y = (-a).mul_add(*x, *y);
    }
}
