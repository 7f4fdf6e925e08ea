//! Derivatives of digamma of any order, by Hurwitz's zeta function.

use super::exp::exp;
use super::gamma::{digamma, gamma, lgamma};
use super::log::log;
use super::pow::pow;

/// B_2j / (2 j)! for j = 1, 2, ...
const BERNOULLI: [f64; 12] = [
    0.08333333333333333,
    -0.001388888888888889,
    3.306878306878307e-05,
    -8.267195767195768e-07,
    2.08767569878681e-08,
    -5.284190138687493e-10,
    1.3382536530684679e-11,
    -3.3896802963225827e-13,
    8.586062056277845e-15,
    -2.174868698558062e-16,
    5.5090028283602295e-18,
    -1.3954464685812522e-19,
];

/// x0**s zeta(s, x) = sum of (x0 / (x + k))**s over k >= 0, for s >= 2 and x > 0: terms up to a number that the
/// Euler-Maclaurin formula takes over from.
fn zeta(s: f64, x: f64, x0: f64) -> f64 {
    let mut sum = 0.0;
    let mut y = x;
    while y < s + 15.0 {
        sum += pow(x0 / y, s);
        y += 1.0;
    }
    let last = pow(x0 / y, s);
    sum += last * (y / (s - 1.0) + 0.5);
    let mut factor = last * s / y;
    let mut k = s;
    for coefficient in BERNOULLI {
        sum += coefficient * factor;
        factor *= (k + 1.0) * (k + 2.0) / (y * y);
        k += 2.0;
    }
    sum
}

/// The derivative of order n of digamma at x, for integral n from 0 to 1e4 (NaN else), to 3e-15 relative where well
/// conditioned; infinite at 0 and at negative integers.
pub fn polygamma([n, x]: [f64; 2]) -> f64 {
    if n == 0.0 {
        return digamma(x);
    }
    if !(n > 0.0 && n.trunc() == n && n < 1e4) || x.is_nan() {
        return f64::NAN;
    }
    let s = n + 1.0;
    let is_odd = n % 2.0 == 1.0;
    let sign = if is_odd { 1.0 } else { -1.0 };
    if x <= 0.0 && x.trunc() == x {
        return sign * f64::INFINITY;
    }
    if x == f64::INFINITY {
        return sign * 0.0;
    }
    let (x0, sum) = match x > 0.0 {
        true => (x, zeta(s, x, x)),
        false => {
            // The terms below 0, those from the first positive one on.
            let below = (-x).fract();
            let x0 = below.min(1.0 - below);
            let negative = zeta(s, below, x0) - zeta(s, 1.0 - x, x0);
            (x0, zeta(s, 1.0 - below, x0) + sign * negative)
        }
    };
    // (s - 1)! / x0**s, by halves so that neither factor leaves the range first.
    let half = pow(x0, -0.5 * s);
    let scale = match s < 170.0 {
        true => half * gamma(s) * half,
        false => exp(lgamma(s) - s * log(x0)),
    };
    sign * scale * sum
}
