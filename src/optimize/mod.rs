//! Modes and normal approximations of any [`crate::density::Density`], found by following its gradient.
//!
//! [`lbfgs`] climbs to a mode, a step at a time. [`laplace`] puts a normal there, with the curvature at the mode;
//! [`pathfinder`] looks along the way for the normal that is closest to the density. [`psis`] says how far draws from a
//! normal are from draws from the density, and weighs them.
//!
//! What they share is here: a density that counts and can be interrupted, errors.

pub mod inverse_hessian;
pub mod laplace;
pub mod lbfgs;
pub mod pathfinder;
pub mod psis;

use crate::density::{Density, DensityError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use thiserror::Error;

/// Why there is no result.
#[derive(Debug, Clone, Error, PartialEq)]
pub enum OptimizeError {
    /// Log density or gradient are not finite at the starting point.
    #[error("the log density ({0}) or its gradient is not finite at the starting point")]
    Start(f64),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The model itself failed.
    #[error("{0}")]
    Density(#[from] DensityError),
    /// The log density has no strict maximum along these coordinates of the position.
    #[error("the log density has no curvature along {0:?}")]
    NoCurvature(Vec<usize>),
    /// A dense matrix does not fit into memory.
    #[error("no memory for matrices of {0} x {0} numbers")]
    Memory(usize),
    /// No path gave a normal under which the density is finite.
    #[error("no path gave an approximation")]
    NoApproximation,
}

/// Draws from an approximation.
#[derive(Debug, Clone)]
pub struct Draws {
    /// One after the other.
    pub positions: Vec<f64>,
    /// Log density of each, NaN where it is not finite.
    pub logp: Vec<f64>,
    /// Log density of the approximation at each.
    pub logq: Vec<f64>,
}

impl Draws {
    /// Room for draws of `n` coordinates.
    fn with_capacity(count: usize, n: usize) -> Draws {
        Draws {
            positions: vec![f64::NAN; count * n],
            logp: Vec::with_capacity(count),
            logq: Vec::with_capacity(count),
        }
    }

    /// Logarithms of density over approximation.
    pub fn log_ratios(&self) -> impl Iterator<Item = f64> {
        self.logp.iter().zip(&self.logq).map(|(p, q)| p - q)
    }
}

/// What a computation shares with the outside: counters to look at, and a flag that stops it.
#[derive(Debug)]
pub struct Control {
    /// Set when the computation shall stop before its next gradient.
    pub abort: AtomicBool,
    evaluations: AtomicU64,
    logp: AtomicU64,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            abort: AtomicBool::new(false),
            evaluations: AtomicU64::new(0),
            logp: AtomicU64::new(f64::NAN.to_bits()),
        }
    }
}

impl Control {
    /// Evaluations of the density so far, and the log density of the last that was finite.
    pub fn progress(&self) -> (u64, f64) {
        (
            self.evaluations.load(Relaxed),
            f64::from_bits(self.logp.load(Relaxed)),
        )
    }
}

/// A density that counts its evaluations and can be interrupted.
pub struct Evaluator<'a> {
    density: Box<dyn Density + 'a>,
    control: &'a Control,
    /// Evaluations so far.
    pub evaluations: u64,
}

impl<'a> Evaluator<'a> {
    /// Wraps a density.
    pub fn new(density: Box<dyn Density + 'a>, control: &'a Control) -> Evaluator<'a> {
        Evaluator {
            density,
            control,
            evaluations: 0,
        }
    }

    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        self.density.dim()
    }

    /// The log density, with its gradient written; NaN where either is not finite.
    pub fn evaluate(
        &mut self,
        position: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, OptimizeError> {
        if self.control.abort.load(Relaxed) {
            return Err(OptimizeError::Interrupted);
        }
        self.evaluations += 1;
        self.control.evaluations.fetch_add(1, Relaxed);
        let logp = self.density.logp_and_gradient(position, gradient)?;
        if !logp.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
            return Ok(f64::NAN);
        }
        self.control.logp.store(logp.to_bits(), Relaxed);
        Ok(logp)
    }
}

/// `length` zeros, or an error where there is no memory for a matrix of `n` rows.
fn zeros(length: usize, n: usize) -> Result<Vec<f64>, OptimizeError> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(length)
        .map_err(|_| OptimizeError::Memory(n))?;
    values.resize(length, 0.0);
    Ok(values)
}
