//! Gauss's hypergeometric function F(a, b; c; z) for real z <= 1, with its derivatives in the parameters.
//!
//! Parameters are dual numbers, so that one pass gives a value and its derivative. The power series serves up to
//! z = 3/4; from there Taylor series, each of half the distance that is left to 1, continue the solution of the
//! hypergeometric differential equation. Euler's and Pfaff's transformations (DLMF 15.8.1) bring z < 0 to (0, 1),
//! and parameters to where all terms are positive.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::gamma::{digamma, gamma};
use super::log::log1p;
use super::pow::pow;

/// A value and its derivative.
#[derive(Clone, Copy, Debug)]
struct Dual {
    value: f64,
    slope: f64,
}

impl Dual {
    fn constant(value: f64) -> Dual {
        Dual { value, slope: 0.0 }
    }

    /// Of a function with this value and derivative at `self`.
    fn map(self, value: f64, derivative: f64) -> Dual {
        Dual {
            value,
            slope: derivative * self.slope,
        }
    }

    fn gamma(self) -> Dual {
        let value = gamma(self.value);
        self.map(value, value * digamma(self.value))
    }

    /// Whether adding it to `sum` changes nothing.
    fn is_negligible(self, sum: Dual) -> bool {
        self.value.abs() <= 1e-17 * sum.value.abs() && self.slope.abs() <= 1e-17 * sum.slope.abs()
    }

    fn is_finite(self) -> bool {
        self.value.is_finite() && self.slope.is_finite()
    }
}

impl Add for Dual {
    type Output = Dual;
    fn add(self, other: Dual) -> Dual {
        Dual {
            value: self.value + other.value,
            slope: self.slope + other.slope,
        }
    }
}

impl Add<f64> for Dual {
    type Output = Dual;
    fn add(self, other: f64) -> Dual {
        Dual {
            value: self.value + other,
            ..self
        }
    }
}

impl Neg for Dual {
    type Output = Dual;
    fn neg(self) -> Dual {
        self * -1.0
    }
}

impl Sub for Dual {
    type Output = Dual;
    fn sub(self, other: Dual) -> Dual {
        self + -other
    }
}

impl Mul for Dual {
    type Output = Dual;
    fn mul(self, other: Dual) -> Dual {
        Dual {
            value: self.value * other.value,
            slope: self.value * other.slope + self.slope * other.value,
        }
    }
}

impl Mul<f64> for Dual {
    type Output = Dual;
    fn mul(self, other: f64) -> Dual {
        Dual {
            value: self.value * other,
            slope: self.slope * other,
        }
    }
}

impl Div for Dual {
    type Output = Dual;
    fn div(self, other: Dual) -> Dual {
        let value = self.value / other.value;
        Dual {
            value,
            slope: (self.slope - value * other.slope) / other.value,
        }
    }
}

/// Where the power series ends and continuation begins.
const SERIES_END: f64 = 0.75;

/// Terms after which a series is given up; none takes as many but with parameters in the thousands.
const MOST_TERMS: usize = 100_000;

/// F and dF/dz by the power series, for 0 <= z <= 3/4.
fn series(a: Dual, b: Dual, c: Dual, z: f64) -> (Dual, Dual) {
    let mut term = Dual::constant(1.0);
    let (mut sum, mut slope) = (term, Dual::constant(0.0));
    for k in 0..MOST_TERMS {
        let k = k as f64;
        term = term * (a + k) * (b + k) / (c + k) * (1.0 / (k + 1.0));
        // `term` lacks a factor z here: it is that of the derivative but for k + 1.
        let of_slope = term * (k + 1.0);
        term = term * z;
        sum = sum + term;
        slope = slope + of_slope;
        let shrinks =
            f64::abs((a.value + k) * (b.value + k) * z) < f64::abs((c.value + k) * (k + 1.0));
        if shrinks && term.is_negligible(sum) && of_slope.is_negligible(slope) {
            return (sum, slope);
        }
        if !sum.is_finite() {
            break;
        }
    }
    (sum, slope)
}

