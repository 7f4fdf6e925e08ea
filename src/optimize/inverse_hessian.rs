//! The inverse of minus the Hessian as L-BFGS sees it, a diagonal plus a low rank, factored to draw from its normal.
//!
//! With A = diag(alpha), S and Y the last m displacements and gradient changes as columns, R the upper triangle of S'Y and
//! D its diagonal, the BFGS estimate started from A is, in compact form (Byrd, Nocedal & Schnabel 1994, Mathematical
//! Programming 63; Zhang, Carpenter, Gelman & Vehtari 2022, Journal of Machine Learning Research 23(306), section 2.3)
//!
//! H = A + [A Y, S] G [A Y, S]',  G = [[0, -R^-1], [-R^-T, R^-T (D + Y'A Y) R^-1]].
//!
//! With the QR factorisation Q B of A^-1/2 [A Y, S] and the Cholesky factor C of I + B G B', H = T T' where
//! T = A^1/2 (I + Q (C - I) Q'): n (2m)^2 operations, and no matrix of n rows and n columns.

use super::lbfgs::Pair;
use crate::kernels::linalg::{cholesky, product, qr, triangular};
use crate::sampler::vector::dot;
use std::collections::VecDeque;

/// A symmetric positive definite matrix H = T T'.
#[derive(Debug, Clone)]
pub struct InverseHessian {
    /// Square roots of alpha.
    scales: Vec<f64>,
    /// Q, (n, k).
    basis: Vec<f64>,
    /// C, (k, k), lower triangular.
    factor: Vec<f64>,
    k: usize,
    /// Logarithm of the determinant of H.
    pub log_det: f64,
}

impl InverseHessian {
    /// The estimate of these pairs, started from diag(`alpha`); None where rounding has made it indefinite.
    pub fn new(alpha: &[f64], pairs: &VecDeque<Pair>) -> Option<InverseHessian> {
        let (n, m) = (alpha.len(), pairs.len());
        let scales: Vec<f64> = alpha.iter().map(|a| a.sqrt()).collect();
        let k = n.min(2 * m);
        let mut log_det: f64 = alpha.iter().map(|a| a.ln()).sum();
        let (mut basis, mut factor) = (vec![0.0; n * k], vec![0.0; k * k]);
        if m > 0 {
            // A^-1/2 [A Y, S], a row a coordinate.
            let mut columns = vec![0.0; n * 2 * m];
            for (j, pair) in pairs.iter().enumerate() {
                for i in 0..n {
                    columns[i * 2 * m + j] = scales[i] * pair.y[i];
                    columns[i * 2 * m + m + j] = pair.s[i] / scales[i];
                }
            }
            let mut b = vec![0.0; k * 2 * m];
            let mut scratch = vec![0.0; qr::factor_scratch(n, 2 * m)];
            qr::factor([1, n, 2 * m], &columns, &mut basis, &mut b, &mut scratch);
            let middle = multiply([2 * m, 2 * m, k], [false, true], &middle(alpha, pairs), &b);
            let mut matrix = multiply([k, 2 * m, k], [false, false], &b, &middle);
            for i in 0..k {
                matrix[i * k + i] += 1.0;
            }
            let mut scratch = vec![0.0; cholesky::factor_scratch(k)];
            cholesky::factor([1, k], &matrix, &mut factor, &mut scratch);
            log_det += 2.0 * (0..k).map(|i| factor[i * k + i].ln()).sum::<f64>();
        }
        log_det.is_finite().then_some(InverseHessian {
            scales,
            basis,
            factor,
            k,
            log_det,
        })
    }

    /// Writes T u.
    pub fn transform(&self, u: &[f64], out: &mut [f64]) {
        let v = self.project(u);
        let change: Vec<f64> = (0..self.k)
            .map(|i| dot(&self.factor[i * self.k..][..=i], &v[..=i]) - v[i])
            .collect();
        self.spread(u, &change, out);
    }

