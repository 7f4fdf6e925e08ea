//! Known posteriors come out with their moments: the tests of the whole sampler.

use super::testing::{
    Autoregressive, EightSchools, Funnel, LogHalfNormal, Normal, StudentT5, mean_and_mcse,
};
use super::{ChainDraws, MetricKind, Run, Settings};
use crate::density::Density;

/// Four chains from the origin.
fn sample<D: Density + Clone + 'static>(density: &D, settings: Settings) -> Vec<ChainDraws> {
    let dim = density.dim();
    let densities = (0..4).map(|_| Box::new(density.clone()) as Box<dyn Density>);
    let starts = (0..4).map(|chain| vec![0.1 * f64::from(chain); dim]);
    let run = Run::start(
        settings,
        densities.collect(),
        starts.collect(),
        vec![1, 2, 3, 4],
        2,
    );
    run.unwrap().into_result().unwrap().chains
}

/// Requires the mean of `f` over the draws to be within 4 Monte Carlo errors of `expected`, and
/// the error to be at most `precision`, so that the check means something.
fn check(chains: &[ChainDraws], f: impl Fn(&[f64]) -> f64, expected: f64, precision: f64) {
    let values: Vec<Vec<f64>> = chains
        .iter()
        .map(|chain| chain.positions().chunks(chain.dim()).map(&f).collect())
        .collect();
    let (mean, mcse) = mean_and_mcse(&values);
    assert!(
        mcse <= precision,
        "Monte Carlo error {mcse} above {precision}"
    );
    assert!(
        (mean - expected).abs() < 4.0 * mcse,
        "mean {mean} +- {mcse}, expected {expected}"
    );
}

/// Checks mean, variance and neighbours' covariance of the stationary Gaussian chain.
fn check_autoregressive(settings: Settings) {
    let (dim, rho) = (8, 0.8);
    let chains = sample(&Autoregressive { dim, rho }, settings);
    for i in [0, 4, 7] {
        check(&chains, |x| x[i], 0.0, 0.03);
        check(&chains, |x| x[i] * x[i], 1.0, 0.05);
    }
    check(&chains, |x| x[2] * x[3], rho, 0.05);
}

/// Settings of these tests with changes.
fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        draws: 4000,
        ..Settings::default()
    };
    change(&mut settings);
    settings
}

#[test]
fn correlated_normal_by_nuts() {
    use MetricKind::{Auto, Dense, Diag, DrawDiag, LowRank};
    for kind in [Auto, Dense, Diag, DrawDiag, LowRank] {
        check_autoregressive(settings(|s| s.metric = kind));
    }
}

#[test]
fn correlated_normal_by_hmc() {
    let hmc = |json: &str| Settings::from_json(json).unwrap();
    check_autoregressive(hmc(r#"{"kind": "hmc", "draws": 4000, "path_length": 1.6}"#));
    check_autoregressive(hmc(r#"{"kind": "hmc", "draws": 4000, "n_steps": 7}"#));
}

#[test]
fn a_short_warmup_does_not_fail() {
    for tune in [0, 1, 2, 7] {
        for density in [1, 3].map(Normal::standard) {
            let chains = sample(&density, settings(|s| (s.tune, s.draws) = (tune, 20)));
            let positions = chains.iter().flat_map(|chain| chain.positions());
            assert!(positions.clone().all(|x| x.is_finite()));
            assert_eq!(positions.count(), 4 * 20 * density.dim());
        }
    }
    let chains = sample(&Normal::standard(3), settings(|s| s.tune = 30));
    check(&chains, |x| x[0] * x[1], 0.0, 0.05);
    check(&chains, |x| x[2] * x[2], 1.0, 0.05);
}

#[test]
fn scales_that_differ_by_eight_orders() {
    let scales = vec![1e-4, 1.0, 1e4];
    let density = Normal {
        mean: 2.0,
        scales: scales.clone(),
    };
    let chains = sample(&density, settings(|_| ()));
    for (i, scale) in scales.into_iter().enumerate() {
        check(&chains, |x| (x[i] - 2.0) / scale, 0.0, 0.02);
        check(&chains, |x| ((x[i] - 2.0) / scale).powi(2), 1.0, 0.03);
    }
}

#[test]
fn student_t() {
    let chains = sample(&StudentT5 { dim: 3 }, settings(|_| ()));
    check(&chains, |x| x[0], 0.0, 0.03);
    check(&chains, |x| x[1] * x[1], 5.0 / 3.0, 0.1);
    // The density's quartile: P(|t5| < 0.72669) = 1/2.
    check(
        &chains,
        |x| f64::from(x[2].abs() < 0.726_686_843_8),
        0.5,
        0.01,
    );
}

#[test]
fn half_normal_through_its_logarithm() {
    let chains = sample(&LogHalfNormal, settings(|_| ()));
    check(
        &chains,
        |x| x[0].exp(),
        (2.0 / std::f64::consts::PI).sqrt(),
        0.01,
    );
    check(&chains, |x| (2.0 * x[0]).exp(), 1.0, 0.03);
}

#[test]
fn eight_schools() {
    // Exact values: z and mu integrated out by hand, log tau by quadrature.
    let chains = sample(&EightSchools, settings(|s| s.target_accept = 0.9));
    check(&chains, |x| x[0], 4.3968, 0.1);
    check(&chains, |x| x[1], 0.8021, 0.1);
    check(&chains, |x| x[0] + x[1].exp() * x[2], 6.2119, 0.2);
}

#[test]
fn a_funnel_diverges_but_does_not_fail() {
    let chains = sample(
        &Funnel {
            dim: 10,
            scale: 3.0,
        },
        settings(|s| s.draws = 500),
    );
    assert!(chains.iter().all(|chain| chain.len() == 500));
}
