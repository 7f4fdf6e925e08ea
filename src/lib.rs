//! NUTS for PyMC models. One direction, no way back:
//! template [`graph`] -> [`bind`] -> [`bound`] graph, simplified by [`rewrite`] -> [`diff`] -> [`plan`]
//! -> evaluated by [`kernels`] as a [`density`] <- [`sampler`], whose draws a [`recorder`] keeps and [`diagnostics`]
//! judge, and [`optimize`]; [`batch`] does all this for many data sets.
#![warn(missing_docs)]

pub mod batch;
pub mod bind;
pub mod bound;
pub mod density;
pub mod diagnostics;
pub mod diff;
pub mod explain;
pub mod foreign;
pub mod graph;
pub(crate) mod kernels;
pub mod marginal;
pub mod model;
pub mod optimize;
pub(crate) mod parallel;
pub(crate) mod plan;
#[cfg(feature = "python")]
mod python;
pub mod recorder;
pub mod rewrite;
pub mod sampler;
pub mod scalar;
pub mod tensor;
#[cfg(test)]
mod testing;
