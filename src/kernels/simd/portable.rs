//! Lanes for any processor: eight scalars.

use std::mem::transmute;
use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, Mul, MulAssign, Neg, Not, Sub, SubAssign};

use super::{LANES, LaneMask, Lanes, SIGN};

fn bits(f: impl Fn(u64, u64) -> u64) -> impl Fn(f64, f64) -> f64 {
    move |a, b| f64::from_bits(f(a.to_bits(), b.to_bits()))
}

lanes! {
    /// Eight scalars: right everywhere, fast nowhere.
    Portable, PortableMask, [f64; 8] (0 1 2 3 4 5 6 7), bool,
    splat: |x: f64| x,
    arithmetic: [
        |a: f64, b: f64| a + b,
        |a: f64, b: f64| a - b,
        |a: f64, b: f64| a * b,
        |a: f64, b: f64| a / b,
        f64::mul_add,
        f64::sqrt
    ],
    rounding: [f64::floor, f64::ceil, f64::trunc, f64::round_ties_even],
    order: [
        |a: f64, b: f64| if a < b { a } else { b },
        |a: f64, b: f64| if a > b { a } else { b },
        |a: f64, b: f64| a < b,
        |a: f64, b: f64| a <= b,
        |a: f64, b: f64| a == b
    ],
    bits: [
        bits(|a, b| a & b),
        bits(|a, b| a | b),
        bits(|a, b| a ^ b),
        bits(u64::wrapping_add),
        |a: f64| f64::from_bits(a.to_bits() << 52),
        |a: f64| f64::from_bits(a.to_bits() >> 52)
    ],
    masks: [
        |mask: bool, a: f64, b: f64| if mask { a } else { b },
        |mask: bool| mask,
        |a: bool, b: bool| a & b,
        |a: bool, b: bool| a | b,
        |a: bool| !a
    ],
}
