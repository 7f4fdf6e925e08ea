//! Runs: threads, progress, aborts, failures, inputs.

use super::*;
use crate::density::DensityError;
use crate::sampler::stats::Column;
use crate::sampler::testing::{EightSchools, Funnel, Normal};

/// A standard normal that runs a piece of code before each evaluation, given its number.
struct Hooked<F>(F, u64);

impl<F: FnMut(u64) -> Result<(), DensityError> + Send> Density for Hooked<F> {
    fn dim(&self) -> usize {
        2
    }

    fn logp_and_gradient(
        &mut self,
        position: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, DensityError> {
        self.1 += 1;
        (self.0)(self.1)?;
        Normal::standard(2).logp_and_gradient(position, gradient)
    }
}

fn hooked(hook: impl FnMut(u64) -> Result<(), DensityError> + Send + 'static) -> Box<dyn Density> {
    Box::new(Hooked(hook, 0))
}

fn normal() -> Box<dyn Density> {
    hooked(|_| Ok(()))
}

/// Starts a chain a density, from 0.5 everywhere.
fn start(settings: &str, densities: Vec<Box<dyn Density>>, cores: usize) -> Run {
    let starts = densities.iter().map(|d| vec![0.5; d.dim()]).collect();
    let seeds = (0..densities.len() as u64).collect();
    let settings = Settings::from_json(settings).unwrap();
    Run::start(settings, densities, starts, seeds, cores).unwrap()
}

fn finish(
    settings: &str,
    densities: Vec<Box<dyn Density>>,
    cores: usize,
) -> Result<RunResult, RunError> {
    start(settings, densities, cores).into_result()
}

fn flags<'a>(chain: &'a ChainDraws, name: &str) -> &'a [bool] {
    match chain.stats().into_iter().find(|(n, _)| *n == name) {
        Some((_, Column::Bool(flags))) => flags,
        other => panic!("{other:?}"),
    }
}

