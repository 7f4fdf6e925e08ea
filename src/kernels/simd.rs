//! Eight lanes of f64, from which every kernel is built.
//!
//! A kernel body is one function generic in `V: Lanes`, compiled once an instruction set by
//! [`crate::kernels::isa`]. The registers are explicit because LLVM does not reliably find SIMD in
//! loops over arrays of lanes: it gives up on bodies as long as `exp`.
//!
//! `mul_add` is a fused multiply-add on every path (in software where the processor has none) and
//! no other operation rounds differently, so results have the same bits on every instruction set;
//! only sign and payload of NaN may differ.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, Mul, MulAssign, Neg, Not, Sub, SubAssign};

#[macro_use]
mod registers;
mod portable;
pub use portable::Portable;
mod single;
pub(crate) use single::per_lane;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;

/// Lanes of one [`Lanes`] value.
pub const LANES: usize = 8;

/// 1.5 * 2**52: adding it leaves the integer nearest to a small number in the low mantissa bits.
const INT_MAGIC: f64 = 6755399441055744.0;

/// The bit that makes a number negative.
pub(super) const SIGN: u64 = 1 << 63;

/// [`Lanes::scale_exp2`] without an instruction for it.
#[inline(always)]
pub(super) fn scale_in_halves<V: Lanes>(x: V, n: V) -> V {
    let half = (n * 0.5).round_small();
    x * half.exp2_int() * (n - half).exp2_int()
}

/// Truth values of eight lanes.
pub trait LaneMask:
    Copy + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self>
{
    /// The lanes they speak of.
    type V: Lanes<Mask = Self>;

    /// `a` where true, else `b`.
    fn select(self, a: Self::V, b: Self::V) -> Self::V;

    /// As [`LaneMask::select`], of what is true but for rare cases.
    #[inline(always)]
    fn usually(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(a, b)
    }

    /// Whether any lane is true.
    fn any(self) -> bool;

    /// Whether all lanes are true.
    #[inline(always)]
    fn all(self) -> bool {
        !(!self).any()
    }

    /// 1.0 where true, else 0.0.
    #[inline(always)]
    fn to_f64(self) -> Self::V {
        self.select(Self::V::splat(1.0), Self::V::splat(0.0))
    }
}

