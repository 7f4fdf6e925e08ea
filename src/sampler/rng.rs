//! The random numbers of one chain: a ChaCha8 stream that depends on the chain's seed alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// One chain's random stream: the same seed gives the same bits on every machine.
#[derive(Debug, Clone)]
pub struct ChainRng(ChaCha8Rng);

impl ChainRng {
    /// Starts the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Starts another stream of `seed`, independent of stream 0, which is that of [`ChainRng::new`].
    pub fn stream(seed: u64, number: u64) -> Self {
        let mut rng = Self::new(seed);
        rng.0.set_stream(number);
        rng
    }

    /// A seed for another generator, below 2^63.
    pub fn seed(&mut self) -> u64 {
        self.0.next_u64() >> 1
    }

    /// A number uniform on [0, 1), a multiple of 2^-53.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Forwards (1.0) or backwards (-1.0) in time, each with probability one half.
    #[inline]
    pub fn direction(&mut self) -> f64 {
        if self.0.next_u32() >> 31 == 0 {
            1.0
        } else {
            -1.0
        }
    }

    /// Fills `out` with independent standard normal numbers.
    pub fn fill_normal(&mut self, out: &mut [f64]) {
        for value in out {
            *value = StandardNormal.sample(&mut self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_numbers_fill_the_unit_interval() {
        let mut rng = ChainRng::new(1);
        let draws: Vec<f64> = (0..10_000).map(|_| rng.uniform()).collect();
        assert!(draws.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!(
            (mean - 0.5).abs() < 5.0 * (1.0f64 / 12.0 / 10_000.0).sqrt(),
            "{mean}"
        );
    }

    #[test]
    fn both_directions_are_equally_likely() {
        let mut rng = ChainRng::new(2);
        let sum: f64 = (0..10_000).map(|_| rng.direction()).sum();
        assert!(sum.abs() < 5.0 * 100.0, "{sum}");
    }

    #[test]
    fn a_stream_is_fixed_by_its_seed() {
        let numbers = |seed| {
            let mut rng = ChainRng::new(seed);
            let mut normal = [0.0; 3];
            rng.fill_normal(&mut normal);
            (normal, rng.uniform())
        };
        assert_eq!(numbers(3), numbers(3));
        assert_ne!(numbers(3), numbers(4));
        let uniform = |number| ChainRng::stream(3, number).uniform();
        assert_eq!(uniform(0), ChainRng::new(3).uniform());
        assert_ne!(uniform(0), uniform(1));
    }
}
