//! The gamma function, its logarithm and the two derivatives of that.
//!
//! With Binet's function mu, log Gamma(y) = (y - 1/2) log(y) - y + log(2 pi) / 2 + mu(y). mu, and
//! what its derivatives leave, are polynomials in 1 / (y + k), which reach down to y = 1 and so
//! need no recurrence but one step below 1.

use std::f64::consts::PI;

use super::double_double::{fast_two_sum, two_product, two_sum};
use super::log::log;
use super::polynomial;
use super::pow::{exp_double, log_double};
use super::trig::sin_cos_pi;
use crate::kernels::simd::{LaneMask, Lanes};

/// (y + 1/2) mu(y) in powers of u = 3 / (y + 1/2) - 1, for y >= 1; mu is Binet's function.
const STIRLING: [f64; 19] = [
    0.09948862055980887,
    0.018718200500398196,
    0.002904685792565678,
    0.0003974177246104001,
    6.751105940607182e-05,
    1.3483472890538615e-05,
    1.8482272837477322e-06,
    3.2705414685332165e-07,
    9.928215030563668e-08,
    3.0824836501921282e-09,
    2.3067365728146455e-09,
    1.4538620115678882e-09,
    -4.85245135274278e-10,
    1.8691989023441442e-10,
    -2.926260126064448e-12,
    -4.700479156760597e-11,
    2.678850865902418e-11,
    1.522021472563917e-12,
    -3.4062394161866817e-12,
];

/// (y + 1) mu(y) in powers of 7 / (y + 1) - 1, for y >= 5/2.
const STIRLING_FAR: [f64; 14] = [
    0.09713290176149529,
    0.015982003921643315,
    0.002512221532713624,
    0.00037807776453831687,
    5.533699219317905e-05,
    8.093584663555983e-06,
    1.2068078933550055e-06,
    1.8242005742873423e-07,
    2.7565826772610225e-08,
    4.199435844456643e-09,
    6.495810020524263e-10,
    1.0020332969467621e-10,
    1.6851896939830347e-11,
    2.680038211682943e-12,
];

/// lgamma(y) / ((y - 1) (y - 2)) in powers of (y - 1) / (y + 1), for 3/4 <= y <= 5/2.
const NEAR_ROOTS: [f64; 19] = [
    0.5772156649015329,
    -0.49050273704516034,
    0.1312343264106513,
    -0.1682009506445802,
    0.08701556722487065,
    -0.10147337746692033,
    0.06462417157782574,
    -0.07249650804041113,
    0.05136002657913631,
    -0.05633568657874039,
    0.042600942315269924,
    -0.0460599121996347,
    0.03663418915555191,
    -0.039475550433592674,
    0.029645667939068827,
    -0.01716242610734601,
    -0.017512703585184322,
    0.036631183216113326,
    -0.026808898649008046,
];

/// (y + 1/2) (log(y) - digamma(y)) in powers of u, for y >= 1.
const DIGAMMA: [f64; 19] = [
    0.6394022736867356,
    0.1738175312153781,
    0.04171736104582834,
    0.008722008562550699,
    0.001714895932224367,
    0.00035765428699877116,
    7.41390603659976e-05,
    1.389255889156082e-05,
    2.979971686216198e-06,
    6.322287194099498e-07,
    9.325305632328263e-08,
    3.004020347078059e-08,
    4.928417199934854e-09,
    -1.0129897078979047e-10,
    8.257744052608326e-10,
    -1.7275510521145884e-10,
    -1.13685519766066e-11,
    5.746171457330579e-11,
    -1.657030964009848e-11,
];

/// (y + 1/2) trigamma(y) in powers of u, for y >= 1.
const TRIGAMMA: [f64; 21] = [
    1.4710732683007046,
    0.654763196474842,
    0.24212929778251419,
    0.07395524226810053,
    0.01929012302516278,
    0.004701837059543861,
    0.0011457938049432238,
    0.00026576053238457564,
    5.8902027143422146e-05,
    1.3869241903968977e-05,
    2.9931773704481946e-06,
    6.166230123799532e-07,
    1.6584589322928634e-07,
    2.510708983869545e-08,
    6.610561908236913e-09,
    2.504499921259688e-09,
    -4.82048678502491e-10,
    4.0571632492627317e-10,
    1.5347843286253583e-11,
    -8.09236091257203e-11,
    2.8576887799757497e-11,
];

/// log(2 pi) / 2 as an unevaluated sum.
const HALF_LOG_2_PI: (f64, f64) = (0.9189385332046728, -3.8782941580672414e-17);

/// Logarithm of |Gamma(x)|, to 1e-14 relative where well conditioned: for x > -1/4, the roots 1
/// and 2 included; 1e-15 or so absolute near the roots below.
#[inline(always)]
pub fn lgamma<V: Lanes>(x: V) -> V {
    let reflect = x.lt(V::splat(-0.25));
    let a = reflect.select(-x, x);
    let y = lgamma_main(a);
    if !reflect.any() {
        return y;
    }
    // Gamma(-a) Gamma(a) = -pi / (a sin(pi a)); every number from 2**52 on is a pole.
    let sine = sin_cos_pi(a).0.abs();
    let reflected = -(log(sine * a * (1.0 / PI)) + y);
    let reflected = sine
        .eq(V::splat(0.0))
        .select(V::splat(f64::INFINITY), reflected);
    let reflected = x.is_infinite().select(V::splat(f64::INFINITY), reflected);
    reflect.select(reflected, y)
}

