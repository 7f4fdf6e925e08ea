//! Threads that help others with parts of their work, while these wait for nothing else.
//!
//! A caller lays parts of equal standing on its desk and works through them from the first on; helpers take the last
//! that is left, so that each thread meets the same parts, warm in its cache, from one call to the next. Helpers look
//! around for work without sleeping for a while, since a gradient follows the other within microseconds.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a helper looks around before it sleeps: longer than a sampler's own work between two gradients, and little
/// beside what it takes from other threads where there are more of them than processors.
const LOOKS: Duration = Duration::from_micros(50);

/// Work on a part: (who works, which part). 0 is the caller, helpers count from 1.
type Work = dyn Fn(usize, usize) + Sync;

/// One caller's parts in progress.
#[derive(Default)]
struct Desk {
    open: AtomicBool,
    /// Helpers that may be looking at `work`.
    inside: AtomicUsize,
    /// Parts not taken: number of the first (low half), number after the last (high half).
    left: AtomicU64,
    work: UnsafeCell<Option<*const Work>>,
    /// Whether a helper panicked.
    failed: AtomicBool,
}

// SAFETY: `work` is written by the desk's only caller while it is closed and nobody is inside, and read by those inside.
unsafe impl Sync for Desk {}
// SAFETY: what `work` points to may be called from every thread.
unsafe impl Send for Desk {}

/// The first of the parts that are left, and the end of them.
fn ends(left: u64) -> (u64, u64) {
    (left & 0xffff_ffff, left >> 32)
}

impl Desk {
    /// Whether there are parts to take.
    fn has_parts(&self) -> bool {
        let (first, end) = ends(self.left.load(SeqCst));
        self.open.load(SeqCst) && first < end
    }

    fn take(&self, first: bool) -> Option<usize> {
        let taken = self
            .left
            .fetch_update(Relaxed, Relaxed, |left| match ends(left) {
                (a, b) if a >= b => None,
                (a, b) if first => Some((a + 1) | b << 32),
                (a, b) => Some(a | (b - 1) << 32),
            });
        let (a, b) = ends(taken.ok()?);
        Some(if first { a } else { b - 1 } as usize)
    }

    /// Takes parts until none is left; says whether there were any.
    fn help(&self, member: usize) -> bool {
        if !self.has_parts() {
            return false;
        }
        self.inside.fetch_add(1, SeqCst);
        let leaving = Leaving(self);
        let mut helped = false;
        // The order of these two, here and in `Closing`: a caller that finds nobody inside has closed before we look.
        if self.open.load(SeqCst) {
            // SAFETY: the desk is open, and its caller waits for us before it changes or ends the work.
            let work = unsafe { (*self.work.get()).map(|work| &*work) };
            while let Some(part) = work.and_then(|_| self.take(false)) {
                helped = true;
                work.inspect(|work| work(member, part));
            }
        }
        drop(leaving);
        helped
    }
}

/// Leaves the desk, in a panic too.
struct Leaving<'a>(&'a Desk);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Relaxed);
        }
        self.0.inside.fetch_sub(1, Release);
    }
}

/// Closes the desk, in a panic too, and waits until all have left.
struct Closing<'a>(&'a Desk);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.open.store(false, SeqCst);
        let mut looks = 0u32;
        while self.0.inside.load(SeqCst) != 0 {
            looks += 1;
            match looks % 1024 {
                0 => std::thread::yield_now(), // the machine may have fewer processors than threads
                _ => std::hint::spin_loop(),
            }
        }
    }
}

/// Helpers and the desks of those whom they help.
pub struct Crew {
    desks: Vec<Desk>,
    callers: AtomicUsize,
    helpers: AtomicUsize,
    most_helpers: usize,
    closed: AtomicBool,
    asleep: AtomicUsize,
    gate: Mutex<()>,
    wake: Condvar,
}

impl Crew {
    /// A crew for at most so many callers and helpers.
    pub fn new(callers: usize, most_helpers: usize) -> Arc<Crew> {
        Arc::new(Crew {
            desks: (0..callers).map(|_| Desk::default()).collect(),
            callers: AtomicUsize::new(0),
            helpers: AtomicUsize::new(0),
            most_helpers,
            closed: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            gate: Mutex::new(()),
            wake: Condvar::new(),
        })
    }

    /// A desk, as long as there are any.
    pub fn caller(self: &Arc<Crew>) -> Option<Caller> {
        let desk = self.callers.fetch_add(1, Relaxed);
        (desk < self.desks.len()).then(|| Caller {
            crew: self.clone(),
            desk,
        })
    }

    /// Helps until the crew is dismissed, unless there are enough helpers.
    pub fn help(&self) {
        let member = self.helpers.fetch_add(1, Relaxed) + 1;
        if member > self.most_helpers {
            return;
        }
        let mut last = Instant::now();
        while !self.closed.load(SeqCst) {
            let mut helped = false;
            for desk in &self.desks {
                helped |= desk.help(member);
            }
            if helped {
                last = Instant::now();
            } else if last.elapsed() > LOOKS {
                self.sleep();
                last = Instant::now();
            }
            std::hint::spin_loop();
        }
    }

