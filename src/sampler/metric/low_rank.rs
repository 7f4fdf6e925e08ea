//! The low-rank metric: a diagonal one, but for a few directions of their own scale.

use crate::sampler::vector::{accumulate, dot};

/// T = diag(scale) (I + sum_k (s_k - 1) u_k u_k') with orthonormal u_k.
#[derive(Debug, Clone)]
pub struct LowRank {
    scale: Vec<f64>,
    /// The u_k, one after the other.
    directions: Vec<f64>,
    /// The s_k.
    own: Vec<f64>,
}

impl LowRank {
    /// The transformation with these scales, orthonormal directions u_k and their own scales s_k.
    pub fn new(scale: Vec<f64>, directions: Vec<f64>, own: Vec<f64>) -> Self {
        Self {
            scale,
            directions,
            own,
        }
    }

    /// Number of directions.
    #[cfg(test)]
    pub fn rank(&self) -> usize {
        self.own.len()
    }

    /// Dimensions.
    #[cfg(test)]
    pub fn dim(&self) -> usize {
        self.scale.len()
    }

    /// Adds sum_k (factor(s_k) - 1) u_k u_k' y to `y`; what one direction adds is orthogonal to the others.
    #[inline]
    fn stretch(&self, y: &mut [f64], factor: impl Fn(f64) -> f64) {
        let directions = self.directions.chunks_exact(self.scale.len());
        for (u, &own) in directions.zip(&self.own) {
            let along = dot(u, y);
            accumulate(y, (factor(own) - 1.0) * along, u);
        }
    }

    /// Writes `position + time * T velocity` to `out`.
    #[inline]
    pub fn drift(&self, position: &[f64], velocity: &[f64], time: f64, out: &mut [f64]) {
        out.copy_from_slice(velocity);
        self.stretch(out, |s| s);
        for ((out, position), scale) in out.iter_mut().zip(position).zip(&self.scale) {
            *out = position + time * *out * scale;
        }
    }

    /// Writes `T' gradient` to `out`.
    #[inline]
    pub fn pull(&self, gradient: &[f64], out: &mut [f64]) {
        for ((out, gradient), scale) in out.iter_mut().zip(gradient).zip(&self.scale) {
            *out = scale * gradient;
        }
        self.stretch(out, |s| s);
    }

    /// Replaces `x` by `T^-1 x`.
    pub fn whiten(&self, x: &mut [f64]) {
        x.iter_mut().zip(&self.scale).for_each(|(x, s)| *x /= s);
        self.stretch(x, |s| 1.0 / s);
    }
}
