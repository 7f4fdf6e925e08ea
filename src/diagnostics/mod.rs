//! Convergence diagnostics: what the draws of a scalar quantity say about the sampler and about their own error.
//!
//! With S draws in all, of M chains of N:
//!
//! - `ranks.rs`: draws in order; their quantiles; normal scores of their ranks, plain and folded.
//! - `rhat.rs`: rank-normalised split R-hat.
//! - `autocovariance.rs`, `ess.rs`: effective sample sizes, that is S / tau with tau the sum of all autocorrelations.
//! - `mcse.rs`: Monte Carlo standard errors of mean, standard deviation and quantiles.
//! - `interval.rs`: highest-density and equal-tailed intervals.
//! - `energy.rs`: estimated Bayesian fraction of missing information (BFMI).
//! - `parallel.rs`: all elements of arrays of draws, on all cores.
//!
//! Source of R-hat, ESS and MCSE: Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), "Rank-normalization,
//! folding, and localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2),
//! arXiv:1903.08008. Values are ArviZ 1.x's to rounding (`tests/diagnostics`), with two exceptions, where ArviZ
//! returns what is left of rounding: chains that do not move have the variance 0 exactly, and an interval of
//! draws with NaN is NaN on both sides.
//!
//! A [`Workspace`] belongs to a thread and allocates little more than a few numbers a chain, unless draws are more
//! numerous than all before.

mod autocovariance;
mod energy;
mod ess;
mod interval;
mod mcse;
mod parallel;
mod ranks;
mod rhat;

pub use energy::bfmi;
pub use ess::Ess;
pub use parallel::{DrawArray, Measure, measure_all};

use autocovariance::Autocovariance;
use ranks::{Ranked, Scores};

/// Least number of draws a chain for R-hat, ESS and MCSE: two in each half.
const MIN_DRAWS: usize = 4;

/// Memory and FFT plans that diagnostics use again and again; one a thread.
#[derive(Default)]
pub struct Workspace {
    /// Draws in ascending order, each with its place among the half chains.
    sorted: Vec<Ranked>,
    /// Those of `sorted` that get a rank, or their distances from the median in ascending order.
    ranked: Vec<Ranked>,
    folded: Vec<Ranked>,
    scores: Scores,
    /// Values on the half chains, one half chain after the other.
    halves: Vec<f64>,
    autocovariance: Autocovariance,
    /// Autocorrelations.
    rho: Vec<f64>,
}

impl Workspace {
    /// Takes the draws of one quantity, a slice a chain; longer chains are cut to the length of the shortest.
    pub fn draws<'a>(&'a mut self, chains: &'a [&'a [f64]]) -> Draws<'a> {
        let length = chains.iter().map(|chain| chain.len()).min().unwrap_or(0);
        let has_nan = chains
            .iter()
            .any(|chain| chain[..length].iter().any(|x| x.is_nan()));
        Draws {
            chains,
            length,
            has_nan,
            is_sorted: false,
            work: self,
        }
    }
}

/// Draws of one quantity. What cannot be computed is NaN: there is a NaN among the draws, or too few of them.
pub struct Draws<'a> {
    chains: &'a [&'a [f64]],
    length: usize,
    has_nan: bool,
    is_sorted: bool,
    work: &'a mut Workspace,
}

impl Draws<'_> {
    /// Number of draws of all chains.
    pub fn len(&self) -> usize {
        self.chains.len() * self.length
    }

    /// Whether there is no draw.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.chains
            .iter()
            .flat_map(|chain| chain[..self.length].iter().copied())
    }

    /// Whether there are enough draws for the two halves of each chain, and no NaN.
    fn can_be_split(&self) -> bool {
        !self.has_nan && !self.chains.is_empty() && self.length >= MIN_DRAWS
    }

    /// Draws in half a chain; the middle draw of an odd number belongs to neither half.
    fn half(&self) -> usize {
        self.length / 2
    }

    /// Puts `f(x)` of the draws x on the half chains.
    fn split(&mut self, f: impl Fn(f64) -> f64) {
        let half = self.half();
        self.work.halves.clear();
        for chain in self.chains {
            let ends = [&chain[..half], &chain[self.length - half..self.length]];
            self.work
                .halves
                .extend(ends.into_iter().flatten().map(|&x| f(x)));
        }
    }

    /// Mean of all draws.
    pub fn mean(&self) -> f64 {
        mean(self.values())
    }

    /// Standard deviation of all draws, with the divisor S - 1.
    pub fn sd(&self) -> f64 {
        mean_and_variance(self.values()).1.sqrt()
    }
}

/// The mean, by differences from the first value: exact where all are equal.
fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let Some(first) = values.clone().next() else {
        return f64::NAN;
    };
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| {
        (sum + (x - first), count + 1.0)
    });
    first + sum / count
}

/// Mean, and variance with the divisor n - 1; the variance of equal values is exactly 0.
fn mean_and_variance(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let mean = mean(values.clone());
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| {
        (sum + (x - mean) * (x - mean), count + 1.0)
    });
    (mean, sum / (count - 1.0))
}

#[cfg(test)]
mod tests;