    /// How many help, or have been sent away.
    #[cfg(test)]
    pub fn helpers(&self) -> usize {
        self.helpers.load(Relaxed)
    }

    fn sleep(&self) {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, SeqCst);
        // The order of these two, here and in `wake_up`: who opens a desk sees us asleep, or we see its parts.
        if !self.closed.load(SeqCst) && !self.desks.iter().any(Desk::has_parts) {
            drop(self.wake.wait(gate));
        }
        self.asleep.fetch_sub(1, SeqCst);
    }

    fn wake_up(&self) {
        if self.asleep.load(SeqCst) > 0 {
            drop(self.gate.lock());
            self.wake.notify_all();
        }
    }

    /// Sends all helpers away.
    pub fn dismiss(&self) {
        self.closed.store(true, SeqCst);
        self.wake_up();
    }
}

/// One who is helped.
pub struct Caller {
    crew: Arc<Crew>,
    desk: usize,
}

impl Caller {
    /// The number after the greatest that works on a part.
    pub fn members(&self) -> usize {
        self.crew.most_helpers + 1
    }

    /// Works on all of 0..`parts`, with whoever helps.
    ///
    /// # Panics
    /// If the work does.
    pub fn share(&mut self, parts: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let desk = &self.crew.desks[self.desk];
        if self.crew.helpers.load(Relaxed) == 0 {
            (0..parts).for_each(|part| work(0, part));
            return;
        }
        // SAFETY: the desk is closed and nobody is inside; `closing` ends the work before it goes out of scope.
        unsafe {
            *desk.work.get() =
                Some(std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), &Work>(work));
        }
        desk.left.store((parts as u64) << 32, SeqCst);
        desk.open.store(true, SeqCst);
        let closing = Closing(desk);
        self.crew.wake_up();
        while let Some(part) = desk.take(true) {
            work(0, part);
        }
        drop(closing);
        assert!(!desk.failed.load(Relaxed), "a helping thread panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs calls on `callers` threads with `helpers` threads; how often each part was worked on by each member.
    fn counts(callers: usize, helpers: usize, parts: usize, calls: usize) -> Vec<Vec<usize>> {
        let crew = Crew::new(callers, helpers);
        let members = helpers + 1;
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|| crew.help());
            }
            let threads = (0..callers).map(|_| {
                let mut caller = crew.caller().unwrap();
                scope.spawn(move || {
                    let done: Vec<AtomicUsize> = (0..parts * members).map(|_| 0.into()).collect();
                    for call in 0..calls {
                        caller.share(parts, &|member, part| {
                            done[part * members + member].fetch_add(1, Relaxed);
                        });
                        // All parts are done when the call returns.
                        let sum: usize = done.iter().map(|count| count.load(Relaxed)).sum();
                        assert_eq!(sum, (call + 1) * parts);
                        if call % 100 == 7 {
                            std::thread::sleep(2 * LOOKS); // helpers fall asleep
                        }
                    }
                    done.chunks(members)
                        .map(|part| part.iter().map(|count| count.load(Relaxed)).sum())
                        .collect()
                })
            });
            let threads: Vec<_> = threads.collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            let counts = counts.collect();
            crew.dismiss();
            counts
        })
    }

    #[test]
    fn every_part_is_done_once_a_call() {
        for (callers, helpers) in [(1, 0), (1, 1), (1, 3), (3, 2)] {
            for counts in counts(callers, helpers, 13, 300) {
                assert_eq!(counts, vec![300; 13]);
            }
        }
    }

    #[test]
    fn helpers_work_too() {
        let crew = Crew::new(1, 1);
        std::thread::scope(|scope| {
            scope.spawn(|| crew.help());
            let mut caller = crew.caller().unwrap();
            let helped = AtomicBool::new(false);
            while !helped.load(Relaxed) {
                caller.share(2, &|member, _| match member {
                    0 => std::thread::sleep(LOOKS),
                    _ => helped.store(true, Relaxed),
                });
            }
            assert!(crew.caller().is_none(), "there is one desk");
            crew.dismiss();
        });
    }

    #[test]
    #[should_panic(expected = "a helping thread panicked")]
    fn a_helper_that_panics_fails_the_call() {
        let crew = Crew::new(1, 1);
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| crew.help());
            while crew.helpers.load(Relaxed) == 0 {
                std::hint::spin_loop();
            }
            let mut caller = crew.caller().unwrap();
            let began = AtomicBool::new(false);
            caller.share(2, &|member, _| {
                if member == 1 {
                    began.store(true, Relaxed);
                    panic!("expected by the test");
                }
                while !began.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
            drop(helper);
        });
    }
}
