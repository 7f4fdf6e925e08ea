//! The regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x), with their derivatives.
//!
//! With D = x**a exp(-x) / Gamma(a + 1) (in double-double arithmetic, as it may be anything from 1e-300 on):
//!
//! - P = D S, S the sum of x**n / ((a + 1) ... (a + n)), for small a and x below a or about 1;
//! - P = a D int_0^inf exp(-a u + x (1 - exp(-u))) du, for x <= a, from t = x exp(-u) in the integral of P;
//! - Q = a D int_0^inf exp(a u - x (exp(u) - 1)) du, for x > a, likewise.
//!
//! All terms and integrands are positive and the latter log-concave, so that neither the functions nor their
//! derivatives with respect to a, taken under sum and integral, cancel.

use std::f64::consts::PI;

use super::double_double::{fast_two_sum, two_product, two_sum};
use super::exp::{Q as EXP, exp, expm1};
use super::gamma::{binet, digamma_once, gamma, lgamma_1p, log_minus_digamma};
use super::log::{log, log1p};
use super::polynomial;
use super::pow::{exp_double, log_double, pow};
use super::quadrature::{rule, total};
use crate::kernels::simd::{LaneMask, Lanes};

/// Integrands are cut off at exp(-CUT) of their first value.
pub(super) const CUT: f64 = 38.0;

/// D = x**a exp(-x) / Gamma(a + 1), for a >= 0 and finite x >= 0.
#[inline(always)]
pub(super) fn power_term(a: f64, x: f64) -> f64 {
    if a < 1.0 {
        return small_power_term(a, x);
    }
    if x == 0.0 {
        return 0.0;
    }
    // a log(x / a) + a - x, then what Stirling's formula leaves.
    let ratio = x / a;
    let rest = (-ratio).mul_add(a, x) / x;
    let (h, l) = log_double(ratio);
    let (p, p_low) = two_product(a, h);
    let (d, d_low) = two_sum(a, -x);
    let (e, e_low) = two_sum(p, d);
    let (e, e_low) = fast_two_sum(e, e_low + (p_low + a * (l + rest) + d_low));
    exp_double(e, e_low) * exp(-binet(a)) / (2.0 * PI * a).sqrt()
}

/// D for a < 1, compiled once.
#[inline(never)]
fn small_power_term(a: f64, x: f64) -> f64 {
    pow(x, a) * exp(-x) / gamma(1.0 + a)
}

/// exp(u) - 1 - u.
#[inline(always)]
pub(super) fn expm1_rest<V: Lanes>(u: V) -> V {
    let near = u * u * polynomial(u, EXP);
    u.abs().lt(V::splat(0.34)).select(near, expm1(u) - u)
}

/// `[S, dS/da]` by its series.
#[inline(always)]
fn series(a: f64, x: f64) -> [f64; 2] {
    let (mut sum, mut slope) = (1.0, 0.0);
    let (mut term, mut term_slope) = (1.0, 0.0);
    let mut n = a;
    loop {
        n += 1.0;
        let ratio = x / n;
        term_slope = ratio * (term_slope - term / n);
        term *= ratio;
        sum += term;
        slope += term_slope;
        if term <= 1e-17 * sum && term_slope.abs() <= 1e-17 * slope.abs() {
            return [sum, slope];
        }
    }
}

/// Value and slope of a u - x (1 - exp(-u)), the exponent in the integral of P; `less` is a - x.
#[inline(always)]
fn lower_exponent<V: Lanes>(less: f64, x: f64, u: V) -> (V, V) {
    (u * less + expm1_rest(-u) * x, expm1(-u) * -x + less)
}

/// Value and slope of x (exp(u) - 1) - a u, the exponent in the integral of Q; `more` is x - a.
#[inline(always)]
fn upper_exponent<V: Lanes>(more: f64, x: f64, u: V) -> (V, V) {
    (u * more + expm1_rest(u) * x, expm1(u) * x + more)
}

/// The integral of P, and that of u times the integrand.
#[inline(always)]
fn lower_integral<V: Lanes>(a: f64, x: f64) -> [f64; 2] {
    let less = a - x;
    // Beyond the end on two grounds: the exponent is at least less u, and x u**2 / (2 + u).
    let mut end = (CUT / less).min(0.5 * (CUT + (CUT * (CUT + 8.0 * x)).sqrt()) / x);
    for _ in 0..2 {
        let (value, slope) = lower_exponent(less, x, end);
        end -= (value - CUT) / slope;
    }
    let mut sums = [V::splat(0.0); 2];
    for (u, weight) in rule::<V>(end) {
        let value = weight * exp(-lower_exponent(less, x, u).0);
        sums = [sums[0] + value, sums[1] + u * value];
    }
    sums.map(total)
}

/// The integral of Q, and that of u times the integrand.
#[inline(always)]
fn upper_integral<V: Lanes>(a: f64, x: f64) -> [f64; 2] {
    let more = x - a;
    // Beyond the end on two grounds: the exponent is at least more u, and x u**2 / 2.
    let mut end = (CUT / more).min((2.0 * CUT / x).sqrt());
    for _ in 0..2 {
        end = end.min(log1p((CUT + a * end) / x));
    }
    for _ in 0..2 {
        let (value, slope) = upper_exponent(more, x, end);
        end -= (value - CUT) / slope;
    }
    let mut sums = [V::splat(0.0); 2];
    for (u, weight) in rule::<V>(end) {
        let value = weight * exp(-upper_exponent(more, x, u).0);
        sums = [sums[0] + value, sums[1] + u * value];
    }
    sums.map(total)
}

