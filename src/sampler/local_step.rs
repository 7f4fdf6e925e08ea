//! WALNUTS' step: as many leapfrogs of equal length as keep the energy, chosen state by state.
//!
//! A step of length h is tried as 1, 2, 4, ... leapfrogs of h, h/2, h/4, ... until the energies along
//! them, both ends included, differ by at most `max_error`: level l takes 2^l of them. The step is
//! taken only if it is reversible: going back from its end every coarser level must fail, or the way
//! back would be another. An irreversible step ends the trajectory just as a subtree that turns does.
//! As every state of a trajectory then finds the same trajectory, its states carry the weights exp(-H)
//! as in NUTS, and the density stays invariant (Bou-Rabee, Carpenter, Kleppe and Liu 2025,
//! arXiv:2506.18746). Where the first level holds, a step costs what a leapfrog costs.
//!
//! Where it fails, the step size h is too long for the bound, and dual averaging is told so: the range of energies counts
//! in units of a bound below 1. Else h would stay as long as acceptance alone allows, most steps would be divided, and
//! many trajectories would end with an irreversible one. To choose at random between the level found and the next, so
//! that such steps become reversible, is exact too, but takes more gradients than it saves, whatever the bound.

use super::hamiltonian::{Hamiltonian, sum_velocities};
use super::state::{Pool, StateId};
use super::trajectory::acceptance;

/// Halvings after which a step has failed.
const MAX_LEVEL: u32 = 10;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It needs another gradient.
    Going,
    /// It is taken.
    Taken,
    /// The way back would be another.
    Irreversible,
    /// No level keeps the energy.
    Failed,
}

/// A step in construction, and what it needs of the pool.
#[derive(Debug, Clone)]
pub struct LocalStep {
    max_error: f64,
    scratch: [StateId; 2],
    from: StateId,
    to: StateId,
    direction: f64,
    /// Of the way forth.
    level: u32,
    /// The level of the way back that is tried.
    back: Option<u32>,
    /// Leapfrogs made at this level.
    made: u64,
    lowest: f64,
    highest: f64,
    /// Acceptance statistic of the first level, where it failed.
    coarse_acceptance: f64,
}

impl LocalStep {
    /// Steps whose energies differ by at most `max_error`.
    pub fn new(max_error: f64, pool: &mut Pool) -> Self {
        let scratch = [pool.take(), pool.take()];
        Self {
            max_error,
            scratch,
            from: scratch[0],
            to: scratch[1],
            direction: 1.0,
            level: 0,
            back: None,
            made: 0,
            lowest: f64::NAN,
            highest: f64::NAN,
            coarse_acceptance: 0.0,
        }
    }

    /// Begins a step from `from` that will fill `to`, forwards (1.0) or backwards (-1.0) in time.
    pub fn begin(
        &mut self,
        from: StateId,
        to: StateId,
        direction: f64,
        pool: &mut Pool,
        hamiltonian: &Hamiltonian,
    ) {
        (self.from, self.to, self.direction) = (from, to, direction);
        (self.level, self.back) = (0, None);
        self.start_level(pool, hamiltonian);
    }

    /// The state whose gradient is asked for.
    pub fn pending(&self) -> StateId {
        match self.back {
            None if self.made + 1 == 1 << self.level => self.to,
            _ => self.scratch[self.made as usize % 2],
        }
    }

    /// Acceptance statistic of the first level where it failed; nothing where it is the step taken.
    pub fn coarse_acceptance(&self) -> Option<f64> {
        (self.level > 0).then_some(self.coarse_acceptance)
    }

    /// Goes on, given the log density at the pending position.
    pub fn resume(&mut self, logp: f64, pool: &mut Pool, hamiltonian: &Hamiltonian) -> Progress {
        let (from, to) = pool.pair(self.source(), self.pending());
        hamiltonian.kick(from, to, self.leapfrog(), logp);
        self.lowest = self.lowest.min(to.energy);
        self.highest = self.highest.max(to.energy);
        self.made += 1;
        let range = self.highest - self.lowest;
        // A NaN passes through neither `min` nor `max`.
        let holds = to.energy.is_finite() && range <= self.max_error;
        let complete = self.made == 1 << self.back.unwrap_or(self.level);
        match (self.back, holds) {
            (_, true) if !complete => self.drift(pool, hamiltonian),
            (None, true) => {
                let (from, to) = pool.pair(self.from, self.to);
                sum_velocities(from, to, self.direction);
                to.index = from.index + self.direction as i64;
                return self.check_back(0, pool, hamiltonian);
            }
            (None, false) => {
                if self.level == 0 {
                    let finite = to.energy.is_finite();
                    let error = range / self.max_error.min(1.0);
                    self.coarse_acceptance = if finite { acceptance(error) } else { 0.0 };
                }
                if self.level == MAX_LEVEL {
                    return Progress::Failed;
                }
                self.level += 1;
                self.start_level(pool, hamiltonian);
            }
            (Some(_), true) => return Progress::Irreversible,
            (Some(level), false) => return self.check_back(level + 1, pool, hamiltonian),
        }
        Progress::Going
    }

    /// Tries the way back at `level`, if it is coarser than the way forth.
    fn check_back(&mut self, level: u32, pool: &mut Pool, hamiltonian: &Hamiltonian) -> Progress {
        if level == self.level {
            return Progress::Taken;
        }
        self.back = Some(level);
        self.start_level(pool, hamiltonian);
        Progress::Going
    }

    fn start_level(&mut self, pool: &mut Pool, hamiltonian: &Hamiltonian) {
        self.made = 0;
        let energy = pool.get(self.source()).energy;
        (self.lowest, self.highest) = (energy, energy);
        self.drift(pool, hamiltonian);
    }

    /// First half of the next leapfrog.
    fn drift(&mut self, pool: &mut Pool, hamiltonian: &Hamiltonian) {
        let (from, to) = pool.pair(self.source(), self.pending());
        hamiltonian.drift(from, to, self.leapfrog());
    }

    /// The state from which the next leapfrog starts.
    fn source(&self) -> StateId {
        match (self.made, self.back) {
            (0, None) => self.from,
            (0, Some(_)) => self.to,
            (made, _) => self.scratch[(made as usize - 1) % 2],
        }
    }

    /// Length of a leapfrog in steps, negative backwards in time.
    fn leapfrog(&self) -> f64 {
        let (direction, level) = match self.back {
            None => (self.direction, self.level),
            Some(level) => (-self.direction, level),
        };
        direction / (1u64 << level) as f64
    }
}