/// F and dF/dz at 1 - rest + step from those at 1 - rest, for |step| <= rest / 2.
fn taylor(a: Dual, b: Dual, c: Dual, rest: f64, step: f64, start: (Dual, Dual)) -> (Dual, Dual) {
    let z = 1.0 - rest;
    let p1 = rest - z;
    let q0 = c - (a + b + 1.0) * z;
    // Coefficients of powers k and k + 1 of t = step / rest, the latter's term in each sum.
    let t = step / rest;
    let (mut low, mut high) = (start.0, start.1 * rest);
    let mut power = t;
    let (mut sum, mut slope) = (low + high * t, high);
    for k in 0..MOST_TERMS {
        let k = k as f64;
        let next = (a + k) * (b + k) * low * rest - (q0 + p1 * k) * (k + 1.0) * high;
        let next = next * (1.0 / (z * (k + 1.0) * (k + 2.0)));
        let of_slope = next * (power * (k + 2.0));
        power *= t;
        let term = next * power;
        sum = sum + term;
        slope = slope + of_slope;
        if k > 8.0 && term.is_negligible(sum) && of_slope.is_negligible(slope) {
            break;
        }
        if !sum.is_finite() {
            break;
        }
        (low, high) = (high, next);
    }
    (sum, slope * (1.0 / rest))
}

/// F for 0 < z < 1.
fn between(a: Dual, b: Dual, c: Dual, z: f64) -> Dual {
    let (first, second) = (c - a, c - b);
    let positive = |x: Dual| x.value > 0.0;
    if !(positive(a) && positive(b)) && positive(first) && positive(second) {
        let power = c - a - b;
        return complement_power(power, -z) * inside(first, second, c, z);
    }
    inside(a, b, c, z)
}

/// F for 0 < z < 1, without a transformation.
fn inside(a: Dual, b: Dual, c: Dual, z: f64) -> Dual {
    let mut found = series(a, b, c, z.min(SERIES_END));
    let mut rest = 1.0 - SERIES_END;
    while 1.0 - z < rest {
        let step = f64::min(0.5 * rest, z - (1.0 - rest));
        found = taylor(a, b, c, rest, step, found);
        rest *= 0.5;
    }
    found.0
}

/// (1 + x)**power.
fn complement_power(power: Dual, x: f64) -> Dual {
    let value = pow(1.0 + x, power.value);
    power.map(value, value * log1p(x))
}

fn hyp2f1_dual(a: Dual, b: Dual, c: Dual, z: f64) -> Dual {
    let undefined = Dual {
        value: f64::NAN,
        slope: f64::NAN,
    };
    if z.is_nan() || z > 1.0 || (c.value <= 0.0 && c.value.trunc() == c.value) {
        return undefined;
    }
    if z == 0.0 {
        return Dual::constant(1.0);
    }
    if z == 1.0 {
        // Gauss's sum
        let left = c - a - b;
        return match left.value > 0.0 {
            true => c.gamma() * left.gamma() / ((c - a).gamma() * (c - b).gamma()),
            false => undefined,
        };
    }
    if z < 0.0 {
        // The parameter that stays is one for which all terms are positive, if there is one.
        let swap = !(a.value > 0.0 && (c - b).value > 0.0);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        return complement_power(-a, -z) * between(a, c - b, c, z / (z - 1.0));
    }
    between(a, b, c, z)
}

/// F with the derivative in the parameter of that position, if any.
fn with_slope([a, b, c, z]: [f64; 4], position: Option<usize>) -> Dual {
    let mut parameters = [a, b, c].map(Dual::constant);
    if let Some(position) = position {
        parameters[position].slope = 1.0;
    }
    let [a, b, c] = parameters;
    hyp2f1_dual(a, b, c, z)
}

/// F(a, b; c; z) for z <= 1, to 5e-14 relative where a, b, c - a or c - b, and c are positive; NaN for z > 1.
pub fn hyp2f1(arguments: [f64; 4]) -> f64 {
    with_slope(arguments, None).value
}

/// dF/da, to 5e-13 relative under the same conditions.
pub fn hyp2f1_da(arguments: [f64; 4]) -> f64 {
    with_slope(arguments, Some(0)).slope
}

/// dF/dc, as [`hyp2f1_da`].
pub fn hyp2f1_dc(arguments: [f64; 4]) -> f64 {
    with_slope(arguments, Some(2)).slope
}
