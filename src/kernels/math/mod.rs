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
pub use rounding::{round_half_away, round_half_even, sign};
pub use trig::{cos, sin, tan};

use crate::kernels::simd::Lanes;

/// ln 2 as an unevaluated sum.
const LN_2: (f64, f64) = (std::f64::consts::LN_2, 2.3190468138462996e-17);

/// `c[0] + c[1] x + c[2] x**2 + ...`
///
/// Horner's rule in x**4 on four interleaved parts: one chain of multiply-adds would be too long
/// for the processor to overlap with its neighbours.
#[inline(always)]
fn polynomial<V: Lanes, const N: usize>(x: V, c: [f64; N]) -> V {
    const STRIDE: usize = 4;
    let square = x * x;
    let fourth = square * square;
    let mut parts = [V::splat(0.0); STRIDE];
    for (first, part) in parts.iter_mut().enumerate() {
        let last = first + (N - 1 - first) / STRIDE * STRIDE;
        *part = V::splat(c[last]);
        for k in (first..last).step_by(STRIDE).rev() {
            *part = part.mul_add(fourth, V::splat(c[k]));
        }
    }
    let [p0, p1, p2, p3] = parts;
    p3.mul_add(x, p2).mul_add(x, p1).mul_add(x, p0)
}

#[cfg(test)]
mod tests;
