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
//!
//! The largest eigenvalue of few points in many dimensions is mostly noise, so a is looked for along a few directions: those in which the
//! points of the fit vary most where the diagonal metric whitens, and those in which a candidate differs most from it. The other points tell the
//! variance along them without bias.

use super::agreement::times_ratio;
use super::covariance::{multiply, transposed, triangle};
use super::economy::Economy;
use super::fit::{self, MOST_DENSE, fitted};
use super::points::{Points, mean, scaled_offsets, variances};
use super::{Diagonal, Metric};
use crate::sampler::settings::MetricKind;
use crate::sampler::vector::{accumulate, dot};

/// A block of more points than this times the dimension is condensed.
const MANY: usize = 6;
/// Directions of each sort that metrics are looked at along.
const PROBES: usize = 2;
/// Points that the cost is computed from at most: it takes a square matrix of a block of them.
const MOST_POINTS: usize = 200;
/// Multiplications by a matrix that bring out its largest eigenvector, at most.
const POWER_STEPS: usize = 30;
/// They end where the eigenvalue changes by less than this share of it.
const CONVERGED: f64 = 1e-3;
/// A variance told by gradients counts up to this multiple of the root of the product of that of the draws and one over that of the gradients.
const TRUSTED: f64 = 2.0;
/// Blocks of neighbouring points that are judged by apart.
const BLOCKS: usize = 3;
/// Fewer points in a block say nothing.
const LEAST_BLOCK: usize = 6;
/// Fewer points to fit to do not either.
const LEAST_FIT: usize = 20;
/// A metric that costs more to fit and to apply must need less by this, steps weighed with their time, beyond the error of the comparison: in logarithms.
const ADVANTAGE: f64 = 0.03;
/// Steps more by which a draw may miss the fewest, in logarithms: beyond that their number decides, whatever their time.
const TOLERANCE: f64 = 0.1;
/// Fits that a candidate must be able to pay for by the time that it saves: two to judge it and one to use it.
const FITS: f64 = 3.0;
/// Share of what a perfect metric would save that has to pay for trials: few candidates are perfect.
const HOPE: f64 = 0.25;
/// Nanoseconds that judging a candidate takes beside its fits, at least.
const JUDGING: f64 = 5e4;
/// Excess that a metric may have though no block of draws shows it, in logarithms.
const UNSEEN: f64 = 0.1;
/// Where a dense metric's steps are longer than those of a low-rank one by this, in logarithms, both are tried.
const HEAVY: f64 = 0.1;

/// Points to fit to, and later or earlier ones to judge by.
struct Fold {
    fit: Points,
    blocks: [Block; BLOCKS],
    /// Directions along which draws may vary more than a metric has it.
    probes: Vec<Vec<f64>>,
}

impl Fold {
    fn new(fit: Points, judge: &Points) -> Self {
        let blocks = judge.thinned(MOST_POINTS).blocks::<BLOCKS>();
        Self {
            fit,
            blocks: blocks.map(|points| Block::new(&points)),
            probes: Vec::new(),
        }
    }
}

/// The first two thirds of the points, judged by the others, and the last two thirds; none if there are too few.
///
/// A dense metric of a normal is exact from d + 2 points on; of fewer it says more about these points than about the posterior.
fn folds(points: &Points) -> Option<[Fold; 2]> {
    let (n, dim) = (points.len(), points.dim());
    let enough = if dim > MOST_DENSE {
        LEAST_FIT
    } else {
        (dim + 2).max(LEAST_FIT)
    };
    let judged = (n / 3)
        .max(BLOCKS * LEAST_BLOCK)
        .min(n.checked_sub(enough)?);
    let range = |range| points.range(range);
    (judged >= BLOCKS * LEAST_BLOCK).then(|| {
        [
            Fold::new(range(0..n - judged), &range(n - judged..n)),
            Fold::new(range(judged..n), &range(0..judged)),
        ]
    })
}

