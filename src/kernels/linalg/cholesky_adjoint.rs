//! The adjoint of a Cholesky factorisation, in blocks of columns from the last on.

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::super::sum::first_lanes;
use super::BLOCK;
use super::panels::{Panels, packed_size, panels_size, store_some};
use super::tile::{Strided, add_panels, load, product, store};
use std::ops::Range;

/// What the adjoint of L is the sum of; each part may be left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// Matrices, of which the lower triangles count.
    pub dense: Option<&'a [f64]>,
    /// Two stacks of (n, k) matrices P and Q: P Q'.
    pub outer: Option<(&'a [f64], &'a [f64])>,
    /// Diagonals.
    pub diagonal: Option<&'a [f64]>,
}

/// Rows before which what is behind them is read once for all of them, in matrices that no cache holds.
const BAND: usize = 32;

/// Elements of scratch memory for [`adjoint`], with `k` columns in the outer product.
pub fn adjoint_scratch(n: usize, k: usize) -> usize {
    panels_size(n) + k * n.next_multiple_of(LANES)
}

/// The adjoint of the lower triangle of A from that of L, packed or with zeros above the diagonal.
///
/// After Murray (2016), Differentiation of the Cholesky decomposition, section 4. The adjoint counts an element below
/// the diagonal for itself alone, as the factorisation reads it.
pub fn adjoint(
    [batch, n]: [usize; 2],
    packed: bool,
    l: &[f64],
    parts: Parts,
    out: &mut [f64],
    scratch: &mut [f64],
) {
    adjoint_on(Isa::detect(), [batch, n], packed, l, parts, out, scratch);
}

pub(super) fn adjoint_on(
    isa: Isa,
    [batch, n]: [usize; 2],
    packed: bool,
    l: &[f64],
    parts: Parts,
    out: &mut [f64],
    scratch: &mut [f64],
) {
    if batch * n == 0 {
        return;
    }
    let size = if packed { packed_size(n) } else { n * n };
    let k = parts.outer.map_or(0, |(left, _)| left.len() / (batch * n));
    assert!(l.len() == batch * n * n && out.len() == batch * size);
    assert!(parts.dense.is_none_or(|dense| dense.len() == l.len()));
    assert!(
        parts
            .diagonal
            .is_none_or(|diagonal| diagonal.len() == batch * n)
    );
    let is_stack = |x: &[f64]| x.len() == batch * n * k;
    assert!(parts.outer.is_none_or(|(p, q)| is_stack(p) && is_stack(q)));
    assert!(scratch.len() >= adjoint_scratch(n, k));
    let kernel = per_isa!(fn(n: usize, k: usize, packed: bool, l: &[f64], parts: &Parts, out: &mut [f64], scratch: &mut [f64]) {
        let (bar, left) = scratch.split_at_mut(panels_size(n));
        let bar = Panels::new(n, bar);
        // SAFETY: the caller vouches for the sizes.
        unsafe {
            collect::<V>(n, k, parts, left, bar);
            all_rows::<V>(n, l.as_ptr(), bar);
            write::<V>(n, packed, bar, out);
        }
    })[isa as usize];
    for s in 0..batch {
        let one = |size: usize| s * size..(s + 1) * size;
        let parts = Parts {
            dense: parts.dense.map(|x| &x[one(n * n)]),
            outer: parts.outer.map(|(p, q)| (&p[one(n * k)], &q[one(n * k)])),
            diagonal: parts.diagonal.map(|x| &x[one(n)]),
        };
        let (l, out) = (&l[one(n * n)], &mut out[one(size)]);
        // SAFETY: the processor has `isa`; all sizes have been looked at.
        unsafe { kernel(n, k, packed, l, &parts, out, scratch) };
    }
}

/// The transposed sum of the parts, in the upper triangle of `bar`; zeros behind the n-th column.
///
/// # Safety
/// `bar` is (n, n); `left` has k rows of n elements rounded up to whole chunks.
#[inline(always)]
unsafe fn collect<V: Lanes>(n: usize, k: usize, parts: &Parts, left: &mut [f64], bar: Panels) {
    // SAFETY: the caller vouches for the sizes.
    unsafe {
        if let Some(dense) = parts.dense {
            bar.read_lower::<V>(n, dense.as_ptr());
            bar.clear_behind(n, LANES);
        }
        let width = n.next_multiple_of(LANES);
        if let Some((p, _)) = parts.outer {
            for (column, row) in left.chunks_exact_mut(width).take(k).enumerate() {
                for (i, value) in row.iter_mut().enumerate() {
                    *value = if i < n { p[i * k + column] } else { 0.0 };
                }
            }
        }
        for i in 0..n {
            for j in (i / LANES * LANES..n).step_by(LANES) {
                let to = bar.chunk(i, j);
                let mut sum = match parts.dense {
                    Some(_) => load(to),
                    None => V::splat(0.0),
                };
                if let Some((_, q)) = parts.outer {
                    for column in 0..k {
                        let left = load(left.as_ptr().add(column * width + j));
                        sum = V::splat(q[i * k + column]).mul_add(left, sum);
                    }
                }
                store(to, sum);
            }
            if let Some(diagonal) = parts.diagonal {
                *bar.element(i, i) += diagonal[i];
            }
        }
    }
}

