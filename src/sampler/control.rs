//! What a running chain shares with the outside: its progress, and the flag that stops it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Counters of one chain, written once a draw and read at any time.
#[derive(Debug, Default)]
#[repr(align(128))] // a chain's counters share no cache line with another's
pub struct Progress {
    started: OnceLock<Instant>,
    runtime: OnceLock<Duration>,
    /// Draws of warm-up that are left out.
    spared: AtomicU64,
    finished_draws: AtomicU64,
    divergences: AtomicU64,
    step_size: AtomicU64,
    tree_size: AtomicU64,
}

/// How far one chain is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChainProgress {
    /// Whether the chain has begun.
    pub started: bool,
    /// Draws made, warm-up included.
    pub finished_draws: u64,
    /// Draws that it makes, warm-up included.
    pub total_draws: u64,
    /// Divergences after warm-up.
    pub divergences: u64,
    /// Whether the chain is warming up, or has yet to begin.
    pub tuning: bool,
    /// Step size of the last draw, NaN before the first.
    pub step_size: f64,
    /// Leapfrog steps of the last draw.
    pub tree_size: u64,
    /// Time since the chain began, until it ended.
    pub runtime: Duration,
}

impl Progress {
    /// Notes that the chain begins.
    pub fn start(&self) {
        self.started.get_or_init(Instant::now);
    }

    /// Notes that the chain has ended, for whatever reason.
    pub fn end(&self) {
        self.runtime.get_or_init(|| self.elapsed());
    }

    /// Notes that so many of the draws asked for as warm-up are not needed.
    pub fn spare(&self, draws: u64) {
        self.spared.store(draws, Relaxed);
    }

    /// Notes a draw.
    pub fn record(&self, divergences: u64, step_size: f64, tree_size: u64) {
        self.divergences.store(divergences, Relaxed);
        self.step_size.store(step_size.to_bits(), Relaxed);
        self.tree_size.store(tree_size, Relaxed);
        self.finished_draws.fetch_add(1, Relaxed);
    }

    /// The counters of a chain that makes at most `tune` draws of warm-up, and `draws` after it.
    pub fn snapshot(&self, tune: u64, draws: u64) -> ChainProgress {
        let tune = tune - self.spared.load(Relaxed);
        let finished_draws = self.finished_draws.load(Relaxed);
        ChainProgress {
            started: self.started.get().is_some(),
            finished_draws,
            total_draws: tune + draws,
            divergences: self.divergences.load(Relaxed),
            tuning: finished_draws < tune,
            step_size: if finished_draws == 0 {
                f64::NAN
            } else {
                f64::from_bits(self.step_size.load(Relaxed))
            },
            tree_size: self.tree_size.load(Relaxed),
            runtime: self
                .runtime
                .get()
                .copied()
                .unwrap_or_else(|| self.elapsed()),
        }
    }

    fn elapsed(&self) -> Duration {
        self.started.get().map_or(Duration::ZERO, Instant::elapsed)
    }
}

/// What a chain sees of the outside.
#[derive(Debug, Clone, Copy)]
pub struct Control<'a> {
    /// Set when the chain shall stop before its next gradient.
    pub abort: &'a AtomicBool,
    /// The chain's counters.
    pub progress: &'a Progress,
}
