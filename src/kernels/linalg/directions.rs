//! Stretching a vector along orthonormal directions, the rows of a matrix that is read once.

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::super::sum::across;
use super::triangular::{dot, subtract};

/// Rows that are worked on together: the vector is read and written once for all of them.
const GROUP: usize = 4;

/// y <- y + sum_k a_k u_k u_k' y, with the orthonormal u_k one after the other.
///
/// What a group of rows adds is orthogonal to the other rows, so that each group can be added at once, while it is in cache.
pub fn stretch(u: &[f64], a: &[f64], y: &mut [f64]) {
    stretch_on(Isa::detect(), u, a, y);
}

pub(super) fn stretch_on(isa: Isa, u: &[f64], a: &[f64], y: &mut [f64]) {
    assert_eq!(u.len(), a.len() * y.len());
    if y.is_empty() {
        return;
    }
    let kernel = per_isa!(fn(u: &[f64], a: &[f64], y: &mut [f64]) {
        let (groups, rest) = a.as_chunks::<GROUP>();
        let (grouped, single) = u.split_at(groups.len() * GROUP * y.len());
        for (u, a) in grouped.chunks_exact(GROUP * y.len()).zip(groups) {
            stretch_group::<V>(u, a, y);
        }
        for (u, a) in single.chunks_exact(y.len()).zip(rest) {
            let along = dot::<V>(u, y);
            subtract::<V>(-a * along, u, y);
        }
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel(u, a, y) };
}

/// The same along `GROUP` rows.
#[inline(always)]
fn stretch_group<V: Lanes>(u: &[f64], a: &[f64; GROUP], y: &mut [f64]) {
    let n = y.len();
    let rows: [_; GROUP] = std::array::from_fn(|k| u[k * n..(k + 1) * n].as_chunks::<LANES>());
    let (y, y_tail) = y.as_chunks_mut::<LANES>();
    let rows = rows.map(|(row, tail)| (&row[..y.len()], &tail[..y_tail.len()]));
    let mut sums = [V::splat(0.0); GROUP];
    for (i, y) in y.iter().enumerate() {
        let y = V::from_array(*y);
        for k in 0..GROUP {
            sums[k] = V::from_array(rows[k].0[i]).mul_add(y, sums[k]);
        }
    }
    let mut along = sums.map(|sum| across(sum.to_array()));
    for k in 0..GROUP {
        for (u, y) in rows[k].1.iter().zip(&*y_tail) {
            along[k] = u.mul_add(*y, along[k]);
        }
        along[k] *= a[k];
    }
    let factors = along.map(V::splat);
    for (i, y) in y.iter_mut().enumerate() {
        let mut sum = V::from_array(*y);
        for k in 0..GROUP {
            sum = V::from_array(rows[k].0[i]).mul_add(factors[k], sum);
        }
        *y = sum.to_array();
    }
    for (i, y) in y_tail.iter_mut().enumerate() {
        for k in 0..GROUP {
            *y = rows[k].1[i].mul_add(along[k], *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_stretched_with_the_same_bits_everywhere() {
        for n in [19, 24, 40, 57] {
            for rank in [0, 1, 4, 7, 9] {
                // Each row has two places of its own: orthonormal.
                let mut u = vec![0.0; rank * n];
                for (k, row) in u.chunks_exact_mut(n).enumerate() {
                    (row[k], row[n - 1 - k]) = (0.6, 0.8);
                }
                let a: Vec<f64> = (0..rank).map(|k| k as f64 - 2.5).collect();
                let y: Vec<f64> = (0..n).map(|i| (i % 7) as f64 - 1.3).collect();
                let mut expected = y.clone();
                for (row, a) in u.chunks_exact(n).zip(&a) {
                    let along: f64 = row.iter().zip(&y).map(|(u, y)| u * y).sum();
                    for (e, u) in expected.iter_mut().zip(row) {
                        *e += a * along * u;
                    }
                }
                let mut bits: Vec<Vec<u64>> = Vec::new();
                for isa in Isa::available() {
                    let mut out = y.clone();
                    stretch_on(isa, &u, &a, &mut out);
                    for (out, e) in out.iter().zip(&expected) {
                        assert!((out - e).abs() < 1e-12, "{n}, {rank}");
                    }
                    bits.push(out.iter().map(|x| x.to_bits()).collect());
                }
                assert!(bits.windows(2).all(|p| p[0] == p[1]), "{n}, {rank}");
            }
        }
    }
}
