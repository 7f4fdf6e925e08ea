//! One data set, from its data to its summary.

use super::starts::Base;
use super::summary::{Interval, summarise};
use super::template::{Array, DataSet, Template};
use crate::diagnostics::{self, bfmi};
use crate::kernels::machine::Workspace;
use crate::model::Model;
use crate::sampler::chain::{Chain, Reached};
use crate::sampler::control::{Control, Progress};
use crate::sampler::rng::ChainRng;
use crate::sampler::{ChainDraws, Column, Settings};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Where the draws of a variable come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An output of the graph.
    Output(String),
    /// A value variable, by its number.
    Parameter(usize),
}

/// A variable of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Where its draws come from.
    pub source: Source,
    /// Whether its draws are kept.
    pub is_kept: bool,
}

/// What is done with every data set.
pub struct Plan {
    /// What is fitted.
    pub template: Template,
    /// Settings of the sampler.
    pub settings: Settings,
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
            // Positions and fifteen statistics.
            let chains = kept
                .chains
                .iter()
                .map(|chain| chain.positions().len() + 12 * chain.len());
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
        Ok(Prepared {
            position,
            model,
            data,
            base,
            seeds: chain_seeds(self.seed, position, self.chains),
            began,
        })
    }

    /// A chain that has yet to begin.
    ///
    /// # Errors
    /// Why it cannot begin.
    pub fn chain(&self, prepared: &Prepared, number: usize) -> Result<Chain, String> {
        let mut density = prepared.model.density();
        let (seed, dim) = (prepared.seeds[number], prepared.model.dim());
        let starts = &self.template.starts;
        let start = starts.start(&prepared.data, &prepared.base, seed, &mut density)?;
        let draws = ChainDraws::with_capacity(self.settings.draws as usize, dim)
            .ok_or("there is no memory for its draws")?;
        let density = Box::new(density);
        Ok(Chain::new(
            density,
            &start,
            seed,
            &self.settings,
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

    /// Evaluates the variables at all draws and summarises them.
    ///
    /// # Errors
    /// Why that failed.
    pub fn finish(
        &self,
        prepared: &Prepared,
        chains: Vec<ChainDraws>,
        workspace: &mut diagnostics::Workspace,
    ) -> Result<Fit, String> {
        let rows = self.settings.draws as usize;
        let evaluated = self.evaluate(prepared, &chains)?;
        let mut fit = Fit {
            seeds: prepared.seeds.clone(),
            shapes: vec![],
            summary: vec![],
            chains: chains.iter().map(ChainSummary::of).collect(),
            kept: None,
            seconds: 0.0,
        };
        let mut kept = Kept::default();
        for (variable, columns) in self.variables.iter().zip(evaluated) {
            let mut summary = vec![];
            for element in columns.values.chunks_exact(chains.len() * rows) {
                let parts: Vec<&[f64]> = element.chunks_exact(rows).collect();
                summarise(workspace, &parts, self.interval, &mut summary);
            }
            if self.thin > 0 && variable.is_kept {
                kept.values.push(thinned(
                    &columns.values,
                    chains.len() * rows,
                    rows,
                    self.thin,
                ));
            }
            fit.shapes.push(columns.shape);
            fit.summary.push(summary);
        }
        if self.thin > 0 {
            kept.chains = chains;
            fit.kept = Some(kept);
        }
        fit.seconds = prepared.began.elapsed().as_secs_f64();
        Ok(fit)
    }

    /// Draws of all variables.
    fn evaluate(&self, prepared: &Prepared, chains: &[ChainDraws]) -> Result<Vec<Columns>, String> {
        let model = &prepared.model;
        let mut names = vec![];
        let all = chains.len() * self.settings.draws as usize;
        let found = self
            .variables
            .iter()
            .map(|variable| match &variable.source {
                Source::Parameter(index) => {
                    let parameter = &model.parameters()[*index];
                    Columns::zeros(&parameter.shape, all, From::Position(parameter.offset))
                }
                Source::Output(name) => {
                    names.push(name.clone());
                    let mut outputs = model.outputs();
                    let shape = outputs.find_map(|(other, shape)| (other == name).then_some(shape));
                    Columns::zeros(shape.unwrap_or(&[]), all, From::Output(names.len() - 1))
                }
            });
        let mut found: Vec<Columns> = found.collect();
        let program = model.output_program(&names);
        let mut workspace = Workspace::new(program.map_err(|error| error.to_string())?);
        let positions = chains
            .iter()
            .flat_map(|chain| chain.positions().chunks_exact(chain.dim()));
        for (row, position) in positions.enumerate() {
            if !names.is_empty() {
                let evaluated = workspace.evaluate(position);
                evaluated.map_err(|failure| failure.0)?;
            }
            for columns in &mut found {
                let draw = match columns.from {
                    From::Position(offset) => &position[offset..],
                    From::Output(number) => workspace.output(number),
                };
                let elements = columns.values.chunks_exact_mut(all);
                elements
                    .zip(draw)
                    .for_each(|(column, value)| column[row] = *value);
            }
        }
        Ok(found)
    }
}

/// Where draws are read.
enum From {
    /// In the position vector, from an offset on.
    Position(usize),
    /// In an output, by its number.
    Output(usize),
}

/// Draws of a variable: those of its first element, of all chains, then of the next.
struct Columns {
    shape: Vec<usize>,
    values: Vec<f64>,
    from: From,
}

impl Columns {
    fn zeros(shape: &[usize], draws: usize, from: From) -> Columns {
        Columns {
            shape: shape.to_vec(),
            values: vec![0.0; shape.iter().product::<usize>() * draws],
            from,
        }
    }
}

/// Every `step`-th draw of each chain, from `(elements, chains, draws)` to `(chains, draws, elements)`.
fn thinned(columns: &[f64], all: usize, rows: usize, step: usize) -> Vec<f64> {
    let elements = columns.len() / all;
    let kept = (0..all).filter(|row| (row % rows).is_multiple_of(step));
    let mut values = Vec::with_capacity(elements * all.div_ceil(step));
    for row in kept {
        values.extend((0..elements).map(|k| columns[k * all + row]));
    }
    values
}
