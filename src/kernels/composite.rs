//! Elementwise functions put together from others.

use super::math;
use super::simd::{LaneMask, Lanes, per_lane};
use std::f64::consts::LN_2;

/// Where a lane is not zero.
#[inline(always)]
pub fn holds<V: Lanes>(x: V) -> V::Mask {
    x.ne(V::splat(0.0))
}

/// x - floor(x / y) y: the remainder with the sign of y, as Python's.
#[inline(always)]
pub fn modulo<V: Lanes>(x: V, y: V) -> V {
    x - (x / y).floor() * y
}

/// The larger, NaN where either is.
#[inline(always)]
pub fn maximum<V: Lanes>(x: V, y: V) -> V {
    x.is_nan().select(x, x.max(y))
}

/// The smaller, NaN where either is.
#[inline(always)]
pub fn minimum<V: Lanes>(x: V, y: V) -> V {
    x.is_nan().select(x, x.min(y))
}

/// log(exp(x) + exp(y)); equal infinities are kept.
#[inline(always)]
pub fn logaddexp<V: Lanes>(x: V, y: V) -> V {
    let far = math::log1p(math::exp(-(x - y).abs())) + maximum(x, y);
    x.eq(y).select(x + LN_2, far)
}

/// x log(y), 0 where x is.
#[inline(always)]
pub fn xlogy<V: Lanes>(x: V, y: V) -> V {
    holds(x).select(x * math::log(y), V::splat(0.0))
}

/// x log(1 + y), 0 where x is.
#[inline(always)]
pub fn xlog1py<V: Lanes>(x: V, y: V) -> V {
    holds(x).select(x * math::log1p(y), V::splat(0.0))
}

/// A bitwise operation on lanes that hold integers.
#[inline(always)]
pub fn bitwise<V: Lanes>(x: V, y: V, operation: impl Fn(i64, i64) -> i64) -> V {
    per_lane!(
        |[x, y]: [f64; 2]| operation(x as i64, y as i64) as f64,
        x,
        y
    )
}
