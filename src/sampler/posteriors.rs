//! Known posteriors come out with their moments: the tests of the whole sampler.
//!
//! Every check is of 100 000 draws against the exact value, within 4 Monte Carlo errors, and the error itself must
//! be small.

use super::testing::{
    Autoregressive, Banana, EightSchools, Funnel, LogHalfNormal, Normal, StudentT5,
};
use super::{ChainDraws, Column, Run, Settings};
use crate::density::Density;
use crate::diagnostics::Workspace;

/// Settings of which each changes how draws are made.
const KERNELS: [&str; 13] = [
    "{}",
    r#"{"metric": "diag"}"#,
    r#"{"metric": "draw_diag"}"#,
    r#"{"metric": "dense"}"#,
    r#"{"metric": "low_rank"}"#,
    r#"{"kind": "walnuts"}"#,
    r#"{"kind": "walnuts", "max_local_error": 0.3}"#,
    r#"{"kind": "hmc", "path_length": 1.6}"#,
    r#"{"kind": "hmc", "n_steps": 5}"#,
    r#"{"step_size_jitter": 0.0}"#,
    r#"{"step_size_jitter": 0.9}"#,
    r#"{"max_treedepth": 2}"#,
    r#"{"target_accept": 0.5}"#,
];

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

/// Settings from JSON, with 100 000 draws in all.
fn kernel(json: &str) -> Settings {
    Settings {
        draws: 25_000,
        ..Settings::from_json(json).unwrap()
    }
}

/// Requires the mean of `f` over the draws to be within 4 Monte Carlo errors of `expected`, and
/// the error to be at most `precision`, so that the check means something.
fn check(
    chains: &[ChainDraws],
    case: &str,
    f: impl Fn(&[f64]) -> f64,
    expected: f64,
    precision: f64,
) {
    let values: Vec<Vec<f64>> = chains
        .iter()
        .map(|chain| chain.positions().chunks(chain.dim()).map(&f).collect())
        .collect();
    let values: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
    let mut workspace = Workspace::default();
    let mut draws = workspace.draws(&values);
    let (mean, mcse) = (draws.mean(), draws.mcse_mean());
    assert!(
        mcse <= precision,
        "{case}: Monte Carlo error {mcse} above {precision}"
    );
    assert!(
        (mean - expected).abs() < 4.0 * mcse,
        "{case}: mean {mean} +- {mcse}, expected {expected}"
    );
}

/// Checks mean, variance and neighbours' covariance of the stationary Gaussian chain.
fn check_autoregressive(dim: usize, rho: f64, json: &str) {
    let chains = sample(&Autoregressive { dim, rho }, kernel(json));
    for i in [0, dim / 2, dim - 1] {
        check(&chains, json, |x| x[i], 0.0, 0.03);
        check(&chains, json, |x| x[i] * x[i], 1.0, 0.03);
    }
    check(&chains, json, |x| x[dim / 2 - 1] * x[dim / 2], rho, 0.03);
}

#[test]
fn correlated_normals_by_every_kernel() {
    for json in KERNELS {
        check_autoregressive(8, 0.8, json);
    }
}

#[test]
fn correlated_normals_of_every_size() {
    for (dim, rho) in [(2, 0.95), (2, -0.99), (50, 0.9), (500, 0.5)] {
        check_autoregressive(dim, rho, "{}");
    }
}

#[test]
fn scales_that_differ_by_eight_orders() {
    let scales = vec![1e-4, 1.0, 1e4];
    let density = Normal {
        mean: 2.0,
        scales: scales.clone(),
    };
    let chains = sample(&density, kernel("{}"));
    for (i, scale) in scales.into_iter().enumerate() {
        check(&chains, "mean", |x| (x[i] - 2.0) / scale, 0.0, 0.01);
        let square = |x: &[f64]| ((x[i] - 2.0) / scale).powi(2);
        check(&chains, "variance", square, 1.0, 0.02);
    }
}

#[test]
fn student_t_by_every_kernel() {
    for json in KERNELS {
        let chains = sample(&StudentT5 { dim: 3 }, kernel(json));
        check(&chains, json, |x| x[0], 0.0, 0.03);
        // E|t5|; the Monte Carlo error of the variance is itself of a heavy tail.
        check(&chains, json, |x| x[1].abs(), 0.949_017, 0.02);
        check(&chains, json, |x| x[1] * x[1], 5.0 / 3.0, 0.5);
        // The density's quartile: P(|t5| < 0.72669) = 1/2.
        let inside = |x: &[f64]| f64::from(x[2].abs() < 0.726_686_843_8);
        check(&chains, json, inside, 0.5, 0.01);
    }
}

#[test]
fn half_normal_through_its_logarithm_by_every_kernel() {
    for json in KERNELS {
        let chains = sample(&LogHalfNormal, kernel(json));
        let mean = (2.0 / std::f64::consts::PI).sqrt();
        check(&chains, json, |x| x[0].exp(), mean, 0.02);
        check(&chains, json, |x| (2.0 * x[0]).exp(), 1.0, 0.03);
    }
}

