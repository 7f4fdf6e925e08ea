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
