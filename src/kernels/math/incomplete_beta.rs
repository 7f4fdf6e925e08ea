//! The regularised incomplete beta function I_x(a, b), with its derivatives.
//!
//! With C = x**a y**b / B(a, b), y = 1 - x, and t = x exp(-u) / (y + x exp(-u)) in the integral that defines it,
//!
//! I_x(a, b) = C int_0^inf exp(-phi(u)) du,  phi(u) = -a log(t / x) - b log((1 - t) / y).
//!
//! phi is convex, and for x up to the mean a / (a + b) it grows from 0 on; beyond the mean I_x(a, b) is
//! 1 - I_y(b, a). The integrand is positive, so that neither the function nor its derivatives with respect to a
//! and b, taken under the integral, cancel. Below a = 1, I_x(a, b) = I_x(a + 1, b) + C / a.

use std::f64::consts::PI;

use super::double_double::{fast_two_sum, two_product, two_sum};
use super::exp::{exp, expm1};
use super::gamma::{binet, digamma_once, log_minus_digamma};
use super::incomplete_gamma::{CUT, at_most_one, expm1_rest};
use super::log::{log, log1p, log1p_rest};
use super::pow::{exp_double, log_double};
use super::quadrature::{rule, total};
use crate::kernels::simd::{LaneMask, Lanes};

/// The poles of the integrand are pi away from the real line: panels up to this length need no more points.
const PANEL: f64 = 3.0;

/// Arguments on the side of the mean where the integral is taken; `x` and `y` are unevaluated sums.
struct Side {
    a: f64,
    b: f64,
    x: (f64, f64),
    y: (f64, f64),
    /// a - (a + b) x, at least 0.
    excess: f64,
}

impl Side {
    /// The side, and whether it is that of I_y(b, a), for a, b > 0 and 0 < x < 1.
    #[inline(always)]
    fn new(a: f64, b: f64, x: f64) -> (Side, bool) {
        let y = 1.0 - x;
        let y_low = (1.0 - y) - x;
        let (s, s_low) = two_sum(a, b);
        let (p, p_low) = two_product(s, x);
        let excess = (a - p) - (p_low + s_low * x);
        let (x, y) = ((x, 0.0), (y, y_low));
        match excess >= 0.0 {
            true => (Side { a, b, x, y, excess }, false),
            false => (
                Side {
                    a: b,
                    b: a,
                    x: y,
                    y: x,
                    excess: -excess,
                },
                true,
            ),
        }
    }

    /// `[phi, -log(t / x), -log((1 - t) / y)]` at u.
    #[inline(always)]
    fn exponent<V: Lanes>(&self, u: V) -> [V; 3] {
        let (x, y) = (self.x.0, self.y.0);
        let sum = self.a + self.b;
        // Both forms are exact; each keeps its accuracy where the terms of order u**2 of the other cancel.
        if x < 0.5 {
            let w = -expm1(-u);
            let rest = log1p_rest(w * -x);
            let phi = w * self.excess + expm1_rest(-u) * self.a + rest * sum;
            let from_b = w * x - rest;
            return [phi, u - from_b, -from_b];
        }
        let v = expm1(u);
        let z = v * y;
        let near = v * self.excess + expm1_rest(u) * self.b + log1p_rest(z) * sum;
        let log = log1p(z);
        let far = log * sum - u * self.b;
        [z.lt(V::splat(0.4)).select(near, far), log, log - u]
    }

    /// The integrals of exp(-phi), of that times -log(t / x), and times -log((1 - t) / y).
    #[inline(always)]
    fn integrals<V: Lanes>(&self) -> [f64; 3] {
        let (x, y) = (self.x.0, self.y.0);
        let sum = self.a + self.b;
        // From beyond the end, as phi(u) >= a u + (a + b) log(y), Newton's steps come down to it.
        let mut end = (CUT - sum * log(y)) / self.a;
        for _ in 0..40 {
            let slope = self.a - sum * x / (x + y * exp(end));
            let step = (self.exponent(end)[0] - CUT) / slope;
            end -= step;
            if step < 0.1 * end {
                break;
            }
        }
        let panels = (end / PANEL).ceil().clamp(1.0, 1000.0);
        let length = end / panels;
        let mut sums = [V::splat(0.0); 3];
        let mut start = 0.0;
        for _ in 0..panels as usize {
            for (u, weight) in rule::<V>(length) {
                let [phi, of_a, of_b] = self.exponent(u + start);
                let value = weight * exp(-phi);
                sums = [
                    sums[0] + value,
                    sums[1] + value * of_a,
                    sums[2] + value * of_b,
                ];
            }
            start += length;
        }
        sums.map(total)
    }

    /// C = x**a y**b / B(a, b), by Stirling's formula at arguments carried to 1 and beyond.
    #[inline(always)]
    fn power_term(&self) -> f64 {
        let Side { a, b, x, y, .. } = *self;
        let (mut p, mut q, mut carried) = (a, b, 1.0);
        if a < 1.0 {
            carried *= a / (p + q);
            p = a + 1.0;
        }
        if b < 1.0 {
            carried *= b / (p + q);
            q = b + 1.0;
        }
        let (s, s_low) = two_sum(p, q);
        let share = |p: f64| {
            let ratio = p / s;
            (ratio, ((-ratio).mul_add(s, p) - ratio * s_low) / s)
        };
        let terms = [(a, x), (b, y), (-p, share(p)), (-q, share(q))];
        let (mut e, mut e_low) = (0.0, 0.0);
        for (factor, (value, low)) in terms {
            let (h, l) = log_double(value);
            let (t, t_low) = two_product(factor, h);
            let (sum, error) = two_sum(e, t);
            e = sum;
            e_low += error + (t_low + factor * (l + low / value));
        }
        let (e, e_low) = fast_two_sum(e, e_low);
        let stirling = exp(binet(s) - binet(p) - binet(q));
        exp_double(e, e_low) * (carried * stirling) * (p / (2.0 * PI) * (q / s)).sqrt()
    }