#[test]
fn banana_by_every_kernel() {
    for json in KERNELS {
        let chains = sample(&Banana, kernel(json));
        check(&chains, json, |x| x[0], 0.0, 0.05);
        check(&chains, json, |x| x[1], 0.5, 0.05);
        let square = |x: &[f64]| (x[1] - 0.5 * x[0] * x[0]).powi(2);
        check(&chains, json, square, 1.0, 0.05);
    }
}

#[test]
fn eight_schools() {
    // Exact values: z and mu integrated out by hand, log tau by quadrature.
    let chains = sample(&EightSchools, kernel(r#"{"target_accept": 0.9}"#));
    check(&chains, "mu", |x| x[0], 4.3968, 0.05);
    check(&chains, "log tau", |x| x[1], 0.8021, 0.05);
    check(&chains, "theta", |x| x[0] + x[1].exp() * x[2], 6.2119, 0.1);
}

/// Neal's funnel in 10 dimensions.
const FUNNEL: Funnel = Funnel {
    dim: 10,
    scale: 3.0,
};

#[test]
fn neals_funnel_by_walnuts() {
    let chains = sample(&FUNNEL, kernel(r#"{"kind": "walnuts", "metric": "diag"}"#));
    check(&chains, "mean", |x| x[0], 0.0, 0.2);
    check(&chains, "variance", |x| x[0] * x[0], 9.0, 1.0);
    // Quartiles of N(0, 3).
    check(&chains, "low", |x| f64::from(x[0] < -2.023_469), 0.25, 0.03);
    check(&chains, "high", |x| f64::from(x[0] > 2.023_469), 0.25, 0.03);
}

#[test]
fn walnuts_takes_steps_that_suit_a_small_bound() {
    let json = r#"{"kind": "walnuts", "max_local_error": 0.1}"#;
    let chains = sample(&Normal::standard(10), Settings::from_json(json).unwrap());
    let leapfrogs = |chain: &ChainDraws| {
        let mut stats = chain.stats().into_iter();
        match stats.find(|(name, _)| *name == "n_steps") {
            Some((_, Column::I64(steps))) => steps.iter().sum::<i64>() as f64 / steps.len() as f64,
            _ => unreachable!("a statistic of every draw"),
        }
    };
    // Eleven; nineteen where the step size is tuned for acceptance alone.
    let mean = chains.iter().map(leapfrogs).sum::<f64>() / 4.0;
    assert!(mean < 14.0, "{mean}");
}

#[test]
fn a_funnel_diverges_but_does_not_fail() {
    let settings = Settings {
        draws: 500,
        ..Settings::default()
    };
    let chains = sample(&FUNNEL, settings);
    assert!(chains.iter().all(|chain| chain.len() == 500));
}

/// Mean acceptance statistic of these draws of all chains.
fn acceptance(chains: &[ChainDraws], draws: std::ops::Range<usize>) -> f64 {
    let of_chain = |chain: &ChainDraws| {
        let mut stats = chain.stats().into_iter();
        match stats.find(|(name, _)| *name == "acceptance_rate") {
            Some((_, Column::F64(values))) => values[draws.clone()].iter().sum::<f64>(),
            _ => unreachable!("a statistic of every draw"),
        }
    };
    let sum: f64 = chains.iter().map(of_chain).sum();
    sum / (chains.len() * draws.len()) as f64
}

#[test]
fn draws_have_the_acceptance_asked_for_and_warmup_less() {
    for target_accept in [0.7, 0.85, 0.95] {
        let settings = Settings {
            target_accept,
            save_warmup: true,
            ..Settings::default()
        };
        for chains in [
            sample(&Normal::standard(10), settings.clone()),
            sample(&EightSchools, settings),
        ] {
            let (warmup, draws) = (acceptance(&chains, 60..150), acceptance(&chains, 200..1200));
            assert!(
                (draws - target_accept).abs() < 0.05,
                "{draws} for {target_accept}"
            );
            assert!(
                (warmup - target_accept.powf(1.75)).abs() < 0.07 && warmup < draws,
                "{warmup} for {target_accept}"
            );
        }
    }
}

#[test]
fn a_short_warmup_does_not_fail() {
    for tune in [0, 1, 2, 7] {
        for density in [1, 3].map(Normal::standard) {
            let settings = Settings {
                tune,
                draws: 20,
                ..Settings::default()
            };
            let chains = sample(&density, settings);
            let positions = chains.iter().flat_map(|chain| chain.positions());
            assert!(positions.clone().all(|x| x.is_finite()));
            assert_eq!(positions.count(), 4 * 20 * density.dim());
        }
    }
    let settings = Settings {
        tune: 30,
        ..kernel("{}")
    };
    let chains = sample(&Normal::standard(3), settings);
    check(&chains, "product", |x| x[0] * x[1], 0.0, 0.03);
    check(&chains, "square", |x| x[2] * x[2], 1.0, 0.03);
}
