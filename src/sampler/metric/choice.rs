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

use super::Metric;
use super::covariance::multiply;
use super::points::{Points, mean};

/// Points that the cost is computed from at most: it takes a square matrix of them.
const MOST_POINTS: usize = 200;
/// Multiplications by the covariance that bring out its largest eigenvector.
const POWER_STEPS: usize = 30;

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

/// Leapfrog steps a draw that the metric promises on these points, up to a factor that is the same
/// for every metric.
pub fn cost(metric: &Metric, points: &Points) -> f64 {
    let points = points.thinned(MOST_POINTS);
    let dim = points.dim();
    let centre = mean(&points.draws, dim);
    let (mut draws, mut gradients) = (points.draws, vec![0.0; points.gradients.len()]);
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
    largest(m, &c_x).sqrt() * squares.sqrt().sqrt()
}
