//! One lane: a scalar with the operations of [`Lanes`], for functions that branch too much for eight.

use super::{LANES, LaneMask, Lanes};

/// `$f([x, y, ...])` of each lane of the arguments, worked out once for equal neighbours (a scalar fills all lanes).
///
/// A macro, as a function that takes `$f` would call it without the instruction set of its own caller.
macro_rules! per_lane {
    ($f:expr, $($x:expr),+) => {{
        use $crate::kernels::simd::{LANES, Lanes};
        let arguments = [$($x.to_array()),+];
        let mut out = [0.0; LANES];
        for i in 0..LANES {
            let equal = i > 0 && arguments.iter().all(|x| x[i].to_bits() == x[i - 1].to_bits());
            out[i] = match equal {
                true => out[i - 1],
                false => $f(arguments.map(|x| x[i])),
            };
        }
        Lanes::from_array(out)
    }};
}
pub(crate) use per_lane;

impl LaneMask for bool {
    type V = f64;

    #[inline(always)]
    fn select(self, a: f64, b: f64) -> f64 {
        if self { a } else { b }
    }
    #[inline(always)]
    fn any(self) -> bool {
        self
    }
}

impl Lanes for f64 {
    type Mask = bool;

    const REGISTERS: usize = 1;

    #[inline(always)]
    fn splat(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn from_array(x: [f64; LANES]) -> f64 {
        x[0]
    }
    #[inline(always)]
    fn to_array(self) -> [f64; LANES] {
        [self; LANES]
    }
    #[inline(always)]
    fn mul_add(self, a: f64, b: f64) -> f64 {
        f64::mul_add(self, a, b)
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn floor(self) -> f64 {
        f64::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> f64 {
        f64::ceil(self)
    }
    #[inline(always)]
    fn trunc(self) -> f64 {
        f64::trunc(self)
    }
    #[inline(always)]
    fn round_half_even(self) -> f64 {
        f64::round_ties_even(self)
    }
    #[inline(always)]
    fn min(self, other: f64) -> f64 {
        if self < other { self } else { other }
    }
    #[inline(always)]
    fn max(self, other: f64) -> f64 {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn lt(self, other: f64) -> bool {
        self < other
    }
    #[inline(always)]
    fn le(self, other: f64) -> bool {
        self <= other
    }
    #[inline(always)]
    fn eq(self, other: f64) -> bool {
        self == other
    }
    #[inline(always)]
    fn and(self, other: f64) -> f64 {
        f64::from_bits(self.to_bits() & other.to_bits())
    }
    #[inline(always)]
    fn or(self, other: f64) -> f64 {
        f64::from_bits(self.to_bits() | other.to_bits())
    }
    #[inline(always)]
    fn xor(self, other: f64) -> f64 {
        f64::from_bits(self.to_bits() ^ other.to_bits())
    }
    #[inline(always)]
    fn add_bits(self, other: f64) -> f64 {
        f64::from_bits(self.to_bits().wrapping_add(other.to_bits()))
    }
    #[inline(always)]
    fn shl52(self) -> f64 {
        f64::from_bits(self.to_bits() << 52)
    }
    #[inline(always)]
    fn shr52(self) -> f64 {
        f64::from_bits(self.to_bits() >> 52)
    }
}
