//! What is told of each scalar of a fit.

use crate::diagnostics::{Ess, Workspace};

/// An interval that holds a given share of the draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interval {
    /// Highest-density interval.
    Hdi(f64),
    /// Equal-tailed interval.
    Eti(f64),
}

/// Number of statistics: mean, sd, median, lower and upper bound of the interval, standard errors of the mean and the sd,
/// bulk and tail effective sample size, R-hat.
pub const STATISTICS: usize = 10;

/// Probabilities of the quantiles of the tail's effective sample size.
const TAILS: [f64; 2] = [0.05, 0.95];

/// Appends the [`STATISTICS`] of a scalar to `values`.
pub fn summarise(
    workspace: &mut Workspace,
    chains: &[&[f64]],
    interval: Interval,
    values: &mut Vec<f64>,
) {
    let mut draws = workspace.draws(chains);
    let [low, high] = match interval {
        Interval::Hdi(probability) => draws.hdi(probability),
        Interval::Eti(probability) => draws.eti(probability),
    };
    let statistics: [f64; STATISTICS] = [
        draws.mean(),
        draws.sd(),
        draws.quantile(0.5),
        low,
        high,
        draws.mcse_mean(),
        draws.mcse_sd(),
        draws.ess(Ess::Bulk),
        draws.ess(Ess::Tail(TAILS[0], TAILS[1])),
        draws.rhat(),
    ];
    values.extend(statistics);
}
