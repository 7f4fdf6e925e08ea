//! The metrics that know correlations: dense and low-rank, from the covariances of draws and gradients.
//!
//! Let C_x and C_g be the covariances of n draws and of their gradients. The linear map T under
//! which the posterior is closest to a standard normal in Fisher divergence has
//!
//! ```text
//! T T' = S,   S C_g S = C_x,   S = C_g^-1/2 (C_g^1/2 C_x C_g^1/2)^1/2 C_g^-1/2
//! ```
//!
//! the geometric mean of C_x and C_g^-1 (Seyboldt, Carlson and Carpenter 2026, arXiv:2603.18845).
//! On a normal posterior, whose gradient is linear in x, S is exact once n exceeds the dimension,
//! however the points are chosen. With C_x + gamma I and C_g + gamma I instead, S is the identity in
//! directions of which neither says anything; coordinates are first scaled by the diagonal metric,
//! which is what the identity then stands for. So fewer points do no harm.
//!
//! S = B B' with B = L^-T V W^1/4, where C_g + gamma I = L L' and L' (C_x + gamma I) L = V W V'.

use super::points::{Points, scaled_offsets};
use super::{Dense, LowRank};
use crate::kernels::linalg::{cholesky, eigh, product, qr, triangular};
use crate::sampler::vector::{accumulate, dot};

/// Variance of scaled coordinates that stands for none. On nine regressions 1e-8 to 1e-5 make no
/// difference; 1e-3 hides directions of nearly collinear columns.
const GAMMA: f64 = 1e-6;
/// The low-rank metric keeps directions whose variance in scaled coordinates is outside 1/2 .. 2.
const NOTABLE: f64 = 2.0;
/// Points that span the low-rank metric's directions, by their draws and gradients: factorisations
/// cost the dimension times the square of that. All points tell the variances along them.
pub(super) const BASIS_POINTS: usize = 100;

/// a b, each stored transposed if said; sizes are rows, inner and columns of the product.
pub(super) fn multiply(
    [m, k, n]: [usize; 3],
    transposed: [bool; 2],
    a: &[f64],
    b: &[f64],
) -> Vec<f64> {
    let sizes = [1, m, k, n];
    let mut out = vec![0.0; m * n];
    let mut scratch = vec![0.0; product::multiply_scratch(sizes, transposed)];
    product::multiply(sizes, transposed, a, b, &mut out, &mut scratch);
    out
}

/// Eigenvalues, ascending, and eigenvectors as columns, of a symmetric matrix.
fn eigen(m: usize, a: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
    let (mut values, mut vectors) = (vec![0.0; m], vec![0.0; m * m]);
    let mut scratch = vec![0.0; eigh::decompose_scratch(m)];
    eigh::decompose([1, m], a, &mut values, &mut vectors, &mut scratch);
    let finite = values.iter().all(|v| v.is_finite());
    finite.then_some((values, vectors))
}

/// Q, (m, k) with k the smaller size, of an (m, n) matrix.
fn orthogonal([m, n]: [usize; 2], a: &[f64]) -> Vec<f64> {
    let k = m.min(n);
    let (mut q, mut r) = (vec![0.0; m * k], vec![0.0; k * n]);
    let mut scratch = vec![0.0; qr::factor_scratch(m, n)];
    qr::factor([1, m, n], a, &mut q, &mut r, &mut scratch);
    q
}

/// R of a matrix whose columns, of length `n`, come one after the other; its diagonal is not negative.
///
/// By the modified Gram-Schmidt process, whose R is as good as that of reflections, whatever becomes of Q (Bjorck 1967).
pub(super) fn triangle(n: usize, mut columns: Vec<f64>) -> Vec<f64> {
    let dim = columns.len() / n;
    let mut r = vec![0.0; dim * dim];
    let mut rest = &mut columns[..];
    for i in 0..dim {
        let (first, others) = rest.split_at_mut(n);
        let row = &mut r[i * dim + i..(i + 1) * dim];
        row[0] = dot(first, first).sqrt();
        if row[0] > 0.0 {
            first.iter_mut().for_each(|x| *x /= row[0]);
            for (r, other) in row[1..].iter_mut().zip(others.chunks_exact_mut(n)) {
                *r = dot(first, other);
                accumulate(other, -*r, first);
            }
        }
        rest = others;
    }
    r
}

