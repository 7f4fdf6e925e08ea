//! Independent work on threads, with results in order.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Results of `work` on 0..count, in order, on at most `threads` threads, the caller's among them, each with what
/// `start` makes for it.
///
/// Work on one number must not depend on what was done before on the same thread: then the results do not depend on the
/// number of threads.
pub fn map<S, T: Send>(
    count: usize,
    threads: usize,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
    let lock = || results.lock().unwrap_or_else(PoisonError::into_inner);
    let run = || {
        let mut state = start();
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= count {
                return;
            }
            let result = work(&mut state, number);
            lock()[number] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(run)).collect();
        run();
        for helper in helpers {
            if let Err(panic) = helper.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let results = std::mem::take(&mut *lock());
    results.into_iter().flatten().collect()
}
