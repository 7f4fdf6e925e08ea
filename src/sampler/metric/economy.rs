//! What a chain's time goes into, steps and fits of metrics: from counts alone, so that draws do not depend on the machine.

use super::Metric;

/// Leapfrog steps a draw on a standard normal go with the fourth root of its dimension, times this.
const STEPS: f64 = 4.0;
/// Refits take at most this share of the time that trajectories have taken.
const SHARE: f64 = 0.5;
/// Power of a step's time that its steps are weighed with. The number of gradients is the first aim, and the time of cheap ones is known to a factor
/// of two: 0 would count gradients alone, 1 time alone.
const WEIGHT: f64 = 0.5;
/// Directions that a low-rank metric may have however little a gradient takes.
const LEAST_RANK: usize = 8;
/// A gradient of which nothing is known counts as that many nanoseconds.
const UNKNOWN: f64 = 1e9;

/// The account of one chain, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Economy {
    dim: usize,
    /// Of a gradient.
    gradient: f64,
    /// Draws of the chain, those of warm-up included.
    draws: u64,
    /// What refits may still take.
    credit: f64,
    /// What trials took of metrics that were not better.
    wasted: f64,
}

impl Economy {
    /// The account of a chain of so many draws from a density whose gradient takes `gradient` nanoseconds.
    pub fn new(gradient: f64, dim: usize, draws: u64) -> Self {
        Self {
            dim,
            gradient: gradient.clamp(1.0, UNKNOWN),
            draws,
            credit: 0.0,
            wasted: 0.0,
        }
    }

    /// Trajectories of so many steps were made under `metric`.
    pub fn earn(&mut self, steps: u64, metric: &Metric) {
        self.credit += SHARE * steps as f64 * self.step(metric.work(self.dim));
    }

    /// What several chains have earned, in place of its own: their refits are one.
    pub fn pool<'a>(&mut self, accounts: impl Iterator<Item = &'a Self>) {
        self.credit = accounts.map(|account| account.credit).sum();
    }

    /// Pays for a refit; says whether there was enough.
    pub fn pay(&mut self, price: f64) -> bool {
        let enough = price <= self.credit;
        if enough {
            self.credit -= price;
        }
        enough
    }

    /// How many directions a low-rank metric may have so that applying them takes no longer than a gradient.
    pub fn affordable_rank(&self) -> usize {
        let direction = Metric::low_rank_work(self.dim, 1) - Metric::low_rank_work(self.dim, 0);
        ((self.gradient / direction) as usize).max(LEAST_RANK)
    }

    /// Time of a leapfrog step under a metric that takes `work`.
    pub fn step(&self, work: f64) -> f64 {
        self.gradient + work
    }

    /// What a step under a metric that takes `work` weighs against others, in logarithms.
    pub fn log_step(&self, work: f64) -> f64 {
        WEIGHT * self.step(work).ln()
    }

    /// What trials took of metrics that were not better.
    pub fn wasted(&self) -> f64 {
        self.wasted
    }

    /// A trial that took so long found nothing better.
    pub fn waste(&mut self, time: f64) {
        self.wasted += time;
    }

    /// Time of all trajectories if draws need exp(`excess`) times the steps of those from a normal with its own metric.
    pub fn run(&self, excess: f64, work: f64) -> f64 {
        let least = STEPS * (self.dim as f64).sqrt().sqrt() * self.draws as f64;
        least * libm::exp(excess) * self.step(work)
    }
}
