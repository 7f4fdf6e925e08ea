//! Effective sample sizes: how many independent draws would estimate as well.

use super::{Draws, Workspace, mean, mean_and_variance};

/// Range of values below which they count as constant (ArviZ's threshold).
const CONSTANT: f64 = 1e-15;

/// What is estimated; for each the ESS is that of the mean of a function of the draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ess {
    /// The bulk of the distribution: normal scores of the ranks.
    Bulk,
    /// The lesser of the ESS of two quantiles; Vehtari et al. (2021) take 0.05 and 0.95.
    Tail(f64, f64),
    /// The mean.
    Mean,
    /// The standard deviation: squared distances from the mean.
    Sd,
    /// A quantile q: the indicator x <= q.
    Quantile(f64),
}

impl Draws<'_> {
    /// Effective sample size, from the half chains; the number of draws where the function of them is constant.
    pub fn ess(&mut self, of: Ess) -> f64 {
        if !self.can_be_split() {
            return f64::NAN;
        }
        match of {
            Ess::Bulk => self.split_scores(),
            Ess::Tail(low, high) => {
                return self
                    .ess(Ess::Quantile(low))
                    .min(self.ess(Ess::Quantile(high)));
            }
            Ess::Mean => self.split(|x| x),
            Ess::Sd => {
                let mean = self.mean();
                self.split(|x| (x - mean) * (x - mean));
            }
            Ess::Quantile(p) if !(0.0..=1.0).contains(&p) => return f64::NAN,
            Ess::Quantile(p) => {
                let quantile = self.quantile(p);
                self.split(|x| f64::from(x <= quantile));
            }
        }
        let half = self.half();
        self.work.ess_of_halves(half)
    }
}

impl Workspace {
    /// ESS = S / tau with S = M N values on M half chains of N, where tau = 1 + 2 sum_t rho_t is estimated from
    ///
    /// rho_t = 1 - (W - gamma_t) / V,  W = gamma_0 N / (N - 1),  V = W (N - 1) / N + B / N,
    ///
    /// gamma_t the mean of the chains' autocovariances and B / N the variance of their means (equations 8 to 13 of
    /// Vehtari et al. 2021). The sum ends by Geyer's initial monotone sequence (1992, "Practical Markov chain
    /// Monte Carlo", Statistical Science 7(4)): pairs P_k = rho_2k + rho_2k+1 of a reversible chain are positive and
    /// decrease, so it ends before the first negative pair, and no pair counts more than the one before. tau is at
    /// least 1 / log10 S, as antithetic draws would let it vanish.
    pub(super) fn ess_of_halves(&mut self, n: usize) -> f64 {
        let halves = &self.halves;
        if !halves.iter().all(|x| x.is_finite()) {
            return f64::NAN;
        }
        let (least, greatest) = halves
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| {
                (a.min(x), b.max(x))
            });
        let count = halves.len() as f64;
        if greatest - least < CONSTANT {
            return count;
        }
        let means = halves
            .chunks_exact(n)
            .map(|half| mean(half.iter().copied()));
        let between = mean_and_variance(means.collect::<Vec<_>>().into_iter()).1;
        let gamma = self.autocovariance.mean(halves, n);
        let within = gamma[0] * n as f64 / (n as f64 - 1.0);
        let total = gamma[0] + between;
        let correlation = |t: usize| 1.0 - (within - gamma[t]) / total;

        let rho = &mut self.rho;
        rho.clear();
        rho.extend([1.0, correlation(1)]);
        // `next` is the pair after those that count; the last lags, which few products estimate, are left out.
        let mut next = [rho[0], rho[1]];
        let mut begin = 0;
        while begin + 4 < n && next[0] + next[1] > 0.0 {
            begin += 2;
            next = [correlation(begin), correlation(begin + 1)];
            let counts = next[0] + next[1] >= 0.0;
            rho.extend(if counts { next } else { [0.0; 2] });
        }
        // Of the last pair only its even half counts, once, even where the pair is negative.
        if next[0] > 0.0 {
            rho[begin] = next[0];
        }
        for k in (2..begin).step_by(2) {
            let before = rho[k - 2] + rho[k - 1];
            if rho[k] + rho[k + 1] > before {
                rho[k] = before / 2.0;
                rho[k + 1] = before / 2.0;
            }
        }
        if rho.iter().any(|x| x.is_nan()) {
            return f64::NAN;
        }
        let tau = 2.0 * rho[..begin].iter().sum::<f64>() - 1.0 + rho[begin];
        count / tau.max(1.0 / count.log10())
    }
}
