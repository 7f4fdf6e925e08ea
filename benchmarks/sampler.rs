//! The sampler alone on densities of known shape: effective draws a gradient, and its own time.
//!
//! ```text
//! cargo bench --no-default-features --bench sampler -- '{"tune": 400}' '{"tune": 600}'
//! ```
//!
//! A row is a density under one of the settings given as JSON, over 10 runs of 4 chains of 1000
//! draws from U(-1, 1): gradients an effective draw, where an effective draw is the smallest ESS
//! among all x_i and x_i^2 (geometric mean over the runs), after warm-up and with warm-up; all
//! gradients of a chain in warm-up; divergences a run.
//!
//! Without settings, only the time of a leapfrog step beyond the density's own, by dimension and metric.

use std::time::Instant;

use pymc_rustmc::density;
use pymc_rustmc::diagnostics::{Ess, Workspace};
use pymc_rustmc::sampler::hamiltonian::Hamiltonian;
use pymc_rustmc::sampler::metric::{Dense, LowRank, Metric, MetricAdaptation};
use pymc_rustmc::sampler::rng::ChainRng;
use pymc_rustmc::sampler::trajectory::Step;
use pymc_rustmc::sampler::tree::Tree;
use pymc_rustmc::sampler::{Column, MetricKind, Run, Settings};

#[allow(dead_code)] // the tests use more of it
#[path = "../src/sampler/testing.rs"]
mod testing;

use density::{Density, DensityError};
use testing::{Autoregressive, EightSchools, Funnel, LogHalfNormal, Normal, StudentT5};

const RUNS: u64 = 10;
const CHAINS: u64 = 4;

type Case = (&'static str, Box<dyn Fn() -> Box<dyn Density>>);

fn cases() -> Vec<Case> {
    fn case<D: Density + Clone + 'static>(name: &'static str, density: D) -> Case {
        (name, Box::new(move || Box::new(density.clone())))
    }
    let spread = (0..50)
        .map(|i| 10f64.powf(f64::from(i) / 7.0 - 3.5))
        .collect();
    vec![
        case("normal 10", Normal::standard(10)),
        case("normal 100", Normal::standard(100)),
        case(
            "normal 50, scales 1e-3.5 .. 1e3.5",
            Normal {
                mean: 0.0,
                scales: spread,
            },
        ),
        case(
            "normal 10 far away",
            Normal {
                mean: 100.0,
                scales: vec![0.1; 10],
            },
        ),
        case(
            "autoregressive 20, rho 0.9",
            Autoregressive { dim: 20, rho: 0.9 },
        ),
        case("logistic 200 x 10", Logistic::simulated(200, 10)),
        case("Student t5 20", StudentT5 { dim: 20 }),
        case("log half-normal", LogHalfNormal),
        case("eight schools", EightSchools),
        case(
            "funnel 10, mild",
            Funnel {
                dim: 10,
                scale: 1.0,
            },
        ),
    ]
}

/// Logistic regression with N(0, 1) priors on simulated data.
#[derive(Debug, Clone)]
struct Logistic {
    /// Rows of the design matrix, one after the other.
    design: Vec<f64>,
    outcomes: Vec<f64>,
    dim: usize,
}

impl Logistic {
    fn simulated(rows: usize, dim: usize) -> Self {
        let mut rng = ChainRng::new(20);
        let mut design = vec![0.0; rows * dim];
        rng.fill_normal(&mut design);
        let outcomes = design.chunks(dim).map(|row| {
            let eta = row.iter().sum::<f64>();
            f64::from(rng.uniform() < 1.0 / (1.0 + (-eta).exp()))
        });
        Self {
            outcomes: outcomes.collect(),
            design,
            dim,
        }
    }
}

impl Density for Logistic {
    fn dim(&self) -> usize {
        self.dim
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut logp = Normal::standard(self.dim).logp_and_gradient(x, gradient)?;
        for (row, outcome) in self.design.chunks(self.dim).zip(&self.outcomes) {
            let eta: f64 = row.iter().zip(x).map(|(a, x)| a * x).sum();
            logp += outcome * eta - eta.max(0.0) - (-eta.abs()).exp().ln_1p();
            let residual = outcome - 1.0 / (1.0 + (-eta).exp());
            for (g, a) in gradient.iter_mut().zip(row) {
                *g += a * residual;
            }
        }
        Ok(logp)
    }
}

