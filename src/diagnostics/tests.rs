//! Closed cases, and what must not change the diagnostics. ArviZ's values are the reference of
//! `tests/diagnostics`.

use super::*;
use crate::diagnostics::mcse::beta_quantile;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn uniform(seed: u64, chains: usize, length: usize) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..chains)
        .map(|_| (0..length).map(|_| rng.random::<f64>()).collect())
        .collect()
}

fn with<T>(chains: &[Vec<f64>], f: impl FnOnce(&mut Draws<'_>) -> T) -> T {
    let chains: Vec<&[f64]> = chains.iter().map(Vec::as_slice).collect();
    f(&mut Workspace::default().draws(&chains))
}

fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-12 * b.abs(), "{a} {b}");
}

const ALL: [Measure; 11] = [
    Measure::Rhat,
    Measure::Ess(Ess::Bulk),
    Measure::Ess(Ess::Tail(0.05, 0.95)),
    Measure::Ess(Ess::Mean),
    Measure::Ess(Ess::Sd),
    Measure::Ess(Ess::Quantile(0.3)),
    Measure::McseMean,
    Measure::McseSd,
    Measure::McseQuantile(0.3),
    Measure::Hdi(0.8),
    Measure::Eti(0.8),
];

fn all_measures(chains: &[Vec<f64>]) -> Vec<f64> {
    let draws = chains.first().map_or(0, Vec::len);
    let array = DrawArray {
        chains: chains.iter().map(Vec::as_slice).collect(),
        draws,
        elements: 1,
    };
    measure_all(&[array], &ALL).remove(0)
}

#[test]
fn autocovariance_is_the_sum_of_products() {
    for n in [2, 3, 7, 50, 101] {
        let chains = uniform(n as u64, 3, n);
        let mut direct = vec![0.0; n];
        for chain in &chains {
            let mean = chain.iter().sum::<f64>() / n as f64;
            for (t, sum) in direct.iter_mut().enumerate() {
                let products = (0..n - t).map(|s| (chain[s] - mean) * (chain[s + t] - mean));
                *sum += products.sum::<f64>() / (3 * n) as f64;
            }
        }
        let mut transform = Autocovariance::default();
        for (fast, slow) in transform.mean(&chains.concat(), n).iter().zip(direct) {
            assert!((fast - slow).abs() < 1e-15, "{fast} {slow}");
        }
    }
}

#[test]
fn independent_draws_are_all_effective() {
    let chains = uniform(1, 4, 5000);
    with(&chains, |draws| {
        assert!((draws.rhat() - 1.0).abs() < 2e-3);
        for of in [Ess::Bulk, Ess::Mean, Ess::Sd, Ess::Quantile(0.5)] {
            let share = draws.ess(of) / 20_000.0;
            assert!((share - 1.0).abs() < 0.1, "{of:?} {share}");
        }
        let [low, high] = draws.hdi(0.5);
        assert!((high - low - 0.5).abs() < 0.03);
        // Standard errors of independent draws: sd / sqrt(S), and sqrt(p (1 - p) / S) / density.
        assert!((draws.mcse_mean() / (1.0 / 12.0 / 20_000.0_f64).sqrt() - 1.0).abs() < 0.05);
        let error = (0.3 * 0.7 / 20_000.0_f64).sqrt();
        assert!((draws.mcse_quantile(0.3) / error - 1.0).abs() < 0.25);
    });
}

/// The sum of an autoregressive chain's autocorrelations phi^t, both sides, is (1 + phi) / (1 - phi).
#[test]
fn autoregressive_chains_have_the_ess_of_their_autocorrelation() {
    for phi in [0.5, 0.9, -0.5] {
        let mut chains = uniform(2, 4, 20_000);
        for chain in &mut chains {
            for t in 1..chain.len() {
                chain[t] = phi * chain[t - 1] + chain[t] - 0.5;
            }
        }
        let exact = 80_000.0 * (1.0 - phi) / (1.0 + phi);
        let share = with(&chains, |draws| draws.ess(Ess::Mean)) / exact;
        assert!((share - 1.0).abs() < 0.1, "{phi} {share}");
    }
}

