//! Trigonometric functions.
//!
//! x = n pi/2 + r with |r| <= pi/4, subtracted in three parts of pi/2 (Cody and Waite); beyond
//! 1e9, where the parts no longer suffice, a lane at a time by `libm` (Payne and Hanek).

use super::double_double::{fast_two_sum, two_product, two_sum};
use super::polynomial;
use crate::kernels::simd::{LANES, LaneMask, Lanes};

/// (sin(r) - r) / r**3 in powers of r**2, on |r| <= pi/4.
const SIN: [f64; 6] = [
    -0.16666666666666666,
    0.008333333333330946,
    -0.0001984126983675497,
    2.755731610068303e-06,
    -2.5051131455427946e-08,
    1.591810123027412e-10,
];

/// (cos(r) - 1 + r**2 / 2) / r**4 in powers of r**2, on |r| <= pi/4.
const COS: [f64; 6] = [
    0.041666666666666664,
    -0.0013888888888887395,
    2.4801587298763433e-05,
    -2.7557317270560326e-07,
    2.0876146024689747e-09,
    -1.1382614868556325e-11,
];

/// pi/2 as an unevaluated sum.
const HALF_PI: [f64; 3] = [
    std::f64::consts::FRAC_PI_2,
    6.123233995736766e-17,
    -1.4973849048591698e-33,
];

/// pi as an unevaluated sum.
const PI: (f64, f64) = (std::f64::consts::PI, 1.2246467991473532e-16);

/// Largest |x| of the fast reduction.
const FAST: f64 = 1e9;

/// sin(r + low) and cos(r + low) for |r| <= pi/4, with `low` below 1 ulp of r.
#[inline(always)]
fn sin_cos_kernel<V: Lanes>(r: V, low: V) -> (V, V) {
    let z = r * r;
    let half = z * 0.5;
    let cos_r = V::splat(1.0) - half;
    let sin = r + (r * z).mul_add(polynomial(z, SIN), cos_r * low);
    let error = (V::splat(1.0) - cos_r) - half;
    let cos = cos_r + (z * z).mul_add(polynomial(z, COS), error - r * low);
    (sin, cos)
}

/// sin(x) and cos(x) for |x| <= `FAST`.
#[inline(always)]
fn sin_cos<V: Lanes>(x: V) -> (V, V) {
    let n = (x * std::f64::consts::FRAC_2_PI).round_small();
    let r = n.mul_add(V::splat(-HALF_PI[0]), x); // exact: a multiple of 2**-53 below 1
    let (w, w_low) = two_product(n, V::splat(HALF_PI[1]));
    let (r, low) = two_sum(r, -w);
    let low = n.mul_add(V::splat(-HALF_PI[2]), low - w_low);
    let (r, low) = fast_two_sum(r, low);
    let (sin, cos) = sin_cos_kernel(r, low);
    quadrant(n, sin, cos)
}

/// Sine and cosine of n pi/2 + r from those of r.
#[inline(always)]
fn quadrant<V: Lanes>(n: V, sin: V, cos: V) -> (V, V) {
    let odd = is_odd(n);
    let lower = is_odd((n * 0.5).floor());
    let (sin, cos) = (odd.select(cos, sin), odd.select(-sin, cos));
    (lower.select(-sin, sin), lower.select(-cos, cos))
}

/// Whether an integer is odd.
#[inline(always)]
pub(super) fn is_odd<V: Lanes>(n: V) -> V::Mask {
    let half = n * 0.5;
    half.trunc().ne(half)
}

/// `fast`, or `slow` of the lane of x where |x| exceeds `FAST`.
#[inline(always)]
fn with_huge<V: Lanes>(x: V, fast: V, slow: fn(f64) -> f64) -> V {
    if x.abs().gt(V::splat(FAST)).any() {
        huge(x, fast, slow)
    } else {
        fast
    }
}

#[cold]
#[inline(always)]
fn huge<V: Lanes>(x: V, fast: V, slow: fn(f64) -> f64) -> V {
    let (x, mut y) = (x.to_array(), fast.to_array());
    for lane in 0..LANES {
        if x[lane].abs() > FAST {
            y[lane] = slow(x[lane]);
        }
    }
    V::from_array(y)
}

/// Sine, to 1 ulp.
#[inline(always)]
pub fn sin<V: Lanes>(x: V) -> V {
    let y = x.eq(V::splat(0.0)).select(x, sin_cos(x).0);
    with_huge(x, y, libm::sin)
}

/// Cosine, to 1 ulp.
#[inline(always)]
pub fn cos<V: Lanes>(x: V) -> V {
    with_huge(x, sin_cos(x).1, libm::cos)
}

/// Tangent, to 2 ulp.
#[inline(always)]
pub fn tan<V: Lanes>(x: V) -> V {
    let (sin, cos) = sin_cos(x);
    let y = x.eq(V::splat(0.0)).select(x, sin / cos);
    with_huge(x, y, libm::tan)
}

/// sin(pi x) and cos(pi x), their zeros exact.
#[inline(always)]
pub(super) fn sin_cos_pi<V: Lanes>(x: V) -> (V, V) {
    let n = (x * 2.0).round_half_even();
    let f = x - n * 0.5;
    let (r, low) = two_product(f, V::splat(PI.0));
    let low = f.mul_add(V::splat(PI.1), low);
    let (sin, cos) = sin_cos_kernel(r, low);
    quadrant(n, sin, cos)
}