struct Summary {
    after_warmup: f64,
    whole: f64,
    warmup_gradients: f64,
    divergences: f64,
}

fn one_run(settings: &Settings, make: &dyn Fn() -> Box<dyn Density>, run: u64) -> Summary {
    let dim = make().dim();
    let starts = (0..CHAINS).map(|chain| {
        let mut rng = ChainRng::new(1_000_000 + run * CHAINS + chain);
        (0..dim).map(|_| 2.0 * rng.uniform() - 1.0).collect()
    });
    let result = Run::start(
        settings.clone(),
        (0..CHAINS).map(|_| make()).collect(),
        starts.collect(),
        (0..CHAINS).map(|chain| run * CHAINS + chain).collect(),
        1,
    )
    .expect("valid inputs")
    .into_result()
    .expect("these densities do not fail");

    let (mut sampling, mut all, mut divergences) = (0.0, 0.0, 0.0);
    for chain in &result.chains {
        all += chain.gradients as f64;
        for (name, column) in chain.stats() {
            match (name, column) {
                ("n_steps", Column::I64(steps)) => sampling += steps.iter().sum::<i64>() as f64,
                ("diverging", Column::Bool(flags)) => {
                    divergences += flags.iter().filter(|&&d| d).count() as f64;
                }
                _ => {}
            }
        }
    }
    let smallest_ess = (0..dim)
        .flat_map(|i| {
            let column = |f: fn(f64) -> f64| -> f64 {
                let chains = result.chains.iter();
                let values: Vec<Vec<f64>> = chains
                    .map(|c| c.positions().chunks(dim).map(|x| f(x[i])).collect())
                    .collect();
                let values: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
                Workspace::default().draws(&values).ess(Ess::Mean)
            };
            [column(|x| x), column(|x| x * x)]
        })
        .fold(f64::INFINITY, f64::min);
    Summary {
        after_warmup: sampling / smallest_ess,
        whole: all / smallest_ess,
        warmup_gradients: (all - sampling) / CHAINS as f64,
        divergences,
    }
}

fn efficiency(json: &str) {
    let settings = Settings::from_json(json).expect("settings");
    println!("\n{json}");
    println!(
        "{:36} {:>12} {:>12} {:>12} {:>12}",
        "", "after", "whole", "in warm-up", "divergences"
    );
    let (mut log_after, mut log_whole) = (0.0, 0.0);
    let cases = cases();
    for (name, make) in &cases {
        let runs: Vec<Summary> = (0..RUNS).map(|run| one_run(&settings, make, run)).collect();
        let mean = |f: fn(&Summary) -> f64| runs.iter().map(f).sum::<f64>() / RUNS as f64;
        let (after, whole) = (mean(|s| s.after_warmup.ln()), mean(|s| s.whole.ln()));
        println!(
            "{name:36} {:12.2} {:12.2} {:12.0} {:12.1}",
            after.exp(),
            whole.exp(),
            mean(|s| s.warmup_gradients),
            mean(|s| s.divergences)
        );
        log_after += after / cases.len() as f64;
        log_whole += whole / cases.len() as f64;
    }
    println!(
        "{:36} {:12.2} {:12.2}",
        "geometric mean",
        log_after.exp(),
        log_whole.exp()
    );
}

/// Dimensions whose dense metric fits in memory caches; it is no choice beyond.
const MOST_DENSE: usize = 1000;

