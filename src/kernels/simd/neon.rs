//! Lanes of 64-bit ARM processors.

use std::arch::aarch64::*;
use std::mem::transmute;
use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, Mul, MulAssign, Neg, Not, Sub, SubAssign};

use super::{LANES, LaneMask, Lanes, SIGN};

fn bits(
    f: unsafe fn(uint64x2_t, uint64x2_t) -> uint64x2_t,
) -> impl Fn(float64x2_t, float64x2_t) -> float64x2_t {
    // SAFETY: every 64-bit ARM processor has NEON.
    move |a, b| unsafe {
        vreinterpretq_f64_u64(f(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(b)))
    }
}

lanes! {
    /// Four NEON registers.
    Neon, NeonMask, [float64x2_t; 4] (0 1 2 3), uint64x2_t,
    splat: vdupq_n_f64,
    arithmetic: [
        vaddq_f64, vsubq_f64, vmulq_f64, vdivq_f64, |a, b, c| vfmaq_f64(c, a, b), vsqrtq_f64
    ],
    rounding: [vrndmq_f64, vrndpq_f64, vrndq_f64, vrndnq_f64],
    order: [
        |a, b| vbslq_f64(vcltq_f64(a, b), a, b),
        |a, b| vbslq_f64(vcgtq_f64(a, b), a, b),
        vcltq_f64,
        vcleq_f64,
        vceqq_f64
    ],
    bits: [
        bits(vandq_u64),
        bits(vorrq_u64),
        bits(veorq_u64),
        bits(vaddq_u64),
        |a| vreinterpretq_f64_u64(vshlq_n_u64::<52>(vreinterpretq_u64_f64(a))),
        |a| vreinterpretq_f64_u64(vshrq_n_u64::<52>(vreinterpretq_u64_f64(a)))
    ],
    masks: [
        vbslq_f64,
        |mask| vmaxvq_u32(vreinterpretq_u32_u64(mask)) != 0,
        vandq_u64,
        vorrq_u64,
        |a| veorq_u64(a, vdupq_n_u64(!0))
    ],
}
