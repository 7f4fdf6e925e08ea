//! A run: chains on background threads, with progress, abort and errors as values.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;

use super::chain::{Chain, ChainError};
use super::control::ChainProgress;
use super::ensemble::Ensemble;
use super::settings::Settings;
use super::stats::{ChainDraws, Keep, RunArrays};
use super::team::Team;
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
    /// Draws of warm-up, fewer than asked for where it ended early.
    pub tune: u64,
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

/// Sampling in background threads, which begin at once.
///
/// Dropping a run aborts it.
pub struct Run {
    settings: Settings,
    team: Arc<Team>,
    /// Until they are taken.
    arrays: Option<RunArrays>,
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
        let ensemble = Ensemble::new(&settings, chains);
        let inputs = densities.into_iter().zip(starts).zip(seeds).zip(draws);
        let members = inputs.map(|(((density, start), seed), draws)| {
            Box::new(Chain::new(density, &start, seed, &settings, draws, chains))
        });
        let members = members.enumerate().collect();
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let working = cores.min(chains);
        let threads = match crew {
            Some(_) => working.max(cores.min(processors)),
            None => working,
        };
        let team = Team::new(members, ensemble, working, cores.min(processors), crew);
        let mut run = Self {
            settings,
            team: Arc::new(team),
            arrays: Some(arrays),
            threads: Vec::new(),
        };
        for i in 0..threads {
            let team = Arc::clone(&run.team);
            let thread = thread::Builder::new()
                .name(format!("rustmc-{i}"))
                .spawn(move || {
                    if i < working {
                        team.work()
                    } else {
                        team.help()
                    }
                })
                .map_err(|e| RunError::Thread(e.to_string()))?;
            run.threads.push(thread);
        }
        Ok(run)
    }

    /// The settings with all defaults.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How far each chain is.
    pub fn progress(&self) -> Vec<ChainProgress> {
        let Settings { tune, draws, .. } = self.settings;
        let chains = self.team.progress().iter();
        chains
            .map(|progress| progress.snapshot(tune, draws))
            .collect()
    }

    /// Whether every chain has ended.
    pub fn is_finished(&self) -> bool {
        self.team.is_finished()
    }

    /// Waits until every chain has ended, but no longer than `timeout`; says whether they have.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.team.wait(timeout)
    }

    /// Stops every chain before its next gradient; what they have drawn is kept.
    pub fn abort(&self) {
        self.team.abort();
    }

    /// Waits for the end and gives the draws.
    ///
    /// # Errors
    /// The first chain, by number, that failed.
    pub fn into_result(mut self) -> Result<RunResult, RunError> {
        for thread in self.threads.drain(..) {
            // Threads cannot unwind; were one lost all the same, its chain would be found missing below.
            let _ = thread.join();
        }
        let mut chains = Vec::new();
        let mut aborted = false;
        for (chain, finished) in self.team.take_finished().into_iter().enumerate() {
            let (draws, was_aborted) = finished.ok_or_else(|| RunError::Panic {
                chain,
                message: "its thread was lost".to_string(),
            })??;
            aborted |= was_aborted;
            chains.push(draws);
        }
        let arrays = self.arrays.take();
        let tune = chains.iter().map(|chain| chain.tune).min();
        let slowest = |time: fn(&ChainDraws) -> f64| chains.iter().map(time).fold(0.0, f64::max);
        Ok(RunResult {
            aborted,
            tune: tune.unwrap_or(self.settings.tune),
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
        self.team.dismiss(); // also where a thread could not be started
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

#[cfg(test)]
mod tests;
