//! Threads that fit data sets from a queue, and hand the finished fits on in the order of positions.

use super::fit::{Fit, Plan, Prepared};
use super::template::DataSet;
use crate::diagnostics::Workspace;
use crate::sampler::ChainDraws;
use crate::sampler::chain::{Chain, Reached};
use crate::sampler::ensemble::{Ensemble, Member};
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What became of a data set: its fit, or why there is none.
pub type Outcome = Result<Fit, String>;

/// A data set whose chains run, possibly on several threads.
struct Job {
    prepared: Prepared,
    ensemble: Ensemble,
    /// Chains that have ended, and how many have not.
    ended: Mutex<(Vec<Option<ChainDraws>>, usize)>,
    /// The failure of the first chain, by number, that failed.
    failure: Mutex<Option<(usize, String)>>,
}

/// A chain that can go on: its job, its number, and itself if it has begun.
type Going = (Arc<Job>, usize, Option<Box<Chain>>);

/// What waits for a thread, and what waits to be taken.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<DataSet>,
    /// Chains of data sets that have begun: they go first.
    chains: VecDeque<Going>,
    finished: BTreeMap<u64, Outcome>,
    /// The next position to be handed on.
    next: u64,
    /// Data sets that came in.
    submitted: u64,
    /// Data sets that were handed on or are ready to be.
    ended: u64,
    /// Bytes of data that wait and of fits that were not handed on.
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    /// How many fits can be handed on now.
    fn ready(&self) -> usize {
        let positions = self.finished.keys().zip(self.next..);
        positions.take_while(|(found, next)| *found == next).count()
    }
}

struct Shared {
    plan: Plan,
    abort: AtomicBool,
    queue: Mutex<Queue>,
    /// There is work, or no more will come.
    work: Condvar,
    /// A data set has ended.
    done: Condvar,
}

/// Fits in background threads, which begin with the first data set. Dropping it stops them.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Data sets that may wait for a thread.
    most_waiting: usize,
}

/// Data sets that may have come in without being handed on.
const MOST_IN_FLIGHT: u64 = 4096;
/// Data sets that may wait, a thread.
const WAITING: usize = 128;
/// Bytes of data and fits in flight beyond which no more data sets are asked for.
const MOST_BYTES: usize = 1 << 29;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Starts threads.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn start(plan: Plan, threads: usize) -> std::io::Result<Engine> {
        let shared = Arc::new(Shared {
            plan,
            abort: AtomicBool::new(false),
            queue: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let mut engine = Engine {
            shared,
            threads: vec![],
            most_waiting: WAITING * threads,
        };
        for number in 0..threads {
            let shared = engine.shared.clone();
            let thread = thread::Builder::new()
                .name(format!("rustmc-batch-{number}"))
                .spawn(move || shared.work())?;
            engine.threads.push(thread);
        }
        Ok(engine)
    }

    /// Takes in the next data set: positions are consecutive, from the first on.
    pub fn submit(&self, data: DataSet) {
        let mut queue = lock(&self.shared.queue);
        if queue.submitted == 0 {
            queue.next = data.position;
        }
        queue.submitted += 1;
        queue.bytes += data.bytes();
        queue.waiting.push_back(data);
        self.shared.work.notify_one();
    }

    /// Says that no more data sets will come.
    pub fn close(&self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.work.notify_all();
    }

    /// How many data sets may come in now.
    pub fn room(&self) -> usize {
        self.room_in(&lock(&self.shared.queue))
    }

    fn room_in(&self, queue: &Queue) -> usize {
        let waiting = queue.waiting.len();
        if queue.is_closed || (queue.bytes > MOST_BYTES && waiting >= 2 * self.threads.len()) {
            return 0;
        }
        let in_flight = (queue.submitted - queue.ended) as usize + queue.finished.len();
        self.most_waiting
            .saturating_sub(waiting)
            .min((MOST_IN_FLIGHT as usize).saturating_sub(in_flight))
    }

    /// Waits until data sets should come in, all have ended, or the time is over; the fits that have ended since
    /// the last call, in the order of positions.
    pub fn take(&self, timeout: Duration) -> Vec<(u64, Outcome)> {
        let deadline = Instant::now() + timeout;
        let mut queue = lock(&self.shared.queue);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let hungry = !queue.is_closed && self.room_in(&queue) > self.most_waiting / 2;
            let over = queue.is_closed && queue.ended == queue.submitted;
            if left.is_zero() || hungry || over || self.shared.abort.load(Relaxed) {
                break;
            }
            let woken = self.shared.done.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let ready = queue.ready();
        let mut taken = vec![];
        for _ in 0..ready {
            if let Some((position, outcome)) = queue.finished.pop_first() {
                queue.next = position + 1;
                queue.bytes -= outcome.as_ref().map_or(0, Fit::bytes);
                taken.push((position, outcome));
            }
        }
        taken
    }

    /// Whether all data sets have ended and were taken, and no more will come.
    pub fn is_finished(&self) -> bool {
        let queue = lock(&self.shared.queue);
        queue.is_closed && queue.ended == queue.submitted && queue.finished.is_empty()
    }

    /// Stops all threads at their next gradient and waits for them; what has ended, in the order of positions but
    /// not without gaps.
    pub fn stop(&mut self) -> Vec<(u64, Outcome)> {
        self.shared.abort.store(true, Relaxed);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a thread cannot unwind out of `work`
        }
        let mut queue = lock(&self.shared.queue);
        queue.is_closed = true;
        std::mem::take(&mut queue.finished).into_iter().collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.abort.store(true, Relaxed);
        self.shared.work.notify_all();
    }
}