/// What a block of neighbouring points says about a metric: their covariances.
struct Block {
    points: usize,
    /// Rows whose squares add up to those of the draws around their mean.
    draws: Vec<f64>,
    /// The same of the gradients around 0; products of a row's draws and gradients add up to theirs too.
    gradients: Vec<f64>,
    mean_gradient: Vec<f64>,
}

impl Block {
    fn new(points: &Points) -> Self {
        let (n, dim) = (points.len(), points.dim());
        let mut draws = scaled_offsets(&points.draws, &vec![1.0; dim]);
        let mut gradients = points.gradients.clone();
        if n >= MANY * dim {
            // Few rows in place of many, R in place of Q R: products of any two columns are the same.
            let columns = [
                transposed([n, dim], &draws),
                transposed([n, dim], &gradients),
            ];
            let r = triangle(n, columns.concat());
            let half = |first: usize| {
                let rows = r.chunks_exact(2 * dim);
                rows.flat_map(move |row| row[first..first + dim].iter().copied())
                    .collect()
            };
            (draws, gradients) = (half(0), half(dim));
        }
        Self {
            points: n,
            draws,
            gradients,
            mean_gradient: mean(&points.gradients, dim),
        }
    }
}

/// What the candidates are held against each other with.
struct Judge<'a> {
    folds: [Fold; 2],
    diagonal: &'a Diagonal,
    economy: &'a Economy,
}

/// A kind of metric, fitted to each fold, and what it promises on each block that it was not fitted to, in logarithms.
struct Promise {
    kind: MetricKind,
    metrics: Vec<Metric>,
    /// The part of the steps that the gradients tell.
    curvatures: Vec<f64>,
    /// Steps a draw.
    steps: Vec<f64>,
    /// What a draw costs: steps, weighed with their time.
    costs: Vec<f64>,
}

impl Promise {
    /// Whether it is better than that of a simpler kind, by more than the error of the comparison.
    fn beats(&self, simpler: &Self) -> bool {
        let (saved, saved_error) = difference(&simpler.steps, &self.steps);
        let (gain, gain_error) = difference(&simpler.costs, &self.costs);
        let cheaper = gain > ADVANTAGE + gain_error && saved > -TOLERANCE;
        cheaper || saved > TOLERANCE + saved_error
    }
}

impl Judge<'_> {
    /// A metric of this kind for each fold.
    fn fits(&self, kind: MetricKind) -> Vec<Metric> {
        let fit = |fold: &Fold| {
            let diagonal = &mut self.diagonal.clone();
            fitted(kind, &fold.fit, diagonal, self.economy)
        };
        self.folds.iter().map(fit).collect()
    }

    /// Looks, from now on, also along the directions in which draws vary most under these metrics.
    fn probe_draws(&mut self, metrics: &[Metric]) {
        for (fold, metric) in self.folds.iter_mut().zip(metrics) {
            fold.probes.extend(widest_of_draws(metric, &fold.fit));
        }
    }

    /// Looks, from now on, also along the directions in which these metrics and diagonal ones differ most.
    fn probe_differences(&mut self, metrics: &[Metric], diagonals: &[Metric]) {
        for (fold, (metric, diagonal)) in self.folds.iter_mut().zip(metrics.iter().zip(diagonals)) {
            let dim = fold.fit.dim();
            fold.probes.extend(widest(metric, diagonal, dim));
            fold.probes.extend(widest(diagonal, metric, dim));
        }
    }

    fn promise(&self, kind: MetricKind, metrics: Vec<Metric>) -> Promise {
        let folds = self.folds.iter().zip(&metrics);
        let of_fold = |(fold, metric): (&Fold, &Metric)| {
            let blocks = fold.blocks.each_ref();
            blocks.map(|block| log_curvature(metric, block))
        };
        let mut promise = Promise {
            kind,
            curvatures: folds.flat_map(of_fold).collect(),
            metrics,
            steps: Vec::new(),
            costs: Vec::new(),
        };
        self.look(&mut promise);
        promise
    }

    /// Works out steps and costs from all directions that are known by now.
    fn look(&self, promise: &mut Promise) {
        let mut curvatures = promise.curvatures.iter();
        (promise.steps, promise.costs) = (Vec::new(), Vec::new());
        for (fold, metric) in self.folds.iter().zip(&promise.metrics) {
            let views = Views::new(metric, &fold.probes);
            let step = self.economy.log_step(metric.work(fold.fit.dim()));
            for (block, curvature) in fold.blocks.iter().zip(&mut curvatures) {
                let steps = curvature + views.log_width(block);
                promise.steps.push(steps);
                promise.costs.push(steps + step);
            }
        }
    }
}