/// Row-major (rows, columns) to (columns, rows).
pub(super) fn transposed([rows, columns]: [usize; 2], a: &[f64]) -> Vec<f64> {
    let column = |j: usize| (0..rows).map(move |i| a[i * columns + j]);
    (0..columns).flat_map(column).collect()
}

/// Draws and gradients less their means, in the coordinates that the diagonal metric scales.
fn scaled(points: &Points, scale: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let inverse: Vec<f64> = scale.iter().map(|s| 1.0 / s).collect();
    (
        scaled_offsets(&points.draws, &inverse),
        scaled_offsets(&points.gradients, scale),
    )
}

/// C + gamma I of `n` centred rows of m numbers.
fn covariance(n: usize, m: usize, rows: &[f64]) -> Vec<f64> {
    let mut c = multiply([m, n, m], [true, false], rows, rows);
    c.iter_mut().for_each(|c| *c /= n as f64);
    (0..m).for_each(|i| c[i * m + i] += GAMMA);
    c
}

/// B, (m, m), from `n` centred draws and gradients.
fn root(n: usize, m: usize, draws: &[f64], gradients: &[f64]) -> Option<Vec<f64>> {
    let (c_x, c_g) = (covariance(n, m, draws), covariance(n, m, gradients));
    let mut l = vec![0.0; m * m];
    let mut scratch = vec![0.0; cholesky::factor_scratch(m)];
    cholesky::factor([1, m], &c_g, &mut l, &mut scratch);
    if !l.iter().all(|l| l.is_finite()) {
        return None;
    }
    let half = multiply([m, m, m], [true, false], &l, &c_x);
    let inner = multiply([m, m, m], [false, false], &half, &l);
    let (values, mut vectors) = eigen(m, &inner)?;
    let fourth_roots: Vec<f64> = values.iter().map(|w| w.max(0.0).sqrt().sqrt()).collect();
    for row in vectors.chunks_exact_mut(m) {
        for (v, w) in row.iter_mut().zip(&fourth_roots) {
            *v *= w;
        }
    }
    let system = triangular::Triangular {
        lower: true,
        transposed: true,
        unit: false,
    };
    let mut b = vec![0.0; m * m];
    let mut scratch = vec![0.0; triangular::solve_scratch(m, m)];
    triangular::solve(system, [1, m, m], &l, &vectors, &mut b, &mut scratch);
    b.iter().all(|b| b.is_finite()).then_some(b)
}

/// The dense metric of these points, given the scales of the diagonal one: T = diag(scale) R' with B' = Q R.
pub fn dense(points: &Points, scale: &[f64]) -> Option<Dense> {
    let (n, dim) = (points.len(), scale.len());
    let (draws, gradients) = scaled(points, scale);
    let b = root(n, dim, &draws, &gradients)?;
    let r = triangle(dim, b); // B' has the rows of B for columns
    Dense::new(scale, &transposed([dim, dim], &r))
}

