//! Simplifications, one family a file. Each is exact up to rounding.
//!
//! Equal nodes are merged and constants folded by [`crate::bound::Builder`] itself.

pub mod identities;
