//! One chain: starting point, warm-up, draws, statistics; it can be left between two draws and taken up again.

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

/// Where a chain that did not fail has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// A meeting with the other chains.
    Meeting,
    /// The end of its draws.
    End,
    /// No further, because of the abort flag.
    Abort,
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

/// The density, counted and interruptible.
struct Model {
    density: Box<dyn Density>,
    evaluations: u64,
}

impl Model {
    #[inline]
    fn evaluate(
        &mut self,
        control: &Control<'_>,
        position: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, Stop> {
        if control.abort.load(Relaxed) {
            return Err(Stop::Aborted);
        }
        self.evaluations += 1;
        Ok(self.density.logp_and_gradient(position, gradient)?)
    }
}

/// A chain between two of its draws.
pub struct Chain {
    model: Model,
    settings: Settings,
    rng: ChainRng,
    hamiltonian: Hamiltonian,
    trajectory: Trajectory,
    warmup: Warmup,
    step_size: DualAveraging,
    draws: ChainDraws,
    /// Draws made, warm-up included.
    made: u64,
    /// Whether it stands at its starting point, with a first metric and step size.
    placed: bool,
    /// Whether the step size is searched before the next draw.
    searches: bool,
    /// After warm-up.
    divergences: u64,
    /// When the chain began, and when its last draw was made, both later by the time that it has lain still since: reading
    /// the clock takes as long as a small model's gradient.
    began: Instant,
    drawn: Instant,
}

impl Chain {
    /// A chain that has yet to begin, from `start`, one of so many; its draws go where there is room for them.
    pub fn new(
        density: Box<dyn Density>,
        start: &[f64],
        seed: u64,
        settings: &Settings,
        draws: ChainDraws,
        chains: usize,
    ) -> Self {
        let mut trajectory = Trajectory::new(settings, start.len());
        trajectory.current_mut().position.copy_from_slice(start);
        let now = Instant::now();
        Self {
            warmup: Warmup::new(settings, start.len(), density.work(), chains),
            model: Model {
                density,
                evaluations: 0,
            },
            settings: settings.clone(),
            rng: ChainRng::new(seed),
            hamiltonian: Hamiltonian {
                metric: Metric::unit(start.len()),
                step_size: f64::NAN,
                max_energy_error: settings.max_energy_error,
            },
            trajectory,
            step_size: DualAveraging::new(1.0),
            draws,
            made: 0,
            placed: false,
            searches: false,
            divergences: 0,
            began: now,
            drawn: now,
        }
    }

