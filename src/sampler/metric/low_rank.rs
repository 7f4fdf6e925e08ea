//! The low-rank metric: a diagonal one, but for a few directions of their own scale.

use crate::kernels::linalg::directions::stretch;

/// T = diag(scale) (I + sum_k (s_k - 1) u_k u_k') with orthonormal u_k.
#[derive(Debug, Clone)]
pub struct LowRank {
    scale: Vec<f64>,
    /// The u_k, one after the other.
    directions: Vec<f64>,
    /// The s_k - 1.
    forth: Vec<f64>,
    /// The 1 / s_k - 1.
    back: Vec<f64>,
}

impl LowRank {
    /// The transformation with these scales, orthonormal directions u_k and their own scales s_k.
    pub fn new(scale: Vec<f64>, directions: Vec<f64>, own: &[f64]) -> Self {
        Self {
            scale,
            directions,
            forth: own.iter().map(|s| s - 1.0).collect(),
            back: own.iter().map(|s| 1.0 / s - 1.0).collect(),
        }
    }

    /// Number of directions.
    pub fn rank(&self) -> usize {
        self.forth.len()
    }

    /// Dimensions.
    #[cfg(test)]
    pub fn dim(&self) -> usize {
        self.scale.len()
    }

    /// Writes `position + time * T velocity` to `out`.
    #[inline]
    pub fn drift(&self, position: &[f64], velocity: &[f64], time: f64, out: &mut [f64]) {
        out.copy_from_slice(velocity);
        stretch(&self.directions, &self.forth, out);
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
        stretch(&self.directions, &self.forth, out);
    }

    /// Replaces `x` by `T^-1 x`.
    pub fn whiten(&self, x: &mut [f64]) {
        x.iter_mut().zip(&self.scale).for_each(|(x, s)| *x /= s);
        stretch(&self.directions, &self.back, x);
    }

    /// Replaces `g` by `T'^-1 g`.
    pub fn unpull(&self, g: &mut [f64]) {
        stretch(&self.directions, &self.back, g);
        g.iter_mut().zip(&self.scale).for_each(|(g, s)| *g /= s);
    }
}
