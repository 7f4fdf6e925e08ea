//! Owen's T function.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::double_double::two_product;
use super::erf::erfc;
use super::exp::exp;
use super::inverse_trig::atan;
use super::pow::exp_double;
use super::quadrature::{rule, total};
use crate::kernels::simd::Lanes;

/// T(h, a) = 1 / (2 pi) int_0^a exp(-h**2 (1 + u**2) / 2) / (1 + u**2) du for 0 <= a <= 1 and h >= 0.
#[inline(always)]
fn inner<V: Lanes>(h: f64, a: f64) -> f64 {
    let end = a.min(9.0 / h);
    let mut sum = V::splat(0.0);
    for (u, weight) in rule::<V>(end) {
        let hu = u * h;
        sum += weight * exp(hu * hu * -0.5) / (u * u + 1.0);
    }
    let (square, low) = two_product(h, -0.5 * h);
    exp_double(square, low) * total(sum) / (2.0 * PI)
}

/// Upper tail of the standard normal distribution.
#[inline(always)]
fn tail(z: f64) -> f64 {
    0.5 * erfc(z * FRAC_1_SQRT_2)
}

/// T(h, a), the probability of X > h and 0 < Y < a X for standard normal X and Y, to 1e-13 relative.
#[inline(always)]
pub fn owens_t<V: Lanes>([h, a]: [f64; 2]) -> f64 {
    if h.is_nan() || a.is_nan() {
        return f64::NAN;
    }
    let (h, slope) = (h.abs(), a.abs());
    let value = if h == 0.0 {
        atan(slope) / (2.0 * PI)
    } else if h > 40.0 {
        0.0
    } else if slope * h > 40.0 && slope > 1.0 {
        0.5 * tail(h)
    } else {
        let is_inner = slope <= 1.0;
        let (height, end) = match is_inner {
            true => (h, slope),
            false => (slope * h, 1.0 / slope),
        };
        let area = inner::<V>(height, end);
        // Owen 1956, (2.3), in upper tails.
        let (p, q) = (tail(h), tail(height));
        if is_inner {
            area
        } else {
            0.5 * (p + q) - p * q - area
        }
    };
    value.copysign(a)
}
