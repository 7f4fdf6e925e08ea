//! A run: chains on background threads, with progress, abort and errors as values.

use std::any::Any;
use std::fmt;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::chain::{self, ChainError, Ended};
use super::control::{ChainProgress, Control, Progress};
use super::settings::Settings;
use super::stats::{ChainDraws, Keep, RunArrays};
use crate::density::Density;
use crate::kernels::crew::Crew;

/// Why a run could not start or failed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum RunError {
    /// Densities, starting points or seeds do not fit together.
    #[error("{0}")]
    Input(String),
    /// The draws do not fit into memory.
    #[error(
        "no memory for {chains} chains of {draws} draws in {dim} dimensions ({gib:.1} GiB); ask \
         for fewer draws or chains",
        gib = (*chains as f64) * (*draws as f64) * (*dim as f64) * 8.0 / 1024f64.powi(3)
    )]
    Memory {
        /// Number of chains.
        chains: usize,
        /// Draws kept a chain.
        draws: u64,
        /// Dimensions of a draw.
        dim: usize,
    },
    /// The operating system gave no thread.
    #[error("cannot start a sampling thread: {0}")]
    Thread(String),
    /// A chain failed.
    #[error("chain {chain}: {error}")]
    Chain {
        /// Number of the chain, from 0.
        chain: usize,
        /// What went wrong.
        error: ChainError,
    },
    /// The density panicked: a defect of this library.
    #[error("chain {chain}: internal error: {message}; please report it")]
    Panic {
        /// Number of the chain, from 0.
        chain: usize,
        /// The panic's message.
        message: String,
    },
}

/// The draws of a run.
pub struct RunResult {
    /// Each chain's draws. After an abort chains differ in length, and some may be empty.
    pub chains: Vec<ChainDraws>,
    /// What the chains' draws are parts of.
    pub arrays: RunArrays,
    /// Whether the run was aborted before every chain had all its draws.
    pub aborted: bool,
    /// Seconds of warm-up of the slowest chain.
    pub warmup_time: f64,
    /// Seconds of sampling after warm-up of the slowest chain.
    pub sampling_time: f64,
}

impl fmt::Debug for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths: Vec<usize> = self.chains.iter().map(ChainDraws::len).collect();
        let mut text = f.debug_struct("RunResult");
        text.field("draws", &lengths).finish_non_exhaustive()
    }
}

/// One chain's input.
struct Task {
    density: Box<dyn Density>,
    start: Vec<f64>,
    seed: u64,
    draws: ChainDraws,
}

/// One chain's output: its draws and how it ended.
type Finished = (ChainDraws, Result<Ended, RunError>);

/// What the threads of a run share.
struct Shared {
    settings: Settings,
    abort: AtomicBool,
    progress: Vec<Progress>,
    /// Chains that no thread has begun.
    tasks: Vec<Mutex<Option<Task>>>,
    next_task: AtomicUsize,
    finished: Mutex<Vec<Option<Finished>>>,
    chain_finished: Condvar,
    arrays: Mutex<Option<RunArrays>>,
    /// Threads that have chains to run.
    working: AtomicUsize,
    /// Threads without, which help those that have.
    helping: AtomicUsize,
    /// Most threads that have or help with chains, as far as there is no chain for each.
    processors: usize,
    crew: Option<Arc<Crew>>,
}

/// Sampling in background threads, which begin at once.
///
/// Dropping a run aborts it.
pub struct Run {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Run {
    /// Starts a chain for each density, with its own starting point and seed, on at most `cores`
    /// threads. Draws depend on the seeds alone, not on the number of threads.
    ///
    /// # Errors
    /// Settings or inputs that make no sense, too little memory, no threads.
    pub fn start(
        settings: Settings,
        densities: Vec<Box<dyn Density>>,
        starts: Vec<Vec<f64>>,
        seeds: Vec<u64>,
        cores: usize,
    ) -> Result<Self, RunError> {
        let keep = densities.iter().map(|_| None).collect();
        Self::start_helped(settings, densities, starts, seeds, cores, keep, None)
    }

