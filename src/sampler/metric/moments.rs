//! Estimates the metric from running moments of draws and gradients.
//!
//! - Fisher: sigma_i^2 = sqrt(Var(x_i) / Var(g_i)), which minimises the Fisher divergence between
//!   the posterior and a normal with that diagonal (Seyboldt, Carlson and Carpenter 2026,
//!   arXiv:2603.18845). For an independent normal both variances alone give its scale, exactly.
//! - Draw variance: sigma_i^2 = Var(x_i), shrunk towards 1e-3 as in Stan.

use super::{Diagonal, Metric};
use crate::sampler::settings::MetricKind;

/// With fewer points the variances say too little.
const MIN_POINTS: u64 = 3;

/// Sums of squares of draws and gradients around their means, by Welford's recurrence.
#[derive(Debug, Clone)]
struct Moments {
    count: u64,
    draw_mean: Vec<f64>,
    draw_squares: Vec<f64>,
    gradient_mean: Vec<f64>,
    gradient_squares: Vec<f64>,
}

impl Moments {
    fn new(dim: usize) -> Self {
        let zeros = || vec![0.0; dim];
        Self {
            count: 0,
            draw_mean: zeros(),
            draw_squares: zeros(),
            gradient_mean: zeros(),
            gradient_squares: zeros(),
        }
    }

    fn clear(&mut self) {
        self.count = 0;
        self.draw_mean.fill(0.0);
        self.draw_squares.fill(0.0);
        self.gradient_mean.fill(0.0);
        self.gradient_squares.fill(0.0);
    }

    fn add(&mut self, draw: &[f64], gradient: &[f64]) {
        self.count += 1;
        let weight = 1.0 / self.count as f64;
        welford(draw, weight, &mut self.draw_mean, &mut self.draw_squares);
        welford(
            gradient,
            weight,
            &mut self.gradient_mean,
            &mut self.gradient_squares,
        );
    }

    fn write_to(&self, kind: MetricKind, metric: &mut Diagonal) {
        let n = self.count as f64;
        match kind {
            MetricKind::Fisher => metric.set_variances(
                self.draw_squares
                    .iter()
                    .zip(&self.gradient_squares)
                    .map(|(x, g)| (x / g).sqrt()),
            ),
            MetricKind::DrawVariance => metric.set_variances(
                self.draw_squares
                    .iter()
                    .map(|x| (n * x / (n - 1.0) + 5.0 * 1e-3) / (n + 5.0)),
            ),
        }
    }
}

fn welford(values: &[f64], weight: f64, mean: &mut [f64], squares: &mut [f64]) {
    for ((value, mean), squares) in values.iter().zip(mean).zip(squares) {
        let before = value - *mean;
        *mean += weight * before;
        *squares += before * (value - *mean);
    }
}

/// The two estimators of warm-up: the metric comes from the foreground, the background is the
/// foreground to come.
#[derive(Debug, Clone)]
pub struct MetricAdaptation {
    kind: MetricKind,
    foreground: Moments,
    background: Moments,
}

impl MetricAdaptation {
    /// Two empty estimators.
    pub fn new(kind: MetricKind, dim: usize) -> Self {
        Self {
            kind,
            foreground: Moments::new(dim),
            background: Moments::new(dim),
        }
    }

    /// Adds a draw and its gradient to both estimators.
    pub fn add(&mut self, draw: &[f64], gradient: &[f64]) {
        self.foreground.add(draw, gradient);
        self.background.add(draw, gradient);
    }

    /// Number of points in the background.
    pub fn background_count(&self) -> u64 {
        self.background.count
    }

    /// Puts the background in front and starts a new, empty one.
    pub fn switch(&mut self) {
        std::mem::swap(&mut self.foreground, &mut self.background);
        self.background.clear();
    }

    /// Sets `metric` from the foreground; says whether it held enough points.
    pub fn update(&self, metric: &mut Metric) -> bool {
        if self.foreground.count < MIN_POINTS {
            return false;
        }
        match metric {
            Metric::Diagonal(diagonal) => self.foreground.write_to(self.kind, diagonal),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng::ChainRng;

    /// The scales estimated from `n` draws of independent normals with these scales.
    fn estimate(kind: MetricKind, scales: &[f64], n: usize) -> Vec<f64> {
        let mut adaptation = MetricAdaptation::new(kind, scales.len());
        let mut rng = ChainRng::new(1);
        let mut draw = vec![0.0; scales.len()];
        for _ in 0..n {
            rng.fill_normal(&mut draw);
            let x: Vec<f64> = draw.iter().zip(scales).map(|(z, s)| 5.0 + s * z).collect();
            let g: Vec<f64> = draw.iter().zip(scales).map(|(z, s)| -z / s).collect();
            adaptation.add(&x, &g);
        }
        let mut metric = Metric::unit(scales.len());
        assert!(adaptation.update(&mut metric));
        let Metric::Diagonal(diagonal) = metric;
        diagonal.scale().to_vec()
    }

    #[test]
    fn fisher_is_exact_on_independent_normals_after_few_draws() {
        let scales = [1e-4, 1.0, 3e5];
        for (estimated, scale) in estimate(MetricKind::Fisher, &scales, 5).iter().zip(scales) {
            assert!((estimated / scale - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn draw_variance_converges_to_the_scales() {
        let scales = [0.5, 1.0, 300.0];
        let n = 4000;
        for (estimated, scale) in estimate(MetricKind::DrawVariance, &scales, n)
            .iter()
            .zip(scales)
        {
            let standard_error = 1.0 / (2.0 * n as f64).sqrt();
            assert!((estimated / scale - 1.0).abs() < 5.0 * standard_error);
        }
    }

    #[test]
    fn a_switch_forgets_what_came_before_the_background() {
        let mut adaptation = MetricAdaptation::new(MetricKind::Fisher, 1);
        for x in [1e6, -1e6, 2e6] {
            adaptation.add(&[x], &[-x]);
        }
        adaptation.switch();
        assert_eq!(adaptation.background_count(), 0);
        for x in [1.0, 2.0, 3.0] {
            adaptation.add(&[x], &[-x / 16.0]);
        }
        adaptation.switch();
        let mut metric = Metric::unit(1);
        assert!(adaptation.update(&mut metric));
        let Metric::Diagonal(diagonal) = &metric;
        assert!((diagonal.scale()[0] - 4.0).abs() < 1e-12);
    }

    #[test]
    fn too_few_points_change_nothing() {
        let mut adaptation = MetricAdaptation::new(MetricKind::Fisher, 1);
        adaptation.add(&[1.0], &[1.0]);
        adaptation.add(&[2.0], &[5.0]);
        assert!(!adaptation.update(&mut Metric::unit(1)));
    }
}