    /// Makes draws until the next meeting or the end; what it drew is kept even if it fails or is aborted.
    ///
    /// # Errors
    /// A starting point without finite log density and gradient, or a failure of the model.
    pub fn run(&mut self, control: Control<'_>) -> Result<Reached, ChainError> {
        let still = self.drawn.elapsed();
        self.began += still;
        self.drawn += still;
        let spared = self.settings.tune - self.warmup.tune();
        control.progress.spare(spared);
        let reached = self.advance(&control);
        self.draws.gradients = self.model.evaluations;
        self.draws.tune = self.warmup.tune();
        match reached {
            Ok(()) if self.made < self.total_draws() => Ok(Reached::Meeting),
            Ok(()) => Ok(Reached::End),
            Err(Stop::Aborted) => Ok(Reached::Abort),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// What it has drawn.
    pub fn into_draws(self) -> ChainDraws {
        self.draws
    }

    /// Draws made, warm-up included.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Dimensions of its density.
    pub fn dim(&self) -> usize {
        self.model.density.dim()
    }

    /// What it has learned.
    pub fn warmup(&self) -> &Warmup {
        &self.warmup
    }

    /// Its metric.
    pub fn metric(&self) -> &Metric {
        &self.hamiltonian.metric
    }

    /// Its averaged step size.
    pub fn step_size(&self) -> f64 {
        self.step_size.averaged()
    }

    /// Goes on with this metric.
    pub fn take_metric(&mut self, metric: &Metric) {
        self.hamiltonian.metric = metric.clone();
    }

    /// Freezes its metric, fitted a last time, earlier than planned.
    pub fn settle(&mut self) {
        self.warmup.settle(self.made, &mut self.hamiltonian.metric);
    }

    /// Draws that it makes, warm-up included.
    fn total_draws(&self) -> u64 {
        self.warmup.tune() + self.settings.draws
    }

    fn advance(&mut self, control: &Control<'_>) -> Result<(), Stop> {
        if !self.placed {
            self.place(control)?;
            if self.settings.tune > 0 {
                self.hamiltonian.metric = self.warmup.first_metric(self.trajectory.current());
            }
            self.search_step_size(control)?;
            self.placed = true;
            self.drawn = Instant::now();
            self.draws.warmup_time = self.seconds();
        }
        let meeting = self.warmup.next_meeting(self.made);
        let end = meeting.unwrap_or(self.total_draws());
        while self.made < end {
            if self.searches {
                self.search_step_size(control)?;
            }
            let tuning = self.made < self.warmup.tune();
            self.draw(tuning, control)?;
            if tuning {
                self.searches = self.warmup.learn(
                    self.made,
                    self.trajectory.current(),
                    self.trajectory.outcome(),
                    &mut self.step_size,
                    &mut self.hamiltonian,
                );
                self.draws.warmup_time = self.seconds();
            } else {
                self.draws.sampling_time = self.seconds() - self.draws.warmup_time;
            }
            self.made += 1;
        }
        Ok(())
    }

    /// From the beginning to the last draw.
    fn seconds(&self) -> f64 {
        (self.drawn - self.began).as_secs_f64()
    }

    /// Evaluates the density at the starting point.
    fn place(&mut self, control: &Control<'_>) -> Result<(), Stop> {
        let state = self.trajectory.current_mut();
        let evaluated = self
            .model
            .evaluate(control, &state.position, &mut state.gradient);
        state.logp = evaluated?;
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

    /// Starts dual averaging from the caller's first step size or from a search.
    fn search_step_size(&mut self, control: &Control<'_>) -> Result<(), Stop> {
        let initial = match self.settings.initial_step_size {
            Some(initial) if self.settings.initial_metric.is_some() => {
                self.step_size = DualAveraging::near(initial);
                self.searches = false;
                return Ok(());
            }
            Some(initial) => initial,
            None => {
                step_size::search(
                    &mut self.hamiltonian,
                    self.trajectory.current(),
                    &mut self.rng,
                    |position, gradient| self.model.evaluate(control, position, gradient),
                )?;
                self.hamiltonian.step_size
            }
        };
        self.step_size = DualAveraging::new(initial);
        self.searches = false;
        Ok(())
    }

    /// Makes one draw, of warm-up if `tuning`, and keeps it if that is asked for.
    fn draw(&mut self, tuning: bool, control: &Control<'_>) -> Result<(), Stop> {
        let short = tuning.then(|| self.warmup.max_treedepth(self.made));
        let deepest = self.settings.max_treedepth;
        let max_depth = short.flatten().map_or(deepest, |depth| depth.min(deepest));
        let step_size_bar = self.step_size.averaged();
        let base = if tuning {
            self.step_size.current()
        } else {
            step_size_bar
        };
        let jitter = self.settings.step_size_jitter * (2.0 * self.rng.uniform() - 1.0);
        self.hamiltonian.step_size = base * (1.0 + jitter);
        let mut step = self
            .trajectory
            .start(max_depth, &self.hamiltonian, &mut self.rng);
        while step == Step::NeedGradient {
            let (position, gradient) = self.trajectory.pending();
            let logp = self.model.evaluate(control, position, gradient)?;
            if tuning {
                self.warmup.visit(self.made, position, gradient, logp);
            }
            step = self
                .trajectory
                .resume(logp, &self.hamiltonian, &mut self.rng);
        }

        let begin = std::mem::replace(&mut self.drawn, Instant::now());
        let (state, outcome) = (self.trajectory.current(), self.trajectory.outcome());
        self.divergences += u64::from(outcome.diverging && !tuning);
        control.progress.record(
            self.divergences,
            self.hamiltonian.step_size,
            outcome.n_steps,
        );
        if !tuning || self.settings.save_warmup {
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
            self.draws.push(&state.position, &stats)?;
        }
        Ok(())
    }
}
