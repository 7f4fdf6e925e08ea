//! Elementary and special functions on eight lanes.
//!
//! Most are branch-free arithmetic on [`Lanes`] (a rare argument range may take a slower branch); those
//! on arrays of arguments branch too much for that and get one lane at a time. All return NaN for NaN,
//! and have IEEE 754's special values where C's `math.h` has the function. Bounds of error stand at each
//! function and are asserted in `tests.rs`; 1 ulp is the distance of neighbouring f64 at the exact result.
//!
//! Polynomials interpolate at Chebyshev nodes, computed with 300 bits and rounded to f64, of the
//! lowest degree whose error vanishes beside rounding; coefficients stand lowest order first.

mod bessel_i;
mod bessel_order;
mod double_double;
mod erf;
mod erf_inverse;
mod exp;
mod gamma;
mod hyperbolic;
mod hypergeometric;
mod incomplete_beta;
mod incomplete_gamma;
mod inverse_trig;
mod log;
mod owens_t;
mod polygamma;
mod pow;
mod quadrature;
mod rounding;
mod trig;

pub use bessel_i::{i0, i0e, i1, i1e};
pub use bessel_order::{ive, ive_dx, j0, j1, jv, jv_dx, kve, kve_dx};
pub use erf::{erf, erfc, erfcx};
pub use erf_inverse::{erfcinv, erfinv, ndtri_exp};
pub use exp::{exp, exp2, expm1, sigmoid};
pub use gamma::{digamma, gamma, lgamma, trigamma};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use hypergeometric::{hyp2f1, hyp2f1_da, hyp2f1_dc};
pub use incomplete_beta::{beta_density, betainc, betainc_da, betainc_db};
pub use incomplete_gamma::{gamma_density, gammainc, gammainc_da, gammaincc};
pub use inverse_trig::{acos, asin, atan, atan2};
pub use log::{log, log1mexp, log1p, log2, log10, softplus};
pub use owens_t::owens_t;
pub use polygamma::polygamma;
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
