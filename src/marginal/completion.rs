//! Positions that were sampled, completed by standard normal numbers in the place of what was integrated out.

use super::Marginal;
use crate::density::{Density, DensityError};
use crate::sampler::rng::ChainRng;
use std::ops::Range;

/// Streams of a chain's seed that the numbers come from, for draws of warm-up and after it.
const STREAMS: [u64; 2] = [3, 4];

/// Completes the positions of one chain, in the order of its draws. The numbers depend on the chain's seed and the
/// number of the draw alone.
#[derive(Clone)]
pub struct Completion {
    whole: Vec<f64>,
    kept: Vec<usize>,
    variables: Vec<Range<usize>>,
    rngs: [ChainRng; 2],
}

impl Completion {
    /// For positions of `dim` entries when complete.
    pub fn new(marginal: &Marginal, dim: usize, seed: u64) -> Completion {
        let variables = marginal.variables().iter();
        Completion {
            whole: vec![0.0; dim],
            kept: marginal.kept.clone(),
            variables: variables.map(|v| v.offset..v.offset + v.size).collect(),
            rngs: STREAMS.map(|number| ChainRng::stream(seed, number)),
        }
    }

    /// The position of the next draw, of warm-up or after it, complete.
    pub fn complete(&mut self, position: &[f64], tuning: bool) -> &[f64] {
        for (&index, &value) in self.kept.iter().zip(position) {
            self.whole[index] = value;
        }
        let rng = &mut self.rngs[usize::from(!tuning)];
        for variable in &self.variables {
            rng.fill_normal(&mut self.whole[variable.clone()]);
        }
        &self.whole
    }
}

/// The density of what is sampled, as one of positions of the model as it is written: flat in what was integrated out.
pub struct AsWritten<'a> {
    density: &'a mut dyn Density,
    dim: usize,
    kept: &'a [usize],
    sampled: Vec<f64>,
    gradient: Vec<f64>,
}

impl<'a> AsWritten<'a> {
    /// Of positions of `dim` entries, of which those at `kept` are sampled.
    pub fn new(density: &'a mut dyn Density, dim: usize, kept: &'a [usize]) -> AsWritten<'a> {
        AsWritten {
            density,
            dim,
            kept,
            sampled: vec![0.0; kept.len()],
            gradient: vec![0.0; kept.len()],
        }
    }
}

impl Density for AsWritten<'_> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn logp_and_gradient(
        &mut self,
        position: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, DensityError> {
        let pairs = self.sampled.iter_mut().zip(self.kept);
        pairs.for_each(|(value, &index)| *value = position[index]);
        let logp = self
            .density
            .logp_and_gradient(&self.sampled, &mut self.gradient)?;
        gradient.fill(0.0);
        let pairs = self.gradient.iter().zip(self.kept);
        pairs.for_each(|(value, &index)| gradient[index] = *value);
        Ok(logp)
    }
}
