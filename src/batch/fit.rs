//! One data set, from its data to its summary.

use super::starts::Base;
use super::summary::{Interval, STATISTICS, summarise};
use super::template::{Array, DataSet, Template};
use crate::diagnostics::{self, bfmi};
use crate::marginal::AsWritten;
use crate::model::Model;
use crate::recorder::{Elements, Recorded, Recorder, Wanted};
use crate::sampler::chain::{Chain, Reached};
use crate::sampler::control::{Control, Progress};
use crate::sampler::rng::ChainRng;
use crate::sampler::{ChainDraws, Column, Keep, Settings};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A variable of the result.
#[derive(Clone, Debug)]
pub struct Variable {
    /// What it is, as real numbers.
    pub wanted: Wanted,
    /// Whether its draws are kept.
    pub is_kept: bool,
}

/// What is done with every data set.
pub struct Plan {
    /// What is fitted.
    pub template: Template,
    /// Settings of the sampler.
    pub settings: Settings,
    /// Settings of data sets whose parameters have these shapes, if there are others for them.
    pub warm_start: Option<(Vec<Vec<usize>>, Settings)>,
    /// Number of chains.
    pub chains: usize,
    /// The seed of all.
    pub seed: u64,
    /// Variables of the result.
    pub variables: Vec<Variable>,
    /// The interval of the summary.
    pub interval: Interval,
    /// Every how manieth draw is kept, with its statistics; none is if this is 0.
    pub thin: usize,
}

/// Seeds of the chains of the data set at a position, for a run with one seed for all: below 2^63.
pub fn chain_seeds(seed: u64, position: u64, chains: usize) -> Vec<u64> {
    let mut rng = ChainRng::stream(seed, position);
    (0..chains).map(|_| rng.seed()).collect()
}

/// What a chain tells about itself, after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChainSummary {
    /// Divergent trajectories.
    pub divergences: i64,
    /// Trajectories that were cut off at the greatest depth.
    pub reached_max_treedepth: i64,
    /// Mean depth of trees.
    pub tree_depth: f64,
    /// Mean number of leapfrog steps.
    pub n_steps: f64,
    /// Mean acceptance statistic.
    pub acceptance_rate: f64,
    /// The step size that warm-up ended with.
    pub step_size: f64,
    /// Estimated Bayesian fraction of missing information.
    pub bfmi: f64,
    /// Gradients, those of warm-up included.
    pub gradients: i64,
    /// Draws of warm-up.
    pub tune: i64,
    /// Seconds, warm-up included.
    pub seconds: f64,
    /// Whether it began with the metric and the step size of other data sets.
    pub warm_start: bool,
}

impl ChainSummary {
    fn of(draws: &ChainDraws) -> ChainSummary {
        let stats = draws.stats();
        let column = |name| stats.iter().find(|(other, _)| *other == name);
        let reals = |name| match column(name) {
            Some((_, Column::F64(values))) => *values,
            _ => &[],
        };
        let total = |name| match column(name) {
            Some((_, Column::I64(values))) => values.iter().sum(),
            Some((_, Column::Bool(values))) => values.iter().filter(|&&flag| flag).count() as i64,
            _ => 0,
        };
        let count = draws.len() as f64;
        ChainSummary {
            divergences: total("diverging"),
            reached_max_treedepth: total("reached_max_treedepth"),
            tree_depth: total("tree_depth") as f64 / count,
            n_steps: total("n_steps") as f64 / count,
            acceptance_rate: reals("acceptance_rate").iter().sum::<f64>() / count,
            step_size: reals("step_size_bar").last().copied().unwrap_or(f64::NAN),
            bfmi: bfmi(reals("energy")),
            gradients: draws.gradients as i64,
            tune: draws.tune as i64,
            seconds: draws.warmup_time + draws.sampling_time,
            warm_start: false,
        }
    }
}

/// The draws of a fit that are kept.
#[derive(Default)]
pub struct Kept {
    /// Of each variable that is kept, `(chains, draws, elements)`.
    pub values: Vec<Vec<f64>>,
    /// Statistics of the draws of each chain, not thinned.
    pub chains: Vec<ChainDraws>,
}

/// A data set that was fitted.
pub struct Fit {
    /// Seeds of its chains.
    pub seeds: Vec<u64>,
    /// Shape of each variable.
    pub shapes: Vec<Vec<usize>>,
    /// Of each variable, the statistics of its first element, then of the next.
    pub summary: Vec<Vec<f64>>,
    /// What its chains tell.
    pub chains: Vec<ChainSummary>,
    /// The draws, if they are kept.
    pub kept: Option<Kept>,
    /// Seconds from data to summary, of which some may have been spent waiting for a thread.
    pub seconds: f64,
}

impl Fit {
    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let kept = self.kept.iter().map(|kept| {
            let values = kept.values.iter().map(Vec::len).sum::<usize>();
            // Fifteen statistics, of which some are flags.
            let chains = kept.chains.iter().map(|chain| 12 * chain.len());
            values + chains.sum::<usize>()
        });
        let summary = self.summary.iter().map(Vec::len).sum::<usize>();
        (summary + kept.sum::<usize>()) * size_of::<f64>()
    }
}

/// A data set that is bound, with all that its chains need.
pub struct Prepared {
    /// Number of the data set.
    pub position: u64,
    model: Model,
    data: Vec<Arc<Array>>,
    base: Arc<Base>,
    seeds: Vec<u64>,
    began: Instant,
    /// Who keeps the draws of each chain, until that runs; and what they keep.
    recorders: Vec<Mutex<Option<Recorder>>>,
    recorded: Mutex<Option<Recorded>>,
}

