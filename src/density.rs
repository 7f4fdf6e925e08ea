//! The one trait between model and sampler.

use thiserror::Error;

/// A failure of the model itself that ends the run, in words for the user.
///
/// A point outside the support is no failure: its log density is `-inf` or NaN, which the sampler
/// treats as a divergence.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct DensityError(pub String);

/// A log density on R^dim, up to an additive constant, with its gradient.
pub trait Density: Send {
    /// Number of unconstrained parameters.
    fn dim(&self) -> usize;

    /// Returns the log density at `position` and writes its gradient; both slices have length `dim`.
    fn logp_and_gradient(
        &mut self,
        position: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, DensityError>;

    /// Nanoseconds, roughly, that an evaluation takes: what a metric may cost is measured by it. It must not depend on
    /// the machine; infinite where nothing is known.
    fn work(&self) -> f64 {
        f64::INFINITY
    }
}
