//! What NUTS and HMC trajectories have in common: the steps to ask for, the outcome to report.

use super::hamiltonian::Hamiltonian;
use super::hmc::FixedLength;
use super::rng::ChainRng;
use super::settings::{Kind, Settings};
use super::state::State;
use super::tree::Tree;

/// What a trajectory needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The gradient at the pending position.
    NeedGradient,
    /// Nothing: the draw is made.
    Done,
}

/// What one trajectory did, in the terms of PyMC's statistics of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outcome {
    /// Whether a step diverged.
    pub diverging: bool,
    /// NUTS: doublings tried, the last one included even if its subtree was discarded.
    pub tree_depth: u32,
    /// NUTS: whether the trajectory was still going straight at its greatest depth.
    pub reached_max_treedepth: bool,
    /// Leapfrog steps; one gradient each.
    pub n_steps: u64,
    /// NUTS: mean of min(1, exp(-energy error)) over all states but the start; WALNUTS: with
    /// exp(-range of energies) of the undivided step where it was divided. HMC: that of the
    /// last state.
    pub acceptance_rate: f64,
    /// Energy of the draw less that of the start.
    pub energy_error: f64,
    /// The energy error largest in absolute value.
    pub max_energy_error: f64,
}

impl Outcome {
    /// Notes a state with this energy error.
    #[inline]
    pub fn record(&mut self, energy_error: f64) {
        let energy_error = if energy_error.is_nan() {
            f64::INFINITY
        } else {
            energy_error
        };
        if energy_error.abs() > self.max_energy_error.abs() {
            self.max_energy_error = energy_error;
        }
    }
}

/// The probability min(1, exp(-energy error)) with which a step would be accepted.
#[inline]
pub fn acceptance(energy_error: f64) -> f64 {
    if energy_error <= 0.0 {
        1.0
    } else {
        libm::exp(-energy_error)
    }
}

/// A trajectory of either kind; it owns the current draw.
#[derive(Debug, Clone)]
pub enum Trajectory {
    /// NUTS and WALNUTS.
    Nuts(Tree),
    /// HMC of fixed length.
    Hmc(FixedLength),
}

/// Calls the same method of either kind.
macro_rules! either {
    ($self:ident, $method:ident $arguments:tt) => {
        match $self {
            Self::Nuts(trajectory) => trajectory.$method $arguments,
            Self::Hmc(trajectory) => trajectory.$method $arguments,
        }
    };
}

impl Trajectory {
    /// A trajectory whose current draw has yet to be set.
    pub fn new(settings: &Settings, dim: usize) -> Self {
        match settings.kind {
            Kind::Nuts => Self::Nuts(Tree::new(dim, settings.max_treedepth, None)),
            Kind::Walnuts => {
                let error = Some(settings.max_local_error);
                Self::Nuts(Tree::new(dim, settings.max_treedepth, error))
            }
            Kind::Hmc => Self::Hmc(FixedLength::new(dim, settings)),
        }
    }

    /// Between trajectories: the current draw.
    pub fn current(&self) -> &State {
        either!(self, current())
    }

    /// Between trajectories: the current draw, to be set.
    pub fn current_mut(&mut self) -> &mut State {
        either!(self, current_mut())
    }

    /// What the last trajectory did.
    pub fn outcome(&self) -> &Outcome {
        either!(self, outcome())
    }

    /// Starts a trajectory at the current draw; one of NUTS ends after `max_depth` doublings.
    pub fn start(&mut self, max_depth: u32, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        match self {
            Self::Nuts(tree) => tree.start(max_depth, hamiltonian, rng),
            Self::Hmc(path) => path.start(hamiltonian, rng),
        }
    }

    /// The position whose gradient is asked for, and where the gradient goes.
    #[inline]
    pub fn pending(&mut self) -> (&[f64], &mut [f64]) {
        either!(self, pending())
    }

    /// Goes on, given the log density at the pending position.
    #[inline]
    pub fn resume(&mut self, logp: f64, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        either!(self, resume(logp, hamiltonian, rng))
    }
}
