//! Hyperbolic functions and their inverses, from expm1 and log1p.

use super::LN_2;
use super::double_double::fast_two_sum;
use super::exp::{exp_scaled, expm1_sum};
use super::log::{log, log1p};
use crate::kernels::simd::{LaneMask, Lanes};

/// Hyperbolic tangent, to 2 ulp.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    // With m = (exp(-2 |x|) - 1) / 2: tanh |x| = -m / (1 + m).
    let (m, m_low) = expm1_sum(V::splat(-50.0).max(x.abs() * -2.0));
    let (d, d_low) = fast_two_sum(V::splat(1.0), m);
    let inverse = V::splat(1.0) / d;
    let y = m * inverse;
    // One step of refinement, for the parts left out and the rounding of the quotient.
    let rest = (-y).mul_add(d, m) + ((-y).mul_add(d_low + m_low, m_low));
    rest.mul_add(inverse, y).copysign(x)
}

/// exp(a) / 2 for a >= 0.
#[inline(always)]
fn half_exp<V: Lanes>(a: V) -> V {
    let (n, p) = exp_scaled(V::splat(711.0).min(a));
    p.scale_exp2(n - 1.0)
}

/// Hyperbolic sine, to 4 ulp.
#[inline(always)]
pub fn sinh<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let (m, _) = expm1_sum(V::splat(20.0).min(a));
    let small = m + m / (m * 2.0 + 1.0);
    let small = a.lt(V::splat(1e-300)).select(a, small);
    a.lt(V::splat(20.0)).select(small, half_exp(a)).copysign(x)
}

/// Hyperbolic cosine, to 2 ulp.
#[inline(always)]
pub fn cosh<V: Lanes>(x: V) -> V {
    let y = half_exp(x.abs());
    y + V::splat(0.25) / y
}

/// Inverse hyperbolic sine, to 4 ulp.
#[inline(always)]
pub fn asinh<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let large = a.gt(V::splat(1e9));
    let square = a * a;
    let small = log1p(a + square / ((square + 1.0).sqrt() + 1.0));
    large.select(log(a) + LN_2.0, small).copysign(x)
}

/// Inverse hyperbolic cosine, to 4 ulp; NaN below 1.
#[inline(always)]
pub fn acosh<V: Lanes>(x: V) -> V {
    let large = x.gt(V::splat(1e9));
    let t = x - 1.0;
    let small = log1p(t + (t * (t + 2.0)).sqrt());
    large.select(log(x) + LN_2.0, small)
}

/// Inverse hyperbolic tangent, to 4 ulp; NaN outside [-1, 1].
#[inline(always)]
pub fn atanh<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let y = log1p(a * 2.0 / (V::splat(1.0) - a)) * 0.5;
    y.copysign(x)
}