impl Plan {
    /// Checks and binds a data set.
    ///
    /// # Errors
    /// Why it cannot be fitted.
    pub fn prepare(&self, given: DataSet) -> Result<Prepared, String> {
        let began = Instant::now();
        let position = given.position;
        let data = self.template.complete(given)?;
        let base = self.template.starts.base(&data)?;
        let model = self.template.bind(&data, &base)?;
        let wanted: Vec<Wanted> = self.variables.iter().map(|v| v.wanted.clone()).collect();
        let draws = self.settings.draws;
        let seeds = chain_seeds(self.seed, position, self.chains);
        let (recorded, recorders) = Recorder::for_chains(&model, &wanted, &seeds, draws)
            .map_err(|error| error.to_string())?;
        let recorders = recorders.into_iter().map(|one| Mutex::new(Some(one)));
        Ok(Prepared {
            recorders: recorders.collect(),
            recorded: Mutex::new(Some(recorded)),
            position,
            model,
            data,
            base,
            seeds,
            began,
        })
    }

    /// Settings of a data set, and whether they are those of a warm start.
    pub fn settings_of(&self, prepared: &Prepared) -> (&Settings, bool) {
        match &self.warm_start {
            Some((shapes, settings)) if *shapes == prepared.base.shapes => (settings, true),
            _ => (&self.settings, false),
        }
    }

    /// A chain that has yet to begin.
    ///
    /// # Errors
    /// Why it cannot begin.
    pub fn chain(&self, prepared: &Prepared, number: usize) -> Result<Chain, String> {
        let mut density = prepared.model.density();
        let (seed, dim) = (prepared.seeds[number], prepared.model.dim());
        let starts = &self.template.starts;
        let start = match prepared.model.marginal() {
            None => starts.start(&prepared.data, &prepared.base, seed, &mut density)?,
            Some(marginal) => {
                let whole_dim = prepared.model.whole_dim();
                let mut as_written = AsWritten::new(&mut density, whole_dim, &marginal.kept);
                let whole = starts.start(&prepared.data, &prepared.base, seed, &mut as_written)?;
                marginal.kept.iter().map(|&index| whole[index]).collect()
            }
        };
        let recorder = take(&prepared.recorders[number]).map(|one| Box::new(one) as Box<dyn Keep>);
        let draws = ChainDraws::for_chains(vec![recorder], self.settings.draws as usize, dim);
        let draws = draws
            .and_then(|(_, mut chains)| chains.pop())
            .ok_or("there is no memory for its draws")?;
        let density = Box::new(density);
        let settings = self.settings_of(prepared).0;
        Ok(Chain::new(
            density,
            &start,
            seed,
            settings,
            draws,
            self.chains,
        ))
    }

    /// Runs a chain to its next meeting or its end.
    ///
    /// # Errors
    /// Why it failed.
    pub fn run(
        &self,
        chain: &mut Chain,
        number: usize,
        abort: &AtomicBool,
    ) -> Result<Reached, String> {
        let progress = Progress::default();
        let control = Control {
            abort,
            progress: &progress,
        };
        let reached = chain.run(control);
        reached.map_err(|error| format!("chain {number}: {error}"))
    }

    /// Summarises the draws of all chains.
    ///
    /// # Errors
    /// Why that failed.
    pub fn finish(
        &self,
        prepared: &Prepared,
        mut chains: Vec<ChainDraws>,
        workspace: &mut diagnostics::Workspace,
    ) -> Result<Fit, String> {
        chains.iter_mut().for_each(ChainDraws::release);
        let recorded = take(&prepared.recorded).and_then(Recorded::into_elements);
        let recorded = recorded.ok_or("its draws were taken before")?;
        let rows = self.settings.draws as usize;
        let mut fit = Fit {
            seeds: prepared.seeds.clone(),
            shapes: vec![],
            summary: vec![],
            chains: chains
                .iter()
                .map(|draws| ChainSummary {
                    warm_start: self.settings_of(prepared).1,
                    ..ChainSummary::of(draws)
                })
                .collect(),
            kept: None,
            seconds: 0.0,
        };
        let mut kept = Kept::default();
        let mut column = vec![0.0; chains.len() * rows];
        for (variable, (_, shape, elements)) in self.variables.iter().zip(recorded) {
            let Elements::F64(draws) = elements else {
                return Err("its draws are not real numbers".into());
            };
            let size = draws.len() / column.len();
            let mut summary = Vec::with_capacity(size * STATISTICS);
            for element in 0..size {
                let values = draws[element..].iter().step_by(size);
                column
                    .iter_mut()
                    .zip(values)
                    .for_each(|(x, value)| *x = *value);
                let parts: Vec<&[f64]> = column.chunks_exact(rows).collect();
                summarise(workspace, &parts, self.interval, &mut summary);
            }
            if self.thin > 0 && variable.is_kept {
                kept.values.push(thinned(draws, rows, size, self.thin));
            }
            fit.shapes.push(shape);
            fit.summary.push(summary);
        }
        if self.thin > 0 {
            kept.chains = chains;
            fit.kept = Some(kept);
        }
        fit.seconds = prepared.began.elapsed().as_secs_f64();
        Ok(fit)
    }
}

fn take<T>(of: &Mutex<Option<T>>) -> Option<T> {
    of.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Every `step`-th draw of each chain of `rows` draws of `size` elements.
fn thinned(draws: Vec<f64>, rows: usize, size: usize, step: usize) -> Vec<f64> {
    if step == 1 || size == 0 {
        return draws;
    }
    let chains = draws.chunks_exact(rows * size);
    let kept = chains.flat_map(|chain| chain.chunks_exact(size).step_by(step));
    kept.flatten().copied().collect()
}