    /// `[I, dI/da, dI/db]`.
    #[inline(always)]
    fn value<V: Lanes>(&self) -> [f64; 3] {
        let (a, b) = (self.a, self.b);
        let power = self.power_term();
        let log_b = self.log_derivative(b, self.y, self.excess);
        let small = a < 1.0;
        // Carried from a to a + 1: C / a is left behind, and C becomes that times x (a + b).
        let (side, first, power, log_a) = match small {
            true => {
                let side = Side {
                    a: a + 1.0,
                    excess: self.excess + self.y.0,
                    ..*self
                };
                let log_a = log(self.x.0) + (digamma_once(a + b) - digamma_once(a + 1.0));
                let first = power / a;
                (side, first, first * self.x.0 * (a + b), log_a)
            }
            false => {
                let log_a = self.log_derivative(a, self.x, -self.excess);
                (Side { ..*self }, 0.0, power, log_a)
            }
        };
        let [sum, moment_a, moment_b] = side.integrals::<V>();
        let more = if small { 1.0 / (a + b) } else { 0.0 };
        [
            first + power * sum,
            first * log_a + power * ((log_a + more) * sum - moment_a),
            first * log_b + power * ((log_b + more) * sum - moment_b),
        ]
    }

    /// d log C / dp = log(z) - digamma(p) + digamma(a + b), where z is x for p = a and y for p = b, and
    /// `more` is (a + b) z - p.
    #[inline(always)]
    fn log_derivative(&self, p: f64, z: (f64, f64), more: f64) -> f64 {
        let s = self.a + self.b;
        if p < 1.0 {
            return log(z.0) + (digamma_once(s) - digamma_once(p));
        }
        let ratio = match more < -0.5 * p {
            true => log(z.0 * (s / p)),
            false => log1p(more / p),
        };
        ratio + (log_minus_digamma(p) - log_minus_digamma(s))
    }
}

/// I_x(a, b) where the rules do not apply: at the borders, NaN outside.
#[inline(always)]
fn at_border(a: f64, b: f64, x: f64) -> Option<f64> {
    if a > 0.0 && b > 0.0 && x > 0.0 && x < 1.0 && a < f64::INFINITY && b < f64::INFINITY {
        return None;
    }
    let undefined = !(a >= 0.0 && b >= 0.0 && (0.0..=1.0).contains(&x))
        || (a == 0.0 && b == 0.0)
        || (a == b && a == f64::INFINITY);
    Some(match x == 0.0 || a == f64::INFINITY || b == 0.0 {
        _ if undefined => f64::NAN,
        _ if x == 1.0 => 1.0,
        true => 0.0,
        false => 1.0,
    })
}

/// The regularised incomplete beta function for a, b >= 0 and 0 <= x <= 1, to 5e-15 relative; NaN elsewhere.
#[inline(always)]
pub fn betainc<V: Lanes>([a, b, x]: [f64; 3]) -> f64 {
    if let Some(value) = at_border(a, b, x) {
        return value;
    }
    let (side, flipped) = Side::new(a, b, x);
    let value = at_most_one(side.value::<V>()[0]);
    if flipped { 1.0 - value } else { value }
}

/// `[dI/da, dI/db]`; 0 at both ends of x.
#[inline(always)]
fn slopes<V: Lanes>([a, b, x]: [f64; 3]) -> [f64; 2] {
    if let Some(value) = at_border(a, b, x) {
        let slope = match x == 0.0 || x == 1.0 {
            true => 0.0 * value,
            false => f64::NAN,
        };
        return [slope, slope];
    }
    let (side, flipped) = Side::new(a, b, x);
    let [_, da, db] = side.value::<V>();
    if flipped { [-db, -da] } else { [da, db] }
}

/// dI_x(a, b)/da, to 1e-14 relative.
#[inline(always)]
pub fn betainc_da<V: Lanes>(arguments: [f64; 3]) -> f64 {
    slopes::<V>(arguments)[0]
}

/// dI_x(a, b)/db, to 2e-14 relative.
#[inline(always)]
pub fn betainc_db<V: Lanes>(arguments: [f64; 3]) -> f64 {
    slopes::<V>(arguments)[1]
}

/// dI_x(a, b)/dx = x**(a - 1) y**(b - 1) / B(a, b), the density of the beta distribution, to 3e-15 relative.
#[inline(always)]
pub fn beta_density([a, b, x]: [f64; 3]) -> f64 {
    if at_border(a, b, x).is_none() {
        let side = Side {
            a,
            b,
            x: (x, 0.0),
            y: (1.0 - x, (1.0 - (1.0 - x)) - x),
            excess: 0.0,
        };
        return side.power_term() / x / (1.0 - x);
    }
    let (near, other) = if x == 0.0 { (a, b) } else { (b, a) };
    match x == 0.0 || x == 1.0 {
        true if near == 1.0 => other,
        true if near > 1.0 => 0.0,
        true if near > 0.0 => f64::INFINITY,
        _ => f64::NAN,
    }
}