/// The symmetric matrix S that is the adjoint of A, twice that on the diagonal, in place of the transposed adjoint of L.
///
/// # Safety
/// Both are (n, n).
#[inline(always)]
unsafe fn all_rows<V: Lanes>(n: usize, l: *const f64, bar: Panels) {
    let mut end = n;
    for j in (0..n).step_by(BLOCK).rev() {
        // SAFETY: the caller vouches for the matrices.
        unsafe {
            if n > 4 * BAND && j + BLOCK < n && (j + BLOCK).is_multiple_of(BAND) {
                end = j + BLOCK;
                let start = end - BAND;
                for at in (end..n).step_by(LANES) {
                    for i in (start..end).step_by(BLOCK) {
                        let x: [V; BLOCK] = remainder(n, l, bar, i, end..n, at);
                        for r in 0..BLOCK {
                            store(bar.chunk(i + r, at), x[r]);
                        }
                    }
                }
            }
            some_rows::<V>(n, j, end, l, bar);
        }
    }
}

/// Rows i.. of the adjoint of L, in the panel with column `at`, less the product of rows of L and S.
///
/// # Safety
/// As for [`all_rows`]; there are BLOCK rows.
#[inline(always)]
unsafe fn remainder<V: Lanes>(
    n: usize,
    l: *const f64,
    bar: Panels,
    i: usize,
    rows: Range<usize>,
    at: usize,
) -> [V; BLOCK] {
    let c = Strided {
        first: l.wrapping_add(rows.start * n + i),
        row: 1,
        column: n as isize,
    };
    let s = [bar.chunk(rows.start, at).cast_const()];
    let mut x = [V::splat(0.0); BLOCK];
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        if V::REGISTERS == 1 {
            let mut known = [[V::splat(0.0); 1]; BLOCK];
            add_panels(c, s, rows.len(), &mut known);
            for r in 0..BLOCK {
                x[r] = load::<V>(bar.chunk(i + r, at)) - known[r][0];
            }
        } else {
            // Few registers hold the sums of half of the rows.
            for half in [0, BLOCK / 2] {
                let mut known = [[V::splat(0.0); 1]; BLOCK / 2];
                add_panels(c.from(half, 0), s, rows.len(), &mut known);
                for r in 0..BLOCK / 2 {
                    x[half + r] = load::<V>(bar.chunk(i + half + r, at)) - known[r][0];
                }
            }
        }
    }
    x
}

/// Rows j.. of S and their mirror image; the product with rows from `end` on has been subtracted behind column `end`.
///
/// With D on the diagonal of a block column of L and C below it, and S known behind it: C_bar <- (C_bar - S C) D^-1,
/// then D_bar <- adjoint of the factor D given D_bar - C_bar' C. This is Murray's algorithm with the updates of a block
/// gathered until it is reached; all of it transposed, so that rows are contiguous.
///
/// # Safety
/// As for [`all_rows`].
#[inline(always)]
unsafe fn some_rows<V: Lanes>(n: usize, j: usize, end: usize, l: *const f64, bar: Panels) {
    let k = (j + BLOCK).min(n);
    let (rows, below) = (k - j, n - k);
    // SAFETY: the caller vouches for the matrices; there are rows below only if D is a whole block.
    unsafe {
        let mut d = [[0.0; BLOCK]; BLOCK];
        let mut inverse = [1.0; BLOCK];
        for i in 0..BLOCK {
            for s in 0..=i {
                d[i][s] = match i < rows {
                    true => *l.add((j + i) * n + j + s),
                    false => f64::from(u8::from(i == s)),
                };
            }
            inverse[i] = 1.0 / d[i][i];
        }
        let mut d_bar = [V::splat(0.0); BLOCK];
        for i in 0..rows {
            d_bar[i] = load(bar.chunk(j + i, j));
        }
        V::transpose(&mut d_bar);
        if below > 0 {
            for at in (k..n).step_by(LANES) {
                let known = if at < end { k..n } else { k..end };
                let mut x: [V; BLOCK] = remainder(n, l, bar, j, known, at);
                substitute_back(&d, &inverse, &mut x);
                for r in 0..BLOCK {
                    store(bar.chunk(j + r, at), x[r]);
                }
                V::transpose(&mut x);
                for r in 0..BLOCK {
                    store(bar.chunk(at + r, j), x[r]);
                }
            }
            let (c_bar, c) = (bar.columns(k, j), l.add(k * n + j));
            let known: [[V; 1]; BLOCK] = product(c_bar, c, n as isize, below);
            for i in 0..BLOCK {
                d_bar[i] -= known[i][0];
            }
        }
        adjoint_square(&d, &inverse, &mut d_bar);
        for i in 0..BLOCK {
            store(bar.chunk(j + i, j), first_lanes(d_bar[i], rows));
        }
    }
}

