//! How good a metric is, told by points that it was not fitted to.
//!
//! In whitened coordinates let a be the largest eigenvalue of the draws' covariance and b_i all
//! those of the gradients'. A trajectory has to be about sqrt(a) long; the energy error of its steps
//! grows with h^2 times the root of the sum of squares of the curvatures, whose means the b_i are,
//! so that h goes with mean(b_i^2)^-1/4. Hence leapfrogs a draw go with
//!
//! ```text
//! cost = a^1/2 mean(b_i^2)^1/4
//! ```
//!
//! It is 1 for a normal with its own metric and does not depend on the metric's overall scale, so that metrics can
//! be compared. The Fisher divergence, sum of both kinds of eigenvalues, cannot choose between metrics that are
//! not its own minima: far from normal the sum over all gradients outweighs the one direction of the draws that
//! trajectories have to follow, and it takes the Fisher diagonal where the variances need fewer steps.

use super::covariance::multiply;
use super::economy::Economy;
use super::fit::{self, MOST_DENSE, fitted};
use super::points::{Points, mean};
use super::{Diagonal, Metric};
use crate::sampler::settings::MetricKind;

/// Points that the cost is computed from at most: it takes a square matrix of them.
const MOST_POINTS: usize = 200;
/// Multiplications by the covariance that bring out its largest eigenvector.
const POWER_STEPS: usize = 30;
/// Blocks of neighbouring points that are judged by apart.
const BLOCKS: usize = 3;
/// Fewer points in a block say nothing.
const LEAST_BLOCK: usize = 6;
/// Fewer points to fit to do not either.
const LEAST_FIT: usize = 20;
/// A metric that costs more to fit and to apply must need less time by this, beyond the error of the comparison: in logarithms.
const ADVANTAGE: f64 = 0.03;
/// Fits that a candidate must be able to pay for by the time that it saves: two to judge it and one to use it.
const FITS: f64 = 3.0;
/// Where a dense metric's steps are longer than those of a low-rank one by this, in logarithms, both are tried.
const HEAVY: f64 = 0.1;

/// Points to fit to, and later or earlier ones to judge by.
type Fold = [Points; 2];

/// The halves of the points in both roles, if a half is enough for a fit; else the first points that are enough and
/// those after them; none if there are too few.
///
/// A dense metric of a normal is exact from d + 2 points on; of fewer it says more about these points than about the posterior.
fn folds(points: &Points) -> Vec<Fold> {
    let (n, dim) = (points.len(), points.dim());
    let enough = if dim > MOST_DENSE {
        LEAST_FIT
    } else {
        (dim + 2).max(LEAST_FIT)
    };
    let split = (n / 2).max(enough);
    if n < split + BLOCKS * LEAST_BLOCK {
        return Vec::new();
    }
    let (older, newer) = (points.select(0..split), points.select(split..n));
    let mut folds = vec![[older.clone(), newer.clone()]];
    if n - split >= enough {
        folds.push([newer, older]);
    }
    folds
}

/// What the candidates are held against each other with.
struct Judge<'a> {
    folds: Vec<Fold>,
    diagonal: &'a Diagonal,
    economy: &'a Economy,
}

impl Judge<'_> {
    /// Logarithms of the time a draw under metrics of this kind, one a block that they were not fitted to.
    fn log_times(&self, kind: MetricKind) -> Vec<f64> {
        let of_fold = |[fit, judge]: &Fold| {
            let metric = fitted(kind, fit, &mut self.diagonal.clone(), self.economy);
            let step = self.economy.log_step(metric.work(fit.dim()));
            log_costs(&metric, judge).map(|cost| cost + step)
        };
        self.folds.iter().flat_map(of_fold).collect()
    }
}