/// The directions in which a metric is wider than another by the largest factors: the first eigenvectors of its S where the other whitens.
fn widest(metric: &Metric, other: &Metric, dim: usize) -> Vec<Vec<f64>> {
    let (origin, mut pulled) = (vec![0.0; dim], vec![0.0; dim]);
    eigenvectors(other, dim, |v| {
        times_ratio(other, metric, &origin, &mut pulled, v);
    })
}

/// The directions in which draws vary most where a metric whitens: the first eigenvectors of their covariance there.
fn widest_of_draws(metric: &Metric, points: &Points) -> Vec<Vec<f64>> {
    let (n, dim) = (points.len(), points.dim());
    let mut draws = scaled_offsets(&points.draws, &vec![1.0; dim]);
    draws.chunks_exact_mut(dim).for_each(|x| metric.whiten(x));
    let gram = (dim <= n).then(|| multiply([dim, n, dim], [true, false], &draws, &draws));
    let mut product = vec![0.0; dim];
    let times_covariance = |v: &mut Vec<f64>| {
        product.fill(0.0);
        match &gram {
            Some(gram) => {
                for (v, row) in v.iter().zip(gram.chunks_exact(dim)) {
                    accumulate(&mut product, *v, row);
                }
            }
            None => {
                for x in draws.chunks_exact(dim) {
                    accumulate(&mut product, dot(x, v), x);
                }
            }
        }
        std::mem::swap(v, &mut product);
    };
    eigenvectors(metric, dim, times_covariance)
}

/// The first eigenvectors of a matrix in whitened coordinates, by power iteration, in the density's own.
fn eigenvectors(
    metric: &Metric,
    dim: usize,
    mut times_matrix: impl FnMut(&mut Vec<f64>),
) -> Vec<Vec<f64>> {
    let mut found: Vec<Vec<f64>> = Vec::new();
    for probe in 0..PROBES.min(dim) {
        let mut v: Vec<f64> = (0..dim).map(|i| 1.0 + ((i + probe) % 3) as f64).collect();
        let mut eigenvalue = 0.0;
        for _ in 0..POWER_STEPS {
            let last = std::mem::replace(&mut eigenvalue, normalised(&mut v, &found));
            if (eigenvalue - last).abs() < CONVERGED * eigenvalue {
                break;
            }
            times_matrix(&mut v);
        }
        normalised(&mut v, &found);
        found.push(v);
    }
    found.iter().map(|v| drifted(metric, v)).collect()
}

/// Takes what is along others out of `v` and gives it the length 1; returns the length that it had.
fn normalised(v: &mut [f64], others: &[Vec<f64>]) -> f64 {
    for other in others {
        let along = dot(other, v);
        accumulate(v, -along, other);
    }
    let length = dot(v, v).sqrt();
    v.iter_mut().for_each(|v| *v /= length);
    length
}

/// T v.
fn drifted(metric: &Metric, v: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; v.len()];
    metric.drift(&vec![0.0; v.len()], v, 1.0, &mut out);
    out
}

