//! Pareto-smoothed importance sampling: weights for draws from an approximation, and how far to trust them.
//!
//! The largest ratios of density to approximation have a generalised Pareto tail. Its shape k says whether weighing can
//! work (k < 0.7), and its quantiles, in place of the raw ratios, have less variance (Vehtari, Simpson, Gelman, Yao &
//! Gabry 2024, Journal of Machine Learning Research 25(72)). The fit is that of Zhang & Stephens (2009, Technometrics 51),
//! a posterior mean on a grid, with the weak prior on k of Vehtari et al.

/// Spread of the log ratios in the tail below which it is none: the largest weights are equal to a tenth, and the shape of what
/// little they differ by says nothing (that of draws from several near-perfect normals looks heavy, being a mixture of scales).
const NO_TAIL: f64 = 0.1;

/// Smoothed, normalised weights, and the shape k of the tail.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One a draw; they sum to 1.
    pub weights: Vec<f64>,
    /// Shape of the tail: -inf where the largest ratios are all about equal, +inf where there are too few to say.
    pub pareto_k: f64,
}

/// Weighs draws by the logs of density over approximation; one that is NaN counts as -inf.
///
/// None if no ratio is finite.
pub fn weigh(log_ratios: &[f64]) -> Option<Weights> {
    let finite = |x: &f64| if x.is_nan() { f64::NEG_INFINITY } else { *x };
    let mut ratios: Vec<f64> = log_ratios.iter().map(finite).collect();
    let largest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return None;
    }
    ratios.iter_mut().for_each(|r| *r -= largest);
    let count = ratios.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| ratios[a].total_cmp(&ratios[b]));

    let most = (0.2 * count as f64).min(3.0 * (count as f64).sqrt()).ceil() as usize;
    let below = (count - most).saturating_sub(1);
    let cutoff = ratios[order[below]].max(f64::MIN_POSITIVE.ln());
    let tail: Vec<usize> = order
        .iter()
        .copied()
        .filter(|&i| ratios[i] > cutoff)
        .collect();
    let mut pareto_k = f64::INFINITY;
    if cutoff > -NO_TAIL {
        pareto_k = f64::NEG_INFINITY;
    } else if tail.len() > 4 {
        let threshold = cutoff.exp();
        let excess: Vec<f64> = tail.iter().map(|&i| ratios[i].exp() - threshold).collect();
        let (k, sigma) = fit(&excess);
        if k.is_finite() && sigma > 0.0 {
            pareto_k = k;
            for (rank, &i) in tail.iter().enumerate() {
                let p = (rank as f64 + 0.5) / tail.len() as f64;
                // No smoothed ratio is larger than the largest raw one.
                ratios[i] = (threshold + quantile(p, k, sigma)).ln().min(0.0);
            }
        }
    }
    let total: f64 = ratios.iter().map(|r| r.exp()).sum();
    let weights = ratios.iter().map(|r| r.exp() / total).collect();
    Some(Weights { weights, pareto_k })
}

/// Shape k and scale sigma of a generalised Pareto distribution, from a sorted sample.
fn fit(x: &[f64]) -> (f64, f64) {
    const PRIOR_DRAWS: f64 = 10.0;
    const PRIOR_SHAPE: f64 = 0.5;
    let n = x.len() as f64;
    let grid = 30 + n.sqrt() as usize;
    let quartile = x[((n / 4.0 + 0.5) as usize).max(1) - 1];
    let largest = x[x.len() - 1];
    let shape = |b: f64| x.iter().map(|x| (-b * x).ln_1p()).sum::<f64>() / n;
    let points: Vec<(f64, f64)> = (1..=grid)
        .map(|j| {
            let spread = 1.0 - (grid as f64 / (j as f64 - 0.5)).sqrt();
            let b = 1.0 / largest + spread / (3.0 * quartile);
            let k = shape(b);
            (b, n * ((-b / k).ln() - k - 1.0))
        })
        .collect();
    let top = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let weights = || points.iter().map(|(b, l)| (b, (l - top).exp()));
    let total: f64 = weights().map(|(_, w)| w).sum();
    let b = weights().map(|(b, w)| b * w).sum::<f64>() / total;
    let k = shape(b);
    let sigma = -k / b;
    (
        (n * k + PRIOR_DRAWS * PRIOR_SHAPE) / (n + PRIOR_DRAWS),
        sigma,
    )
}

/// Quantile of a generalised Pareto distribution.
fn quantile(p: f64, k: f64, sigma: f64) -> f64 {
    let log = -(-p).ln_1p();
    match k.abs() < 1e-30 {
        true => sigma * log,
        false => sigma * (k * log).exp_m1() / k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng::ChainRng;

    /// Log ratios whose tail has shape k: -k log u.
    fn ratios(k: f64, count: usize) -> Vec<f64> {
        let mut rng = ChainRng::new(5);
        (0..count)
            .map(|_| -k * (1.0 - rng.uniform()).ln())
            .collect()
    }

    #[test]
    fn the_shape_of_a_tail_is_found() {
        for k in [0.2, 0.5, 0.9] {
            let found = weigh(&ratios(k, 20_000)).unwrap();
            // The estimate's standard deviation is about (1 + k) / sqrt(424).
            assert!((found.pareto_k - k).abs() < 0.3, "{k}: {}", found.pareto_k);
            assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn smoothing_keeps_the_order_and_moves_only_the_tail() {
        let ratios = ratios(0.7, 1000);
        let weights = weigh(&ratios).unwrap().weights;
        let mut order: Vec<usize> = (0..1000).collect();
        order.sort_by(|&a, &b| ratios[a].total_cmp(&ratios[b]));
        for pair in order.windows(2) {
            assert!(weights[pair[0]] <= weights[pair[1]] * (1.0 + 1e-12));
        }
        let raw = |i: usize| (ratios[i] - ratios[order[0]]).exp() * weights[order[0]];
        for &i in &order[..900] {
            assert!((weights[i] / raw(i) - 1.0).abs() < 1e-12);
        }
        let moved = |&&i: &&usize| (weights[i] / raw(i) - 1.0).abs() > 1e-3;
        assert!(order[905..].iter().filter(moved).count() > 50);
    }

    #[test]
    fn equal_ratios_need_no_weights() {
        let found = weigh(&[3.0; 50]).unwrap();
        assert_eq!(found.pareto_k, f64::NEG_INFINITY);
        assert!(found.weights.iter().all(|w| (w - 0.02).abs() < 1e-15));
        // A heavy tail of differences that do not matter.
        let small: Vec<f64> = ratios(0.9, 1000).iter().map(|r| r.exp() * 1e-5).collect();
        assert_eq!(weigh(&small).unwrap().pareto_k, f64::NEG_INFINITY);
    }

    #[test]
    fn draws_outside_of_the_support_weigh_nothing() {
        let mut ratios = ratios(0.3, 200);
        ratios[7] = f64::NEG_INFINITY;
        ratios[8] = f64::NAN;
        let found = weigh(&ratios).unwrap();
        assert_eq!((found.weights[7], found.weights[8]), (0.0, 0.0));
        assert!(found.pareto_k.is_finite());
        assert_eq!(weigh(&[f64::NAN, f64::NEG_INFINITY]), None);
        assert_eq!(weigh(&[]), None);
    }

    #[test]
    fn few_draws_say_nothing_of_a_tail() {
        assert_eq!(weigh(&[0.0, 1.0, 2.0]).unwrap().pareto_k, f64::INFINITY);
    }
}
