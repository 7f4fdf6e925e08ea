//! The metric: the linear map between whitened coordinates and the density's own.
//!
//! A metric is a transformation x = T y + const. In y the kinetic energy is |v|^2 / 2, so the
//! trajectory is that of a unit mass matrix; seen from x the mass matrix is (T T')^-1. Trajectories
//! need two things of a metric and nothing else: velocities pushed to x, gradients pulled to y.

mod diagonal;
mod moments;

pub use diagonal::Diagonal;
pub use moments::MetricAdaptation;

/// A linear map from whitened coordinates to those of the density.
#[derive(Debug, Clone)]
pub enum Metric {
    /// T is a diagonal matrix.
    Diagonal(Diagonal),
}

impl Metric {
    /// The identity in `dim` dimensions.
    pub fn unit(dim: usize) -> Self {
        Self::Diagonal(Diagonal::unit(dim))
    }

    /// The diagonal metric with these scales.
    #[cfg(test)]
    pub fn diagonal(scale: &[f64]) -> Self {
        let mut metric = Diagonal::unit(scale.len());
        metric.set_variances(scale.iter().map(|s| s * s));
        Self::Diagonal(metric)
    }

    /// Writes `position + time * T velocity` to `out`.
    #[inline]
    pub fn drift(&self, position: &[f64], velocity: &[f64], time: f64, out: &mut [f64]) {
        match self {
            Self::Diagonal(metric) => metric.drift(position, velocity, time, out),
        }
    }

    /// Writes `T' gradient`, the gradient in whitened coordinates, to `out`.
    #[inline]
    pub fn pull(&self, gradient: &[f64], out: &mut [f64]) {
        match self {
            Self::Diagonal(metric) => metric.pull(gradient, out),
        }
    }
}
