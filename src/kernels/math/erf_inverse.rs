//! Inverses of the error function, of its complement and of the normal distribution function.
//!
//! All solve log erfc(w) = t for w >= 0, where t keeps its relative accuracy at both ends: from Winitzki's
//! approximation (2008), to 2e-3 relative, two of Halley's steps lead to rounding.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, PI, SQRT_2};

use super::erf::{erf, erfcx};
use super::exp::expm1;
use super::log::{log, log1p};
use crate::kernels::simd::{LaneMask, Lanes};

/// log erfc(w) and erfcx(w), for w >= 0.
#[inline(always)]
fn log_erfc<V: Lanes>(w: V) -> (V, V) {
    let scaled = erfcx(w);
    let near = log1p(-erf(w));
    let far = (-w).mul_add(w, log(scaled));
    (w.lt(V::splat(0.5)).select(near, far), scaled)
}

/// w >= 0 with log erfc(w) = t, for t <= 0; NaN above.
#[inline(always)]
fn inverse_log_erfc<V: Lanes>(t: V) -> V {
    const A: f64 = 0.147;
    let zero = V::splat(0.0);
    let bounded = V::splat(-1e300).max(t);
    // log(1 - y**2) with y = erf(w)
    let y = -expm1(bounded);
    let near = bounded.gt(V::splat(-0.5));
    let l = log1p(near.select(-(y * y), y)) + near.select(zero, bounded);
    let half = l.scale_add(0.5, 2.0 / (PI * A));
    let rest = l * (-1.0 / A);
    let root = half.mul_add(half, rest).sqrt();
    // For large |t| the square overflows; the root of -l is as good there.
    let w = (rest / (root + half)).sqrt();
    let w = bounded.lt(V::splat(-1e10)).select((-bounded).sqrt(), w);
    let mut w = w;
    for _ in 0..2 {
        let (value, scaled) = log_erfc(w);
        let excess = value - bounded;
        // -(log erfc)' and, by it, half the ratio of the second derivative to the first.
        let slope = V::splat(FRAC_2_SQRT_PI) / scaled;
        let step = excess / slope;
        let bend = (slope - w * 2.0) * 0.5 * step;
        w += step / (bend + 1.0);
    }
    let w = t.eq(zero).select(zero, w);
    let w = t
        .eq(V::splat(f64::NEG_INFINITY))
        .select(V::splat(f64::INFINITY), w);
    t.le(zero).select(w, V::splat(f64::NAN))
}

/// x with erf(x) = y, to 2e-15 relative; infinite at 1 and -1, NaN beyond.
#[inline(always)]
pub fn erfinv<V: Lanes>(y: V) -> V {
    let w = inverse_log_erfc(log1p(-y.abs()));
    y.eq(V::splat(0.0)).select(y, w.copysign(y))
}

/// x with erfc(x) = y, to 2e-15 relative; infinite at 0 and 2, NaN beyond.
#[inline(always)]
pub fn erfcinv<V: Lanes>(y: V) -> V {
    let upper = y.gt(V::splat(1.0));
    let w = inverse_log_erfc(log(upper.select(V::splat(2.0) - y, y)));
    upper.select(-w, w)
}

/// z with Phi(z) = exp(x), Phi the normal distribution function, to 2e-15 relative (absolute near the root at
/// -log 2); NaN for x > 0.
#[inline(always)]
pub fn ndtri_exp<V: Lanes>(x: V) -> V {
    let lower = x.lt(V::splat(-LN_2));
    let tail = lower.select(x + LN_2, log(expm1(x) * -2.0));
    let w = inverse_log_erfc(V::splat(0.0).min(tail)) * SQRT_2;
    let z = lower.select(-w, w);
    x.le(V::splat(0.0)).select(z, V::splat(f64::NAN))
}
