//! Diagnostics of every element of arrays of draws, on all cores.

use super::{Draws, Ess, Workspace};
use crate::parallel;

/// A diagnostic of one scalar quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// [`Draws::rhat`]
    Rhat,
    /// [`Draws::ess`]
    Ess(Ess),
    /// [`Draws::mcse_mean`]
    McseMean,
    /// [`Draws::mcse_sd`]
    McseSd,
    /// [`Draws::mcse_quantile`] of a probability
    McseQuantile(f64),
    /// [`Draws::hdi`] of a probability: two values
    Hdi(f64),
    /// [`Draws::eti`] of a probability: two values
    Eti(f64),
}

impl Measure {
    /// Number of values that it has.
    pub fn width(self) -> usize {
        match self {
            Measure::Hdi(_) | Measure::Eti(_) => 2,
            _ => 1,
        }
    }

    fn push(self, draws: &mut Draws<'_>, values: &mut Vec<f64>) {
        match self {
            Measure::Rhat => values.push(draws.rhat()),
            Measure::Ess(of) => values.push(draws.ess(of)),
            Measure::McseMean => values.push(draws.mcse_mean()),
            Measure::McseSd => values.push(draws.mcse_sd()),
            Measure::McseQuantile(p) => values.push(draws.mcse_quantile(p)),
            Measure::Hdi(probability) => values.extend(draws.hdi(probability)),
            Measure::Eti(probability) => values.extend(draws.eti(probability)),
        }
    }
}

/// Draws of an array of quantities: `chains[chain][draw * elements + element]`.
#[derive(Clone, Debug)]
pub struct DrawArray<'a> {
    /// All draws of each chain.
    pub chains: Vec<&'a [f64]>,
    /// Number of draws a chain.
    pub draws: usize,
    /// Number of quantities.
    pub elements: usize,
}

/// Elements that are read together: neighbours in memory, a cache line in all.
const BLOCK: usize = 8;

impl DrawArray<'_> {
    /// Copies the draws of one element after the other, those of a chain together.
    fn gather(&self, first: usize, count: usize, columns: &mut Vec<f64>) {
        let rows = self.chains.len() * self.draws;
        columns.clear();
        columns.resize(count * rows, 0.0);
        for (chain, values) in self.chains.iter().enumerate() {
            for draw in 0..self.draws {
                let start = draw * self.elements + first;
                for (k, &value) in values[start..start + count].iter().enumerate() {
                    columns[k * rows + chain * self.draws + draw] = value;
                }
            }
        }
    }
}

/// All measures of every element of every array: for each array, the measures of its first element, then of the
/// next. Uses all processors.
///
/// # Panics
/// If an array has fewer values than it says.
pub fn measure_all(arrays: &[DrawArray<'_>], measures: &[Measure]) -> Vec<Vec<f64>> {
    let blocks: Vec<(usize, usize)> = (0..arrays.len())
        .flat_map(|array| {
            (0..arrays[array].elements)
                .step_by(BLOCK)
                .map(move |first| (array, first))
        })
        .collect();
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let start = || (Workspace::default(), vec![]);
    let done = parallel::map(
        blocks.len(),
        processors,
        start,
        |(workspace, columns), block| {
            let (array, first) = blocks[block];
            let source = &arrays[array];
            let count = BLOCK.min(source.elements - first);
            source.gather(first, count, columns);
            let rows = source.chains.len() * source.draws;
            let mut values = vec![];
            for k in 0..count {
                let element = &columns[k * rows..(k + 1) * rows];
                let chains: Vec<&[f64]> = element.chunks_exact(source.draws.max(1)).collect();
                let mut draws = workspace.draws(&chains);
                measures
                    .iter()
                    .for_each(|measure| measure.push(&mut draws, &mut values));
            }
            values
        },
    );
    let mut results = vec![vec![]; arrays.len()];
    for ((array, _), values) in blocks.into_iter().zip(done) {
        results[array].extend(values);
    }
    results
}