/// Eight f64 lanes in the registers of one instruction set.
///
/// An implementor may only be used in code compiled for its instruction set and run on a processor
/// that has it; [`crate::kernels::isa`] is the one place that sees to this.
pub trait Lanes:
    Copy
    + Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Neg<Output = Self>
{
    /// Truth values of as many lanes.
    type Mask: LaneMask<V = Self>;

    /// Registers that hold the lanes.
    const REGISTERS: usize;

    /// `x` in every lane.
    fn splat(x: f64) -> Self;

    /// Lanes from an array.
    fn from_array(x: [f64; LANES]) -> Self;

    /// Lanes as an array.
    fn to_array(self) -> [f64; LANES];

    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;

    /// Largest integer not above.
    fn floor(self) -> Self;

    /// Smallest integer not below.
    fn ceil(self) -> Self;

    /// Integer part.
    fn trunc(self) -> Self;

    /// Nearest integer, ties to even.
    fn round_half_even(self) -> Self;

    /// `if self < other { self } else { other }`: `other` where either is NaN.
    fn min(self, other: Self) -> Self;

    /// `if self > other { self } else { other }`: `other` where either is NaN.
    fn max(self, other: Self) -> Self;

    /// `self * 2**n` for integral lanes `n` of -2044..=2046, rounded once; 0 and infinity where
    /// the result is out of range.
    #[inline(always)]
    fn scale_exp2(self, n: Self) -> Self {
        scale_in_halves(self, n)
    }

    /// Where `self < other`.
    fn lt(self, other: Self) -> Self::Mask;

    /// Where `self <= other`.
    fn le(self, other: Self) -> Self::Mask;

    /// Where `self == other`.
    fn eq(self, other: Self) -> Self::Mask;

    /// Bitwise and of the representations.
    fn and(self, other: Self) -> Self;

    /// Bitwise or of the representations.
    fn or(self, other: Self) -> Self;

    /// Bitwise exclusive or of the representations.
    fn xor(self, other: Self) -> Self;

    /// Sum of the representations as integers, wrapping.
    fn add_bits(self, other: Self) -> Self;

    /// Representation shifted left by 52, from the low mantissa bits to the exponent.
    fn shl52(self) -> Self;

    /// Representation shifted right by 52, from the exponent to the low mantissa bits.
    fn shr52(self) -> Self;

    /// `bits` as representation of every lane.
    #[inline(always)]
    fn splat_bits(bits: u64) -> Self {
        Self::splat(f64::from_bits(bits))
    }

    /// The first eight elements of `x`; panics if there are fewer.
    #[inline(always)]
    fn load(x: &[f64]) -> Self {
        Self::from_array(*x.first_chunk().expect("eight elements"))
    }

    /// Writes the lanes over the first eight elements of `out`; panics if there are fewer.
    #[inline(always)]
    fn store(self, out: &mut [f64]) {
        *out.first_chunk_mut().expect("eight elements") = self.to_array();
    }

    /// Rows become columns.
    #[inline(always)]
    fn transpose(square: &mut [Self; LANES]) {
        let mut columns = [[0.0; LANES]; LANES];
        for (i, row) in square.iter().enumerate() {
            for (column, value) in columns.iter_mut().zip(row.to_array()) {
                column[i] = value;
            }
        }
        for (column, values) in square.iter_mut().zip(columns) {
            *column = Self::from_array(values);
        }
    }

    /// `self * a + b` for constants.
    #[inline(always)]
    fn scale_add(self, a: f64, b: f64) -> Self {
        self.mul_add(Self::splat(a), Self::splat(b))
    }

    /// Where `self > other`.
    #[inline(always)]
    fn gt(self, other: Self) -> Self::Mask {
        other.lt(self)
    }

    /// Where `self >= other`.
    #[inline(always)]
    fn ge(self, other: Self) -> Self::Mask {
        other.le(self)
    }

    /// Where `self != other`; true for NaN.
    #[inline(always)]
    fn ne(self, other: Self) -> Self::Mask {
        !self.eq(other)
    }

    /// Where a lane is NaN.
    #[inline(always)]
    fn is_nan(self) -> Self::Mask {
        self.ne(self)
    }

    /// Where a lane is infinite.
    #[inline(always)]
    fn is_infinite(self) -> Self::Mask {
        self.abs().eq(Self::splat(f64::INFINITY))
    }

    /// Where the sign bit is set, that of zeros and NaN included.
    #[inline(always)]
    fn is_sign_negative(self) -> Self::Mask {
        Self::splat(1.0).copysign(self).lt(Self::splat(0.0))
    }

    /// Absolute value.
    #[inline(always)]
    fn abs(self) -> Self {
        self.and(Self::splat_bits(!SIGN))
    }

    /// Magnitude of `self` with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        self.abs().or(sign.and(Self::splat_bits(SIGN)))
    }

    /// Nearest integer, ties to even, of lanes below 2**51.
    #[inline(always)]
    fn round_small(self) -> Self {
        (self + INT_MAGIC) - INT_MAGIC
    }

    /// `2**n` for integral lanes `n` of -1022..=1023.
    #[inline(always)]
    fn exp2_int(self) -> Self {
        // The sum's low mantissa bits are n + 1023; the shift drops the others.
        (self + (INT_MAGIC + 1023.0)).shl52()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::isa::{Isa, per_isa};

    /// Every operation on the same two sets of lanes; truth values as 1.0 and 0.0.
    #[inline(always)]
    fn operations<V: Lanes>(a: V, b: V) -> [[f64; LANES]; 22] {
        let truth = |mask: V::Mask| mask.to_f64();
        let whole = |any: bool| V::splat(f64::from(u8::from(any)));
        let n = V::from_array([-1074.0, -1022.0, -1.0, 0.0, 1.0, 52.0, 1023.0, 1024.0]);
        [
            a.min(b),
            a.max(b),
            a.abs(),
            -a,
            a.copysign(b),
            a.floor(),
            a.ceil(),
            a.trunc(),
            a.round_half_even(),
            truth(a.lt(b)),
            truth(a.le(b)),
            truth(a.gt(b)),
            truth(a.ge(b)),
            truth(a.eq(b)),
            truth(a.ne(b)),
            truth(a.is_nan() | b.is_infinite()),
            truth(a.is_sign_negative() & !b.is_nan()),
            whole(a.lt(b).any()),
            whole(a.ne(b).all()),
            V::splat(1.5).scale_exp2(n),
            V::splat(3e-308).scale_exp2(-n),
            a.add_bits(V::splat_bits(1)).shr52().shl52(),
        ]
        .map(V::to_array)
    }

    #[test]
    fn every_instruction_set_has_the_operations_of_the_scalars() {
        let kernels = per_isa!(
            fn(a: [f64; LANES], b: [f64; LANES]) -> [[f64; LANES]; 22] {
                operations(V::from_array(a), V::from_array(b))
            }
        );
        let points = [
            0.0,
            -0.0,
            1.5,
            -2.5,
            f64::INFINITY,
            -f64::INFINITY,
            f64::NAN,
            5e-324,
        ];
        for shift in 0..LANES {
            let mut other = points;
            other.rotate_left(shift);
            let want = operations(Portable::from_array(points), Portable::from_array(other));
            for isa in Isa::available() {
                // SAFETY: the processor has `isa`.
                let got = unsafe { kernels[isa as usize](points, other) };
                for (operation, (got, want)) in got.iter().zip(&want).enumerate() {
                    let same = |i: usize| {
                        got[i].to_bits() == want[i].to_bits()
                            || (got[i].is_nan() && want[i].is_nan())
                    };
                    assert!(
                        (0..LANES).all(same),
                        "operation {operation} on {isa:?}: {got:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn scaling_reaches_both_ends() {
        let scale =
            |x: f64, n: f64| Portable::splat(x).scale_exp2(Portable::splat(n)).to_array()[0];
        assert_eq!(scale(1.0, -1074.0), 5e-324);
        assert_eq!(scale(1.0, -1076.0), 0.0);
        assert_eq!(scale(0.75, 1024.0), 0.75 * 2.0 * 2f64.powi(1023));
        assert_eq!(scale(1.0, 1024.0), f64::INFINITY);
    }
}