/// Nanoseconds of a leapfrog step, drift, density and kick, and of the density alone, on a standard normal.
fn leapfrog(dim: usize, metric: Metric) -> (f64, f64) {
    let mut density = Normal::standard(dim);
    let hamiltonian = Hamiltonian {
        metric,
        step_size: 1e-3,
        max_energy_error: 1000.0,
    };
    let mut tree = Tree::new(dim, DEPTH, None);
    let state = tree.current_mut();
    state.position.fill(0.1);
    let start = state.position.clone();
    state.logp = value(&mut density, &start, &mut state.gradient);
    let mut rng = ChainRng::new(1);
    let mut gradient = vec![0.0; dim];
    let (mut whole, mut own) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..(1_000_000 / dim).clamp(5, 200) {
        let clock = Instant::now();
        let mut step = tree.start(DEPTH, &hamiltonian, &mut rng);
        while step == Step::NeedGradient {
            let (position, gradient) = tree.pending();
            let logp = value(&mut density, position, gradient);
            step = tree.resume(logp, &hamiltonian, &mut rng);
        }
        let steps = tree.outcome().n_steps as f64;
        whole = clock.elapsed().as_secs_f64().min(whole * steps) / steps;
        let clock = Instant::now();
        for _ in 0..1 << DEPTH {
            std::hint::black_box(value(
                &mut density,
                std::hint::black_box(&start),
                &mut gradient,
            ));
        }
        own = (clock.elapsed().as_secs_f64() / f64::from(1 << DEPTH)).min(own);
    }
    (whole * 1e9, own * 1e9)
}

/// Doublings of the trajectories that are timed.
const DEPTH: u32 = 6;

fn value(density: &mut Normal, position: &[f64], gradient: &mut [f64]) -> f64 {
    let logp = density.logp_and_gradient(position, gradient);
    logp.expect("a normal does not fail")
}

/// Time of a leapfrog step beyond the density, by dimension and metric.
fn overhead() {
    println!("\nns a leapfrog step beyond the density, which takes the last column");
    println!(
        "{:>8} {:>10} {:>12} {:>10} {:>10}",
        "", "diagonal", "low-rank 10", "dense", "(density)"
    );
    for dim in [10, 100, 1000, 10_000, 100_000] {
        let excess = |metric: Metric| {
            let (whole, own) = leapfrog(dim, metric);
            (whole - own, own)
        };
        let scale = vec![1.0; dim];
        let directions: Vec<f64> = (0..10 * dim)
            .map(|i| f64::from(u8::from(i % dim == i / dim)))
            .collect();
        let low_rank = LowRank::new(scale.clone(), directions, &[1.1; 10]);
        let (diagonal, own) = excess(Metric::unit(dim));
        let (low_rank, _) = excess(Metric::LowRank(low_rank));
        print!("{dim:8} {diagonal:10.0} {low_rank:12.0}");
        if dim <= MOST_DENSE {
            let identity: Vec<f64> = (0..dim * dim)
                .map(|i| f64::from(u8::from(i % dim == i / dim)))
                .collect();
            let dense = Dense::new(&scale, &identity).expect("an identity has an inverse");
            print!(" {:10.0}", excess(Metric::Dense(dense)).0);
        } else {
            print!(" {:>10}", "-");
        }
        println!(" {own:10.0}");
    }
}

/// Points that the metrics are fitted to whose fit is timed.
const POINTS: usize = 400;

/// Time of a fit, by dimension and metric.
fn fits() {
    println!("\nus a fit to {POINTS} points");
    println!("{:>8} {:>10} {:>10}", "", "low-rank", "dense");
    for dim in [10, 30, 60, 90, 128, 300, 1000] {
        let time = |kind: MetricKind| {
            let mut adaptation = MetricAdaptation::new(kind, dim, f64::INFINITY, 1000);
            let (mut rng, mut draw) = (ChainRng::new(1), vec![0.0; dim]);
            for _ in 0..POINTS {
                rng.fill_normal(&mut draw);
                let gradient: Vec<f64> = draw.iter().map(|x| -x).collect();
                adaptation.add(&draw, &gradient, 0.0);
            }
            let mut metric = Metric::unit(dim);
            let once = |_| {
                let clock = Instant::now();
                adaptation.fit(&mut metric, false);
                clock.elapsed().as_secs_f64()
            };
            1e6 * (0..10).map(once).fold(f64::INFINITY, f64::min)
        };
        print!("{dim:8} {:10.0}", time(MetricKind::LowRank));
        if dim <= 300 {
            print!(" {:10.0}", time(MetricKind::Dense));
        }
        println!();
    }
}

fn main() {
    // Cargo passes `--bench` along.
    let settings: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    for json in &settings {
        efficiency(json);
    }
    overhead();
    fits();
}
