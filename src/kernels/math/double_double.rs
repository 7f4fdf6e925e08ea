//! Sums and products with their rounding error (Dekker 1971; Knuth, TAOCP 2, 4.2.2).

use crate::kernels::simd::Lanes;

/// `(h, l)`: h the rounded a + b, l its error; exact for |a| >= |b| or a = 0.
#[inline(always)]
pub fn fast_two_sum<V: Lanes>(a: V, b: V) -> (V, V) {
    let h = a + b;
    (h, b - (h - a))
}

/// `(h, l)`: h the rounded a + b, l its error.
#[inline(always)]
pub fn two_sum<V: Lanes>(a: V, b: V) -> (V, V) {
    let h = a + b;
    let b_part = h - a;
    (h, (a - (h - b_part)) + (b - b_part))
}

/// `(h, l)`: h the rounded a b, l its error.
#[inline(always)]
pub fn two_product<V: Lanes>(a: V, b: V) -> (V, V) {
    let h = a * b;
    (h, a.mul_add(b, -h))
}