    /// Writes H g.
    pub fn apply(&self, g: &[f64], out: &mut [f64]) {
        let k = self.k;
        let scaled: Vec<f64> = g.iter().zip(&self.scales).map(|(g, s)| g * s).collect();
        let v = self.project(&scaled);
        let half: Vec<f64> = (0..k)
            .map(|j| (j..k).map(|i| self.factor[i * k + j] * v[i]).sum())
            .collect();
        let change: Vec<f64> = (0..k)
            .map(|i| dot(&self.factor[i * k..][..=i], &half[..=i]) - v[i])
            .collect();
        self.spread(&scaled, &change, out);
    }

    /// Q'u.
    fn project(&self, u: &[f64]) -> Vec<f64> {
        let mut v = vec![0.0; self.k];
        for (row, u) in self.basis.chunks(self.k.max(1)).zip(u) {
            for (v, q) in v.iter_mut().zip(row) {
                *v += q * u;
            }
        }
        v
    }

    /// Writes A^1/2 (u + Q v).
    fn spread(&self, u: &[f64], v: &[f64], out: &mut [f64]) {
        for (i, out) in out.iter_mut().enumerate() {
            let row = &self.basis[i * self.k..(i + 1) * self.k];
            *out = self.scales[i] * (u[i] + dot(row, v));
        }
    }
}

/// G, (2m, 2m).
fn middle(alpha: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let m = pairs.len();
    let (mut r, mut inner) = (vec![0.0; m * m], vec![0.0; m * m]);
    for (i, a) in pairs.iter().enumerate() {
        let weighed: Vec<f64> = alpha.iter().zip(&a.y).map(|(alpha, y)| alpha * y).collect();
        for (j, b) in pairs.iter().enumerate() {
            if j >= i {
                r[i * m + j] = dot(&a.s, &b.y);
            }
            inner[i * m + j] = dot(&weighed, &b.y);
        }
        inner[i * m + i] += a.sy;
    }
    let mut identity = vec![0.0; m * m];
    (0..m).for_each(|i| identity[i * m + i] = 1.0);
    let inverse = solve_upper(m, false, &r, &identity);
    let corner = solve_upper(
        m,
        true,
        &r,
        &multiply([m, m, m], [false; 2], &inner, &inverse),
    );
    let mut g = vec![0.0; 4 * m * m];
    for i in 0..m {
        for j in 0..m {
            g[i * 2 * m + m + j] = -inverse[i * m + j];
            g[(m + i) * 2 * m + j] = -inverse[j * m + i];
            g[(m + i) * 2 * m + m + j] = corner[i * m + j];
        }
    }
    g
}

/// The product of (m, k) and (k, n) matrices, each stored transposed if said.
fn multiply([m, k, n]: [usize; 3], transposed: [bool; 2], a: &[f64], b: &[f64]) -> Vec<f64> {
    let (sizes, mut out) = ([1, m, k, n], vec![0.0; m * n]);
    let mut scratch = vec![0.0; product::multiply_scratch(sizes, transposed)];
    product::multiply(sizes, transposed, a, b, &mut out, &mut scratch);
    out
}

/// R^-1 B, or R^-T B, of an upper triangular R.
fn solve_upper(n: usize, transposed: bool, r: &[f64], b: &[f64]) -> Vec<f64> {
    let system = triangular::Triangular {
        lower: false,
        transposed,
        unit: false,
    };
    let mut out = vec![0.0; n * n];
    let mut scratch = vec![0.0; triangular::solve_scratch(n, n)];
    triangular::solve(system, [1, n, n], r, b, &mut out, &mut scratch);
    out
}

