//! Rounding to integers, and the sign.

use crate::kernels::simd::{LaneMask, Lanes};

/// Nearest integer, ties to even.
#[inline(always)]
pub fn round_half_even<V: Lanes>(x: V) -> V {
    x.round_half_even()
}

/// Nearest integer, ties away from zero.
#[inline(always)]
pub fn round_half_away<V: Lanes>(x: V) -> V {
    // The largest f64 below 1/2: x + 1/2 would round 0.49999999999999994 up to 1.
    (x + V::splat(0.5f64.next_down()).copysign(x)).trunc()
}

/// -1, 0 or 1 with the sign of x; 0 for zeros, NaN for NaN.
#[inline(always)]
pub fn sign<V: Lanes>(x: V) -> V {
    let zero = V::splat(0.0);
    let y = V::splat(1.0).copysign(x);
    x.eq(zero).select(zero, x.is_nan().select(x, y))
}
