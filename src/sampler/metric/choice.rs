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

use super::covariance::{multiply, transposed, triangle};
use super::economy::Economy;
use super::fit::{self, MOST_DENSE, fitted};
use super::points::{Points, scaled_offsets, variances};
use super::{Diagonal, Metric};
use crate::sampler::settings::MetricKind;
use crate::sampler::vector::{accumulate, dot};

/// A block of more points than this times the dimension is condensed.
const MANY: usize = 6;
/// Directions along which all metrics of a fold are looked at.
const PROBES: usize = 2;
/// Points that the cost is computed from at most: it takes a square matrix of them.
const MOST_POINTS: usize = 200;
/// Multiplications by the covariance that bring out its largest eigenvector, at most.
const POWER_STEPS: usize = 30;
/// They end where the eigenvalue changes by less than this share of it.
const CONVERGED: f64 = 1e-4;
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
/// Excess that a metric may have though no block of draws shows it, in logarithms.
const UNSEEN: f64 = 0.1;
/// Where a dense metric's steps are longer than those of a low-rank one by this, in logarithms, both are tried.
const HEAVY: f64 = 0.1;

/// Points to fit to, and later or earlier ones to judge by.
struct Fold {
    fit: Points,
    judged: usize,
    blocks: [Block; BLOCKS],
    /// Directions along which draws may vary more than a block of them shows.
    probes: Vec<Vec<f64>>,
}

impl Fold {
    fn new(fit: &Points, judge: &Points) -> Self {
        let blocks = judge.thinned(MOST_POINTS).blocks::<BLOCKS>();
        Self {
            fit: fit.clone(),
            judged: judge.len(),
            blocks: blocks.map(|points| Block::new(&points)),
            probes: Vec::new(),
        }
    }
}

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
    let (older, newer) = (points.range(0..split), points.range(split..n));
    let mut folds = vec![Fold::new(&older, &newer)];
    if n - split >= enough {
        folds.push(Fold::new(&newer, &older));
    }
    folds
}

/// What a block of neighbouring points says about a metric: their covariances.
struct Block {
    points: usize,
    /// Rows whose squares add up to those of the draws around their mean.
    draws: Vec<f64>,
    /// The same of the gradients around 0; products of a row's draws and gradients add up to theirs too.
    gradients: Vec<f64>,
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
        }
    }
}

/// What the candidates are held against each other with.
struct Judge<'a> {
    folds: Vec<Fold>,
    diagonal: &'a Diagonal,
    economy: &'a Economy,
}

/// A kind of metric, fitted to each fold, and what it promises on each block that it was not fitted to, in logarithms.
struct Promise {
    kind: MetricKind,
    metrics: Vec<Metric>,
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

    /// Looks along the directions in which these metrics are widest beside the diagonal ones.
    fn probe(&mut self, metrics: &[Metric], diagonals: &[Metric]) {
        for (fold, (metric, diagonal)) in self.folds.iter_mut().zip(metrics.iter().zip(diagonals)) {
            fold.probes = wide_directions(metric, diagonal, fold.fit.dim());
        }
    }

    fn promise(&self, kind: MetricKind, metrics: Vec<Metric>) -> Promise {
        let of_fold = |(fold, metric): (&Fold, &Metric)| {
            let dim = fold.fit.dim();
            let step = self.economy.log_step(metric.work(dim));
            let blocks = fold.blocks.each_ref();
            let steps = blocks.map(|block| log_cost(metric, block, &fold.probes, dim));
            steps.map(|steps| (steps, steps + step))
        };
        let (steps, costs) = self.folds.iter().zip(&metrics).flat_map(of_fold).unzip();
        Promise {
            kind,
            metrics,
            steps,
            costs,
        }
    }
}

/// The directions along which a metric is widest beside a diagonal one: the first eigenvectors of S where that whitens, by power iteration.
fn wide_directions(metric: &Metric, diagonal: &Metric, dim: usize) -> Vec<Vec<f64>> {
    let zero = vec![0.0; dim];
    let mut found: Vec<Vec<f64>> = Vec::new();
    for probe in 0..PROBES.min(dim) {
        let mut v: Vec<f64> = (0..dim).map(|i| 1.0 + ((i + probe) % 3) as f64).collect();
        for _ in 0..POWER_STEPS {
            for other in &found {
                let along = dot(other, &v);
                accumulate(&mut v, -along, other);
            }
            normalise(&mut v);
            let mut pulled = vec![0.0; dim];
            diagonal.unpull(&mut v);
            metric.pull(&v, &mut pulled);
            metric.drift(&zero, &pulled, 1.0, &mut v);
            diagonal.whiten(&mut v);
        }
        normalise(&mut v);
        found.push(v);
    }
    let mut direction = vec![0.0; dim];
    for v in &mut found {
        diagonal.drift(&zero, v, 1.0, &mut direction);
        v.copy_from_slice(&direction);
    }
    found
}