/// X <- D'^-1 X, a chunk a row.
#[inline(always)]
fn substitute_back<V: Lanes>(
    d: &[[f64; BLOCK]; BLOCK],
    inverse: &[f64; BLOCK],
    x: &mut [V; BLOCK],
) {
    // Spelled out: the compiler does not unroll this loop by itself, and rows belong in registers.
    back_step::<V, 7>(d, inverse, x);
    back_step::<V, 6>(d, inverse, x);
    back_step::<V, 5>(d, inverse, x);
    back_step::<V, 4>(d, inverse, x);
    back_step::<V, 3>(d, inverse, x);
    back_step::<V, 2>(d, inverse, x);
    back_step::<V, 1>(d, inverse, x);
    back_step::<V, 0>(d, inverse, x);
}

/// Row `R` of [`substitute_back`], and what it is to those above.
#[inline(always)]
fn back_step<V: Lanes, const R: usize>(
    d: &[[f64; BLOCK]; BLOCK],
    inverse: &[f64; BLOCK],
    x: &mut [V; BLOCK],
) {
    let row = x[R] * inverse[R];
    x[R] = row;
    for s in 0..R {
        x[s] = V::splat(-d[R][s]).mul_add(row, x[s]);
    }
}

/// From the adjoint of D in the lower triangle: S + S' with S = D'^-1 P(D' D_bar) D^-1, where P keeps the lower triangle and
/// half the diagonal (Murray 2016, section 3).
#[inline(always)]
fn adjoint_square<V: Lanes>(
    d: &[[f64; BLOCK]; BLOCK],
    inverse: &[f64; BLOCK],
    bar: &mut [V; BLOCK],
) {
    /// Row i: 1, but 1/2 at i.
    const HALF: [[f64; LANES]; BLOCK] = {
        let mut rows = [[1.0; LANES]; BLOCK];
        let mut i = 0;
        while i < BLOCK {
            rows[i][i] = 0.5;
            i += 1;
        }
        rows
    };
    let mut x = [V::splat(0.0); BLOCK];
    for i in 0..BLOCK {
        let mut sum = V::splat(0.0);
        for k in i..BLOCK {
            sum = V::splat(d[k][i]).mul_add(bar[k], sum);
        }
        x[i] = first_lanes(sum, i + 1) * V::from_array(HALF[i]);
    }
    // D'^-1 from the left, and after a transposition from what was the right.
    substitute_back(d, inverse, &mut x);
    V::transpose(&mut x);
    substitute_back(d, inverse, &mut x);
    *bar = x;
    V::transpose(&mut x);
    for i in 0..BLOCK {
        bar[i] += x[i];
    }
}

/// The lower triangle of S, with half of its diagonal.
///
/// # Safety
/// S is (n, n), the result as long as it should be.
#[inline(always)]
unsafe fn write<V: Lanes>(n: usize, packed: bool, s: Panels, out: &mut [f64]) {
    let (end, out) = (out.len(), out.as_mut_ptr());
    let mut start = 0;
    for i in 0..n {
        let first = i / LANES * LANES;
        // SAFETY: the caller vouches for both; what a row writes too much, the next ones write over, and nothing is
        // written behind the end.
        unsafe {
            *s.element(i, i) *= 0.5;
            if packed {
                for lane in i % LANES..LANES.min(n - first) {
                    *out.add(start + lane - i % LANES) = *s.chunk(i, first).add(lane);
                }
                for j in (first + LANES..n).step_by(LANES) {
                    let at = start + j - i;
                    store_some(out.add(at), load::<V>(s.chunk(i, j)), end - at);
                }
                start += n - i;
            } else {
                for j in (0..n).step_by(LANES) {
                    let chunk = match j {
                        _ if j < first => load(s.chunk(i, j)),
                        _ if j == first => first_lanes(load::<V>(s.chunk(i, j)), i % LANES + 1),
                        _ => V::splat(0.0),
                    };
                    store_some(out.add(start + j), chunk, end - (start + j));
                }
                start += n;
            }
        }
    }
}
