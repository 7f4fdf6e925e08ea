//! A draw allocates nothing: a longer chain allocates no more often than a shorter one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pymc_rustmc::density::{Density, DensityError};
use pymc_rustmc::sampler::{Run, Settings};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Normal;

impl Density for Normal {
    fn dim(&self) -> usize {
        20
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        for (g, x) in gradient.iter_mut().zip(x) {
            *g = -x;
        }
        Ok(-0.5 * x.iter().map(|x| x * x).sum::<f64>())
    }
}

fn allocations(draws: u64) -> usize {
    let before = ALLOCATIONS.load(Relaxed);
    let settings = Settings {
        draws,
        ..Settings::default()
    };
    let run = Run::start(
        settings,
        vec![Box::new(Normal)],
        vec![vec![0.5; 20]],
        vec![1],
        1,
    );
    let result = run.unwrap().into_result().unwrap();
    assert_eq!(result.chains[0].len() as u64, draws);
    ALLOCATIONS.load(Relaxed) - before
}

#[test]
fn draws_do_not_allocate() {
    let (short, long) = (allocations(500), allocations(5000));
    assert!(short > 20, "the counter does not count: {short}");
    assert_eq!(short, long);
}