fn normalise(v: &mut [f64]) {
    let norm = dot(v, v).sqrt();
    v.iter_mut().for_each(|v| *v /= norm);
}

/// The kind that promises most on points that it was not fitted to; none if they are too few to tell.
///
/// A kind is taken in place of a simpler one if it needs fewer steps by more than [`TOLERANCE`], or within that less time, and if the gain exceeds its own error, told by blocks of neighbouring points: a funnel's mouth and
/// neck want different metrics, so that what one block gains by a metric of the others another loses. It is tried only if, were it perfect,
/// it would save more time than its trial and those that failed before; the `last` choice is kept where that no longer pays for another.
pub fn choose(
    points: &Points,
    diagonal: &Diagonal,
    economy: &mut Economy,
    last: MetricKind,
) -> Option<MetricKind> {
    let (n, dim) = (points.len(), points.dim());
    let mut judge = Judge {
        folds: folds(points),
        diagonal,
        economy,
    };
    let judged = judge.folds.first()?.judged;
    let least = least_log_cost(dim, judged);
    let log_step = |kind| economy.log_step(fit::least_work(kind, dim));
    let full = if dim > MOST_DENSE {
        vec![MetricKind::LowRank]
    } else if log_step(MetricKind::Dense) > log_step(MetricKind::LowRank) + HEAVY {
        vec![MetricKind::Dense, MetricKind::LowRank]
    } else {
        vec![MetricKind::Dense]
    };
    let diagonals = judge.fits(MetricKind::Diag);
    let mut best = judge.promise(MetricKind::Diag, diagonals.clone());
    let mut failed = 0.0;
    for kind in [vec![MetricKind::DrawDiag], full].concat() {
        let excess = (average(&best.costs) - log_step(kind) - least).max(UNSEEN);
        let work = fit::least_work(kind, dim);
        let saving = economy.run(excess, work) - economy.run(0.0, work);
        let price = fit::price(kind, dim, n);
        if saving < economy.wasted() + FITS * price {
            if saving > 0.0 && kind == last {
                return Some(last);
            }
            continue;
        }
        let metrics = judge.fits(kind);
        if kind != MetricKind::DrawDiag {
            judge.probe(&metrics, &diagonals);
            best = judge.promise(best.kind, best.metrics);
        }
        let promise = judge.promise(kind, metrics);
        if promise.beats(&best) {
            best = promise;
        } else {
            failed += (FITS - 1.0) * price;
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

/// Symmetric (m, m) matrix with the eigenvalues other than 0 of R'R for rows R.
fn gram(rows: &[f64], dim: usize) -> (usize, Vec<f64>) {
    let n = rows.len() / dim;
    let gram = if n < dim {
        multiply([n, dim, n], [false, true], rows, rows)
    } else {
        multiply([dim, n, dim], [true, false], rows, rows)
    };
    (n.min(dim), gram)
}

/// The largest eigenvalue of a symmetric matrix, by power iteration.
fn largest(m: usize, a: &[f64]) -> f64 {
    let top = (0..m).fold(0, |i, j| if a[j * m + j] > a[i * m + i] { j } else { i });
    let mut v = a[top * m..(top + 1) * m].to_vec();
    let mut product = vec![0.0; m];
    let mut norm = dot(&v, &v).sqrt();
    for _ in 0..POWER_STEPS {
        v.iter_mut().for_each(|v| *v /= norm);
        product.fill(0.0);
        for (v, row) in v.iter().zip(a.chunks_exact(m)) {
            accumulate(&mut product, *v, row);
        }
        std::mem::swap(&mut v, &mut product);
        let last = std::mem::replace(&mut norm, dot(&v, &v).sqrt());
        if (norm - last).abs() < CONVERGED * norm {
            break;
        }
    }
    norm
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

/// Logarithm of the leapfrog steps a draw that the metric promises on a block of points, up to a constant that is the
/// same for every metric.
///
/// Along a wide direction draws get on so slowly that a block of them shows little of its variance, but their gradients tell: they
/// go down with a slope of one over the variance, exactly so for a normal. `probes` are the directions where that is looked for.
fn log_cost(metric: &Metric, block: &Block, probes: &[Vec<f64>], dim: usize) -> f64 {
    let (mut draws, mut gradients) = (block.draws.clone(), vec![0.0; block.gradients.len()]);
    draws.chunks_exact_mut(dim).for_each(|x| metric.whiten(x));
    let rows = block.gradients.chunks_exact(dim);
    for (g, out) in rows.zip(gradients.chunks_exact_mut(dim)) {
        metric.pull(g, out);
    }
    let n = block.points as f64;
    let (m, c_x) = gram(&draws, dim);
    let (_, c_g) = gram(&gradients, dim);
    let squares = c_g.iter().map(|c| c * c).sum::<f64>() / (n * n * dim as f64);
    let told = probes.iter().map(|probe| {
        let mut direction = probe.clone();
        metric.whiten(&mut direction);
        let rows = draws.chunks_exact(dim).zip(gradients.chunks_exact(dim));
        let along = rows.map(|(x, g)| (dot(x, &direction), dot(g, &direction)));
        let (squares, products) = along.fold((0.0, 0.0), |(s, p), (x, g)| {
            (x.mul_add(x, s), x.mul_add(g, p))
        });
        -squares / products
    });
    let widest = told
        .filter(|variance| variance.is_finite())
        .fold(largest(m, &c_x) / n, f64::max);
    0.5 * widest.ln() + 0.25 * squares.ln()
}

/// What [`log_cost`] finds with `n` points for a normal with its own metric, by the law of Marchenko and Pastur (1967).
fn least_log_cost(dim: usize, n: usize) -> f64 {
    let block = (n.min(MOST_POINTS) / BLOCKS).max(1);
    let ratio = dim as f64 / block as f64;
    ratio.sqrt().ln_1p() + 0.25 * ratio.ln_1p()
}

#[cfg(test)]
mod tests {
    use super::super::one_of_each;
    use super::*;
    use crate::sampler::rng::ChainRng;

    /// [`log_cost`] by its definition: the power of the covariance matrix by plain loops.
    fn defined(metric: &Metric, points: &Points) -> f64 {
        let (n, dim) = (points.len(), points.dim());
        let mut draws = scaled_offsets(&points.draws, &vec![1.0; dim]);
        draws.chunks_exact_mut(dim).for_each(|x| metric.whiten(x));
        let mut gradients = vec![0.0; n * dim];
        for (g, out) in points
            .gradients
            .chunks_exact(dim)
            .zip(gradients.chunks_exact_mut(dim))
        {
            metric.pull(g, out);
        }
        let covariance = |rows: &[f64], i: usize, j: usize| {
            rows.chunks_exact(dim).map(|x| x[i] * x[j]).sum::<f64>() / n as f64
        };
        let c_x: Vec<f64> = (0..dim * dim)
            .map(|k| covariance(&draws, k / dim, k % dim))
            .collect();
        let trace = (0..dim * dim)
            .map(|k| covariance(&gradients, k / dim, k % dim).powi(2))
            .sum::<f64>();
        let mut v: Vec<f64> = (0..dim).map(|i| 1.0 + i as f64).collect();
        let mut norm = 1.0;
        for _ in 0..2000 {
            v = c_x
                .chunks_exact(dim)
                .map(|row| dot(row, &v) / norm)
                .collect();
            norm = dot(&v, &v).sqrt();
        }
        0.5 * norm.ln() + 0.25 * (trace / dim as f64).ln()
    }

    #[test]
    fn the_cost_is_that_of_all_points_of_a_block() {
        let (dim, mut rng) = (3, ChainRng::new(3));
        for n in [7, 9, 40] {
            let mut points = Points::new(dim);
            let (mut x, mut g) = (vec![0.0; dim], vec![0.0; dim]);
            for _ in 0..n {
                rng.fill_normal(&mut x);
                rng.fill_normal(&mut g);
                x[0] = 3.0 * x[0] + 100.0;
                g[1] += 2.0 * g[2];
                points.add(&x, &g, 0.0);
            }
            let block = Block::new(&points);
            assert_eq!(block.draws.len() < n * dim, n >= MANY * dim);
            for metric in one_of_each() {
                let (found, expected) = (
                    log_cost(&metric, &block, &[], dim),
                    defined(&metric, &points),
                );
                assert!((found - expected).abs() < 1e-3, "{n}: {found} {expected}");
            }
        }
    }

    /// A promise of these steps a draw, each of which weighs so much.
    fn promise(steps: [f64; 6], step: f64) -> Promise {
        Promise {
            kind: MetricKind::Dense,
            metrics: Vec::new(),
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