    /// As [`Run::start`], with what each chain keeps in place of positions; threads that have no chain help the densities
    /// that have a place in the crew.
    ///
    /// # Errors
    /// As [`Run::start`].
    pub(crate) fn start_helped(
        settings: Settings,
        densities: Vec<Box<dyn Density>>,
        starts: Vec<Vec<f64>>,
        seeds: Vec<u64>,
        cores: usize,
        keep: Vec<Option<Box<dyn Keep>>>,
        crew: Option<Arc<Crew>>,
    ) -> Result<Self, RunError> {
        let settings = settings
            .validated()
            .map_err(|e| RunError::Input(e.to_string()))?;
        check_inputs(&densities, &starts, &seeds, cores)?;
        let chains = densities.len();
        let kept = settings.kept_warmup() + settings.draws;
        let dim = densities[0].dim();
        let storage = usize::try_from(kept).ok();
        let storage = storage.and_then(|kept| ChainDraws::for_chains(keep, kept, dim));
        let (arrays, draws) = storage.ok_or(RunError::Memory {
            chains,
            draws: kept,
            dim,
        })?;
        let inputs = densities.into_iter().zip(starts).zip(seeds).zip(draws);
        let tasks = inputs.map(|(((density, start), seed), draws)| {
            Mutex::new(Some(Task {
                density,
                start,
                seed,
                draws,
            }))
        });
        let tasks = tasks.collect();
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let working = cores.min(chains);
        let threads = match crew {
            Some(_) => working.max(cores.min(processors)),
            None => working,
        };
        let shared = Arc::new(Shared {
            settings,
            abort: AtomicBool::new(false),
            progress: (0..chains).map(|_| Progress::default()).collect(),
            tasks,
            next_task: AtomicUsize::new(0),
            finished: Mutex::new((0..chains).map(|_| None).collect()),
            chain_finished: Condvar::new(),
            arrays: Mutex::new(Some(arrays)),
            working: AtomicUsize::new(working),
            helping: AtomicUsize::new(0),
            processors: cores.min(processors),
            crew,
        });
        let mut run = Self {
            shared,
            threads: Vec::new(),
        };
        for i in 0..threads {
            let shared = Arc::clone(&run.shared);
            let thread = thread::Builder::new()
                .name(format!("rustmc-{i}"))
                .spawn(move || {
                    if i < working {
                        shared.work();
                    }
                    shared.help();
                })
                .map_err(|e| RunError::Thread(e.to_string()))?;
            run.threads.push(thread);
        }
        Ok(run)
    }

    /// The settings with all defaults.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// How far each chain is.
    pub fn progress(&self) -> Vec<ChainProgress> {
        let Settings { tune, draws, .. } = self.shared.settings;
        let chains = self.shared.progress.iter();
        chains
            .map(|progress| progress.snapshot(tune, draws))
            .collect()
    }

    /// Whether every chain has ended.
    pub fn is_finished(&self) -> bool {
        all_ended(&lock(&self.shared.finished))
    }

    /// Waits until every chain has ended, but no longer than `timeout`; says whether they have.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut finished = lock(&self.shared.finished);
        while !all_ended(&finished) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.shared.chain_finished.wait_timeout(finished, left);
            finished = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Stops every chain before its next gradient; what they have drawn is kept.
    pub fn abort(&self) {
        self.shared.abort.store(true, Relaxed);
    }

