//! Exponentials: exp, exp2, expm1 and the logistic sigmoid.
//!
//! exp(x) = 2**n exp(r) with n the integer nearest to x / ln 2, |r| <= ln(2) / 2, and
//! exp(r) = 1 + r + r**2 q(r).

use super::double_double::fast_two_sum;
use super::{LN_2, polynomial};
use crate::kernels::simd::{LaneMask, Lanes};

/// (exp(r) - 1 - r) / r**2 on |r| <= ln(2) / 2.
pub(super) const Q: [f64; 10] = [
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
];

/// (2**r - 1 - r ln 2) / r**2 on |r| <= 1/2.
const Q2: [f64; 10] = [
    0.24022650695910075,
    0.05550410866482158,
    0.009618129107618665,
    0.0013333558146423213,
    0.00015403530424776529,
    1.5252733820795803e-05,
    1.3215451633221434e-06,
    1.0178067267449427e-07,
    7.070977866508138e-09,
    4.45410341058704e-10,
];

/// `(n, r, t)`: exp(x) = 2**n (1 + r + t) with |t| well below r, for |x| <= 1100.
#[inline(always)]
pub(super) fn exp_parts<V: Lanes>(x: V) -> (V, V, V) {
    let n = (x * std::f64::consts::LOG2_E).round_small();
    let high = n.mul_add(V::splat(-LN_2.0), x); // exact: both are multiples of 2**-54 or n is 0
    let r = n.mul_add(V::splat(-LN_2.1), high);
    let r_error = n.mul_add(V::splat(-LN_2.1), high - r);
    let t = (r * r).mul_add(polynomial(r, Q), r_error);
    (n, r, t)
}

/// `(n, p)`: exp(x) = 2**n p with p in [0.7, 1.5], for |x| <= 1100.
#[inline(always)]
pub(super) fn exp_scaled<V: Lanes>(x: V) -> (V, V) {
    let n = (x * std::f64::consts::LOG2_E).round_small();
    let high = n.mul_add(V::splat(-LN_2.0), x); // exact, as in exp_parts
    let low = n * -LN_2.1;
    let r = high + low;
    (n, (r * r).mul_add(polynomial(r, Q), low) + high + 1.0)
}

/// exp(x), to 1 ulp.
#[inline(always)]
pub fn exp<V: Lanes>(x: V) -> V {
    let (n, p) = exp_scaled(V::splat(-746.0).max(V::splat(710.0).min(x)));
    p.scale_exp2(n)
}

/// 2**x, to 1 ulp.
#[inline(always)]
pub fn exp2<V: Lanes>(x: V) -> V {
    let x = V::splat(-1076.0).max(V::splat(1025.0).min(x));
    let n = x.round_small();
    let r = x - n;
    let p = r.mul_add(V::splat(LN_2.0), (r * r) * polynomial(r, Q2)) + 1.0;
    p.scale_exp2(n)
}

/// exp(x) - 1, to 1 ulp.
#[inline(always)]
pub fn expm1<V: Lanes>(x: V) -> V {
    let (h, _) = expm1_sum(V::splat(-50.0).max(V::splat(710.0).min(x)));
    x.abs().lt(V::splat(1e-300)).select(x, h * 2.0)
}

/// `(h, l)`: (exp(x) - 1) / 2 as unevaluated sum, for -50 <= x <= 710; halved because 2**1024 overflows.
#[inline(always)]
pub(super) fn expm1_sum<V: Lanes>(x: V) -> (V, V) {
    let (n, r, t) = exp_parts(x);
    let scale = (n - 1.0).exp2_int();
    let (h, l) = fast_two_sum(scale - 0.5, scale * r);
    fast_two_sum(h, scale.mul_add(t, l))
}

/// 1 / (1 + exp(-x)), to 2 ulp.
#[inline(always)]
pub fn sigmoid<V: Lanes>(x: V) -> V {
    let one = V::splat(1.0);
    let z = exp(-x.abs());
    let (d, d_low) = fast_two_sum(one, z);
    let y = one / d;
    // One step of refinement, for the rounding errors of the sum and the quotient.
    let y = y.mul_add((-y).mul_add(d, one) - y * d_low, y);
    x.lt(V::splat(0.0)).select(z * y, y)
}
