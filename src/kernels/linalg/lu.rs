//! The LU factorisation with row pivots, and what is computed from it: solutions and determinants.

use super::super::isa::{Isa, per_isa};
use super::super::math::log;
use super::super::simd::{Lanes, Portable};
use super::triangular::{self, Triangular, subtract};

/// Elements of a factorised matrix: L below the diagonal (of ones), U at and above it, then for each column the row that
/// was swapped with that column's.
pub fn packed_size(n: usize) -> usize {
    n * n + n
}

/// Factors of a batch of (n, n) matrices.
pub fn factor([batch, n]: [usize; 2], a: &[f64], out: &mut [f64]) {
    factor_on(Isa::detect(), [batch, n], a, out);
}

pub(super) fn factor_on(isa: Isa, [batch, n]: [usize; 2], a: &[f64], out: &mut [f64]) {
    assert!(a.len() == batch * n * n && out.len() == batch * packed_size(n));
    let kernel = per_isa!(fn(n: usize, lu: &mut [f64], pivots: &mut [f64]) {
        eliminate::<V>(n, lu, pivots)
    })[isa as usize];
    for (s, out) in out.chunks_exact_mut(packed_size(n).max(1)).enumerate() {
        let (lu, pivots) = out.split_at_mut(n * n);
        lu.copy_from_slice(&a[s * n * n..(s + 1) * n * n]);
        // SAFETY: the processor has `isa`.
        unsafe { kernel(n, lu, pivots) };
    }
}

/// Gaussian elimination in place; in each column the largest element becomes the pivot. A column of zeros stays.
#[inline(always)]
fn eliminate<V: Lanes>(n: usize, lu: &mut [f64], pivots: &mut [f64]) {
    for k in 0..n {
        let mut pivot = k;
        for i in k + 1..n {
            if lu[i * n + k].abs() > lu[pivot * n + k].abs() {
                pivot = i;
            }
        }
        pivots[k] = pivot as f64;
        let (above, below) = lu.split_at_mut((k + 1) * n);
        let row = &mut above[k * n..];
        if pivot != k {
            row.swap_with_slice(&mut below[(pivot - k - 1) * n..(pivot - k) * n]);
        }
        if row[k] == 0.0 {
            continue;
        }
        for other in below.chunks_exact_mut(n) {
            let factor = other[k] / row[k];
            other[k] = factor;
            subtract::<V>(factor, &row[k + 1..], &mut other[k + 1..]);
        }
    }
}

/// Elements of scratch memory for [`solve`].
pub fn solve_scratch(n: usize, columns: usize) -> usize {
    n * columns + triangular::solve_scratch(n, columns)
}

/// Solves A X = B, or A' X = B, for a batch of factorised matrices and (n, columns) right-hand sides; NaN where A is
/// singular.
pub fn solve(
    transposed: bool,
    [batch, n, columns]: [usize; 3],
    factors: &[f64],
    b: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    assert!(factors.len() == batch * packed_size(n) && b.len() == batch * n * columns);
    assert!(b.len() == out.len() && scratch.len() >= solve_scratch(n, columns));
    if out.is_empty() {
        return;
    }
    let (middle, scratch) = scratch.split_at_mut(n * columns);
    let stacks = b
        .chunks_exact(n * columns)
        .zip(out.chunks_exact_mut(n * columns));
    for (factors, (b, out)) in factors.chunks_exact(packed_size(n)).zip(stacks) {
        let (lu, pivots) = factors.split_at(n * n);
        let half = |lower: bool| Triangular {
            lower,
            transposed,
            unit: lower,
        };
        let shape = [1, n, columns];
        let swap = |x: &mut [f64], k: usize| {
            let pivot = pivots[k] as usize;
            if pivot != k {
                let (left, right) = x.split_at_mut(pivot * columns);
                left[k * columns..(k + 1) * columns].swap_with_slice(&mut right[..columns]);
            }
        };
        // P A = L U, where P carries out the swaps in their order.
        if transposed {
            triangular::solve(half(false), shape, lu, b, middle, scratch);
            triangular::solve(half(true), shape, lu, middle, out, scratch);
            (0..n).rev().for_each(|k| swap(out, k));
        } else {
            out.copy_from_slice(b);
            (0..n).for_each(|k| swap(out, k));
            triangular::solve(half(true), shape, lu, out, middle, scratch);
            triangular::solve(half(false), shape, lu, middle, out, scratch);
        }
    }
}

/// Determinants of a batch of factorised matrices.
pub fn determinant(n: usize, factors: &[f64], out: &mut [f64]) {
    out.fill(1.0); // of order 0, too
    for (factors, value) in factors.chunks_exact(packed_size(n).max(1)).zip(out) {
        let swaps = (0..n).filter(|&k| factors[n * n + k] != k as f64).count();
        let sign = if swaps % 2 == 0 { 1.0 } else { -1.0 };
        *value = (0..n).fold(sign, |product, k| product * factors[k * n + k]);
    }
}

/// Logarithms of the determinants' absolute values, which may be out of the range of f64 themselves.
pub fn log_determinant(n: usize, factors: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    let log = |x: f64| log(Portable::splat(x)).to_array()[0];
    for (factors, value) in factors.chunks_exact(packed_size(n).max(1)).zip(out) {
        *value = (0..n).fold(0.0, |sum, k| sum + log(factors[k * n + k].abs()));
    }
}
