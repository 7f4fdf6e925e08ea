//! NUTS for PyMC models. One direction, no way back:
//! template graph -> [`bind`] -> [`rewrite`] -> [`diff`] -> [`plan`] -> evaluate <- [`sampler`].
#![warn(missing_docs)]

pub mod density;
pub mod kernels;
pub mod sampler;
