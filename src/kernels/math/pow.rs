//! Powers, and the logarithm and exponential in double-double arithmetic that they need.

use super::LN_2;
use super::double_double::{fast_two_sum, two_product};
use super::exp::Q;
use super::log::split;
use super::polynomial;
use super::trig::is_odd;
use crate::kernels::simd::{LaneMask, Lanes};

/// (2 atanh(s) - 2 s - 2/3 s**3) / s**5 in powers of s**2, on |s| <= 3 - sqrt(8).
const T: [f64; 8] = [
    0.4,
    0.2857142857142937,
    0.2222222222165554,
    0.1818181833547124,
    0.15384594954137945,
    0.13334805149611875,
    0.11706224135460942,
    0.11723306234080849,
];

/// ln 2 as an unevaluated sum, the first part of 42 bits so that its product with an exponent is
/// exact.
const LN_2_SHORT: (f64, f64) = (0.6931471805598903, 5.497923018708371e-14);

/// 2/3 as an unevaluated sum.
const TWO_THIRDS: (f64, f64) = (0.6666666666666666, 3.700743415417188e-17);

/// `(h, l)`: log(x) as unevaluated sum, to 2**-65 relative, for positive finite x.
///
/// log(m) = 2 s + s**3 (2/3 + s**2 T(s**2)) with s = (m - 1) / (m + 1).
#[inline(always)]
pub(super) fn log_double<V: Lanes>(x: V) -> (V, V) {
    let (e, m) = split(x);
    let f = m - 1.0;
    let (d, d_low) = fast_two_sum(V::splat(2.0), f);
    let inverse = V::splat(1.0) / d;
    let s = f * inverse;
    let s_low = (-s).mul_add(d_low, (-s).mul_add(d, f)) * inverse;
    let (z, z_low) = two_product(s, s);
    let z_low = (s * 2.0).mul_add(s_low, z_low);
    let (a, a_low) = fast_two_sum(V::splat(TWO_THIRDS.0), z * polynomial(z, T));
    let a_low = z_low.mul_add(V::splat(T[0]), a_low + TWO_THIRDS.1);
    let (c, c_low) = two_product(s, z);
    let c_low = s.mul_add(z_low, s_low.mul_add(z, c_low));
    let (q, q_low) = two_product(c, a);
    let q_low = c.mul_add(a_low, c_low.mul_add(a, q_low));
    let (h, l) = fast_two_sum(s * 2.0, q);
    let l = l + s_low.mul_add(V::splat(2.0), q_low);
    let (high, low) = fast_two_sum(e * LN_2_SHORT.0, h);
    fast_two_sum(high, e.mul_add(V::splat(LN_2_SHORT.1), low + l))
}

/// exp(x + x_low), to 1 ulp; x_low is below 2**-50 |x| or anything where |x| > 746.
#[inline(always)]
pub(super) fn exp_double<V: Lanes>(x: V, x_low: V) -> V {
    let limit = V::splat(746.0);
    let x_low = x.abs().lt(limit).select(x_low, V::splat(0.0));
    let x = (-limit).max(limit.min(x));
    let n = (x * std::f64::consts::LOG2_E).round_small();
    let high = n.mul_add(V::splat(-LN_2.0), x);
    let low = n.mul_add(V::splat(-LN_2.1), x_low);
    let r = high + low;
    let (h, l) = fast_two_sum(V::splat(1.0), high);
    let l = l + (r * r).mul_add(polynomial(r, Q), low);
    (h + l).scale_exp2(n)
}

/// x**y as C's `pow`, to 1 ulp.
#[inline(always)]
pub fn pow<V: Lanes>(x: V, y: V) -> V {
    let zero = V::splat(0.0);
    let one = V::splat(1.0);
    let infinity = V::splat(f64::INFINITY);
    let a = x.abs();

    let (h, l) = log_double(a);
    let (p, p_low) = two_product(y, h);
    let magnitude = exp_double(p, y.mul_add(l, p_low));

    let to_infinity = (a.eq(infinity) & y.gt(zero)) | (a.eq(zero) & y.lt(zero));
    let extreme = a.eq(infinity) | a.eq(zero);
    let magnitude = extreme.select(to_infinity.select(infinity, zero), magnitude);

    let whole = y.trunc().eq(y);
    let odd = whole & is_odd(y);
    let signed = odd.select(magnitude.copysign(x), magnitude);
    let no_real = x.lt(zero) & a.lt(infinity) & !whole;
    let signed = (no_real | x.is_nan() | y.is_nan()).select(V::splat(f64::NAN), signed);
    let is_one = y.eq(zero) | x.eq(one) | (a.eq(one) & y.is_infinite());
    is_one.select(one, signed)
}
