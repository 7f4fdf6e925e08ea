//! Convolutions and correlations of pairs of vectors, over a batch.

use super::isa::{Isa, per_isa};
use super::simd::{LANES, Lanes};
use super::sum::across;
use crate::bound::Convolution;

/// `out[s][i + j] += x[s][i] w[s][j]` (full), or `out[s][i] = sum_j x[s][i + j] w[s][j]` (correlation, n >= k), of
/// vectors of n and k elements.
pub fn convolve(
    convolution: Convolution,
    [batch, n, k]: [usize; 3],
    x: &[f64],
    w: &[f64],
    out: &mut [f64],
) {
    let dot = per_isa!(fn(x: &[f64], y: &[f64]) -> f64 { dot::<V>(x, y) })[Isa::detect() as usize];
    let axpy = per_isa!(fn(a: f64, x: &[f64], y: &mut [f64]) { axpy::<V>(a, x, y) })
        [Isa::detect() as usize];
    let width = convolution.length(n, k);
    for s in 0..batch {
        let x = &x[s * n..(s + 1) * n];
        let w = &w[s * k..(s + 1) * k];
        let out = &mut out[s * width..(s + 1) * width];
        // The inner loop runs over the longest of what it can run over. SAFETY (of all three): `detect` names an
        // instruction set of this processor.
        match convolution {
            Convolution::Full => {
                out.fill(0.0);
                let (long, short) = if n >= k { (x, w) } else { (w, x) };
                for (j, &factor) in short.iter().enumerate() {
                    unsafe { axpy(factor, long, &mut out[j..j + long.len()]) };
                }
            }
            Convolution::Correlation if width >= k => {
                out.fill(0.0);
                for (j, &factor) in w.iter().enumerate() {
                    unsafe { axpy(factor, &x[j..j + width], out) };
                }
            }
            Convolution::Correlation => {
                for (i, value) in out.iter_mut().enumerate() {
                    *value = unsafe { dot(&x[i..i + k], w) };
                }
            }
        }
    }
}

/// Sum of the products of two vectors of one length.
#[inline(always)]
fn dot<V: Lanes>(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = V::splat(0.0);
    for (x, y) in x.iter().zip(y) {
        lanes = V::from_array(*x).mul_add(V::from_array(*y), lanes);
    }
    let tail: f64 = x_tail.iter().zip(y_tail).map(|(x, y)| x * y).sum();
    across(lanes.to_array()) + tail
}

/// y + a x, in place of y.
#[inline(always)]
fn axpy<V: Lanes>(a: f64, x: &[f64], y: &mut [f64]) {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    let factor = V::splat(a);
    for (x, y) in x.iter().zip(y) {
        *y = factor
            .mul_add(V::from_array(*x), V::from_array(*y))
            .to_array();
    }
    for (x, y) in x_tail.iter().zip(y_tail) {
        *y += a * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, close};

    /// By the formula.
    fn slow(convolution: Convolution, n: usize, k: usize, x: &[f64], w: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; convolution.length(n, k)];
        for i in 0..n {
            for j in 0..k {
                match convolution {
                    Convolution::Full => out[i + j] += x[i] * w[j],
                    Convolution::Correlation if i >= j && i - j < out.len() => {
                        out[i - j] += x[i] * w[j]
                    }
                    Convolution::Correlation => {}
                }
            }
        }
        out
    }

    #[test]
    fn equals_the_formula_for_all_lengths() {
        let mut random = Random::new(11);
        let lengths = [1, 2, 7, 8, 9, 17, 40];
        for n in lengths {
            for k in lengths {
                for convolution in [Convolution::Full, Convolution::Correlation] {
                    if convolution == Convolution::Correlation && n < k {
                        continue;
                    }
                    let x = random.vector(2 * n, -1.0, 1.0);
                    let w = random.vector(2 * k, -1.0, 1.0);
                    let width = convolution.length(n, k);
                    let mut out = vec![f64::NAN; 2 * width];
                    convolve(convolution, [2, n, k], &x, &w, &mut out);
                    for s in 0..2 {
                        let (x, w) = (&x[s * n..(s + 1) * n], &w[s * k..(s + 1) * k]);
                        let wanted = slow(convolution, n, k, x, w);
                        for (found, wanted) in out[s * width..].iter().zip(&wanted) {
                            assert!(close(*found, *wanted, 1e-14), "{convolution:?} {n} {k}");
                        }
                    }
                }
            }
        }
    }
}