/// As [`lgamma`], for x >= -1/4.
#[inline(always)]
fn lgamma_main<V: Lanes>(x: V) -> V {
    let one = V::splat(1.0);
    let far = x.ge(V::splat(2.5));
    let step = x.lt(V::splat(0.75));
    let y = step.select(x + one, x);
    let v = one / (y + one);
    let log_x = log(x.abs());

    let q = (y - one) * v;
    let near = (y - one) * (y - 2.0) * polynomial(q, NEAR_ROOTS);
    let near = near - step.select(log_x, V::splat(-0.0)); // -0.0, so that lgamma(1) is +0

    let mu = v * polynomial(v.scale_add(7.0, -1.0), STIRLING_FAR);
    let sum = (x - 0.5).mul_add(log_x - 1.0, mu + (HALF_LOG_2_PI.0 - 0.5));
    far.select(sum, near)
}

/// `(y, 1 / (y + 1/2), u)`: the argument carried to y >= 1 by 1 - x below 0 and x + 1 below 1.
#[inline(always)]
fn carry<V: Lanes>(x: V) -> (V, V, V) {
    let one = V::splat(1.0);
    let y = x.lt(one).select(x + one, x);
    let y = x.lt(V::splat(0.0)).select(one - x, y);
    let v = one / (y + 0.5);
    (y, v, v.scale_add(3.0, -1.0))
}

/// Binet's function mu(y), for y >= 1.
#[inline(always)]
pub(super) fn binet(y: f64) -> f64 {
    let v = 1.0 / (y + 0.5);
    v * polynomial(v.scale_add(3.0, -1.0), STIRLING)
}

/// log(y) - digamma(y), for y >= 1.
#[inline(always)]
pub(super) fn log_minus_digamma(y: f64) -> f64 {
    let v = 1.0 / (y + 0.5);
    v * polynomial(v.scale_add(3.0, -1.0), DIGAMMA)
}

/// As [`digamma`] of a scalar, compiled once: for a few calls where inlining would make code long.
#[inline(never)]
pub(super) fn digamma_once(x: f64) -> f64 {
    digamma(x)
}

/// lgamma(1 + a) for 0 <= a <= 1, without the rounding of the argument.
#[inline(always)]
pub(super) fn lgamma_1p(a: f64) -> f64 {
    a * (a - 1.0) * polynomial(a / (a + 2.0), NEAR_ROOTS)
}

/// Where x is a negative integer; every number from 2**52 on is one.
#[inline(always)]
fn is_pole<V: Lanes>(x: V) -> V::Mask {
    x.lt(V::splat(0.0)) & x.trunc().eq(x)
}

/// `log(Gamma(x))'`, to 1e-14 relative where well conditioned (1e-15 absolute near the root at
/// 1.4616); infinite at 0 with the opposite sign, NaN at negative integers.
#[inline(always)]
pub fn digamma<V: Lanes>(x: V) -> V {
    let zero = V::splat(0.0);
    let (y, v, u) = carry(x);
    let main = log(y) - v * polynomial(u, DIGAMMA);
    let step = x.lt(V::splat(1.0)).select(V::splat(1.0) / x, zero);
    let negative = x.lt(zero);
    if !negative.any() {
        return main - step;
    }
    let (sin, cos) = sin_cos_pi(x);
    let reflected = main - V::splat(PI) * cos / sin;
    let reflected = is_pole(x).select(V::splat(f64::NAN), reflected);
    negative.select(reflected, main - step)
}

/// `log(Gamma(x))''`, to 1e-14 relative; infinite at 0 and at negative integers.
#[inline(always)]
pub fn trigamma<V: Lanes>(x: V) -> V {
    let zero = V::splat(0.0);
    let (_, v, u) = carry(x);
    let main = v * polynomial(u, TRIGAMMA);
    let step = x.lt(V::splat(1.0)).select(V::splat(1.0) / (x * x), zero);
    let negative = x.lt(zero);
    if !negative.any() {
        return main + step;
    }
    let sine = sin_cos_pi(x).0;
    let ratio = V::splat(PI) / sine;
    let reflected = ratio.mul_add(ratio, -main);
    let reflected = is_pole(x).select(V::splat(f64::INFINITY), reflected);
    negative.select(reflected, main + step)
}

/// The gamma function as C's `tgamma`, to 1e-15 relative; infinite at 0, NaN at negative
/// integers.
#[inline(always)]
pub fn gamma<V: Lanes>(x: V) -> V {
    let zero = V::splat(0.0);
    let one = V::splat(1.0);
    let negative = x.lt(zero);
    let (y, v, u) = carry(x);
    let y = V::splat(200.0).min(y);
    // y may have lost bits of x.
    let y_low = negative.select((one - y) - x, x.lt(one).select((one - y) + x, zero));

    let (h, l) = log_double(y);
    let (t, t_low) = two_product(y - 0.5, h);
    let t_low = (y - 0.5).mul_add(l, y_low.mul_add(h, t_low));
    let (t, minus_y) = two_sum(t, -y);
    let (t, constant) = two_sum(t, V::splat(HALF_LOG_2_PI.0));
    let mu = v * polynomial(u, STIRLING);
    let (t, t_low) = fast_two_sum(t, t_low + minus_y + constant + (mu + HALF_LOG_2_PI.1));

    let above = exp_double(t, t_low);
    let above = x.lt(one).select(above / x, above);
    if !negative.any() {
        return x.is_infinite().select(x, above);
    }
    let sine = sin_cos_pi(x).0;
    let reflected = exp_double(-t, -t_low) * (V::splat(PI) / sine);
    let reflected = (is_pole(x) | x.is_infinite()).select(V::splat(f64::NAN), reflected);
    negative.select(reflected, above)
}
