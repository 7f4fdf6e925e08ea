//! Elementary and special functions on eight lanes.
//!
//! Every function is branch-free arithmetic on [`Lanes`] (a rare argument range may take a slower
//! branch), returns NaN for NaN, and has IEEE 754's special values where C's `math.h` has the
//! function. Bounds of error stand at each function and are asserted in `tests.rs`; 1 ulp is the
//! distance of neighbouring f64 at the exact result.
//!
//! Polynomials interpolate at Chebyshev nodes, computed with 300 bits and rounded to f64, of the
//! lowest degree whose error vanishes beside rounding; coefficients stand lowest order first.

mod double_double;
mod erf;
mod exp;
mod gamma;
mod hyperbolic;
mod inverse_trig;
mod log;
mod pow;
mod rounding;
mod trig;

pub use erf::{erf, erfc, erfcx};
pub use exp::{exp, exp2, expm1, sigmoid};
pub use gamma::{digamma, gamma, lgamma, trigamma};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use inverse_trig::{acos, asin, atan, atan2};
pub use log::{log, log1mexp, log1p, log2, log10, softplus};
pub use pow::pow;
pub use rounding::{ceil, floor, round_half_away, round_half_even, sign, trunc};
pub use trig::{cos, sin, tan};

use crate::kernels::simd::Lanes;

/// ln 2 as an unevaluated sum.
const LN_2: (f64, f64) = (std::f64::consts::LN_2, 2.3190468138462996e-17);

/// Square root, correctly rounded.
#[inline(always)]
pub fn sqrt<V: Lanes>(x: V) -> V {
    x.sqrt()
}

/// `c[0] + c[1] x + c[2] x**2 + ...`
#[inline(always)]
fn polynomial<V: Lanes, const N: usize>(x: V, c: [f64; N]) -> V {
    let mut sum = V::splat(c[N - 1]);
    for k in (0..N - 1).rev() {
        sum = sum.mul_add(x, V::splat(c[k]));
    }
    sum
}

#[cfg(test)]
mod tests;
