//! Products of a packed lower triangular matrix, row i with its i + 1 elements, and a vector.

use super::super::isa::{Isa, per_isa};
use super::triangular::{dot, subtract};

/// out <- y + a T x
pub fn add_product(n: usize, t: &[f64], a: f64, x: &[f64], y: &[f64], out: &mut [f64]) {
    add_product_on(Isa::detect(), n, t, a, x, y, out);
}

pub(super) fn add_product_on(
    isa: Isa,
    n: usize,
    t: &[f64],
    a: f64,
    x: &[f64],
    y: &[f64],
    out: &mut [f64],
) {
    assert!(t.len() == n * (n + 1) / 2 && x.len() == n && y.len() == n && out.len() == n);
    let kernel = per_isa!(fn(t: &[f64], a: f64, x: &[f64], y: &[f64], out: &mut [f64]) {
        let mut t = t;
        for (i, (out, y)) in out.iter_mut().zip(y).enumerate() {
            let (row, rest) = t.split_at(i + 1);
            *out = a.mul_add(dot::<V>(row, &x[..=i]), *y);
            t = rest;
        }
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel(t, a, x, y, out) };
}

/// out <- T' x
pub fn transposed_product(n: usize, t: &[f64], x: &[f64], out: &mut [f64]) {
    transposed_product_on(Isa::detect(), n, t, x, out);
}

pub(super) fn transposed_product_on(isa: Isa, n: usize, t: &[f64], x: &[f64], out: &mut [f64]) {
    assert!(t.len() == n * (n + 1) / 2 && x.len() == n && out.len() == n);
    let kernel = per_isa!(fn(t: &[f64], x: &[f64], out: &mut [f64]) {
        let mut t = t;
        out.fill(0.0);
        for (i, x) in x.iter().enumerate() {
            let (row, rest) = t.split_at(i + 1);
            subtract::<V>(-x, row, &mut out[..=i]);
            t = rest;
        }
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel(t, x, out) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_full_matrix_with_the_same_bits_everywhere() {
        for n in [0, 1, 3, 8, 17, 40] {
            let t: Vec<f64> = (0..n * (n + 1) / 2)
                .map(|k| (k % 13) as f64 - 5.7)
                .collect();
            let x: Vec<f64> = (0..n).map(|i| (i % 5) as f64 - 1.3).collect();
            let y: Vec<f64> = (0..n).map(|i| i as f64 / 7.0).collect();
            let element = |i: usize, j: usize| if j > i { 0.0 } else { t[i * (i + 1) / 2 + j] };
            let mut bits: Vec<Vec<u64>> = Vec::new();
            for isa in Isa::available() {
                let (mut forth, mut back) = (vec![f64::NAN; n], vec![f64::NAN; n]);
                add_product_on(isa, n, &t, 0.5, &x, &y, &mut forth);
                transposed_product_on(isa, n, &t, &x, &mut back);
                for i in 0..n {
                    let row: f64 = (0..n).map(|j| element(i, j) * x[j]).sum();
                    let column: f64 = (0..n).map(|j| element(j, i) * x[j]).sum();
                    assert!((forth[i] - y[i] - 0.5 * row).abs() < 1e-11, "{n}");
                    assert!((back[i] - column).abs() < 1e-11, "{n}");
                }
                bits.push(forth.iter().chain(&back).map(|v| v.to_bits()).collect());
            }
            assert!(bits.windows(2).all(|pair| pair[0] == pair[1]), "{n}");
        }
    }
}
