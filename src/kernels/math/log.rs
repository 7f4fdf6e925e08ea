//! Logarithms: log, log1p and, with exp inside, softplus and log1mexp.
//!
//! log(x) = e ln 2 + log(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); with s = f / (2 + f),
//! log(1 + f) = 2 atanh(s) = f - f**2 / 2 + s (f**2 / 2 + s**2 P(s**2)), as in FreeBSD's msun.

use std::f64::consts::{FRAC_1_SQRT_2, LOG2_E, LOG10_2, LOG10_E, SQRT_2};

use super::double_double::{fast_two_sum, two_product, two_sum};
use super::exp::{exp, exp_parts};
use super::{LN_2, polynomial};
use crate::kernels::simd::{LaneMask, Lanes};

/// (2 atanh(s) - 2 s) / s**3 in powers of s**2, on |s| <= 3 - sqrt(8).
const P: [f64; 7] = [
    0.666666666666667,
    0.3999999999989938,
    0.28571428626031065,
    0.2222221112572281,
    0.18182889786191042,
    0.15331699633543858,
    0.14616721179861816,
];

/// What 1 / ln 2, 1 / ln 10 and log10(2) exceed their f64 by.
const LOG2_E_LOW: f64 = 2.0355273740931033e-17;
const LOG10_E_LOW: f64 = 1.098319650216765e-17;
const LOG10_2_LOW: f64 = -2.8037281277851704e-18;

const MANTISSA: u64 = (1 << 52) - 1;
const TWO_52: f64 = 4503599627370496.0;

/// `(e, m)`: x = 2**e m with m in [sqrt(1/2), sqrt(2)), for positive finite x.
#[inline(always)]
pub(super) fn split<V: Lanes>(x: V) -> (V, V) {
    let tiny = x.lt(V::splat(f64::MIN_POSITIVE));
    let (e, m) = split_normal(tiny.select(x * (4.0 * TWO_52), x));
    (e - tiny.select(V::splat(54.0), V::splat(0.0)), m)
}

/// As [`split`], for normal x.
#[inline(always)]
fn split_normal<V: Lanes>(x: V) -> (V, V) {
    let offset = FRAC_1_SQRT_2.to_bits();
    let shifted = x.add_bits(V::splat_bits(1f64.to_bits() - offset));
    let e = shifted.shr52().or(V::splat(TWO_52)) - (TWO_52 + 1023.0);
    let m = shifted
        .and(V::splat_bits(MANTISSA))
        .add_bits(V::splat_bits(offset));
    (e, m)
}

/// e ln 2 + log(1 + f + f_low), with f_low below 1 ulp of f.
#[inline(always)]
fn log_parts<V: Lanes>(e: V, f: V, f_low: V) -> V {
    let s = f / (f + 2.0);
    let z = s * s;
    let half_square = f * f * 0.5;
    let low = s.mul_add(z.mul_add(polynomial(z, P), half_square), f_low) - half_square;
    let low = e.mul_add(V::splat(LN_2.1), low);
    e.mul_add(V::splat(LN_2.0), f + low)
}

/// log(u + c) for u > 0 and c of at most 1 ulp of u.
#[inline(always)]
fn log_sum<V: Lanes>(u: V, c: V) -> V {
    let (e, m) = split(u);
    // m - 1 is 0 or a multiple of 2**-53 >= |c| 2**-e.
    let (f, f_low) = fast_two_sum(m - 1.0, c.scale_exp2(-e));
    log_parts(e, f, f_low)
}

/// `y` where x is positive and finite, else what log(x) is there.
#[inline(always)]
pub(super) fn with_special<V: Lanes>(x: V, y: V) -> V {
    let zero = V::splat(0.0);
    let y = x.lt(V::splat(f64::INFINITY)).select(y, x); // infinity and NaN give themselves
    let y = x.eq(zero).select(V::splat(f64::NEG_INFINITY), y);
    x.lt(zero).select(V::splat(f64::NAN), y)
}