/// Which of the two functions is computed, the other being its complement.
#[inline(always)]
fn is_lower(a: f64, x: f64) -> bool {
    x <= a || x < 0.6
}

/// P where `is_lower`, for finite arguments, a > 0 and x > 0.
#[inline(always)]
fn lower<V: Lanes>(a: f64, x: f64) -> f64 {
    let d = power_term(a, x);
    at_most_one(match a < 30.0 {
        true => d * series(a, x)[0],
        false => a * d * lower_integral::<V>(a, x)[0],
    })
}

/// A probability without what rounding may have added to 1.
#[inline(always)]
pub(super) fn at_most_one(p: f64) -> f64 {
    if p > 1.0 { 1.0 } else { p }
}

/// 1 - P for a < 1 and x < 1: 1 - x**a / Gamma(a + 1) (1 + a sum (-x)**n / ((a + n) n!)).
#[inline(never)]
fn upper_near_zero(a: f64, x: f64) -> f64 {
    let log_power = a.mul_add(log(x), -lgamma_1p(a));
    let (mut term, mut sum) = (1.0, 0.0);
    let mut n = 0.0;
    while f64::abs(term) > 1e-18 {
        n += 1.0;
        term *= -x / n;
        sum += term / (a + n);
    }
    -(expm1(log_power) + exp(log_power) * (a * sum))
}

/// What the functions are where the rules do not apply: `(P, Q)` at the borders, NaN outside.
#[inline(always)]
fn at_border(a: f64, x: f64) -> Option<(f64, f64)> {
    let inside = a > 0.0 && x > 0.0 && a < f64::INFINITY && x < f64::INFINITY;
    if inside {
        return None;
    }
    let undefined = !(a >= 0.0 && x >= 0.0) || (a == 0.0 && x == 0.0) || (a == x);
    Some(match x == 0.0 || a == f64::INFINITY {
        _ if undefined => (f64::NAN, f64::NAN),
        true => (0.0, 1.0),
        false => (1.0, 0.0),
    })
}

/// P(a, x) for a >= 0 and x >= 0, to 3e-15 relative; NaN elsewhere.
#[inline(always)]
pub fn gammainc<V: Lanes>([a, x]: [f64; 2]) -> f64 {
    match at_border(a, x) {
        Some((p, _)) => p,
        None if is_lower(a, x) => lower::<V>(a, x),
        None => 1.0 - a * power_term(a, x) * upper_integral::<V>(a, x)[0],
    }
}

/// Q(a, x) = 1 - P(a, x) without cancellation, for a >= 0 and x >= 0, as [`gammainc`].
#[inline(always)]
pub fn gammaincc<V: Lanes>([a, x]: [f64; 2]) -> f64 {
    match at_border(a, x) {
        Some((_, q)) => q,
        None if !is_lower(a, x) => a * power_term(a, x) * upper_integral::<V>(a, x)[0],
        None if a < 1.0 && x < 0.6 => upper_near_zero(a, x),
        None => 1.0 - lower::<V>(a, x),
    }
}

/// dP(a, x)/da, to 5e-15 relative; 0 where x is 0 or infinite.
#[inline(always)]
pub fn gammainc_da<V: Lanes>([a, x]: [f64; 2]) -> f64 {
    if let Some((p, _)) = at_border(a, x) {
        return match x == 0.0 || x == f64::INFINITY {
            true => 0.0 * p,
            false => f64::NAN,
        };
    }
    let d = power_term(a, x);
    if is_lower(a, x) && a < 30.0 {
        let [sum, slope] = series(a, x);
        return d * (sum * (log(x) - digamma_once(1.0 + a)) + slope);
    }
    if is_lower(a, x) {
        let [sum, moment] = lower_integral::<V>(a, x);
        return a * d * (sum * log_minus_psi(a, x) - moment);
    }
    let [sum, moment] = upper_integral::<V>(a, x);
    -d * (a * log_minus_psi(a, x) * sum + a * moment)
}

/// log(x) - digamma(a), for a > 0.
#[inline(always)]
fn log_minus_psi(a: f64, x: f64) -> f64 {
    match a < 1.0 {
        true => log(x) - digamma_once(a),
        // Near x = a the difference is small.
        false => log1p((x - a) / a) + log_minus_digamma(a),
    }
}

/// The density for a < 1, compiled once.
#[inline(never)]
fn small_density(a: f64, x: f64) -> f64 {
    pow(x, a - 1.0) * exp(-x) / gamma(a)
}

/// dP(a, x)/dx = x**(a - 1) exp(-x) / Gamma(a), the density of the gamma distribution, to 3e-15 relative.
#[inline(always)]
pub fn gamma_density([a, x]: [f64; 2]) -> f64 {
    if x < 0.0 || x.is_nan() {
        return f64::NAN;
    }
    if a < 1.0 {
        return small_density(a, x);
    }
    match x {
        0.0 if a == 1.0 => 1.0,
        0.0 => 0.0,
        _ if x == f64::INFINITY => 0.0,
        _ => power_term(a, x) * (a / x),
    }
}