/// A piece of work.
enum Work {
    DataSet(DataSet),
    Chain(Going),
}

impl Shared {
    /// A thread's life.
    fn work(&self) {
        let mut workspace = Workspace::default();
        while let Some(work) = self.next() {
            match work {
                Work::DataSet(data) => self.begin(data, &mut workspace),
                Work::Chain(going) => self.advance(going, &mut workspace),
            }
        }
    }

    fn next(&self) -> Option<Work> {
        let mut queue = lock(&self.queue);
        loop {
            if self.abort.load(Relaxed) {
                return None;
            }
            if let Some(going) = queue.chains.pop_front() {
                return Some(Work::Chain(going));
            }
            if let Some(data) = queue.waiting.pop_front() {
                queue.bytes -= data.bytes();
                return Some(Work::DataSet(data));
            }
            if queue.is_closed && queue.ended == queue.submitted {
                return None;
            }
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Binds a data set, puts all chains but the first into the queue, and runs the first.
    fn begin(&self, data: DataSet, workspace: &mut Workspace) {
        let position = data.position;
        match guarded(|| self.plan.prepare(data)) {
            Err(problem) => self.end(position, Err(problem)),
            Ok(prepared) => {
                let chains = self.plan.chains;
                let job = Arc::new(Job {
                    ensemble: Ensemble::new(self.plan.settings_of(&prepared).0, chains),
                    prepared,
                    ended: Mutex::new(((0..chains).map(|_| None).collect(), chains)),
                    failure: Mutex::default(),
                });
                self.put((1..chains).map(|number| (job.clone(), number, None)));
                self.advance((job, 0, None), workspace);
            }
        }
    }

    /// Puts chains into the queue.
    fn put(&self, going: impl ExactSizeIterator<Item = Going>) {
        if going.len() > 0 {
            lock(&self.queue).chains.extend(going);
            self.work.notify_all();
        }
    }

    /// Runs a chain to its next meeting or its end; who runs the last one to its end finishes the fit.
    fn advance(&self, (job, number, chain): Going, workspace: &mut Workspace) {
        let release = |members: Vec<Member>| {
            let members = members.into_iter();
            self.put(members.map(|(number, chain)| (job.clone(), number, Some(chain))));
        };
        let reached = guarded(|| {
            let mut chain = match chain {
                Some(chain) => chain,
                None => Box::new(self.plan.chain(&job.prepared, number)?),
            };
            let reached = self.plan.run(&mut chain, number, &self.abort)?;
            Ok((chain, reached))
        });
        let draws = match reached {
            Ok((chain, Reached::Meeting)) => {
                return match guarded(|| Ok(job.ensemble.arrive((number, chain)))) {
                    Ok(members) => release(members),
                    Err(problem) => self.end(job.prepared.position, Err(problem)),
                };
            }
            Ok((chain, Reached::End)) => Some(chain.into_draws()),
            Ok((_, Reached::Abort)) => None,
            Err(problem) => {
                let mut failure = lock(&job.failure);
                if failure.as_ref().is_none_or(|(first, _)| number < *first) {
                    *failure = Some((number, problem));
                }
                None
            }
        };
        release(job.ensemble.leave());
        let chains = {
            let mut ended = lock(&job.ended);
            ended.0[number] = draws;
            ended.1 -= 1;
            if ended.1 > 0 {
                return;
            }
            std::mem::take(&mut ended.0)
        };
        let position = job.prepared.position;
        if let Some((_, problem)) = lock(&job.failure).take() {
            return self.end(position, Err(problem));
        }
        let chains: Option<Vec<ChainDraws>> = chains.into_iter().collect();
        // A chain without draws and without failure was stopped: so is the data set.
        if let Some(chains) = chains {
            let outcome = guarded(|| self.plan.finish(&job.prepared, chains, workspace));
            self.end(position, outcome);
        }
    }

    fn end(&self, position: u64, outcome: Outcome) {
        let mut queue = lock(&self.queue);
        queue.bytes += outcome.as_ref().map_or(0, Fit::bytes);
        queue.finished.insert(position, outcome);
        queue.ended += 1;
        if queue.is_closed && queue.ended == queue.submitted {
            self.work.notify_all();
        }
        self.done.notify_all();
    }
}

/// Runs `work`; a panic, which would be our mistake, becomes a failure of the data set.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(format!(
            "internal error of pymc_rustmc: {}; please report it",
            message(&*panic)
        ))
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
