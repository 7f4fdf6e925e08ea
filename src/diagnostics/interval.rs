//! Intervals that hold a given share of the draws.

use super::Draws;

const NONE: [f64; 2] = [f64::NAN; 2];

impl Draws<'_> {
    /// Highest-density interval of a distribution with one mode: the shortest between two draws that are
    /// floor(probability S) apart in ascending order, the lowest of equally short ones (Chen and Shao 1999).
    pub fn hdi(&mut self, probability: f64) -> [f64; 2] {
        if self.is_empty() || self.has_nan || !(probability > 0.0 && probability <= 1.0) {
            return NONE;
        }
        let last = self.len() - 1;
        let apart = ((probability * self.len() as f64).floor() as usize).min(last);
        let sorted = self.sorted();
        let width = |low: usize| sorted[low + apart].0 - sorted[low].0;
        let mut best = 0;
        for low in 0..=last - apart {
            // NaN is the width from infinity to infinity, which is short.
            if width(low).is_nan() {
                best = low;
                break;
            }
            if width(low) < width(best) {
                best = low;
            }
        }
        [sorted[best].0, sorted[best + apart].0]
    }

    /// Equal-tailed interval: the quantiles at (1 - probability) / 2 and 1 minus that.
    pub fn eti(&mut self, probability: f64) -> [f64; 2] {
        let tail = (1.0 - probability) / 2.0;
        [self.quantile(tail), self.quantile(1.0 - tail)]
    }
}
