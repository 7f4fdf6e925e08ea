//! The metric: the linear map between whitened coordinates and the density's own.
//!
//! A metric is a transformation x = T y + const. In y the kinetic energy is |v|^2 / 2, so the
//! trajectory is that of a unit mass matrix; seen from x the mass matrix is (T T')^-1. Trajectories
//! need two things of a metric and nothing else: velocities pushed to x, gradients pulled to y.

mod adaptation;
mod agreement;
mod choice;
mod covariance;
mod dense;
mod diagonal;
mod economy;
mod fit;
mod low_rank;
mod points;
#[cfg(test)]
mod tests;

use crate::kernels::linalg::cholesky;

pub use adaptation::MetricAdaptation;
pub use agreement::distance;
pub use dense::Dense;
pub use diagonal::Diagonal;
pub use low_rank::LowRank;
#[cfg(test)]
pub use tests::one_of_each;

/// A linear map from whitened coordinates to those of the density.
#[derive(Debug, Clone)]
pub enum Metric {
    /// T is a diagonal matrix.
    Diagonal(Diagonal),
    /// T is a triangular matrix.
    Dense(Dense),
    /// T is a diagonal matrix times a symmetric one that differs from the identity in few directions.
    LowRank(LowRank),
}

/// Calls the same method of any kind.
macro_rules! any {
    ($self:ident, $method:ident $arguments:tt) => {
        match $self {
            Self::Diagonal(metric) => metric.$method $arguments,
            Self::Dense(metric) => metric.$method $arguments,
            Self::LowRank(metric) => metric.$method $arguments,
        }
    };
}

impl Metric {
    /// The identity in `dim` dimensions.
    pub fn unit(dim: usize) -> Self {
        Self::Diagonal(Diagonal::unit(dim))
    }

    /// The metric of a normal with these variances, or with this row-major covariance; none if they are not positive, or
    /// of another number of dimensions.
    pub fn of_covariance(dim: usize, values: &[f64]) -> Option<Self> {
        if values.len() == dim {
            let mut diagonal = Diagonal::unit(dim);
            diagonal.set_variances(values.iter().copied());
            let sound = values.iter().all(|v| *v > 0.0 && v.is_finite());
            return sound.then_some(Self::Diagonal(diagonal));
        }
        if values.len() != dim * dim {
            return None;
        }
        let mut lower = vec![0.0; dim * dim];
        let mut scratch = vec![0.0; cholesky::factor_scratch(dim)];
        cholesky::factor([1, dim], values, &mut lower, &mut scratch);
        Dense::new(&vec![1.0; dim], &lower).map(Self::Dense)
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
        any!(self, drift(position, velocity, time, out));
    }

    /// Writes `T' gradient`, the gradient in whitened coordinates, to `out`.
    #[inline]
    pub fn pull(&self, gradient: &[f64], out: &mut [f64]) {
        any!(self, pull(gradient, out));
    }

    /// Nanoseconds, roughly, that a leapfrog step takes beyond the density, U-turn checks included: what
    /// `cargo bench --bench sampler` measured, in round numbers.
    pub fn work(&self, dim: usize) -> f64 {
        match self {
            Self::Diagonal(_) => Self::diagonal_work(dim),
            Self::Dense(_) => Self::dense_work(dim),
            Self::LowRank(metric) => Self::low_rank_work(dim, metric.rank()),
        }
    }

    fn diagonal_work(dim: usize) -> f64 {
        200.0 + 2.5 * dim as f64
    }

    fn dense_work(dim: usize) -> f64 {
        Self::diagonal_work(dim) + 50.0 + 0.25 * (dim * dim) as f64
    }

    fn low_rank_work(dim: usize, rank: usize) -> f64 {
        Self::diagonal_work(dim) + 100.0 + rank as f64 * (50.0 + 0.6 * dim as f64)
    }

    /// Replaces `x` by `T^-1 x`; not for trajectories.
    pub fn whiten(&self, x: &mut [f64]) {
        any!(self, whiten(x));
    }

    /// Replaces `g` by `T'^-1 g`; not for trajectories.
    pub fn unpull(&self, g: &mut [f64]) {
        any!(self, unpull(g));
    }
}
