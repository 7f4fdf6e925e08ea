//! Rank-normalised split R-hat: whether chains, and the halves of a chain, look alike.

use super::{Draws, mean, mean_and_variance};

impl Draws<'_> {
    /// The greater of R-hat of the normal scores of the draws and of their distances from the median.
    ///
    /// R-hat = sqrt(((N - 1) / N W + B / N) / W) of the half chains (N draws each), with W the mean of their
    /// variances and B / N the variance of their means; 1 where all agree. Normal scores make it work without
    /// moments; distances from the median show chains that differ in spread (Vehtari et al. 2021, section 4).
    /// NaN for a single chain; infinite where chains stand still at different places.
    pub fn rhat(&mut self) -> f64 {
        if !self.can_be_split() || self.chains.len() < 2 {
            return f64::NAN;
        }
        self.split_scores();
        let bulk = self.rhat_of_halves();
        if !self.split_folded_scores() {
            return bulk;
        }
        let tail = self.rhat_of_halves();
        // A tie of all distances makes `tail` NaN, which says nothing; one of all draws makes `bulk` NaN.
        if tail > bulk { tail } else { bulk }
    }

    fn rhat_of_halves(&self) -> f64 {
        let n = self.half() as f64;
        let halves = self.work.halves.chunks_exact(self.half());
        let moments: Vec<_> = halves
            .map(|half| mean_and_variance(half.iter().copied()))
            .collect();
        let between = n * mean_and_variance(moments.iter().map(|&(mean, _)| mean)).1;
        let within = mean(moments.iter().map(|&(_, variance)| variance));
        ((between / within + n - 1.0) / n).sqrt()
    }
}
