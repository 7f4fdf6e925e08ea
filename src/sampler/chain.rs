//! One chain: starting point, warm-up, draws, statistics.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use thiserror::Error;

use super::control::Control;
use super::hamiltonian::Hamiltonian;
use super::metric::Metric;
use super::rng::ChainRng;
use super::settings::Settings;
use super::stats::{ChainDraws, DrawStats};
use super::step_size::{self, DualAveraging};
use super::trajectory::{Step, Trajectory};
use super::warmup::Warmup;
use crate::density::{Density, DensityError};

/// Why a chain failed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum ChainError {
    /// The model failed.
    #[error(transparent)]
    Density(#[from] DensityError),
    /// The starting point has no density.
    #[error(
        "the starting point has log density {0}; start where the model has a finite log density"
    )]
    StartLogp(String),
    /// The starting point has no gradient.
    #[error(
        "at the starting point entry {index} of the gradient is {value}; start where the \
         gradient is finite"
    )]
    StartGradient {
        /// Index in the position vector.
        index: usize,
        /// The entry.
        value: String,
    },
}

/// How a chain that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With all its draws.
    Complete,
    /// By the abort flag.
    Aborted,
}

/// What leaves the loop over draws early.
enum Stop {
    Aborted,
    Failed(ChainError),
}

impl<E: Into<ChainError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs a chain to its end; what it drew is in `draws`, even if it fails or is aborted.
///
/// # Errors
/// A starting point without finite log density and gradient, or a failure of the model.
pub fn run(
    density: &mut dyn Density,
    start: &[f64],
    seed: u64,
    settings: &Settings,
    control: Control<'_>,
    draws: &mut ChainDraws,
) -> Result<Ended, ChainError> {
    let began = Instant::now();
    let trajectory = Trajectory::new(settings, start.len());
    let mut chain = Chain {
        model: Model {
            density,
            control,
            evaluations: 0,
        },
        settings,
        rng: ChainRng::new(seed),
        hamiltonian: Hamiltonian {
            metric: Metric::unit(start.len()),
            step_size: f64::NAN,
            max_energy_error: settings.max_energy_error,
        },
        trajectory,
        divergences: 0,
        began,
        drawn: began,
    };
    let ended = chain.run(start, draws);
    draws.gradients = chain.model.evaluations;
    match ended {
        Ok(()) => Ok(Ended::Complete),
        Err(Stop::Aborted) => Ok(Ended::Aborted),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The density, counted and interruptible.
struct Model<'a> {
    density: &'a mut dyn Density,
    control: Control<'a>,
    evaluations: u64,
}

impl Model<'_> {
    #[inline]
    fn evaluate(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Stop> {
        if self.control.abort.load(Relaxed) {
            return Err(Stop::Aborted);
        }
        self.evaluations += 1;
        Ok(self.density.logp_and_gradient(position, gradient)?)
    }
}

struct Chain<'a> {
    model: Model<'a>,
    settings: &'a Settings,
    rng: ChainRng,
    hamiltonian: Hamiltonian,
    trajectory: Trajectory,
    /// After warm-up.
    divergences: u64,
    /// When the chain began, and when its last draw was made: reading the clock takes as long as a small model's
    /// gradient.
    began: Instant,
    drawn: Instant,
}

