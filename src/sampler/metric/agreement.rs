//! How far apart two metrics are.
//!
//! Let w be the eigenvalues of A^-1 B for A = T_a T_a' and B = T_b T_b': the variances, along the directions in which the
//! two differ, that a posterior with covariance B has in coordinates whitened by T_a. The distance is the greatest
//! |log w|, Thompson's metric on positive definite matrices: symmetric, and of three matrices no two are further
//! apart than by way of the third.

use super::Metric;
use crate::sampler::rng::ChainRng;
use crate::sampler::vector::dot;

/// Multiplications that bring out the greatest eigenvalue.
const POWER_STEPS: usize = 30;

/// The greatest |log w|; from below, to a few percent.
pub fn distance(a: &Metric, b: &Metric, dim: usize) -> f64 {
    libm::log(largest(a, b, dim).max(largest(b, a, dim)))
}

/// The greatest eigenvalue of R R' with R = T_a^-1 T_b, by power iteration.
fn largest(a: &Metric, b: &Metric, dim: usize) -> f64 {
    let (mut v, mut pulled, origin) = (vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]);
    ChainRng::new(0).fill_normal(&mut v);
    let mut eigenvalue = 0.0;
    for _ in 0..POWER_STEPS {
        let norm = dot(&v, &v).sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
        times_ratio(a, b, &origin, &mut pulled, &mut v);
        eigenvalue = dot(&pulled, &pulled);
    }
    eigenvalue
}

/// Replaces `v` by R R' v with R = T_a^-1 T_b, by way of R' v, which is left in `pulled`; `origin` is 0.
pub(super) fn times_ratio(
    a: &Metric,
    b: &Metric,
    origin: &[f64],
    pulled: &mut [f64],
    v: &mut [f64],
) {
    a.unpull(v);
    b.pull(v, pulled);
    b.drift(origin, pulled, 1.0, v);
    a.whiten(v);
}

#[cfg(test)]
mod tests {
    use super::super::{LowRank, one_of_each};
    use super::*;

    #[test]
    fn unpull_undoes_pull() {
        for metric in one_of_each() {
            let gradient = [0.5, -2.0, 3.0];
            let mut pulled = [0.0; 3];
            metric.pull(&gradient, &mut pulled);
            metric.unpull(&mut pulled);
            let pairs = pulled.iter().zip(gradient);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-14));
        }
    }

    #[test]
    fn the_distance_is_that_of_the_variances_in_the_direction_that_differs_most() {
        let diagonal = Metric::diagonal(&[1.0, 2.0, 3.0]);
        let narrow = Metric::diagonal(&[1.2, 0.5, 3.0]);
        let expected = 16f64.ln();
        assert!((distance(&diagonal, &narrow, 3) - expected).abs() < 1e-9);
        assert!((distance(&narrow, &diagonal, 3) - expected).abs() < 1e-9);
        // A direction of standard deviation 3 beside the coordinates' 2 is one of log 9 / 4.
        let round = Metric::diagonal(&[2.0; 3]);
        let long = LowRank::new(vec![2.0; 3], vec![0.6, 0.0, 0.8], &[1.5]);
        let found = distance(&round, &Metric::LowRank(long), 3);
        assert!((found - 2.25f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn it_is_a_metric() {
        let [a, b, c] = one_of_each();
        let d = |a, b| distance(a, b, 3);
        for (x, y, z) in [(&a, &b, &c), (&b, &c, &a), (&c, &a, &b)] {
            assert!(d(x, x).abs() < 1e-9);
            assert!(d(x, y) > 0.1 && (d(x, y) - d(y, x)).abs() < 1e-12);
            assert!(d(x, z) <= 1.01 * (d(x, y) + d(y, z)));
        }
    }
}