    /// Waits for the end and gives the draws.
    ///
    /// # Errors
    /// The first chain, by number, that failed.
    pub fn into_result(mut self) -> Result<RunResult, RunError> {
        for thread in self.threads.drain(..) {
            // Chains cannot unwind out of `work`; were a thread lost all the same, its chain would
            // be found missing below.
            let _ = thread.join();
        }
        let mut chains = Vec::new();
        let mut aborted = false;
        for (chain, finished) in lock(&self.shared.finished).drain(..).enumerate() {
            let (draws, ended) = finished.ok_or_else(|| RunError::Panic {
                chain,
                message: "its thread was lost".to_string(),
            })?;
            aborted |= ended? == Ended::Aborted;
            chains.push(draws);
        }
        let arrays = lock(&self.shared.arrays).take();
        let slowest = |time: fn(&ChainDraws) -> f64| chains.iter().map(time).fold(0.0, f64::max);
        Ok(RunResult {
            aborted,
            warmup_time: slowest(|chain| chain.warmup_time),
            sampling_time: slowest(|chain| chain.sampling_time),
            arrays: arrays.expect("a result is taken once"),
            chains,
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    /// Takes chains until none is left.
    fn work(&self) {
        let _leaving = Leaving(self);
        loop {
            let chain = self.next_task.fetch_add(1, Relaxed);
            let Some(task) = self.tasks.get(chain).and_then(|task| lock(task).take()) else {
                return;
            };
            let finished = self.run_chain(chain, task);
            if finished.1.is_err() {
                self.abort.store(true, Relaxed);
            }
            lock(&self.finished)[chain] = Some(finished);
            self.chain_finished.notify_all();
        }
    }

    /// Helps threads that have a chain, if there is a processor free for it.
    fn help(&self) {
        let Some(crew) = &self.crew else { return };
        let helping = self.helping.fetch_add(1, Relaxed) + 1;
        if helping + self.working.load(Relaxed) <= self.processors {
            crew.help();
        }
    }

    fn run_chain(&self, chain: usize, task: Task) -> Finished {
        let Task {
            mut density,
            start,
            seed,
            mut draws,
        } = task;
        let progress = &self.progress[chain];
        let control = Control {
            abort: &self.abort,
            progress,
        };
        progress.start();
        // After a panic the density is dropped and the draws, whole or not, are not looked at.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            chain::run(
                &mut *density,
                &start,
                seed,
                &self.settings,
                control,
                &mut draws,
            )
        }));
        progress.end();
        let ended = match ended {
            Ok(Ok(ended)) => Ok(ended),
            Ok(Err(error)) => Err(RunError::Chain { chain, error }),
            Err(panic) => Err(RunError::Panic {
                chain,
                message: panic_message(&*panic),
            }),
        };
        (draws, ended)
    }
}

/// A thread has no chain any more, whatever happened; the last one sends the helpers home.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.0.working.fetch_sub(1, SeqCst) == 1
            && let Some(crew) = &self.0.crew
        {
            crew.dismiss();
        }
    }
}

fn check_inputs(
    densities: &[Box<dyn Density>],
    starts: &[Vec<f64>],
    seeds: &[u64],
    cores: usize,
) -> Result<(), RunError> {
    let chains = densities.len();
    if chains == 0 || cores == 0 {
        return Err(RunError::Input(format!(
            "chains and cores must be at least 1, got {chains} and {cores}"
        )));
    }
    if starts.len() != chains || seeds.len() != chains {
        return Err(RunError::Input(format!(
            "{chains} chains need a starting point and a seed each, got {} and {}",
            starts.len(),
            seeds.len()
        )));
    }
    for (chain, (density, start)) in densities.iter().zip(starts).enumerate() {
        if density.dim() != densities[0].dim() {
            return Err(RunError::Input(format!(
                "chain {chain}: its model has {} parameters, that of the first chain {}",
                density.dim(),
                densities[0].dim()
            )));
        }
        if start.len() != density.dim() {
            return Err(RunError::Input(format!(
                "chain {chain}: the starting point has {} entries, the model {} parameters",
                start.len(),
                density.dim()
            )));
        }
    }
    Ok(())
}

fn all_ended(finished: &[Option<Finished>]) -> bool {
    finished.iter().all(Option::is_some)
}

/// Locks; no code that can panic runs under a lock, so a poisoned one holds good data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_string())
}

#[cfg(test)]
mod tests {
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

    fn hooked(
        hook: impl FnMut(u64) -> Result<(), DensityError> + Send + 'static,
    ) -> Box<dyn Density> {
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
}