impl Chain<'_> {
    fn run(&mut self, start: &[f64], draws: &mut ChainDraws) -> Result<(), Stop> {
        self.place(start)?;
        let mut warmup = Warmup::new(self.settings, start.len());
        if self.settings.tune > 0 {
            self.hamiltonian.metric = warmup.first_metric(self.trajectory.current());
        }
        let mut step_size = self.first_step_size()?;
        self.drawn = Instant::now();
        draws.warmup_time = self.seconds();

        for draw in 0..self.settings.total_draws() {
            let tuning = draw < self.settings.tune;
            let base = if tuning {
                step_size.current()
            } else {
                step_size.averaged()
            };
            let keep = !tuning || self.settings.save_warmup;
            let kept = keep.then_some(&mut *draws);
            let learning = tuning.then_some((draw, &mut warmup));
            self.draw(base, step_size.averaged(), learning, kept)?;
            if tuning {
                let searches = warmup.learn(
                    draw,
                    self.trajectory.current(),
                    self.trajectory.outcome(),
                    &mut step_size,
                    &mut self.hamiltonian,
                );
                if searches {
                    step_size = self.first_step_size()?;
                }
                draws.warmup_time = self.seconds();
            } else {
                draws.sampling_time = self.seconds() - draws.warmup_time;
            }
        }
        Ok(())
    }

    /// From the beginning to the last draw.
    fn seconds(&self) -> f64 {
        (self.drawn - self.began).as_secs_f64()
    }

    /// Makes `start` the current draw.
    fn place(&mut self, start: &[f64]) -> Result<(), Stop> {
        let state = self.trajectory.current_mut();
        state.position.copy_from_slice(start);
        state.logp = self.model.evaluate(start, &mut state.gradient)?;
        if !state.logp.is_finite() {
            return Err(ChainError::StartLogp(state.logp.to_string()).into());
        }
        match state.gradient.iter().position(|g| !g.is_finite()) {
            None => Ok(()),
            Some(index) => Err(ChainError::StartGradient {
                index,
                value: state.gradient[index].to_string(),
            }
            .into()),
        }
    }

    /// Dual averaging from the caller's first step size or from a search.
    fn first_step_size(&mut self) -> Result<DualAveraging, Stop> {
        let initial = match self.settings.initial_step_size {
            Some(initial) => initial,
            None => {
                step_size::search(
                    &mut self.hamiltonian,
                    self.trajectory.current(),
                    &mut self.rng,
                    |position, gradient| self.model.evaluate(position, gradient),
                )?;
                self.hamiltonian.step_size
            }
        };
        Ok(DualAveraging::new(initial))
    }

    /// Makes one draw with a step size around `base`, and keeps it if there is where; in warm-up,
    /// given its number and who learns from it.
    fn draw(
        &mut self,
        base: f64,
        step_size_bar: f64,
        mut learning: Option<(u64, &mut Warmup)>,
        keep: Option<&mut ChainDraws>,
    ) -> Result<(), Stop> {
        let tuning = learning.is_some();
        let short = learning
            .as_ref()
            .and_then(|(draw, warmup)| warmup.max_treedepth(*draw));
        let deepest = self.settings.max_treedepth;
        let max_depth = short.map_or(deepest, |depth| depth.min(deepest));
        let jitter = self.settings.step_size_jitter * (2.0 * self.rng.uniform() - 1.0);
        self.hamiltonian.step_size = base * (1.0 + jitter);
        let mut step = self
            .trajectory
            .start(max_depth, &self.hamiltonian, &mut self.rng);
        while step == Step::NeedGradient {
            let (position, gradient) = self.trajectory.pending();
            let logp = self.model.evaluate(position, gradient)?;
            if let Some((draw, warmup)) = &mut learning {
                warmup.visit(*draw, position, gradient, logp);
            }
            step = self
                .trajectory
                .resume(logp, &self.hamiltonian, &mut self.rng);
        }

        let begin = std::mem::replace(&mut self.drawn, Instant::now());
        let (state, outcome) = (self.trajectory.current(), self.trajectory.outcome());
        self.divergences += u64::from(outcome.diverging && !tuning);
        self.model.control.progress.record(
            self.divergences,
            self.hamiltonian.step_size,
            outcome.n_steps,
        );
        if let Some(draws) = keep {
            let stats = DrawStats {
                lp: state.logp,
                energy: state.energy,
                energy_error: outcome.energy_error,
                max_energy_error: outcome.max_energy_error,
                index_in_trajectory: state.index,
                tree_depth: i64::from(outcome.tree_depth),
                n_steps: outcome.n_steps as i64,
                acceptance_rate: outcome.acceptance_rate,
                step_size: self.hamiltonian.step_size,
                step_size_bar,
                diverging: outcome.diverging,
                divergences: self.divergences as i64,
                reached_max_treedepth: outcome.reached_max_treedepth,
                tuning,
                draw_time: (self.drawn - begin).as_secs_f64(),
            };
            draws.push(&state.position, &stats)?;
        }
        Ok(())
    }
}
