//! Inverse trigonometric functions.

use std::f64::consts::FRAC_PI_2;

use super::polynomial;
use crate::kernels::simd::{LaneMask, Lanes};

/// (asin(s) - s) / s**3 in powers of s**2, on |s| <= 1/2.
const ASIN: [f64; 13] = [
    0.16666666666666669,
    0.07499999999998433,
    0.04464285714635543,
    0.030381944138531247,
    0.02237217294214989,
    0.017352392720869973,
    0.013971212973552933,
    0.011479177415184906,
    0.01032281435018578,
    0.005457506718640358,
    0.01740087944269402,
    -0.014851887071247204,
    0.028757851367421566,
];

/// (atan(t) - t) / t**3 in powers of t**2, on |t| <= 1.
const ATAN: [f64; 20] = [
    -0.3333333333333333,
    0.1999999999999753,
    -0.14285714285384132,
    0.11111111093490827,
    -0.09090908590891934,
    0.07692298971033217,
    -0.06666564699289104,
    0.05881506877793656,
    -0.052579733342841106,
    0.04737749579527779,
    -0.04260356632601652,
    0.03749486812535247,
    -0.031277189066996385,
    0.023696731580048622,
    -0.015535152475414177,
    0.008368931178450162,
    -0.0034958859739163094,
    0.0010496035084968515,
    -0.00019996189377901382,
    1.806195461861215e-05,
];

/// What pi/2 exceeds its f64 by.
const HALF_PI_LOW: f64 = 6.123233995736766e-17;

/// `(inner, s, t)` for a = |x|: asin(a) = s + t where `inner` (a <= 1/2), else pi/2 - 2 (s + t).
#[inline(always)]
fn asin_parts<V: Lanes>(a: V) -> (V::Mask, V, V) {
    let inner = a.le(V::splat(0.5));
    let z = inner.select(a * a, (V::splat(1.0) - a) * 0.5);
    let s = inner.select(a, z.sqrt());
    (inner, s, s * z * polynomial(z, ASIN))
}

/// Arc sine, to 4 ulp.
#[inline(always)]
pub fn asin<V: Lanes>(x: V) -> V {
    let (inner, s, t) = asin_parts(x.abs());
    let outer = V::splat(FRAC_PI_2) - ((s + t) * 2.0 - HALF_PI_LOW);
    inner.select(s + t, outer).copysign(x)
}

/// Arc cosine, to 4 ulp.
#[inline(always)]
pub fn acos<V: Lanes>(x: V) -> V {
    let (inner, s, t) = asin_parts(x.abs());
    let near_zero = V::splat(FRAC_PI_2) - (s.copysign(x) + (t.copysign(x) - HALF_PI_LOW));
    let double = (s + t) * 2.0;
    let negative = (V::splat(FRAC_PI_2) - (s + (t - HALF_PI_LOW))) * 2.0;
    let near_one = x.lt(V::splat(0.0)).select(negative, double);
    inner.select(near_zero, near_one)
}

/// atan(t) for |t| <= 1.
#[inline(always)]
fn atan_kernel<V: Lanes>(t: V) -> V {
    let z = t * t;
    (t * z).mul_add(polynomial(z, ATAN), t)
}

/// Arc tangent, to 2 ulp.
#[inline(always)]
pub fn atan<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let large = a.gt(V::splat(1.0));
    let y = atan_kernel(large.select(V::splat(1.0) / a, a));
    large
        .select(V::splat(FRAC_PI_2) - (y - HALF_PI_LOW), y)
        .copysign(x)
}

/// Angle of the point (x, y) as C's `atan2(y, x)`, to 4 ulp.
#[inline(always)]
pub fn atan2<V: Lanes>(y: V, x: V) -> V {
    let (a, b) = (y.abs(), x.abs());
    let steep = a.gt(b);
    let (small, large) = (steep.select(b, a), steep.select(a, b));
    let ratio = small / large;
    // 0/0 and infinity/infinity lie on an axis and a diagonal.
    let ratio = large.eq(V::splat(0.0)).select(V::splat(0.0), ratio);
    let ratio = small
        .eq(V::splat(f64::INFINITY))
        .select(V::splat(1.0), ratio);
    let angle = atan_kernel(ratio);
    let angle = steep.select(V::splat(FRAC_PI_2) - (angle - HALF_PI_LOW), angle);
    let left = V::splat(2.0 * FRAC_PI_2) - (angle - 2.0 * HALF_PI_LOW);
    let angle = x.is_sign_negative().select(left, angle).copysign(y);
    (x.is_nan() | y.is_nan()).select(V::splat(f64::NAN), angle)
}
