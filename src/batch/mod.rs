//! Many data sets through one template: each is bound, sampled and summarised without Python.
//!
//! - [`template`]: what all data sets share; completes and checks the data of one.
//! - [`starts`] with [`numpy`]: starting points, those of a single run.
//! - [`fit`]: one data set from its data to its [`fit::Fit`].
//! - [`summary`]: what is told of each variable.
//! - [`engine`]: threads that take chains and data sets from a queue, and hand finished fits on in order.
//!
//! A fit depends on its data, the seed and its position alone: its draws are, bit for bit, those of a single run
//! with the seeds of [`fit::chain_seeds`].

pub mod engine;
pub mod fit;
pub mod numpy;
pub mod starts;
pub mod summary;
pub mod template;
#[cfg(test)]
mod tests;