/// The diagonal that the next estimate is started from: the last one, updated by a pair.
///
/// Gilbert & Lemarechal (1989, Mathematical Programming 45), the scaled diagonal BFGS update; Zhang et al. 2022, section 2.3.
pub fn update_diagonal(alpha: &mut [f64], pair: &Pair) {
    let both = |f: fn(f64, f64) -> f64, x: &[f64]| -> f64 {
        x.iter().zip(alpha.iter()).map(|(x, a)| f(*x, *a)).sum()
    };
    let y_alpha_y = both(|y, a| y * y * a, &pair.y);
    let s_alpha_s = both(|s, a| s * s / a, &pair.s);
    for ((alpha, s), y) in alpha.iter_mut().zip(&pair.s).zip(&pair.y) {
        let along = s / *alpha;
        let updated =
            pair.sy / (y_alpha_y / *alpha + y * y - y_alpha_y / s_alpha_s * along * along);
        if updated > 0.0 && updated.is_finite() {
            *alpha = updated;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of a quadratic with this precision matrix, along these displacements.
    fn pairs(precision: &[f64], n: usize, displacements: &[Vec<f64>]) -> VecDeque<Pair> {
        let pair = |s: &Vec<f64>| {
            let y: Vec<f64> = precision.chunks(n).map(|row| dot(row, s)).collect();
            Pair {
                sy: dot(s, &y),
                s: s.clone(),
                y,
            }
        };
        displacements.iter().map(pair).collect()
    }

    /// The slow twin: H by the recursion that defines BFGS, H <- (I - s y'/s'y) H (I - y s'/s'y) + s s'/s'y.
    fn recursion(alpha: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
        let n = alpha.len();
        let mut h = vec![0.0; n * n];
        (0..n).for_each(|i| h[i * n + i] = alpha[i]);
        for p in pairs {
            let v: Vec<f64> = (0..n * n)
                .map(|k| {
                    let (i, j) = (k / n, k % n);
                    f64::from(i == j) - p.s[i] * p.y[j] / p.sy
                })
                .collect();
            let vh = multiply([n, n, n], [false, false], &v, &h);
            h = multiply([n, n, n], [false, true], &vh, &v);
            for i in 0..n {
                for j in 0..n {
                    h[i * n + j] += p.s[i] * p.s[j] / p.sy;
                }
            }
        }
        h
    }

    #[test]
    fn it_is_the_bfgs_recursion_and_its_own_factor() {
        // More coordinates than columns, as many, fewer; and no pairs.
        for (n, m) in [(7, 2), (4, 2), (3, 3), (1, 1), (5, 0)] {
            let mut rng = crate::sampler::rng::ChainRng::new(n as u64);
            let mut random = |count: usize| {
                let mut values = vec![0.0; count];
                rng.fill_normal(&mut values);
                values
            };
            let root = random(n * n);
            let mut precision = multiply([n, n, n], [false, true], &root, &root);
            (0..n).for_each(|i| precision[i * n + i] += 0.5);
            let displacements: Vec<Vec<f64>> = (0..m).map(|_| random(n)).collect();
            let alpha: Vec<f64> = random(n).iter().map(|x| x.exp()).collect();
            let pairs = pairs(&precision, n, &displacements);

            let wanted = recursion(&alpha, &pairs);
            let found = InverseHessian::new(&alpha, &pairs).unwrap();
            let (mut column, mut rows) = (vec![0.0; n], vec![0.0; n * n]);
            let largest = wanted.iter().fold(0.0f64, |a, b| a.max(b.abs()));
            for j in 0..n {
                let mut unit = vec![0.0; n];
                unit[j] = 1.0;
                found.apply(&unit, &mut column);
                for i in 0..n {
                    let error = column[i] - wanted[i * n + j];
                    assert!(error.abs() < 1e-9 * largest, "n={n} m={m}: {error}");
                }
                found.transform(&unit, &mut column);
                (0..n).for_each(|i| rows[i * n + j] = column[i]);
            }
            let square = multiply([n, n, n], [false, true], &rows, &rows);
            for (a, b) in square.iter().zip(&wanted) {
                assert!((a - b).abs() < 1e-9 * largest, "n={n} m={m}");
            }
            let (mut factor, mut scratch) =
                (vec![0.0; n * n], vec![0.0; cholesky::factor_scratch(n)]);
            cholesky::factor([1, n], &wanted, &mut factor, &mut scratch);
            let log_det: f64 = (0..n).map(|i| 2.0 * factor[i * n + i].ln()).sum();
            assert!((found.log_det - log_det).abs() < 1e-8, "n={n} m={m}");
        }
    }

    #[test]
    fn a_diagonal_is_learned_in_one_dimension() {
        let pairs = pairs(&[4.0], 1, &[vec![0.3]]);
        let mut alpha = vec![1.0];
        update_diagonal(&mut alpha, &pairs[0]);
        assert!((alpha[0] - 0.25).abs() < 1e-15);
    }
}