/// The eigenvalues of S that are worth a direction each: outside 1/2 .. 2, the most extreme first, as many as make draws cost least.
///
/// Without a direction its eigenvalue w is left to the diagonal metric: a variance w of the draws, 1/w of the gradients, and
/// leapfrogs a draw go as [`super::choice`] says; `weight` is that of one by the number of directions, which is `most` at most.
fn worthwhile(
    values: &[f64],
    dim: usize,
    most: usize,
    weight: impl Fn(usize) -> f64,
) -> Vec<usize> {
    let notable = |&k: &usize| !(1.0 / NOTABLE..=NOTABLE).contains(&values[k]) && values[k] > 0.0;
    let mut order: Vec<usize> = (0..values.len()).filter(notable).collect();
    order.sort_by(|&i, &j| f64::total_cmp(&values[j].ln().abs(), &values[i].ln().abs()));
    // From all directions to none.
    let (mut largest, mut squares) = (1.0f64, dim as f64);
    let mut best = (f64::INFINITY, 0);
    for rank in (0..=order.len()).rev() {
        if let Some(&k) = order.get(rank) {
            largest = largest.max(values[k]);
            squares += values[k].powi(-2) - 1.0;
        }
        let cost = largest.sqrt() * (squares / dim as f64).sqrt().sqrt() * weight(rank);
        if rank <= most && cost < best.0 {
            best = (cost, rank);
        }
    }
    order.truncate(best.1);
    order
}

/// The low-rank metric of these points, given the scales of the diagonal one: S in the span of some
/// of the scaled draws and gradients, its eigenvectors as directions, as far as they are worth it, and at most so many: `weight` is that of a step by their number.
pub fn low_rank(
    points: &Points,
    scale: &[f64],
    most: usize,
    weight: impl Fn(usize) -> f64,
) -> Option<LowRank> {
    let (n, dim) = (points.len(), scale.len());
    let (draws, gradients) = scaled(points, scale);
    let count = 2 * n.min(BASIS_POINTS);
    // With as many points as dimensions any basis of the whole space will do.
    let q = (count < dim).then(|| {
        let (mut joint, gradients) = scaled(&points.thinned(BASIS_POINTS), scale);
        joint.extend(gradients);
        orthogonal([dim, count], &transposed([count, dim], &joint))
    });
    let m = dim.min(count);
    let b = match &q {
        Some(q) => {
            let in_basis = |rows: &[f64]| multiply([n, dim, m], [false, false], rows, q);
            root(n, m, &in_basis(&draws), &in_basis(&gradients))?
        }
        None => root(n, m, &draws, &gradients)?,
    };
    let (values, vectors) = eigen(m, &multiply([m, m, m], [false, true], &b, &b))?;
    let kept = worthwhile(&values, dim, most, weight);
    let coordinate = |&k: &usize| vectors.iter().skip(k).step_by(m).copied();
    let kept_vectors: Vec<f64> = kept.iter().flat_map(coordinate).collect();
    let directions = match &q {
        Some(q) => multiply([kept.len(), m, dim], [false, true], &kept_vectors, q),
        None => kept_vectors,
    };
    let own: Vec<f64> = kept.iter().map(|&k| values[k].sqrt()).collect();
    Some(LowRank::new(scale.to_vec(), directions, &own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng::ChainRng;

    /// The largest difference of R'R and A'A, for A of `n` rows and `dim` columns.
    fn error(n: usize, dim: usize, columns: &[f64]) -> f64 {
        let r = triangle(n, columns.to_vec());
        let below = (0..dim).flat_map(|i| r[i * dim..i * dim + i].iter());
        assert!(below.copied().all(|r| r == 0.0));
        let ours = multiply([dim, dim, dim], [true, false], &r, &r);
        let expected = multiply([dim, n, dim], [false, true], columns, columns);
        let errors = ours.iter().zip(expected).map(|(a, b)| (a - b).abs());
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn a_triangle_has_the_products_of_the_matrix() {
        let mut rng = ChainRng::new(1);
        for (n, dim) in [(1, 1), (33, 3), (5, 5), (40, 17), (100, 40), (3, 7)] {
            let mut columns = vec![0.0; n * dim];
            rng.fill_normal(&mut columns);
            assert!(error(n, dim, &columns) < 1e-12 * n as f64, "{n} {dim}");
            if dim > 2 {
                columns.copy_within(0..n, n); // twice the same
                columns[2 * n..3 * n].fill(0.0);
                assert!(error(n, dim, &columns) < 1e-12 * n as f64, "{n} {dim}");
            }
        }
    }
}
