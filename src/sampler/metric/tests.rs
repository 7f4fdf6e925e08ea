//! Every kind of metric: maps that fit together, estimates that are exact where they must be, inputs that say nothing.

use super::economy::Economy;
use super::points::Points;
use super::{Dense, LowRank, Metric, MetricAdaptation, choice};
use crate::sampler::rng::ChainRng;
use crate::sampler::settings::MetricKind;

const KINDS: [MetricKind; 5] = [
    MetricKind::Auto,
    MetricKind::Diag,
    MetricKind::Dense,
    MetricKind::LowRank,
    MetricKind::DrawDiag,
];

/// A metric of each type in three dimensions.
pub fn one_of_each() -> [Metric; 3] {
    let u = [0.6, 0.0, 0.8, 0.0, 1.0, 0.0];
    [
        Metric::diagonal(&[0.5, 2.0, 1.5]),
        Metric::Dense(
            Dense::new(
                &[0.5, 2.0, 1.5],
                &[1.0, 0.0, 0.0, 0.4, 0.8, 0.0, -0.3, 0.5, 1.2],
            )
            .unwrap(),
        ),
        Metric::LowRank(LowRank::new(vec![0.5, 2.0, 1.5], u.to_vec(), &[3.0, 0.25])),
    ]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn pull_is_the_transpose_of_drift_and_whiten_its_inverse() {
    for metric in one_of_each() {
        let (v, g) = ([1.0, -2.0, 3.0], [0.5, 0.25, -1.0]);
        let (mut pushed, mut pulled) = ([0.0; 3], [0.0; 3]);
        metric.drift(&[0.0; 3], &v, 1.0, &mut pushed);
        metric.pull(&g, &mut pulled);
        assert!(
            (dot(&pushed, &g) - dot(&v, &pulled)).abs() < 1e-14,
            "{metric:?}"
        );
        let mut moved = [0.0; 3];
        metric.drift(&[7.0, 8.0, 9.0], &v, -0.5, &mut moved);
        for i in 0..3 {
            assert!((moved[i] - (7.0 + i as f64 - 0.5 * pushed[i])).abs() < 1e-14);
        }
        metric.whiten(&mut pushed);
        assert!(pushed.iter().zip(v).all(|(a, b)| (a - b).abs() < 1e-14));
    }
}

/// A normal: its scales, and correlation `rho` between any two coordinates.
struct Normal {
    scales: Vec<f64>,
    rho: f64,
}

impl Normal {
    /// A draw and its gradient: x = scale (sqrt(1 - rho) z + sqrt(rho) z_0) + 5.
    fn point(&self, rng: &mut ChainRng) -> (Vec<f64>, Vec<f64>) {
        let d = self.scales.len();
        let mut z = vec![0.0; d + 1];
        rng.fill_normal(&mut z);
        let u: Vec<f64> = (0..d)
            .map(|i| (1.0 - self.rho).sqrt() * z[i] + self.rho.sqrt() * z[d])
            .collect();
        // (1 - rho) I + rho 1 1' has the inverse (I - rho / (1 - rho + d rho) 1 1') / (1 - rho).
        let share = self.rho / (1.0 - self.rho + d as f64 * self.rho) * u.iter().sum::<f64>();
        let gradient = |i: usize| -(u[i] - share) / (1.0 - self.rho) / self.scales[i];
        let draw = |i: usize| 5.0 + self.scales[i] * u[i];
        ((0..d).map(draw).collect(), (0..d).map(gradient).collect())
    }

    /// The metric after `n` draws.
    fn metric(&self, kind: MetricKind, n: usize) -> Metric {
        self.metric_for(kind, n, f64::INFINITY)
    }

    /// As [`Normal::metric`], where a gradient takes so many nanoseconds.
    fn metric_for(&self, kind: MetricKind, n: usize, work: f64) -> Metric {
        self.metric_of(
            MetricAdaptation::new(kind, self.scales.len(), work, 1000),
            n,
        )
    }

    /// The metric after `n` draws, by this adaptation.
    fn metric_of(&self, mut adaptation: MetricAdaptation, n: usize) -> Metric {
        let mut rng = ChainRng::new(1);
        for _ in 0..n {
            let (x, g) = self.point(&mut rng);
            adaptation.add(&x, &g, 0.0);
        }
        let mut metric = Metric::unit(self.scales.len());
        assert!(adaptation.fit(&mut metric, true));
        metric
    }

    /// Largest error of T T' relative to the covariance, scaled to correlations.
    fn error(&self, metric: &Metric) -> f64 {
        let d = self.scales.len();
        let mut worst = 0.0f64;
        for j in 0..d {
            let (mut unit, mut pulled, mut column) = (vec![0.0; d], vec![0.0; d], vec![0.0; d]);
            unit[j] = 1.0;
            metric.pull(&unit, &mut pulled);
            metric.drift(&vec![0.0; d], &pulled, 1.0, &mut column);
            for (i, element) in column.iter().enumerate() {
                let expected = if i == j { 1.0 } else { self.rho };
                let found = element / (self.scales[i] * self.scales[j]);
                worst = worst.max((found - expected).abs());
            }
        }
        worst
    }
}

/// Scales over eight orders of magnitude.
fn spread(d: usize) -> Vec<f64> {
    (0..d)
        .map(|i| 10f64.powf(8.0 * i as f64 / d as f64 - 4.0))
        .collect()
}

#[test]
fn fisher_metrics_are_exact_on_normals_after_d_plus_2_draws() {
    for d in [1, 2, 7, 20] {
        let correlated = Normal {
            scales: spread(d),
            rho: 0.9,
        };
        let independent = Normal {
            scales: spread(d),
            rho: 0.0,
        };
        let dense = correlated.metric(MetricKind::Dense, d + 2);
        assert!(correlated.error(&dense) < 1e-3, "{d}: {dense:?}");
        let diag = independent.metric(MetricKind::Diag, d + 2);
        assert!(independent.error(&diag) < 1e-9, "{d}: {diag:?}");
    }
}

#[test]
fn the_low_rank_metric_finds_a_direction_before_it_has_a_point_for_each_dimension() {
    let dim = 200;
    let normal = Normal {
        scales: vec![1.0; dim],
        rho: 0.5, // one eigenvalue is 100.5, all others are 0.5
    };
    // 1' (T T')^-1 1 over its true value d / 100.5; the best diagonal metric makes it 142.
    let ratio = |n: usize| {
        let metric = normal.metric(MetricKind::LowRank, n);
        let mut x = vec![1.0; dim];
        metric.whiten(&mut x);
        dot(&x, &x) * 100.5 / dim as f64
    };
    assert!((0.5..20.0).contains(&ratio(60)), "{}", ratio(60));
    assert!((0.9..1.1).contains(&ratio(250)), "{}", ratio(250));
    let Metric::LowRank(metric) = normal.metric(MetricKind::LowRank, 250) else {
        panic!("no low-rank metric")
    };
    assert!(metric.rank() < 5, "{}", metric.rank());
}

#[test]
fn draw_variances_converge_to_the_scales() {
    let normal = Normal {
        scales: vec![1e-3, 1.0, 300.0],
        rho: 0.0,
    };
    let n = 4000;
    let standard_error = (2.0 / n as f64).sqrt(); // of a variance
    let metric = normal.metric(MetricKind::DrawDiag, n);
    assert!(normal.error(&metric) < 5.0 * standard_error);
}

#[test]
fn auto_takes_the_simplest_metric_that_is_good_enough() {
    let kind = |rho: f64, d: usize, n: usize| {
        let normal = Normal {
            scales: spread(d),
            rho,
        };
        normal.metric(MetricKind::Auto, n)
    };
    assert!(matches!(kind(0.0, 10, 1000), Metric::Diagonal(_)));
    assert!(matches!(kind(0.9, 10, 100), Metric::Dense(_)));
    assert!(matches!(kind(0.0, 150, 100), Metric::Diagonal(_)));
    assert!(matches!(kind(0.9, 150, 100), Metric::LowRank(_)));
}

#[test]
fn auto_weighs_the_metrics_algebra_against_the_gradient() {
    // The largest eigenvalue is 6: a dense metric saves more than half of the steps, and each of them takes longer.
    let normal = Normal {
        scales: spread(100),
        rho: 0.05,
    };
    let kind = |work: f64| normal.metric_for(MetricKind::Auto, 1000, work);
    assert!(matches!(kind(100.0), Metric::Diagonal(_)));
    assert!(matches!(kind(100_000.0), Metric::Dense(_)));
}

#[test]
fn auto_fits_nothing_that_takes_longer_than_it_saves() {
    // A dense metric saves nine tenths of the steps.
    let normal = Normal {
        scales: spread(90),
        rho: 0.9,
    };
    let after = |work: f64, draws: u64| {
        let adaptation = MetricAdaptation::new(MetricKind::Auto, 90, work, draws);
        normal.metric_of(adaptation, 400)
    };
    assert!(matches!(after(1000.0, 1000), Metric::Dense(_)));
    assert!(matches!(after(1000.0, 10), Metric::Diagonal(_)));
    assert!(matches!(after(1e6, 10), Metric::Dense(_)));
}

#[test]
fn auto_waits_for_enough_points_and_then_for_no_more() {
    let normal = Normal {
        scales: spread(12),
        rho: 0.9,
    };
    // Twenty points to fit to; three blocks of six have to be left.
    let few = normal.metric(MetricKind::Auto, 37);
    assert!(matches!(few, Metric::Diagonal(_)));
    let enough = normal.metric(MetricKind::Auto, 38);
    assert!(matches!(enough, Metric::Dense(_)));
    assert!(normal.error(&enough) < 1e-3);
}

#[test]
fn auto_gives_a_funnel_the_diagonal_metric() {
    // x_i ~ N(0, exp(v)), v ~ N(0, 9): no matrix fits its mouth and its neck.
    for seed in 0..10 {
        for n in [60, 400] {
            let mut adaptation = MetricAdaptation::new(MetricKind::Auto, 10, 50.0, 1200);
            let mut rng = ChainRng::new(seed);
            for _ in 0..n {
                let mut x = vec![0.0; 10];
                rng.fill_normal(&mut x);
                x[0] *= 3.0;
                let sd = (0.5 * x[0]).exp();
                let squares: f64 = x[1..].iter().map(|z| z * z).sum();
                let mut gradient: Vec<f64> = x.iter().map(|z| -z / sd).collect();
                gradient[0] = -x[0] / 9.0 - 4.5 + 0.5 * squares;
                x[1..].iter_mut().for_each(|x| *x *= sd);
                adaptation.add(&x, &gradient, 0.0);
            }
            let mut metric = Metric::unit(10);
            assert!(adaptation.fit(&mut metric, true));
            assert!(matches!(metric, Metric::Diagonal(_)), "{seed}, {n}");
        }
    }
}

#[test]
fn auto_sees_a_direction_along_which_draws_hardly_move() {
    // Ten coordinates of unit scale that together have the variance 100, through which the chain has come by a tenth.
    let (dim, width) = (10, 10.0);
    let mut rng = ChainRng::new(5);
    let mut adaptation = MetricAdaptation::new(MetricKind::Auto, dim, 1e6, 1000);
    let mut offsets = vec![0.0; dim];
    for k in 0..120 {
        rng.fill_normal(&mut offsets);
        let mean = offsets.iter().sum::<f64>() / dim as f64;
        let along = width * (0.5 + 0.1 * f64::from(k) / 120.0);
        let root = (dim as f64).sqrt();
        let x: Vec<f64> = offsets.iter().map(|o| o - mean + along / root).collect();
        let pull = along / (width * width) / root;
        let gradient: Vec<f64> = offsets.iter().map(|o| mean - o - pull).collect();
        adaptation.add(&x, &gradient, 0.0);
    }
    let mut metric = Metric::unit(dim);
    assert!(adaptation.fit(&mut metric, true));
    let mut widest = vec![1.0 / (dim as f64).sqrt(); dim];
    metric.whiten(&mut widest);
    let norm = dot(&widest, &widest).sqrt();
    assert!(norm < 1.2 / width, "{norm}");
}

#[test]
fn applying_a_low_rank_metric_takes_no_longer_than_a_gradient() {
    let dim = 200;
    let mut rng = ChainRng::new(6);
    // Pairs of coordinates, each with a direction of its own variance, from 1 to 10 000.
    let shared = |i: usize| 1.0 - libm::pow(10.0, -((i / 2) as f64) / 25.0);
    let mut algebra = |work: f64| {
        let mut adaptation = MetricAdaptation::new(MetricKind::LowRank, dim, work, 1000);
        let mut x = vec![0.0; dim];
        for _ in 0..250 {
            rng.fill_normal(&mut x);
            let gradient: Vec<f64> = (0..dim).map(|i| -x[i] - shared(i) * x[i ^ 1]).collect();
            adaptation.add(&x, &gradient, 0.0);
        }
        let mut metric = Metric::unit(dim);
        assert!(adaptation.fit(&mut metric, true));
        metric.work(dim) - Metric::unit(dim).work(dim)
    };
    for work in [5e3, 1e4] {
        let taken = algebra(work);
        assert!(
            taken > 0.5 * work && taken < work + 200.0,
            "{work}: {taken}"
        );
    }
}

#[test]
fn refits_are_paid_for_by_steps() {
    let mut economy = Economy::new(1000.0, 10, 1000);
    let step = economy.step(Metric::unit(10).work(10));
    assert!(!economy.pay(1.0));
    economy.earn(100, &Metric::unit(10));
    assert!(!economy.pay(51.0 * step));
    assert!(economy.pay(30.0 * step) && economy.pay(19.0 * step) && !economy.pay(2.0 * step));
}

#[test]
fn the_residual_tells_the_eigenvalues_of_a_normal() {
    let residual = |rho: f64, n: usize| {
        let normal = Normal {
            scales: vec![1.0; 3],
            rho,
        };
        let (mut points, mut rng) = (Points::new(3), ChainRng::new(2));
        for _ in 0..n {
            let (x, g) = normal.point(&mut rng);
            points.add(&x, &g, 0.0);
        }
        choice::residual(&[1.0; 3], &points)
    };
    assert!(residual(0.0, 5) < 1e-20);
    // The eigenvalues are 2, 1/2 and 1/2, each of which gives 1/2; its standard error is about 0.03.
    assert!(
        (residual(0.5, 5000) - 1.5).abs() < 0.3,
        "{}",
        residual(0.5, 5000)
    );
}

/// T' g, which must be finite and not zero.
fn assert_sound(metric: &Metric, case: &str) {
    let dim = match metric {
        Metric::Diagonal(metric) => metric.scale().len(),
        Metric::Dense(metric) => metric.dim(),
        Metric::LowRank(metric) => metric.dim(),
    };
    let mut pulled = vec![0.0; dim];
    metric.pull(&vec![1.0; dim], &mut pulled);
    assert!(
        pulled.iter().all(|p| p.is_finite() && *p != 0.0),
        "{case}: {pulled:?}"
    );
}

#[test]
fn points_that_say_nothing_do_no_harm() {
    type Point = fn(usize, usize) -> (f64, f64);
    let cases: [(&str, Point); 6] = [
        ("constant draws", |_, _| (3.0, -1.0)),
        ("no gradient", |k, i| ((k * (i + 2) % 7) as f64, 0.0)),
        ("one constant coordinate", |k, i| {
            (if i == 0 { 2.0 } else { (k % 5) as f64 }, (k % 3) as f64)
        }),
        ("not a number", |k, i| {
            (if k % 2 == 0 { f64::NAN } else { (k * i) as f64 }, 1.0)
        }),
        ("infinite gradients", |k, _| (k as f64, f64::INFINITY)),
        ("huge", |k, i| {
            (1e200 * (k * i % 5) as f64, 1e-200 * (k % 4) as f64)
        }),
    ];
    for (case, point) in cases {
        for kind in KINDS {
            for dim in [1, 2, 4] {
                for n in [0, 1, 3, 50] {
                    let mut adaptation = MetricAdaptation::new(kind, dim, f64::INFINITY, 1000);
                    let mut metric = adaptation.first(&vec![0.0; dim]);
                    for k in 0..n {
                        let (x, g): (Vec<f64>, Vec<f64>) = (0..dim).map(|i| point(k, i)).unzip();
                        adaptation.add(&x, &g, 0.0);
                    }
                    adaptation.fit(&mut metric, true);
                    assert_sound(&metric, &format!("{case}, {kind:?}, {dim}, {n}"));
                }
            }
        }
    }
}

#[test]
fn a_first_gradient_gives_bounded_scales() {
    let mut adaptation = MetricAdaptation::new(MetricKind::Auto, 4, f64::INFINITY, 1000);
    let Metric::Diagonal(metric) = adaptation.first(&[0.0, 1e-30, 4.0, -1e6]) else {
        panic!("not diagonal")
    };
    assert_eq!(metric.scale(), [10.0, 10.0, 0.5, 1e-3]);
}

#[test]
fn a_switch_forgets_what_came_before_the_background() {
    let mut adaptation = MetricAdaptation::new(MetricKind::Diag, 1, f64::INFINITY, 1000);
    for x in [1e6, -1e6, 2e6] {
        adaptation.add(&[x], &[-x], 0.0);
    }
    adaptation.switch();
    for x in [1.0, 2.0, 3.0] {
        adaptation.add(&[x], &[-x / 16.0], 0.0);
    }
    adaptation.switch();
    let mut metric = Metric::unit(1);
    assert!(adaptation.update(&mut metric));
    let Metric::Diagonal(diagonal) = &metric else {
        panic!("not diagonal")
    };
    assert!((diagonal.scale()[0] - 4.0).abs() < 1e-12);
}

#[test]
fn few_points_more_do_not_fit_anew() {
    let mut adaptation = MetricAdaptation::new(MetricKind::Dense, 2, f64::INFINITY, 1000);
    let mut metric = Metric::unit(2);
    let mut fits = Vec::new();
    for k in 0..60 {
        let x = [f64::from(k * k % 7), f64::from(k * 3 % 5)];
        adaptation.add(&x, &[-x[0], -x[1]], 0.0);
        if adaptation.update(&mut metric) {
            fits.push(k);
        }
    }
    assert_eq!(fits, [2, 12, 22, 32, 42, 52]);
}

#[test]
fn the_pooled_metric_is_that_of_all_chains_points() {
    let normal = Normal {
        scales: spread(6),
        rho: 0.6,
    };
    let mut rng = ChainRng::new(4);
    // Gradients of heavier tails than the normal's, so that metrics depend on the points.
    let mut points = |n: usize| -> Vec<(Vec<f64>, Vec<f64>)> {
        let mut bent = || {
            let (x, mut g) = normal.point(&mut rng);
            g.iter_mut().for_each(|g| *g *= 1.0 + g.abs());
            (x, g)
        };
        (0..n).map(|_| bent()).collect()
    };
    let chains = [points(50), points(50), points(50)];
    for kind in KINDS {
        let adapted = |points: &mut dyn Iterator<Item = &(Vec<f64>, Vec<f64>)>| {
            let mut adaptation = MetricAdaptation::new(kind, 6, f64::INFINITY, 1000);
            points.for_each(|(x, g)| adaptation.add(x, g, 0.0));
            adaptation
        };
        let fit = |mut adaptation: MetricAdaptation| {
            let mut metric = Metric::unit(6);
            assert!(adaptation.fit(&mut metric, false));
            metric
        };
        let each = chains.each_ref().map(|chain| adapted(&mut chain.iter()));
        let mut pool = adapted(&mut [].iter());
        pool.pool(&each.each_ref());
        let pooled = fit(pool);
        // Alone, in any order, they are fitted to the same; one chain's are not.
        let apart = |metric| super::distance(&pooled, &metric, 6);
        assert!(apart(fit(adapted(&mut chains.iter().flatten()))) < 1e-9);
        assert!(
            apart(fit(adapted(&mut chains[0].iter()))) > 0.05,
            "{kind:?}"
        );
    }
}
