//! Autocovariances by fast Fourier transform.

use realfft::num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::sync::Arc;

/// Mean over chains of the autocovariance at every lag, with the memory to compute it.
#[derive(Default)]
pub struct Autocovariance {
    plan: Option<Plan>,
    padded: Vec<f64>,
    spectrum: Vec<Complex64>,
    power: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

struct Plan {
    length: usize,
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
}

impl Plan {
    fn new(length: usize) -> Plan {
        let mut planner = RealFftPlanner::new();
        Plan {
            length,
            forward: planner.plan_fft_forward(length),
            inverse: planner.plan_fft_inverse(length),
        }
    }
}

/// The least even number >= `least` without prime factors above 5, for which transforms are fast.
fn fast_length(least: usize) -> usize {
    let is_smooth = |n: &usize| {
        let divided = [2, 3, 5].into_iter().fold(*n, |mut n, prime| {
            while n.is_multiple_of(prime) {
                n /= prime;
            }
            n
        });
        n.is_multiple_of(2) && divided == 1
    };
    (least.max(2)..).find(is_smooth).unwrap_or(least)
}

impl Autocovariance {
    /// gamma_t = 1/N sum_s (x_s - m)(x_{s+t} - m) with m the chain's mean, averaged over chains of N values that
    /// follow each other in `chains`; for t = 0 to N - 1.
    ///
    /// The transform of gamma is the power spectrum (Wiener-Khinchin), which is summed over chains before the one
    /// transform back; N zeros after each chain keep its end from meeting its beginning.
    pub fn mean(&mut self, chains: &[f64], n: usize) -> &[f64] {
        let length = fast_length(2 * n);
        let plan = match self.plan.take() {
            Some(plan) if plan.length == length => self.plan.insert(plan),
            _ => self.plan.insert(Plan::new(length)),
        };
        let scratch = plan
            .forward
            .get_scratch_len()
            .max(plan.inverse.get_scratch_len());
        self.scratch.resize(scratch, Complex64::default());
        self.spectrum.resize(length / 2 + 1, Complex64::default());
        self.power.clear();
        self.power.resize(length / 2 + 1, Complex64::default());
        let mut transformed = Ok(());
        for chain in chains.chunks_exact(n) {
            let mean = super::mean(chain.iter().copied());
            self.padded.clear();
            self.padded.extend(chain.iter().map(|x| x - mean));
            self.padded.resize(length, 0.0);
            let (x, y) = (&mut self.padded, &mut self.spectrum);
            transformed =
                transformed.and(plan.forward.process_with_scratch(x, y, &mut self.scratch));
            for (sum, z) in self.power.iter_mut().zip(&self.spectrum) {
                sum.re += z.norm_sqr();
            }
        }
        let (x, y) = (&mut self.power, &mut self.padded);
        transformed = transformed.and(plan.inverse.process_with_scratch(x, y, &mut self.scratch));
        // The transforms fail only for slices of other lengths than the plan's.
        debug_assert!(transformed.is_ok());
        let scale = 1.0 / (length as f64 * chains.len() as f64);
        self.padded.truncate(n);
        self.padded.iter_mut().for_each(|x| *x *= scale);
        &self.padded
    }
}
