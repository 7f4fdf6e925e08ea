//! Eight lanes of f64, from which every kernel is built.
//!
//! All methods are `inline(always)`, so that they compile to the instructions of whichever
//! `#[target_feature]` function they end up in. `mul_add` is a fused multiply-add on every path
//! (in software where the processor has none), so results have the same bits everywhere.

/// Lanes of one [`V`].
pub const LANES: usize = 8;

/// Eight f64 lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct V(pub [f64; LANES]);

/// Eight truth values, one a lane: all bits set or none.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Mask(pub [u64; LANES]);