/// The kind that promises most on points that it was not fitted to; none if they are too few to tell.
///
/// A kind is taken in place of a simpler one if it needs fewer steps by more than [`TOLERANCE`], or within that less time, and if the gain exceeds its own error, told by blocks of neighbouring points: a funnel's mouth and
/// neck want different metrics, so that what one block gains by a metric of the others another loses. It is tried only if [`HOPE`] of the time that it
/// would save, were it perfect, pays for its trial and those that failed before; the `last` choice is kept where that no longer pays for another.
pub fn choose(
    points: &Points,
    diagonal: &Diagonal,
    economy: &mut Economy,
    last: MetricKind,
) -> Option<MetricKind> {
    let (n, dim) = (points.len(), points.dim());
    let mut judge = Judge {
        folds: folds(points)?,
        diagonal,
        economy,
    };
    let least = least_log_cost(dim, judge.folds[0].blocks[0].points);
    let log_step = |kind| economy.log_step(fit::least_work(kind, dim));
    let full = if dim > MOST_DENSE {
        vec![MetricKind::LowRank]
    } else if log_step(MetricKind::Dense) > log_step(MetricKind::LowRank) + HEAVY {
        vec![MetricKind::Dense, MetricKind::LowRank]
    } else {
        vec![MetricKind::Dense]
    };
    let diagonals = judge.fits(MetricKind::Diag);
    judge.probe_draws(&diagonals);
    let mut best = judge.promise(MetricKind::Diag, diagonals.clone());
    let mut failed = 0.0;
    for kind in [vec![MetricKind::DrawDiag], full].concat() {
        let excess = (average(&best.costs) - log_step(kind) - least).max(UNSEEN);
        let work = fit::least_work(kind, dim);
        let saving = HOPE * (economy.run(excess, work) - economy.run(0.0, work));
        let price = fit::price(kind, dim, n);
        let trial = (FITS - 1.0) * price + JUDGING;
        if saving < economy.wasted() + trial + price {
            if saving > 0.0 && kind == last {
                return Some(last);
            }
            continue;
        }
        let metrics = judge.fits(kind);
        judge.probe_differences(&metrics, &diagonals);
        judge.look(&mut best);
        let promise = judge.promise(kind, metrics);
        if promise.beats(&best) {
            best = promise;
        } else {
            failed += trial;
        }
    }
    economy.waste(failed);
    Some(best.kind)
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of a - b, and its standard error.
fn difference(a: &[f64], b: &[f64]) -> (f64, f64) {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let (n, mean) = (a.len() as f64, average(&differences));
    let squares = differences.iter().map(|d| (d - mean) * (d - mean));
    (mean, (squares.sum::<f64>() / (n - 1.0) / n).sqrt())
}

/// How far gradients, in coordinates of these scales, are from those of a standard normal: the mean of |y + g|^2 around its own mean.
///
/// On draws of a normal whose whitened covariance has the eigenvalues w_i it is the sum of w_i + 1 / w_i - 2, which
/// bounds every one of them. A few points are enough: where all w_i are 1 it is 0 for any.
pub fn residual(scale: &[f64], points: &Points) -> f64 {
    variances(&points.whitened_sums(scale), scale.len())
        .iter()
        .sum()
}

/// Fourth root of the mean square of the curvatures in a block, as its logarithm.
fn log_curvature(metric: &Metric, block: &Block) -> f64 {
    let dim = block.mean_gradient.len();
    let mut rows = vec![0.0; block.gradients.len()];
    for (g, out) in block
        .gradients
        .chunks_exact(dim)
        .zip(rows.chunks_exact_mut(dim))
    {
        metric.pull(g, out);
    }
    let n = rows.len() / dim;
    // R R' and R'R have the same eigenvalues but for zeros.
    let gram = if n < dim {
        multiply([n, dim, n], [false, true], &rows, &rows)
    } else {
        multiply([dim, n, dim], [true, false], &rows, &rows)
    };
    let scale = (block.points * block.points * dim) as f64;
    0.25 * (dot(&gram, &gram) / scale).ln()
}

/// Where a metric looks along directions: rows whose products with draws and gradients are their components in whitened coordinates.
struct Views {
    of_draws: Vec<f64>,
    of_gradients: Vec<f64>,
    /// Squares of the directions' lengths in whitened coordinates.
    squares: Vec<f64>,
}

impl Views {
    fn new(metric: &Metric, directions: &[Vec<f64>]) -> Self {
        let (mut of_draws, mut of_gradients) = (Vec::new(), Vec::new());
        let mut squares = Vec::new();
        for direction in directions {
            let mut view = direction.clone();
            metric.whiten(&mut view);
            squares.push(dot(&view, &view));
            of_gradients.extend(drifted(metric, &view));
            metric.unpull(&mut view);
            of_draws.extend(view);
        }
        Self {
            of_draws,
            of_gradients,
            squares,
        }
    }

    /// Root of the largest variance that a block tells, as its logarithm.
    ///
    /// Along a wide direction draws get on so slowly that a block of them shows little of it, but their gradients tell: E (x - E x) g = -1
    /// in any density, so that the variance is the ratio of the draws' to that, whatever share of the density the block has seen if it is normal.
    fn log_width(&self, block: &Block) -> f64 {
        let dim = block.mean_gradient.len();
        let (rows, views) = (block.draws.len() / dim, self.squares.len());
        let components = |rows_of: &[f64], n, along: &[f64]| {
            multiply([n, dim, views], [false, true], rows_of, along)
        };
        let draws = components(&block.draws, rows, &self.of_draws);
        let gradients = components(&block.gradients, rows, &self.of_gradients);
        let means = components(&block.mean_gradient, 1, &self.of_gradients);
        let n = block.points as f64;
        let mut widest: f64 = 0.0;
        for (view, (square, mean)) in self.squares.iter().zip(&means).enumerate() {
            let (mut xx, mut xg, mut gg) = (0.0, 0.0, -n * mean * mean);
            let row = |values: &[f64], i: usize| values[i * views + view];
            for i in 0..rows {
                let (x, g) = (row(&draws, i), row(&gradients, i));
                xx += x * x;
                xg += x * g;
                gg += g * g;
            }
            let told = if xg < 0.0 { -xx / xg } else { f64::INFINITY };
            let variance = (xx / n / square).max(told.min(TRUSTED * (xx / gg).sqrt()));
            if variance.is_finite() {
                widest = widest.max(variance);
            }
        }
        0.5 * widest.ln()
    }
}

/// What a block of `n` points promises of a normal with its own metric: the mean square of curvatures is too large by the law of Marchenko and Pastur (1967).
fn least_log_cost(dim: usize, n: usize) -> f64 {
    0.25 * (dim as f64 / n as f64).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::super::one_of_each;
    use super::*;
    use crate::sampler::rng::ChainRng;

    /// Points around a distant mean, with correlated gradients.
    fn points(n: usize) -> Points {
        let (dim, mut rng) = (3, ChainRng::new(3));
        let mut points = Points::new(dim);
        let (mut x, mut g) = (vec![0.0; dim], vec![0.0; dim]);
        for _ in 0..n {
            rng.fill_normal(&mut x);
            rng.fill_normal(&mut g);
            x[0] = 3.0 * x[0] + 100.0;
            g[1] += 2.0 * g[2] - 0.3 * x[1];
            points.add(&x, &g, 0.0);
        }
        points
    }

    /// Draws around their mean and gradients in whitened coordinates.
    fn whitened(metric: &Metric, points: &Points) -> (Vec<f64>, Vec<f64>) {
        let dim = points.dim();
        let mut draws = scaled_offsets(&points.draws, &vec![1.0; dim]);
        draws.chunks_exact_mut(dim).for_each(|x| metric.whiten(x));
        let mut gradients = vec![0.0; points.gradients.len()];
        let rows = points.gradients.chunks_exact(dim);
        for (g, out) in rows.zip(gradients.chunks_exact_mut(dim)) {
            metric.pull(g, out);
        }
        (draws, gradients)
    }

    fn assert_near(found: f64, expected: f64) {
        let error = (found - expected).abs();
        assert!(error < 1e-10 * (1.0 + expected.abs()), "{found} {expected}");
    }

    #[test]
    fn curvatures_and_widths_are_those_of_all_points_of_a_block() {
        let probes = [vec![1.0, 0.5, -2.0], vec![0.0, 1.0, 0.0]];
        for n in [7, 9, 40] {
            let points = points(n);
            let (dim, block) = (points.dim(), Block::new(&points));
            assert_eq!(block.draws.len() < n * dim, n >= MANY * dim);
            for metric in one_of_each() {
                let (draws, gradients) = whitened(&metric, &points);
                let product = |i: usize, j: usize| {
                    let rows = gradients.chunks_exact(dim);
                    rows.map(|g| g[i] * g[j]).sum::<f64>() / n as f64
                };
                let squares: f64 = (0..dim * dim)
                    .map(|k| product(k / dim, k % dim).powi(2))
                    .sum();
                assert_near(
                    log_curvature(&metric, &block),
                    0.25 * (squares / dim as f64).ln(),
                );

                let mut widest: f64 = 0.0;
                for probe in &probes {
                    let mut v = probe.clone();
                    metric.whiten(&mut v);
                    let along = |rows: &[f64]| -> Vec<f64> {
                        let products: Vec<f64> =
                            rows.chunks_exact(dim).map(|row| dot(row, &v)).collect();
                        let mean = average(&products);
                        products.iter().map(|p| p - mean).collect()
                    };
                    let (x, g) = (along(&draws), along(&gradients));
                    let (xx, xg, gg) = (dot(&x, &x), dot(&x, &g), dot(&g, &g));
                    let told = if xg < 0.0 { -xx / xg } else { f64::INFINITY };
                    let seen = xx / n as f64 / dot(&v, &v);
                    widest = widest.max(seen).max(told.min(2.0 * (xx / gg).sqrt()));
                }
                let views = Views::new(&metric, &probes);
                assert_near(views.log_width(&block), 0.5 * widest.ln());
            }
        }
    }

    #[test]
    fn gradients_tell_the_width_that_few_steps_of_a_walk_do_not_show() {
        let mut points = Points::new(2);
        for i in 0..12 {
            let x = [500.0 + f64::from(i), f64::from(i % 2) - 0.5];
            points.add(&x, &[-x[0] / 1e4, -4.0 * x[1]], 0.0);
        }
        let block = Block::new(&points);
        let width = |direction| Views::new(&Metric::unit(2), &[direction]).log_width(&block);
        assert_near(width(vec![1.0, 0.0]), 100_f64.ln());
        assert_near(width(vec![0.0, 1.0]), 0.5_f64.ln());
    }

    #[test]
    fn the_widest_directions_are_those_of_the_draws_and_of_the_difference() {
        let along = |probe: &[f64], i: usize| probe[i].abs() / dot(probe, probe).sqrt();
        let draws = widest_of_draws(&Metric::unit(3), &points(200));
        assert!(along(&draws[0], 0) > 0.99);
        let (metric, other) = (
            Metric::diagonal(&[1.0, 5.0, 3.0]),
            Metric::diagonal(&[1.0, 1.0, 2.0]),
        );
        let found = widest(&metric, &other, 3);
        assert!(along(&found[0], 1) > 0.99 && along(&found[1], 2) > 0.99);
        assert!(along(&widest(&other, &metric, 3)[0], 0) > 0.99);
    }

    /// A promise of these steps a draw, each of which weighs so much.
    fn promise(steps: [f64; 6], step: f64) -> Promise {
        Promise {
            kind: MetricKind::Dense,
            metrics: Vec::new(),
            curvatures: Vec::new(),
            steps: steps.to_vec(),
            costs: steps.iter().map(|steps| steps + step).collect(),
        }
    }

    #[test]
    fn within_a_tenth_time_decides_beyond_it_the_number_of_steps() {
        let simple = promise([3.0; 6], 1.0);
        let beats = |steps, step| promise([steps; 6], step).beats(&simple);
        assert!(beats(2.95, 1.0));
        assert!(!beats(2.95, 1.04));
        assert!(beats(2.8, 1.5));
        assert!(beats(3.05, 0.8));
        assert!(!beats(3.2, 0.1));
    }

    #[test]
    fn a_gain_that_blocks_disagree_about_is_none() {
        let simple = promise([3.0; 6], 1.0);
        let unsure = promise([2.0, 3.5, 2.1, 3.4, 2.2, 3.6], 1.0);
        assert!(average(&unsure.steps) < 2.81 && !unsure.beats(&simple));
    }
}