#[test]
fn rhat_of_chains_that_disagree() {
    let mut moved = uniform(3, 4, 500);
    moved[3].iter_mut().for_each(|x| *x += 1.0);
    assert!(with(&moved, |draws| draws.rhat()) > 1.2);
    let mut spread = uniform(4, 4, 500);
    spread[3]
        .iter_mut()
        .for_each(|x| *x = 0.5 + 5.0 * (*x - 0.5));
    assert!(with(&spread, |draws| draws.rhat()) > 1.2);
}

#[test]
fn chains_that_stand_still() {
    let constant = vec![vec![0.1; 100]; 4];
    with(&constant, |draws| {
        assert!(draws.rhat().is_nan());
        assert_eq!(draws.ess(Ess::Bulk), 400.0);
        assert_eq!(draws.mcse_mean(), 0.0);
        assert_eq!(draws.hdi(0.9), [0.1; 2]);
    });
    let apart = vec![vec![0.1; 100], vec![0.7; 100]];
    assert_eq!(with(&apart, |draws| draws.rhat()), f64::INFINITY);
    assert!(bfmi(&constant[0]).is_nan());
}

#[test]
fn what_cannot_be_computed_is_nan() {
    let short = uniform(5, 4, 3);
    let single = uniform(6, 1, 100);
    let mut missing = uniform(7, 4, 100);
    missing[2][10] = f64::NAN;
    assert!(with(&single, |draws| draws.rhat()).is_nan());
    for measure in &all_measures(&short)[..9] {
        assert!(measure.is_nan());
    }
    for chains in [missing, vec![], vec![vec![]; 4]] {
        assert!(all_measures(&chains).iter().all(|value| value.is_nan()));
    }
    for p in [-0.1, 1.1, f64::NAN] {
        with(&single, |draws| {
            assert!(draws.quantile(p).is_nan() && draws.mcse_quantile(p).is_nan());
            assert!(draws.ess(Ess::Quantile(p)).is_nan());
            assert!(draws.hdi(p)[0].is_nan());
        });
    }
}

#[test]
fn longer_chains_are_cut() {
    let chains = uniform(8, 3, 60);
    let mut longer = chains.clone();
    longer[1].extend([7.0; 5]);
    assert_eq!(
        with(&longer, |draws| draws.rhat()),
        with(&chains, |draws| draws.rhat())
    );
}

#[test]
fn intervals_of_known_draws() {
    let chains = [vec![0.0, 10.0, 11.0, 12.0], vec![13.0, 20.0, 40.0, 80.0]];
    with(&chains, |draws| {
        assert_eq!(draws.hdi(0.5), [10.0, 20.0]);
        assert_eq!(draws.hdi(1.0), [0.0, 80.0]);
        assert_eq!(draws.quantile(0.5), 12.5);
        assert_eq!(draws.eti(1.0), [0.0, 80.0]);
    });
}

#[test]
fn bfmi_of_white_noise_and_of_a_walk() {
    let noise = &uniform(9, 1, 20_000)[0];
    assert!((bfmi(noise) - 2.0).abs() < 0.05);
    let mut sum = 0.0;
    let walk: Vec<f64> = noise
        .iter()
        .map(|x| {
            sum += x - 0.5;
            sum
        })
        .collect();
    assert!(bfmi(&walk) < 0.01);
    assert!(bfmi(&[1.0]).is_nan());
}

#[test]
fn beta_quantiles_invert_the_distribution() {
    for (a, b) in [
        (1.0, 1.0),
        (1.0, 5.0),
        (2.5, 400.0),
        (3000.0, 1.0),
        (1e5, 3e5),
    ] {
        for p in [0.1586553, 0.5, 0.8413447] {
            use crate::kernels::{math::betainc, simd::Portable};
            let back = betainc::<Portable>([a, b, beta_quantile(p, a, b)]);
            assert!((back - p).abs() < 1e-12, "{a} {b} {p} {back}");
        }
    }
    // Of Beta(1, b): 1 - (1 - p)^(1 / b).
    assert_close(beta_quantile(0.2, 1.0, 7.0), 1.0 - 0.8_f64.powf(1.0 / 7.0));
}

