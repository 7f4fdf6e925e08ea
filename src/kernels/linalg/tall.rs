//! The triangle R of a tall matrix whose rows come in blocks; Q is not formed.
//!
//! Householder reflections fold each block into the triangle of those before it: sequential TSQR (Demmel, Grigori,
//! Hoemmen & Langou, Communication-optimal parallel and sequential QR and LU factorizations, SIAM J. Sci. Comput. 34, 2012).
//! A reflection of column j touches row j of the triangle and the block alone.

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::super::sum::across;
use super::triangular::subtract;

/// Folds a block into a triangle: afterwards `[R; B]` is an orthogonal matrix times what it was before, and the
/// first `reflected` columns of B are to be taken for zero.
///
/// R is row-major with `reflected` rows of `columns` elements, and its first `reflected` columns are upper triangular. B is
/// column-major, `height` elements from one column to the next; rows that it does not have are zero. Elements must
/// have squares within the range of f64.
pub fn fold(reflected: usize, columns: usize, r: &mut [f64], block: &mut [f64], height: usize) {
    fold_on(Isa::detect(), reflected, columns, r, block, height);
}

pub(super) fn fold_on(
    isa: Isa,
    reflected: usize,
    columns: usize,
    r: &mut [f64],
    block: &mut [f64],
    height: usize,
) {
    assert!(r.len() == reflected * columns && block.len() == columns * height);
    assert!(reflected <= columns && height.is_multiple_of(LANES));
    let kernel = per_isa!(fn(sizes: [usize; 3], r: &mut [f64], block: &mut [f64]) {
        reflect_all::<V>(sizes, r, block)
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel([reflected, columns, height], r, block) };
}

/// I - tau v v' with v = (1, x / (alpha - beta)) for each column in turn (Golub & Van Loan, Matrix Computations, 4th
/// edition, algorithm 5.1.1; the sign of beta is chosen so that nothing cancels).
#[inline(always)]
fn reflect_all<V: Lanes>(
    [reflected, columns, height]: [usize; 3],
    r: &mut [f64],
    block: &mut [f64],
) {
    for (j, row) in r
        .chunks_exact_mut(columns.max(1))
        .enumerate()
        .take(reflected)
    {
        let (left, right) = block.split_at_mut((j + 1) * height);
        let v = &mut left[j * height..];
        let square = dot::<V>(v, v);
        if square == 0.0 {
            continue;
        }
        let alpha = row[j];
        let norm = (alpha * alpha + square).sqrt();
        let beta = if alpha > 0.0 { -norm } else { norm };
        let first = alpha - beta;
        let tau = -first / beta;
        v.iter_mut().for_each(|x| *x /= first);
        row[j] = beta;
        for (column, top) in right.chunks_exact_mut(height).zip(&mut row[j + 1..]) {
            let factor = tau * (*top + dot::<V>(v, column));
            *top -= factor;
            subtract::<V>(factor, v, column);
        }
    }
}

/// Sum of the products of two slices of whole chunks.
#[inline(always)]
fn dot<V: Lanes>(x: &[f64], y: &[f64]) -> f64 {
    let (x, y) = (x.as_chunks::<LANES>().0, y.as_chunks::<LANES>().0);
    let mut sums = [V::splat(0.0); 4];
    for (x, y) in x.chunks(4).zip(y.chunks(4)) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum = V::from_array(*x).mul_add(V::from_array(*y), *sum);
        }
    }
    across(((sums[0] + sums[1]) + (sums[2] + sums[3])).to_array())
}
