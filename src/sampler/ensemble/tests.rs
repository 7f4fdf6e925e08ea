//! Chains that meet: the same draws on any threads, right counts, no end before its time, and nobody who waits for ever.

use std::time::Duration;

use crate::density::{Density, DensityError};
use crate::sampler::stats::Column;
use crate::sampler::testing::{EightSchools, Funnel, Normal};
use crate::sampler::{Run, RunError, RunResult, Settings};

const BOTH: &str = r#"{"pool": true, "early_stop": true, "draws": 50, "save_warmup": true}"#;
const OPTIONS: [&str; 3] = [
    r#"{"pool": true, "tune": 60, "draws": 50, "save_warmup": true}"#,
    r#"{"early_stop": true, "draws": 50, "save_warmup": true}"#,
    BOTH,
];

/// Starts chains of a density, from different points.
fn start<D: Density + Clone + 'static>(
    density: &D,
    settings: &str,
    chains: u32,
    cores: usize,
) -> Run {
    let densities = (0..chains).map(|_| Box::new(density.clone()) as Box<dyn Density>);
    start_with(densities.collect(), settings, cores)
}

fn start_with(densities: Vec<Box<dyn Density>>, settings: &str, cores: usize) -> Run {
    let chains = densities.len() as u64;
    let starts = (0..chains).map(|chain| vec![0.4 * chain as f64 - 0.5; densities[0].dim()]);
    let starts = starts.collect();
    let settings = Settings::from_json(settings).unwrap();
    Run::start(settings, densities, starts, (1..=chains).collect(), cores).unwrap()
}

fn finish<D: Density + Clone + 'static>(density: &D, settings: &str, chains: u32) -> RunResult {
    start(density, settings, chains, 2).into_result().unwrap()
}

/// Requires the first `draws` draws and their statistics to be the same.
fn assert_same(a: &RunResult, b: &RunResult, draws: usize) {
    for (a, b) in a.chains.iter().zip(&b.chains) {
        let numbers = draws * a.dim();
        assert_eq!(a.positions()[..numbers], b.positions()[..numbers]);
        for ((name, a), (_, b)) in a.stats().into_iter().zip(b.stats()) {
            let same = match (a, b) {
                (Column::F64(a), Column::F64(b)) => a[..draws] == b[..draws],
                (Column::I64(a), Column::I64(b)) => a[..draws] == b[..draws],
                (Column::Bool(a), Column::Bool(b)) => a[..draws] == b[..draws],
                _ => false,
            };
            assert!(same || name == "draw_time", "{name}");
        }
    }
}

fn reals<'a>(result: &'a RunResult, chain: usize, name: &str) -> &'a [f64] {
    let mut stats = result.chains[chain].stats().into_iter();
    match stats.find(|(found, _)| *found == name) {
        Some((_, Column::F64(values))) => values,
        other => panic!("{other:?}"),
    }
}

#[test]
fn draws_do_not_depend_on_the_number_of_threads() {
    for settings in OPTIONS {
        let results = [1, 2, 3, 5].map(|cores| {
            let run = start(&EightSchools, settings, 5, cores);
            run.into_result().unwrap()
        });
        for other in &results[1..] {
            assert_eq!(results[0].tune, other.tune);
            let draws = results[0].chains[0].len();
            assert_same(&results[0], other, draws);
        }
    }
}

#[test]
fn warmup_ends_early_where_chains_agree_and_all_counts_say_so() {
    for (settings, chains) in [(OPTIONS[1], 4), (BOTH, 4), (OPTIONS[1], 1), (BOTH, 1)] {
        let run = start(&Normal::standard(5), settings, chains, 2);
        assert!(run.wait(Duration::from_secs(60)));
        let progress = run.progress();
        let result = run.into_result().unwrap();
        let tune = result.tune as usize;
        // Not in the early part, 60 draws long, and a final part follows.
        assert!((61..200).contains(&tune), "{tune}");
        for (chain, progress) in result.chains.iter().zip(progress) {
            assert_eq!((chain.len(), chain.warmup_draws), (tune + 50, tune));
            let draws = (progress.finished_draws, progress.total_draws);
            assert_eq!(draws, (result.tune + 50, result.tune + 50));
            assert!(!progress.tuning);
        }
        // Nothing adapts after warm-up.
        for chain in 0..chains as usize {
            let steps = &reals(&result, chain, "step_size_bar")[tune..];
            assert!(steps.iter().all(|step| step == &steps[0]));
        }
    }
}