/// Elements of arrays, in blocks and by many threads, are measured like each by itself.
#[test]
fn arrays_are_measured_element_by_element() {
    let (chains, draws) = (3, 40);
    let sizes = [1, 0, 21, 8];
    let values =
        sizes.map(|elements| uniform(elements as u64, 1, chains * draws * elements).concat());
    let arrays: Vec<DrawArray<'_>> = sizes
        .iter()
        .zip(&values)
        .map(|(&elements, values)| DrawArray {
            chains: values.chunks((draws * elements).max(1)).collect(),
            draws,
            elements,
        })
        .collect();
    let width: usize = ALL.iter().map(|measure| measure.width()).sum();
    for (array, result) in arrays.iter().zip(measure_all(&arrays, &ALL)) {
        assert_eq!(result.len(), array.elements * width);
        for element in 0..array.elements {
            let at = |c: usize, t: usize| array.chains[c][t * array.elements + element];
            let single: Vec<Vec<f64>> = (0..chains)
                .map(|c| (0..draws).map(|t| at(c, t)).collect())
                .collect();
            assert_eq!(result[element * width..][..width], all_measures(&single));
        }
    }
}

/// A workspace has no memory of the draws before.
#[test]
fn a_workspace_can_be_used_again() {
    let mut workspace = Workspace::default();
    for (seed, length) in [(1, 100), (2, 31), (3, 200), (4, 31)] {
        let chains = uniform(seed, 4, length);
        let slices: Vec<&[f64]> = chains.iter().map(Vec::as_slice).collect();
        let mut used = workspace.draws(&slices);
        let values = [
            used.rhat(),
            used.ess(Ess::Bulk),
            used.mcse_quantile(0.2),
            used.mcse_sd(),
        ];
        let fresh = with(&chains, |draws| {
            [
                draws.rhat(),
                draws.ess(Ess::Bulk),
                draws.mcse_quantile(0.2),
                draws.mcse_sd(),
            ]
        });
        assert_eq!(values, fresh);
    }
}

proptest! {
    /// R-hat's bulk and the bulk and tail ESS depend on ranks alone; what has a unit scales with it.
    #[test]
    fn invariances(seed in 0..1000_u64, chains in 2..6_usize, length in 4..80_usize, scale in 0.1..10.0_f64) {
        let x = uniform(seed, chains, length);
        let map = |f: &dyn Fn(f64) -> f64| -> Vec<Vec<f64>> {
            x.iter().map(|chain| chain.iter().map(|&x| f(x)).collect()).collect()
        };
        let bulk = |chains: &[Vec<f64>]| with(chains, |draws| draws.ess(Ess::Bulk));
        prop_assert_eq!(bulk(&x), bulk(&map(&f64::exp)));
        let rhat = |chains: &[Vec<f64>]| with(chains, |draws| draws.rhat());
        let reversed = map(&|x| -x);
        prop_assert!((rhat(&x) - rhat(&reversed)).abs() < 1e-10);
        let mut swapped = x.clone();
        swapped.rotate_left(1);
        prop_assert!((rhat(&x) - rhat(&swapped)).abs() < 1e-10);
        let scaled = map(&|x| scale * x);
        let (one, other) = (with(&x, |draws| draws.mcse_mean()), with(&scaled, |draws| draws.mcse_mean()));
        prop_assert!((other / one / scale - 1.0).abs() < 1e-9);
        let [low, high] = with(&x, |draws| draws.hdi(0.7));
        let within = x.iter().flatten().filter(|x| (low..=high).contains(*x)).count();
        prop_assert_eq!(within, (0.7 * (chains * length) as f64).floor() as usize + 1);
    }
}
