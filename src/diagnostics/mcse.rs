//! Monte Carlo standard errors: how far an estimate from these draws may be from the exact value.

use super::{Draws, Ess, mean};
use crate::kernels::math::{beta_density, betainc};
use crate::kernels::simd::Portable;

/// Phi(-1) and Phi(1): an interval of one standard error to both sides.
const ONE_SIGMA: [f64; 2] = [0.1586553, 0.8413447];

impl Draws<'_> {
    /// Standard error of the mean: sd / sqrt(ESS of the mean).
    pub fn mcse_mean(&mut self) -> f64 {
        if !self.can_be_split() {
            return f64::NAN;
        }
        self.sd() / self.ess(Ess::Mean).sqrt()
    }

    /// Standard error of the standard deviation, by the delta method from that of the variance:
    /// sqrt((E c^4 - (E c^2)^2) / ESS / (4 E c^2)) with c = x - mean and ESS that of the mean of c^2
    /// (Kenney and Keeping 1951, p. 141; Vehtari et al. 2021, section 4).
    pub fn mcse_sd(&mut self) -> f64 {
        if !self.can_be_split() {
            return f64::NAN;
        }
        let ess = self.ess(Ess::Sd);
        let center = self.mean();
        let squares = self.values().map(|x| (x - center) * (x - center));
        let second = mean(squares.clone());
        let fourth = mean(squares.map(|square| square * square));
        ((fourth - second * second) / ess / second / 4.0).sqrt()
    }

    /// Standard error of the quantile at probability p: half the distance of the order statistics at the 16 % and
    /// the 84 % quantile of Beta(ESS p + 1, ESS (1 - p) + 1), the distribution of the share of draws below it
    /// (Vehtari et al. 2021, section 4.4).
    pub fn mcse_quantile(&mut self, p: f64) -> f64 {
        if !self.can_be_split() || !(0.0..=1.0).contains(&p) {
            return f64::NAN;
        }
        let ess = self.ess(Ess::Quantile(p));
        let position = |probability| {
            let share = beta_quantile(probability, ess * p + 1.0, ess * (1.0 - p) + 1.0);
            share * self.len() as f64 - 1.0
        };
        let [low, high] = ONE_SIGMA.map(position);
        let last = self.len() - 1;
        let sorted = self.sorted();
        let low = sorted[(low.max(0.0).floor() as usize).min(last)].0;
        let high = sorted[(high.max(0.0).ceil() as usize).min(last)].0;
        (high - low) / 2.0
    }
}

/// The x with I_x(a, b) = `probability`, for a, b >= 1: Newton's method, bisecting where that leaves the bracket.
pub(super) fn beta_quantile(probability: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    let mut x = a / (a + b);
    for _ in 0..100 {
        let excess = betainc::<Portable>([a, b, x]) - probability;
        if excess > 0.0 {
            high = x
        } else {
            low = x
        }
        let newton = x - excess / beta_density([a, b, x]);
        let next = if newton > low && newton < high {
            newton
        } else {
            0.5 * (low + high)
        };
        if (next - x).abs() <= f64::EPSILON * x {
            return next;
        }
        x = next;
    }
    x
}
