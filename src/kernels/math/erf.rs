//! The error function, its complement and the scaled complement.
//!
//! erfcx(a) = exp(a**2) erfc(a) for a >= 0 is X(q) / (1 + 2 a) with q = (a - 4) / (a + 4) (the form
//! of Shepherd and Laframboise, Math. Comp. 36, 1981); the others follow, with a**2 in
//! double-double arithmetic.

use std::f64::consts::FRAC_2_SQRT_PI;

use super::double_double::{fast_two_sum, two_product, two_sum};
use super::polynomial;
use super::pow::exp_double;
use crate::kernels::simd::{LaneMask, Lanes};

/// erf(x) / x - 1 in powers of x**2, on |x| <= 1.
const ERF: [f64; 12] = [
    0.12837916709551256,
    -0.37612638903183543,
    0.11283791670945006,
    -0.02686617064323777,
    0.0052239776071164225,
    -0.0008548325975389692,
    0.00012055294904839707,
    -1.492473690741966e-05,
    1.6447424703317362e-06,
    -1.6208483801871705e-07,
    1.3720064546777686e-08,
    -7.795898827002142e-10,
];

/// (1 + 2 a) exp(a**2) erfc(a) in powers of q: the constant.
const X_0: f64 = 1.2329951186255526;

/// The coefficients after `X_0`.
const X_TAIL: [f64; 23] = [
    -0.1396211168405625,
    0.015379652102610162,
    0.0680970542546862,
    -0.10103906603585294,
    0.09373283499865172,
    -0.06633036582050367,
    0.0371675155318432,
    -0.01619773397992426,
    0.005031970032548695,
    -0.0007577737141838885,
    -0.00019925700412184815,
    0.0001506231178516207,
    -2.439811794207995e-05,
    -1.1225140354449658e-05,
    5.707239573693257e-06,
    2.980596055322769e-07,
    -8.218020654813044e-07,
    7.111912428010423e-08,
    1.0683442926744586e-07,
    -1.6357383982124768e-08,
    -1.2544825403855518e-08,
    1.5712153638319064e-09,
    9.655408225482863e-10,
];

/// `(h, l)`: erfcx(a) as unevaluated sum, for a >= 0.
#[inline(always)]
fn erfcx_positive<V: Lanes>(a: V) -> (V, V) {
    let inverse = V::splat(1.0) / (a + 4.0);
    let q = (a - 4.0) * inverse;
    // One step of refinement: the rounding error of q would show.
    let rest = (q + 1.0).mul_add(V::splat(-4.0), a);
    let q = inverse.mul_add((-q).mul_add(a, rest), q);
    // The last step of the polynomial and the quotient keep their rounding errors.
    let (p, p_low) = two_product(q, polynomial(q, X_TAIL));
    let (x, x_low) = fast_two_sum(V::splat(X_0), p);
    let (d, d_low) = two_sum(V::splat(1.0), a * 2.0);
    let inverse = V::splat(1.0) / d;
    let y = x * inverse;
    let rest = (-y).mul_add(d, x) + (-y).mul_add(d_low, x_low + p_low);
    (y, rest * inverse)
}

/// exp(-a**2) erfcx(a) = erfc(a), for a >= 0.
#[inline(always)]
fn erfc_positive<V: Lanes>(a: V) -> V {
    let a = V::splat(28.0).min(a);
    let (square, low) = two_product(a, a);
    let scale = exp_double(-square, -low);
    let (h, l) = erfcx_positive(a);
    scale.mul_add(h, scale * l)
}

/// erf(x) for |x| <= 1.
#[inline(always)]
fn erf_inner<V: Lanes>(x: V) -> V {
    x.mul_add(polynomial(x * x, ERF), x)
}

/// The error function, to 2 ulp.
#[inline(always)]
pub fn erf<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let outer = (V::splat(1.0) - erfc_positive(a)).copysign(x);
    a.lt(V::splat(1.0)).select(erf_inner(x), outer)
}

/// 1 - erf(x) without cancellation, to 2 ulp.
#[inline(always)]
pub fn erfc<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let y = erfc_positive(a);
    let outer = x.lt(V::splat(0.0)).select(V::splat(2.0) - y, y);
    let inner = V::splat(1.0) - erf_inner(x);
    a.lt(V::splat(0.5)).select(inner, outer)
}

/// exp(x**2) erfc(x), to 1e-14 relative.
#[inline(always)]
pub fn erfcx<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let far = V::splat(1e15);
    let (y, _) = erfcx_positive(far.min(a));
    let y = a.gt(far).select(V::splat(0.5 * FRAC_2_SQRT_PI) / a, y);
    // exp overflows long before the square of 30.
    let a = V::splat(30.0).min(a);
    let (square, low) = two_product(a, a);
    let reflected = exp_double(square, low) * 2.0 - y;
    x.lt(V::splat(0.0)).select(reflected, y)
}
