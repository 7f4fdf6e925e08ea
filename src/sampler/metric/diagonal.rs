//! The diagonal metric: one scale a coordinate, x_i = sigma_i y_i.

/// Scales outside these bounds are estimates gone wrong; they are moved to the nearer bound.
const SCALE_BOUNDS: (f64, f64) = (1e-10, 1e10);

/// A diagonal transformation.
#[derive(Debug, Clone)]
pub struct Diagonal {
    scale: Vec<f64>,
}

impl Diagonal {
    /// Every scale 1.
    pub fn unit(dim: usize) -> Self {
        Self {
            scale: vec![1.0; dim],
        }
    }

    /// The scales sigma.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Sets each scale to the root of a variance; one that is zero, negative or not finite leaves
    /// its old scale.
    pub fn set_variances(&mut self, variances: impl Iterator<Item = f64>) {
        for (scale, variance) in self.scale.iter_mut().zip(variances) {
            if variance > 0.0 && variance.is_finite() {
                *scale = variance.sqrt().clamp(SCALE_BOUNDS.0, SCALE_BOUNDS.1);
            }
        }
    }

    /// Writes `position + time * T velocity` to `out`.
    #[inline]
    pub fn drift(&self, position: &[f64], velocity: &[f64], time: f64, out: &mut [f64]) {
        let n = out.len();
        let (position, velocity, scale) = (&position[..n], &velocity[..n], &self.scale[..n]);
        for i in 0..n {
            out[i] = position[i] + time * velocity[i] * scale[i];
        }
    }

    /// Writes `T' gradient` to `out`.
    #[inline]
    pub fn pull(&self, gradient: &[f64], out: &mut [f64]) {
        let n = out.len();
        let (gradient, scale) = (&gradient[..n], &self.scale[..n]);
        for i in 0..n {
            out[i] = scale[i] * gradient[i];
        }
    }

    /// Replaces `x` by `T^-1 x`.
    pub fn whiten(&self, x: &mut [f64]) {
        x.iter_mut().zip(&self.scale).for_each(|(x, s)| *x /= s);
    }

    /// Replaces `g` by `T'^-1 g`.
    pub fn unpull(&self, g: &mut [f64]) {
        self.whiten(g);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_is_the_transpose_of_drift() {
        let mut metric = Diagonal::unit(3);
        metric.set_variances([4.0, 9.0, 0.25].into_iter());
        let (velocity, gradient) = ([1.0, -2.0, 3.0], [0.5, 0.25, -1.0]);
        let (mut pushed, mut pulled) = ([0.0; 3], [0.0; 3]);
        metric.drift(&[0.0; 3], &velocity, 1.0, &mut pushed);
        metric.pull(&gradient, &mut pulled);
        assert_eq!(pushed, [2.0, -6.0, 1.5]);
        let dot = |a: [f64; 3], b: [f64; 3]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        assert_eq!(dot(pushed, gradient), dot(velocity, pulled));
    }

    #[test]
    fn a_useless_variance_leaves_the_old_scale() {
        let mut metric = Diagonal::unit(5);
        metric.set_variances([4.0; 5].into_iter());
        metric.set_variances([0.0, f64::NAN, f64::INFINITY, -1.0, 1e300].into_iter());
        assert_eq!(metric.scale(), [2.0, 2.0, 2.0, 2.0, 1e10]);
    }
}
