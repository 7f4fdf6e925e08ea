//! The metric of each kind that is fitted to points, and what fitting it costs.

use super::covariance::{self, BASIS_POINTS};
use super::economy::Economy;
use super::points::{Points, variances};
use super::{Diagonal, Metric};
use crate::sampler::settings::MetricKind;

/// More dimensions than this take the low-rank metric where fewer take the dense one.
pub const MOST_DENSE: usize = 128;

/// The metric of one kind that is fitted to the points; the diagonal one where there is none. `diagonal` is the last one.
pub fn fitted(
    kind: MetricKind,
    points: &Points,
    diagonal: &mut Diagonal,
    economy: &Economy,
) -> Metric {
    let dim = points.dim();
    let draws = variances(&points.draws, dim);
    if kind == MetricKind::DrawDiag {
        diagonal.set_variances(draws.into_iter());
    } else {
        let gradients = variances(&points.gradients, dim);
        diagonal.set_variances(draws.iter().zip(gradients).map(|(x, g)| (x / g).sqrt()));
    }
    let scale = diagonal.scale();
    let full = match kind {
        MetricKind::Dense => covariance::dense(points, scale).map(Metric::Dense),
        MetricKind::LowRank => {
            let weight = |rank| economy.log_step(Metric::low_rank_work(dim, rank)).exp();
            let most = economy.affordable_rank();
            covariance::low_rank(points, scale, most, weight).map(Metric::LowRank)
        }
        MetricKind::Auto | MetricKind::Diag | MetricKind::DrawDiag => None,
    };
    full.unwrap_or_else(|| Metric::Diagonal(diagonal.clone()))
}

/// Nanoseconds, roughly, that [`fitted`] takes for `n` points: what `cargo bench --bench sampler` measured, in round numbers.
pub fn price(kind: MetricKind, dim: usize, n: usize) -> f64 {
    let (d, n) = (dim as f64, n as f64);
    let simple = 10.0 * n * d;
    match kind {
        MetricKind::Dense => simple + 0.25 * n * d * d + 3.0 * d * d * d,
        MetricKind::LowRank => {
            let spanned = 2.0 * n.min(BASIS_POINTS as f64);
            let m = d.min(spanned);
            let basis = if spanned < d { 6.0 * d * m * m } else { 0.0 };
            simple + 0.5 * n * d * m + 4.0 * m * m * m + basis
        }
        MetricKind::Auto | MetricKind::Diag | MetricKind::DrawDiag => simple,
    }
}

/// Nanoseconds that a leapfrog step under a metric of this kind takes at least beyond the density.
pub fn least_work(kind: MetricKind, dim: usize) -> f64 {
    match kind {
        MetricKind::Dense => Metric::dense_work(dim),
        MetricKind::LowRank => Metric::low_rank_work(dim, 1),
        MetricKind::Auto | MetricKind::Diag | MetricKind::DrawDiag => Metric::diagonal_work(dim),
    }
}
