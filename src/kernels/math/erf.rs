//! The error function, its complement and the scaled complement.
//!
//! erfcx(a) = exp(a**2) erfc(a) for a >= 0 is X(q) / (1 + 2 a) with q = (a - 4) / (a + 4) (the form
//! of Shepherd and Laframboise, Math. Comp. 36, 1981); the others follow, with a**2 in
//! double-double arithmetic.

use super::double_double::two_product;
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

/// (1 + 2 a) exp(a**2) erfc(a) in powers of q.
const X: [f64; 24] = [
    1.2329951186255526,
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
fn erfcx_positive<V: Lanes>(a: V) -> V {
    let inverse = V::splat(1.0) / (a + 4.0);
    let q = (a - 4.0) * inverse;
    // One step of refinement: the rounding error of q would show.
    let rest = (q + 1.0).mul_add(V::splat(-4.0), a);
    let q = inverse.mul_add((-q).mul_add(a, rest), q);
    let x = polynomial(q, X);
    let d = a.scale_add(2.0, 1.0);
    let y = x / d;
    y
}

/// exp(-a**2) erfcx(a) = erfc(a), for a >= 0.
#[inline(always)]
fn erfc_positive<V: Lanes>(a: V) -> V {
    let a = V::splat(28.0).min(a);
    let (square, low) = two_product(a, a);
    exp_double(-square, -low) * erfcx_positive(a)
}

/// The error function, to 2 ulp.
#[inline(always)]
pub fn erf<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let inner = x.mul_add(polynomial(x * x, ERF), x);
    let outer = (V::splat(1.0) - erfc_positive(a)).copysign(x);
    a.lt(V::splat(1.0)).select(inner, outer)
}

/// 1 - erf(x) without cancellation, to 2 ulp.
#[inline(always)]
pub fn erfc<V: Lanes>(x: V) -> V {
    let y = erfc_positive(x.abs());
    x.lt(V::splat(0.0)).select(V::splat(2.0) - y, y)
}

/// exp(x**2) erfc(x), to 1e-14 relative.
#[inline(always)]
pub fn erfcx<V: Lanes>(x: V) -> V {
    let y = erfcx_positive(x.abs());
    let a = V::splat(0.0).max(-x);
    let (square, low) = two_product(a, a);
    let reflected = exp_double(square, low) * 2.0 - y;
    x.lt(V::splat(0.0)).select(reflected, y)
}