#[test]
fn draws_do_not_depend_on_the_number_of_threads() {
    let run = |cores| {
        let densities = (0..5)
            .map(|_| Box::new(EightSchools) as Box<dyn Density>)
            .collect();
        finish(r#"{"tune": 60, "draws": 50}"#, densities, cores)
            .unwrap()
            .chains
    };
    let (one, four) = (run(1), run(4));
    for (a, b) in one.iter().zip(&four) {
        assert_eq!(a.positions(), b.positions());
        for ((name, a), (_, b)) in a.stats().into_iter().zip(b.stats()) {
            assert!(name == "draw_time" || a == b, "{name}");
        }
    }
    assert_ne!(one[0].positions(), one[1].positions());
}

#[test]
fn a_run_reports_its_progress_and_keeps_what_was_asked() {
    let settings = r#"{"tune": 20, "draws": 30, "save_warmup": true}"#;
    let run = start(settings, vec![normal(), normal()], 2);
    assert!(run.wait(Duration::from_secs(60)));
    assert!(run.is_finished());
    for progress in run.progress() {
        assert!(progress.started && !progress.tuning);
        assert_eq!((progress.finished_draws, progress.total_draws), (50, 50));
        assert!(progress.step_size > 0.0 && progress.tree_size > 0);
    }
    let result = run.into_result().unwrap();
    assert!(!result.aborted);
    for chain in &result.chains {
        assert_eq!((chain.len(), chain.warmup_draws), (50, 20));
        assert_eq!(chain.positions().len(), 100);
        let tuning = flags(chain, "tuning");
        assert!(tuning[..20].iter().all(|&t| t) && !tuning[20..].iter().any(|&t| t));
        assert!(chain.gradients > 50);
    }
}

#[test]
fn without_save_warmup_only_draws_are_kept() {
    let result = finish(r#"{"tune": 20, "draws": 30}"#, vec![normal()], 1).unwrap();
    assert_eq!(
        (result.chains[0].len(), result.chains[0].warmup_draws),
        (30, 0)
    );
}

#[test]
fn no_warmup_one_dimension_or_no_draws_work() {
    let single = || vec![Box::new(Normal::standard(1)) as Box<dyn Density>];
    for (settings, len) in [
        (r#"{"tune": 0, "draws": 7}"#, 7),
        (r#"{"tune": 1, "draws": 1}"#, 1),
        (r#"{"tune": 9, "draws": 0, "save_warmup": true}"#, 9),
        (r#"{"tune": 0, "draws": 7, "initial_step_size": 0.3}"#, 7),
        (r#"{"kind": "hmc", "tune": 0, "draws": 7}"#, 7),
    ] {
        let result = finish(settings, single(), 1).unwrap();
        assert_eq!(result.chains[0].len(), len, "{settings}");
    }
}

#[test]
fn a_start_at_the_mode_works() {
    let density: Vec<Box<dyn Density>> = vec![Box::new(Normal::standard(3))];
    let settings = Settings::default();
    let run = Run::start(settings, density, vec![vec![0.0; 3]], vec![1], 1).unwrap();
    assert_eq!(run.into_result().unwrap().chains[0].len(), 1000);
}

#[test]
fn abort_keeps_the_draws_so_far() {
    let slow = || {
        hooked(|_| {
            thread::sleep(Duration::from_micros(50));
            Ok(())
        })
    };
    let run = start(
        r#"{"tune": 10, "draws": 1000000}"#,
        vec![slow(), slow(), slow()],
        2,
    );
    while run.progress()[0].finished_draws < 20 {
        thread::yield_now();
    }
    assert!(!run.wait(Duration::ZERO));
    run.abort();
    assert!(run.wait(Duration::from_secs(10)));
    let result = run.into_result().unwrap();
    assert!(result.aborted);
    let first = &result.chains[0];
    assert!(first.len() >= 10 && first.len() < 1_000_000);
    assert_eq!(first.positions().len(), 2 * first.len());
    assert!(result.chains[2].is_empty());
}

#[test]
fn a_panic_in_the_density_is_an_error_of_its_chain() {
    let panicking = hooked(|n| {
        if n == 100 {
            panic!("out of cheese")
        } else {
            Ok(())
        }
    });
    let run = start("{}", vec![normal(), panicking], 1);
    assert!(run.wait(Duration::from_secs(60)));
    let error = run.into_result().unwrap_err();
    assert_eq!(
        error.to_string(),
        "chain 1: internal error: out of cheese; please report it"
    );
}

#[test]
fn an_error_of_the_density_ends_the_run() {
    let failing = hooked(|n| match n {
        50 => Err(DensityError("x: index 7 is out of range".to_string())),
        _ => Ok(()),
    });
    // The other chain would take forever.
    let run = start(r#"{"draws": 10000000}"#, vec![failing, normal()], 2);
    assert!(run.wait(Duration::from_secs(60)));
    let error = run.into_result().unwrap_err();
    assert_eq!(error.to_string(), "chain 0: x: index 7 is out of range");
}

#[test]
fn a_start_without_density_is_an_error() {
    for (x, message) in [
        (f64::NAN, "log density NaN"),
        (f64::INFINITY, "log density -inf"),
    ] {
        let density: Vec<Box<dyn Density>> = vec![Box::new(Normal::standard(1))];
        let run = Run::start(Settings::default(), density, vec![vec![x]], vec![1], 1);
        let error = run.unwrap().into_result().unwrap_err().to_string();
        assert!(
            error.starts_with("chain 0") && error.contains(message),
            "{error}"
        );
    }
}

#[test]
fn overflow_in_a_trajectory_is_a_divergence() {
    // Steps of 100 from this start overflow exp() and give NaN and infinite gradients.
    let density: Vec<Box<dyn Density>> = vec![Box::new(Funnel { dim: 3, scale: 3.0 })];
    let settings = r#"{"tune": 0, "draws": 20, "initial_step_size": 1e200}"#;
    let result = finish(settings, density, 1).unwrap();
    assert!(flags(&result.chains[0], "diverging").iter().all(|&d| d));
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let message = |starts: Vec<Vec<f64>>, seeds: Vec<u64>, cores| {
        Run::start(Settings::default(), vec![normal()], starts, seeds, cores)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(message(vec![], vec![1], 1).contains("got 0 and 1"));
    assert!(message(vec![vec![0.0; 2]], vec![1, 2], 1).contains("got 1 and 2"));
    assert!(message(vec![vec![0.0; 3]], vec![1], 1).contains("3 entries"));
    assert!(message(vec![vec![0.0; 2]], vec![1], 0).contains("cores"));
}

#[test]
fn draws_beyond_memory_are_refused() {
    let settings = Settings {
        draws: 1 << 60,
        ..Settings::default()
    };
    let run = Run::start(settings, vec![normal()], vec![vec![0.0; 2]], vec![1], 1);
    assert!(matches!(run.err(), Some(RunError::Memory { .. })));
}
