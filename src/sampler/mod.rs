//! NUTS and HMC on any [`crate::density::Density`].
//!
//! To draw from a density exp(logp(x)), give x a velocity v and let it move. In coordinates y with
//! x = T y, in which the density is about as wide in every direction, the energy
//! H(y, v) = |v|^2 / 2 - logp(T y) is conserved by the motion dy/dt = v, dv/dt = grad_y logp, and
//! so is volume. A draw is made by throwing a fresh normal velocity, following the motion, and
//! picking a state of the path with weight exp(-H): that leaves exp(-H) invariant, whose marginal
//! in x is the density. The leapfrog integrator follows the motion with an error in H of second
//! order in its step size, volume still conserved, and exp(-H) weighs that error.
//!
//! NUTS chooses the path's length: it doubles the path until its ends begin to come back together.
//! HMC takes a fixed one. WALNUTS divides each step where the energy would change too much. How far
//! a step reaches (the step size) and what T is (the metric) is learned in warm-up and then frozen:
//! only draws after it have the right distribution.
//!
//! From the inside out:
//! - [`rng`], `vector`, [`state`]: random numbers, deterministic sums, points of a path
//! - [`metric`]: T, and its estimates from draws and gradients
//! - [`hamiltonian`]: energy and leapfrog
//! - [`tree`] with [`local_step`], [`hmc`], behind [`trajectory`]: one draw, as a state machine that asks for gradients
//! - [`step_size`], [`schedule`], [`warmup`]: adaptation
//! - [`chain`], [`stats`], [`control`]: one chain, what it keeps and what it shows
//! - [`ensemble`]: what chains settle together in warm-up
//! - `team`, [`runner`]: chains on threads
//! - [`settings`]: every option with its default
//!
//! A caller needs [`Settings`], [`Run`] and what they return.

pub mod chain;
pub mod control;
pub mod ensemble;
pub mod hamiltonian;
pub mod hmc;
pub mod local_step;
pub mod metric;
#[cfg(test)]
mod posteriors;
pub mod rng;
pub mod runner;
pub mod schedule;
pub mod settings;
pub mod state;
pub mod stats;
pub mod step_size;
mod team;
#[cfg(test)]
pub(crate) mod testing;
pub mod trajectory;
pub mod tree;
#[cfg(test)]
mod twin;
pub(crate) mod vector;
pub mod warmup;

pub use control::ChainProgress;
pub use runner::{Run, RunError, RunResult};
pub use settings::{Kind, MetricKind, ScheduleSettings, Settings, SettingsError};
pub use stats::{ChainDraws, Column, Keep, RunArrays, Values};
