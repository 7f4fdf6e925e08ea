//! One HMC trajectory of fixed length with a Metropolis test at its end.
//!
//! The trajectory takes `n_steps` leapfrogs, or as many as make its length in whitened coordinates
//! at least `path_length`, and its last state is accepted with probability min(1, exp(-dH)) (Neal
//! 2011, arXiv:1206.1901). Like [`super::tree`] it asks for one gradient at a time.

use super::hamiltonian::Hamiltonian;
use super::rng::ChainRng;
use super::settings::{DEFAULT_PATH_LENGTH, Settings};
use super::state::{Pool, State, StateId};
use super::trajectory::{Outcome, Step, acceptance};

/// A path of more steps is cut off: the step size is then far too small for it.
const MAX_STEPS: u64 = 1024;

/// An HMC trajectory and its states.
#[derive(Debug, Clone)]
pub struct FixedLength {
    pool: Pool,
    path_length: f64,
    n_steps: Option<u64>,
    current: StateId,
    /// The last complete state of the trajectory.
    end: StateId,
    /// The state whose gradient is asked for.
    pending: StateId,
    steps_left: u64,
    start_energy: f64,
    outcome: Outcome,
}

impl FixedLength {
    /// A trajectory whose current state has yet to be set.
    pub fn new(dim: usize, settings: &Settings) -> Self {
        let mut pool = Pool::new(dim);
        let current = pool.take();
        Self {
            pool,
            path_length: settings.path_length.unwrap_or(DEFAULT_PATH_LENGTH),
            n_steps: settings.n_steps,
            current,
            end: current,
            pending: current,
            steps_left: 0,
            start_energy: 0.0,
            outcome: Outcome::default(),
        }
    }

    /// Between trajectories: the current draw.
    pub fn current(&self) -> &State {
        self.pool.get(self.current)
    }

    /// Between trajectories: the current draw, to be set or moved.
    pub fn current_mut(&mut self) -> &mut State {
        self.pool.get_mut(self.current)
    }

    /// What the last trajectory did.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Starts a trajectory at the current draw.
    pub fn start(&mut self, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        let current = self.current_mut();
        hamiltonian.begin(current, rng);
        self.start_energy = current.energy;
        self.outcome = Outcome::default();
        self.steps_left = self.n_steps.unwrap_or_else(|| {
            let steps = (self.path_length / hamiltonian.step_size).ceil() as u64;
            steps.clamp(1, MAX_STEPS)
        });
        self.end = self.current;
        self.pool.retain(self.end, 1);
        self.advance(hamiltonian)
    }

    /// The position whose gradient is asked for, and where the gradient goes.
    #[inline]
    pub fn pending(&mut self) -> (&[f64], &mut [f64]) {
        let state = self.pool.get_mut(self.pending);
        (&state.position, &mut state.gradient)
    }

    /// Goes on, given the log density at the pending position.
    #[inline]
    pub fn resume(&mut self, logp: f64, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        let (from, to) = self.pool.pair(self.end, self.pending);
        hamiltonian.kick(from, to, 1.0, logp);
        self.pool.release(self.end);
        self.end = self.pending;
        self.steps_left -= 1;

        let energy_error = self.pool.get(self.end).energy - self.start_energy;
        self.outcome.n_steps += 1;
        self.outcome.record(energy_error);
        if hamiltonian.diverges(energy_error) {
            self.outcome.diverging = true;
            self.pool.release(self.end);
            return Step::Done;
        }
        if self.steps_left > 0 {
            return self.advance(hamiltonian);
        }
        self.outcome.acceptance_rate = acceptance(energy_error);
        if rng.uniform() < self.outcome.acceptance_rate {
            self.outcome.energy_error = energy_error;
            self.pool.release(self.current);
            self.current = self.end;
        } else {
            self.pool.release(self.end);
        }
        Step::Done
    }

    /// First half of the next leapfrog step.
    #[inline]
    fn advance(&mut self, hamiltonian: &Hamiltonian) -> Step {
        self.pending = self.pool.take();
        let (from, to) = self.pool.pair(self.end, self.pending);
        hamiltonian.drift(from, to, 1.0);
        Step::NeedGradient
    }
}
