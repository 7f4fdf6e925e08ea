//! The threads of a run: each takes a chain that can go on, runs it to its next meeting or end, and takes the next.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::chain::Reached;
use super::control::{Control, Progress};
use super::ensemble::{Ensemble, Member};
use super::runner::RunError;
use super::stats::ChainDraws;
use crate::kernels::crew::Crew;

/// One chain's output: its draws, and whether it was aborted.
pub type Finished = Result<(ChainDraws, bool), RunError>;

/// Chains, and what their threads share.
pub struct Team {
    ensemble: Ensemble,
    abort: AtomicBool,
    progress: Vec<Progress>,
    state: Mutex<State>,
    /// A chain can go on, or has ended.
    changed: Condvar,
    /// Threads that have left, and help those that have not.
    helping: AtomicUsize,
    /// Most threads that run or help with chains, as far as there is no chain for each.
    processors: usize,
    crew: Option<Arc<Crew>>,
}

struct State {
    /// Chains that can go on.
    ready: VecDeque<Member>,
    finished: Vec<Option<Finished>>,
    /// Chains that have not ended.
    going: usize,
    /// Threads that have not left.
    working: usize,
}

impl Team {
    /// Chains for so many threads.
    pub fn new(
        chains: Vec<Member>,
        ensemble: Ensemble,
        working: usize,
        processors: usize,
        crew: Option<Arc<Crew>>,
    ) -> Self {
        let going = chains.len();
        Self {
            ensemble,
            abort: AtomicBool::new(false),
            progress: chains.iter().map(|_| Progress::default()).collect(),
            state: Mutex::new(State {
                ready: chains.into(),
                finished: (0..going).map(|_| None).collect(),
                going,
                working,
            }),
            changed: Condvar::new(),
            helping: AtomicUsize::new(0),
            processors,
            crew,
        }
    }

    /// The counters of each chain.
    pub fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// Stops every chain before its next gradient.
    pub fn abort(&self) {
        self.abort.store(true, Relaxed);
    }

    /// Whether every chain has ended.
    pub fn is_finished(&self) -> bool {
        self.state().going == 0
    }

    /// Waits until every chain has ended, but no longer than `timeout`; says whether they have.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        while state.going > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// What became of each chain, nothing of one whose thread was lost.
    pub fn take_finished(&self) -> Vec<Option<Finished>> {
        std::mem::take(&mut self.state().finished)
    }

    /// A thread's work: runs chains as long as there may be some for it, then helps the threads that have one.
    pub fn work(&self) {
        while let Some(member) = self.next() {
            self.run(member);
        }
        self.help();
    }

    /// A chain that can go on; nothing if the other threads are enough for those that have not ended.
    fn next(&self) -> Option<Member> {
        let mut state = self.state();
        loop {
            if let Some(member) = state.ready.pop_front() {
                return Some(member);
            }
            if state.working > state.going {
                state.working -= 1;
                return None;
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Helps, if there is a processor free for it; the last thread to leave sends the helpers home.
    pub fn help(&self) {
        let Some(crew) = &self.crew else { return };
        let working = self.state().working;
        if working == 0 {
            return crew.dismiss();
        }
        let helping = self.helping.fetch_add(1, Relaxed) + 1;
        if helping + working <= self.processors {
            crew.help();
        }
    }

    /// Sends helpers home.
    pub fn dismiss(&self) {
        if let Some(crew) = &self.crew {
            crew.dismiss();
        }
    }

    fn run(&self, (number, mut chain): Member) {
        let progress = &self.progress[number];
        progress.start();
        let control = Control {
            abort: &self.abort,
            progress,
        };
        let panic = |chain, message| Err(RunError::Panic { chain, message });
        // After a panic the chain is dropped.
        let finished = match caught(|| chain.run(control)) {
            Ok(Ok(Reached::Meeting)) => match caught(|| self.ensemble.arrive((number, chain))) {
                Ok(ready) => return self.change(|state| state.ready.extend(ready)),
                Err(message) => {
                    let all = 0..self.progress.len();
                    return all.for_each(|chain| self.end(chain, panic(chain, message.clone())));
                }
            },
            Ok(Ok(reached)) => Ok((chain.into_draws(), reached == Reached::Abort)),
            Ok(Err(error)) => Err(RunError::Chain {
                chain: number,
                error,
            }),
            Err(message) => panic(number, message),
        };
        self.end(number, finished);
    }

    /// A chain has ended: its failure is that of all.
    fn end(&self, number: usize, finished: Finished) {
        if finished.is_err() {
            self.abort();
        }
        self.progress[number].end();
        let ready = self.ensemble.leave();
        self.change(|state| {
            state.finished[number] = Some(finished);
            state.going -= 1;
            state.ready.extend(ready);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// No code that can panic runs under this lock, so a poisoned one holds good data.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` returns, or the message of its panic.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown panic".to_string())
    })
}