/// Natural logarithm, to 2 ulp.
#[inline(always)]
pub fn log<V: Lanes>(x: V) -> V {
    let (e, m) = split(x);
    with_special(x, log_parts(e, m - 1.0, V::splat(0.0)))
}

/// `(e, h, l)`: log(x) = e ln 2 + h + l for positive finite x, h + l to 2**-58 relative.
#[inline(always)]
fn log_unevaluated<V: Lanes>(x: V) -> (V, V, V) {
    let (e, m) = split(x);
    let f = m - 1.0;
    let s = f / (f + 2.0);
    let z = s * s;
    let (half_square, error) = two_product(f * 0.5, f);
    let (h, l) = fast_two_sum(f, -half_square);
    (
        e,
        h,
        s.mul_add(z.mul_add(polynomial(z, P), half_square), l - error),
    )
}

/// Logarithm to base 2, to 1 ulp.
#[inline(always)]
pub fn log2<V: Lanes>(x: V) -> V {
    let (e, h, l) = log_unevaluated(x);
    let (p, p_low) = two_product(h, V::splat(LOG2_E));
    let p_low = l.mul_add(V::splat(LOG2_E), h.mul_add(V::splat(LOG2_E_LOW), p_low));
    let (sum, sum_low) = fast_two_sum(e, p);
    with_special(x, sum + (sum_low + p_low))
}

/// Logarithm to base 10, to 1 ulp.
#[inline(always)]
pub fn log10<V: Lanes>(x: V) -> V {
    let (e, h, l) = log_unevaluated(x);
    let (p, p_low) = two_product(h, V::splat(LOG10_E));
    let p_low = l.mul_add(V::splat(LOG10_E), h.mul_add(V::splat(LOG10_E_LOW), p_low));
    let (q, q_low) = two_product(e, V::splat(LOG10_2));
    let q_low = e.mul_add(V::splat(LOG10_2_LOW), q_low);
    let (sum, sum_low) = fast_two_sum(q, p);
    with_special(x, sum + (sum_low + (q_low + p_low)))
}

/// log(1 + x), to 2 ulp.
#[inline(always)]
pub fn log1p<V: Lanes>(x: V) -> V {
    let (u, c) = two_sum(V::splat(1.0), x);
    let y = with_special(u, log_sum(u, c));
    x.eq(V::splat(0.0)).select(x, y)
}

/// log(1 + x) - x, to 1e-15 relative, for x > -1/2.
#[inline(always)]
pub(super) fn log1p_rest<V: Lanes>(x: V) -> V {
    let s = x / (x + 2.0);
    let z = s * s;
    let near = s * (z * polynomial(z, P) - x);
    let is_near = x.gt(V::splat(-0.29)) & x.lt(V::splat(0.41));
    is_near.select(near, log1p(x) - x)
}

/// log(1 + exp(x)), to 2 ulp.
#[inline(always)]
pub fn softplus<V: Lanes>(x: V) -> V {
    let z = exp(-x.abs());
    let (u, c) = fast_two_sum(V::splat(1.0), z);
    // u is in [1, 2], so splitting it is a matter of one halving.
    let halve = u.gt(V::splat(SQRT_2));
    let scale = halve.select(V::splat(0.5), V::splat(1.0));
    let (f, f_low) = fast_two_sum(u * scale - 1.0, c * scale);
    let y = log_parts(halve.to_f64(), f, f_low);
    V::splat(0.0).max(x) + y
}

/// log(1 - exp(x)) for x <= 0 (NaN above), to 2 ulp.
#[inline(always)]
pub fn log1mexp<V: Lanes>(x: V) -> V {
    let (n, r, t) = exp_parts(V::splat(-746.0).max(x));
    let scale = V::splat(1.0).scale_exp2(n);
    // 1 - scale (1 + r + t), each step with its error.
    let (a, a_low) = fast_two_sum(V::splat(1.0), -scale);
    let (u, c) = fast_two_sum(a, -(scale * r));
    let (u, c) = fast_two_sum(u, (c + a_low) - scale * t);
    let y = with_special(u, log_sum(u, c));
    x.le(V::splat(0.0)).select(y, V::splat(f64::NAN))
}
