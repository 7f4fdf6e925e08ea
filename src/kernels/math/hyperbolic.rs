//! Hyperbolic functions and their inverses, from expm1 and log1p.

use super::exp::expm1_sum;
use crate::kernels::simd::Lanes;

/// Hyperbolic tangent, to 2 ulp.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    // With m = (exp(-2 |x|) - 1) / 2: tanh |x| = -m / (1 + m).
    let (h, l) = expm1_sum(V::splat(-50.0).max(x.abs() * -2.0));
    let y = (h + l) / ((h + 1.0) + l);
    (y.abs()).copysign(x)
}