/// The kind that promises most on points that it was not fitted to; none if they are too few to tell.
///
/// A kind is taken in place of a simpler one if the gain exceeds its own error, told by blocks of neighbouring points: a funnel's mouth and
/// neck want different metrics, so that what one block gains by a metric of the others another loses. It is tried only if, were it perfect,
/// it would save more time than its trial and those that failed before; the `last` choice is kept where that no longer pays for another.
pub fn choose(
    points: &Points,
    diagonal: &Diagonal,
    economy: &mut Economy,
    last: MetricKind,
) -> Option<MetricKind> {
    let (n, dim) = (points.len(), points.dim());
    let judge = Judge {
        folds: folds(points),
        diagonal,
        economy,
    };
    let judged = judge.folds.first()?[1].len();
    let least = least_log_cost(dim, judged);
    let log_step = |kind| economy.log_step(fit::least_work(kind, dim));
    let full = if dim > MOST_DENSE {
        vec![MetricKind::LowRank]
    } else if log_step(MetricKind::Dense) > log_step(MetricKind::LowRank) + HEAVY {
        vec![MetricKind::Dense, MetricKind::LowRank]
    } else {
        vec![MetricKind::Dense]
    };
    let mut best = (MetricKind::Diag, judge.log_times(MetricKind::Diag));
    let mut failed = 0.0;
    for kind in [vec![MetricKind::DrawDiag], full].concat() {
        let excess = average(&best.1) - log_step(kind) - least;
        let work = fit::least_work(kind, dim);
        let saving = economy.run(excess, work) - economy.run(0.0, work);
        let price = fit::price(kind, dim, n);
        if saving < economy.wasted() + FITS * price {
            if saving > 0.0 && kind == last {
                return Some(last);
            }
            continue;
        }
        let times = judge.log_times(kind);
        let gains: Vec<f64> = best.1.iter().zip(&times).map(|(b, t)| b - t).collect();
        if average(&gains) > ADVANTAGE + standard_error(&gains) {
            best = (kind, times);
        } else {
            failed += (FITS - 1.0) * price;
        }
    }
    economy.waste(failed);
    Some(best.0)
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard error of the mean.
fn standard_error(values: &[f64]) -> f64 {
    let (n, mean) = (values.len() as f64, average(values));
    let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
    (squares / (n - 1.0) / n).sqrt()
}

/// Symmetric (m, m) matrix with the eigenvalues other than 0 of the covariance of rows around 0.
fn gram(rows: &[f64], dim: usize) -> (usize, Vec<f64>) {
    let n = rows.len() / dim;
    let mut gram = if n < dim {
        multiply([n, dim, n], [false, true], rows, rows)
    } else {
        multiply([dim, n, dim], [true, false], rows, rows)
    };
    gram.iter_mut().for_each(|c| *c /= n as f64);
    (n.min(dim), gram)
}

/// The largest eigenvalue, by power iteration.
fn largest(m: usize, a: &[f64]) -> f64 {
    let top = (0..m).fold(0, |i, j| if a[j * m + j] > a[i * m + i] { j } else { i });
    let mut v = a[top * m..(top + 1) * m].to_vec();
    for _ in 0..POWER_STEPS {
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
        v = multiply([m, m, 1], [false, false], a, &v);
    }
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// How far whitened gradients are from those of a standard normal, the mean of |y + g|^2 around its own mean.
///
/// On draws of a normal whose whitened covariance has the eigenvalues w_i it is the sum of w_i + 1 / w_i - 2, which
/// bounds every one of them. A few points are enough: where all w_i are 1 it is 0 for any.
pub fn residual(metric: &Metric, points: &Points) -> f64 {
    let dim = points.dim();
    let centre = mean(&points.draws, dim);
    let (mut y, mut g) = (vec![0.0; dim], vec![0.0; dim]);
    let (mut squares, mut sum) = (0.0, vec![0.0; dim]);
    let rows = points.draws.chunks_exact(dim);
    for (draw, gradient) in rows.zip(points.gradients.chunks_exact(dim)) {
        let offsets = draw.iter().zip(&centre);
        y.iter_mut().zip(offsets).for_each(|(y, (x, c))| *y = x - c);
        metric.whiten(&mut y);
        metric.pull(gradient, &mut g);
        for ((y, g), sum) in y.iter().zip(&g).zip(&mut sum) {
            squares += (y + g) * (y + g);
            *sum += y + g;
        }
    }
    let n = points.len() as f64;
    squares / n - sum.iter().map(|s| (s / n) * (s / n)).sum::<f64>()
}

/// Logarithms of the leapfrog steps a draw that the metric promises, one a block of neighbouring points, up to a
/// constant that is the same for every metric.
fn log_costs(metric: &Metric, points: &Points) -> [f64; BLOCKS] {
    let points = points.thinned(MOST_POINTS);
    let blocks = points.blocks::<BLOCKS>();
    blocks.map(|block| log_cost(metric, &block))
}

/// The same of points that are one block.
fn log_cost(metric: &Metric, points: &Points) -> f64 {
    let dim = points.dim();
    let centre = mean(&points.draws, dim);
    let (mut draws, mut gradients) = (points.draws.clone(), vec![0.0; points.gradients.len()]);
    for x in draws.chunks_exact_mut(dim) {
        x.iter_mut().zip(&centre).for_each(|(x, c)| *x -= c);
        metric.whiten(x);
    }
    let rows = points.gradients.chunks_exact(dim);
    for (g, out) in rows.zip(gradients.chunks_exact_mut(dim)) {
        metric.pull(g, out);
    }
    let (m, c_x) = gram(&draws, dim);
    let (_, c_g) = gram(&gradients, dim);
    let squares = c_g.iter().map(|c| c * c).sum::<f64>() / dim as f64;
    0.5 * largest(m, &c_x).ln() + 0.25 * squares.ln()
}

/// What [`log_costs`] finds with `n` points for a normal with its own metric, by the law of Marchenko and Pastur (1967).
fn least_log_cost(dim: usize, n: usize) -> f64 {
    let block = (n.min(MOST_POINTS) / BLOCKS).max(1);
    let ratio = dim as f64 / block as f64;
    ratio.sqrt().ln_1p() + 0.25 * ratio.ln_1p()
}