#[test]
fn until_it_ends_warmup_is_that_of_a_run_without() {
    let early = finish(&Normal::standard(5), OPTIONS[1], 4);
    let settings = OPTIONS[1].replace("\"early_stop\": true, ", "");
    let late = finish(&Normal::standard(5), &settings, 4);
    assert_eq!(late.tune, 200);
    assert_same(&early, &late, 60);
}

#[test]
fn warmup_does_not_end_early_where_chains_disagree() {
    let funnel = Funnel {
        dim: 10,
        scale: 3.0,
    };
    for settings in [OPTIONS[1], BOTH] {
        assert_eq!(finish(&funnel, settings, 4).tune, 200, "{settings}");
    }
}

#[test]
fn pooled_chains_have_one_metric_that_one_chain_alone_has_not() {
    // On a normal each metric found is the same, but not to the last bit.
    let settings = r#"{"pool": true, "metric": "dense", "draws": 200}"#;
    let pooled = finish(&Normal::standard(3), settings, 3);
    let alone = finish(&Normal::standard(3), &settings.replace("true", "false"), 3);
    assert_ne!(pooled.chains[0].positions(), alone.chains[0].positions());
    // A single chain has nobody to meet.
    let (pooled, alone) = (
        finish(&Normal::standard(3), settings, 1),
        finish(&Normal::standard(3), &settings.replace("true", "false"), 1),
    );
    assert_same(&pooled, &alone, 200);
}

/// A standard normal that runs a piece of code before each evaluation, given its number.
struct Hooked<F>(F, u64);

impl<F: FnMut(u64) -> Result<(), DensityError> + Send> Density for Hooked<F> {
    fn dim(&self) -> usize {
        2
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        self.1 += 1;
        (self.0)(self.1)?;
        Normal::standard(2).logp_and_gradient(x, gradient)
    }
}

/// Four chains of which number 2 runs a piece of code before its 300th evaluation, in the middle of warm-up.
fn ended_by(
    hook: impl Fn() -> Result<(), DensityError> + Send + Clone + 'static,
    cores: usize,
) -> Result<RunResult, RunError> {
    let densities = (0..4).map(|chain| {
        let hook = hook.clone();
        let hooked = move |n: u64| {
            if chain == 2 && n == 300 {
                hook()
            } else {
                Ok(())
            }
        };
        Box::new(Hooked(hooked, 0)) as Box<dyn Density>
    });
    let settings = r#"{"pool": true, "early_stop": true, "tune": 100000, "draws": 10}"#;
    let settings = settings.replace(
        "\"tune\"",
        "\"schedule\": {\"early_fraction\": 0.7}, \"tune\"",
    );
    let run = start_with(densities.collect(), &settings, cores);
    assert!(run.wait(Duration::from_secs(60)), "chains wait for ever");
    run.into_result()
}

#[test]
fn nobody_waits_for_a_chain_that_fails() {
    for cores in [1, 2, 4] {
        let failure = || Err(DensityError("x: no such index".to_string()));
        let error = ended_by(failure, cores).unwrap_err().to_string();
        assert_eq!(error, "chain 2: x: no such index");
        let error = ended_by(|| panic!("out of cheese"), cores).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("chain 2: internal error: out of cheese")
        );
    }
}

#[test]
fn an_abort_reaches_chains_that_wait() {
    for cores in [1, 2, 4] {
        let densities = (0..4).map(|chain| {
            let slow = move |_: u64| {
                if chain == 3 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            };
            Box::new(Hooked(slow, 0)) as Box<dyn Density>
        });
        let run = start_with(
            densities.collect(),
            r#"{"pool": true, "tune": 100000}"#,
            cores,
        );
        while run.progress()[3].finished_draws < 12 {
            std::thread::yield_now();
        }
        run.abort();
        assert!(run.wait(Duration::from_secs(60)), "chains wait for ever");
        assert!(run.into_result().unwrap().aborted);
    }
}
