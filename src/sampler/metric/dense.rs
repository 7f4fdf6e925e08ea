//! The dense metric: x = T y with a lower triangular T.

use crate::kernels::linalg::lower;

/// A lower triangular transformation.
#[derive(Debug, Clone)]
pub struct Dense {
    dim: usize,
    /// Row i has the i + 1 elements at and left of the diagonal.
    rows: Vec<f64>,
}

impl Dense {
    /// T = diag(scale) L, with L the lower triangle of a row-major (dim, dim) matrix; none if T is
    /// not finite or has no inverse.
    pub fn new(scale: &[f64], lower: &[f64]) -> Option<Self> {
        let dim = scale.len();
        let row = |i: usize| {
            lower[i * dim..=i * dim + i]
                .iter()
                .map(move |l| scale[i] * l)
        };
        let rows: Vec<f64> = (0..dim).flat_map(row).collect();
        let diagonal = (0..dim).map(|i| rows[i * (i + 3) / 2]);
        let sound = rows.iter().all(|t| t.is_finite()) && diagonal.into_iter().all(|t| t != 0.0);
        sound.then_some(Self { dim, rows })
    }

    /// Dimensions.
    #[cfg(test)]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Writes `position + time * T velocity` to `out`.
    #[inline]
    pub fn drift(&self, position: &[f64], velocity: &[f64], time: f64, out: &mut [f64]) {
        lower::add_product(self.dim, &self.rows, time, velocity, position, out);
    }

    /// Writes `T' gradient` to `out`.
    #[inline]
    pub fn pull(&self, gradient: &[f64], out: &mut [f64]) {
        lower::transposed_product(self.dim, &self.rows, gradient, out);
    }

    /// Replaces `x` by `T^-1 x`.
    pub fn whiten(&self, x: &mut [f64]) {
        let mut rows = &self.rows[..];
        for i in 0..self.dim {
            let (row, rest) = rows.split_at(i + 1);
            let known: f64 = row[..i].iter().zip(&*x).map(|(t, x)| t * x).sum();
            x[i] = (x[i] - known) / row[i];
            rows = rest;
        }
    }

    /// Replaces `g` by `T'^-1 g`.
    pub fn unpull(&self, g: &mut [f64]) {
        let mut rows = &self.rows[..];
        for i in (0..self.dim).rev() {
            let (rest, row) = rows.split_at(i * (i + 1) / 2);
            g[i] /= row[i];
            let (known, known_row) = (g[i], &row[..i]);
            g.iter_mut()
                .zip(known_row)
                .for_each(|(g, t)| *g -= t * known);
            rows = rest;
        }
    }
}
