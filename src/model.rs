//! A bound model ready to evaluate: log density with gradient, and the outputs of a draw.

use crate::bind::{self, Bound, Data, Parameter};
use crate::bound::{BindError, Builder, Id, Op};
use crate::density::{Density, DensityError};
use crate::diff;
use crate::foreign::Meter;
use crate::graph::Graph;
use crate::kernels::crew::{Caller, Crew};
use crate::kernels::machine::Workspace;
use crate::kernels::whole::Failure;
use crate::marginal::{self, Completion, Marginal};
use crate::parallel;
use crate::plan;
use crate::plan::shared::{Planned, Programs};
use crate::recorder::{Recorded, Recorder, Wanted};
use crate::rewrite::algebra::{self, Rules};
use crate::rewrite::fuse::fuse;
use crate::sampler::{Run, RunError, Settings};
use crate::tensor::{LARGE, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Draws of which the outputs are computed together.
const DRAWS_A_BLOCK: usize = 64;

/// Name of the output that is the log density.
pub const LOGP: &str = "logp";

/// A template with data, differentiated and planned; immutable, shared by all threads.
pub struct Model {
    bound: Bound,
    /// The log density with its gradient, fused; `roots` are its nodes.
    pub(crate) fused: Builder,
    pub(crate) roots: Vec<Id>,
    pub(crate) planned: Planned,
    /// Where programs of graphs of the same form are found, if models share them.
    programs: Option<Arc<Programs>>,
    /// How often each rule was applied to the log density and its gradient, and to the outputs.
    pub(crate) rewrites: BTreeMap<&'static str, usize>,
    /// What is integrated out, if something is.
    marginal: Option<Marginal>,
    /// Parameters that were asked to be integrated out and are not, with the reason.
    pub not_marginalised: Vec<(String, String)>,
}

impl Model {
    /// Binds a template to data and plans its log density with gradient.
    pub fn new(
        graph: &Graph,
        data: HashMap<String, Data>,
        shapes: &HashMap<String, Vec<usize>>,
    ) -> Result<Model, BindError> {
        Model::within(usize::MAX, Rules::ALL, &[], None, graph, data, shapes)
    }

    /// As [`Model::new`], under some rules of exact algebra, and without those of the parameters `marginalised` that can
    /// be integrated out ([`crate::marginal`]); no array, not all constants together, and not all values of an
    /// evaluation have more elements than `room`. Models with the same `programs` share those that differ in constants
    /// alone; values have the same bits.
    pub fn within(
        room: usize,
        rules: Rules,
        marginalised: &[String],
        programs: Option<Arc<Programs>>,
        graph: &Graph,
        data: HashMap<String, Data>,
        shapes: &HashMap<String, Vec<usize>>,
    ) -> Result<Model, BindError> {
        let mut bound = bind::bind_with(Builder::default().limited_to(room), graph, data, shapes)?;
        if bound.builder.constant_elements() >= LARGE {
            bound.forget_others();
        }
        let (mut density, mut logp) = log_density(&bound, rules)?;
        let mut rewrites = BTreeMap::new();
        let mut count = |b: &Builder| {
            for (rule, count) in b.fired() {
                *rewrites.entry(rule).or_default() += count;
            }
        };
        let (mut marginal, mut not_marginalised) = (None, vec![]);
        let mut parameters = bound.parameters.clone();
        if !marginalised.is_empty() {
            let choice = marginal::choose(&mut density, logp, &parameters, marginalised)?;
            (marginal, not_marginalised) = (choice.marginal, choice.reasons);
        }
        if let Some(marginal) = &marginal {
            count(&density);
            (density, logp) = marginal.density();
            parameters = marginal.parameters();
        }
        let dim = marginal
            .as_ref()
            .map_or(bound.dim, |marginal| marginal.kept.len());
        let roots = with_gradient(&mut density, logp, &parameters)?;
        let (fused, roots) = fuse(&density, &roots);
        let planned = plan_with(programs.as_deref(), &fused, &roots, dim);
        let program = &planned.program;
        if program.arena > room {
            return Err(BindError::Misfit(format!(
                "an evaluation would need {} MB of memory, where there are {}: check the data and the lengths",
                program.arena >> 17,
                room >> 17
            )));
        }
        [&bound.builder, &density, &fused]
            .into_iter()
            .for_each(count);
        Ok(Model {
            bound,
            fused,
            roots,
            planned,
            programs,
            rewrites,
            marginal,
            not_marginalised,
        })
    }

    /// Length of the position vector of the density.
    pub fn dim(&self) -> usize {
        match &self.marginal {
            Some(marginal) => marginal.kept.len(),
            None => self.bound.dim,
        }
    }

    /// Length of the position vector of the model as it is written, which outputs are functions of.
    pub fn whole_dim(&self) -> usize {
        self.bound.dim
    }

    /// What is integrated out, if something is.
    pub fn marginal(&self) -> Option<&Marginal> {
        self.marginal.as_ref()
    }

    /// Value variables in the order of the position vector of the model as it is written.
    pub fn parameters(&self) -> &[Parameter] {
        &self.bound.parameters
    }

    /// Name and shape of every output but the log density.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let outputs = self.bound.outputs.iter().filter(|(name, _)| name != LOGP);
        outputs.map(|(name, id)| (name.as_str(), self.bound.builder.shape(*id)))
    }

    /// Functions of others that log density, gradient or an output call, by name, and what their calls took so far.
    pub fn foreign(&self) -> Vec<(String, Arc<Meter>)> {
        let outputs: Vec<Id> = self.bound.outputs.iter().map(|(_, id)| *id).collect();
        let mut found = vec![];
        foreign_calls(&self.bound.builder, &outputs, &mut found);
        found
    }

    /// An evaluator of the log density for one thread.
    pub fn density(&self) -> ModelDensity {
        self.helped_density(None)
    }

    /// Starts a chain from each point, on at most `cores` threads. Threads without a chain help with the large passes of
    /// those that have one; draws do not depend on it. Kept are the variables that are wanted, or else positions.
    ///
    /// # Errors
    /// As [`Run::start`]; if there is no such variable.
    pub fn sample(
        &self,
        settings: Settings,
        starts: Vec<Vec<f64>>,
        seeds: Vec<u64>,
        cores: usize,
        wanted: Option<&[Wanted]>,
    ) -> Result<(Run, Option<Recorded>), RunError> {
        let settings = settings
            .validated()
            .map_err(|error| RunError::Input(error.to_string()))?;
        settings
            .check_dimensions(self.dim())
            .map_err(|error| RunError::Input(error.to_string()))?;
        let (recorded, keep) = match wanted {
            None => (None, starts.iter().map(|_| None).collect()),
            Some(wanted) => {
                let draws = settings.kept_warmup() + settings.draws;
                let (recorded, recorders) = Recorder::for_chains(self, wanted, &seeds, draws)?;
                let keep = recorders
                    .into_iter()
                    .map(|recorder| Some(Box::new(recorder) as _));
                (Some(recorded), keep.collect())
            }
        };
        let crew = Crew::new(starts.len(), cores.saturating_sub(1));
        let density = |_| self.helped_density(crew.caller());
        let densities: Vec<ModelDensity> = starts.iter().map(density).collect();
        let is_shared = densities
            .iter()
            .any(|density| density.workspace.is_shared());
        let densities = densities.into_iter().map(|density| Box::new(density) as _);
        let crew = is_shared.then_some(crew);
        let densities = densities.collect();
        let run = Run::start_helped(settings, densities, starts, seeds, cores, keep, crew)?;
        Ok((run, recorded))
    }

    /// Does something with an evaluator that `helpers` threads help meanwhile; the density has the same bits.
    pub fn with_helpers<T>(&self, helpers: usize, task: impl FnOnce(&mut ModelDensity) -> T) -> T {
        /// Sends the helpers away, in a panic too.
        struct Dismissal<'a>(&'a Crew);
        impl Drop for Dismissal<'_> {
            fn drop(&mut self) {
                self.0.dismiss();
            }
        }
        let crew = Crew::new(1, helpers);
        let mut density = self.helped_density(crew.caller());
        std::thread::scope(|scope| {
            let _dismissal = Dismissal(&crew);
            for _ in 0..helpers {
                scope.spawn(|| crew.help());
            }
            task(&mut density)
        })
    }

    /// As [`Model::density`], with help; the density has the same bits.
    fn helped_density(&self, caller: Option<Caller>) -> ModelDensity {
        ModelDensity {
            dim: self.dim(),
            workspace: self.planned.workspace(caller),
        }
    }

    /// Values of the named outputs at `draws` positions of the model as it is written (row-major), draw after draw: a
    /// vector an output. Uses all processors.
    ///
    /// # Errors
    /// If there is no such output, or the model itself fails at a position.
    pub fn evaluate(
        &self,
        names: &[String],
        positions: &[f64],
        draws: usize,
    ) -> Result<Vec<Vec<f64>>, DensityError> {
        let planned = self.output_program(names)?;
        let outputs = planned.program.outputs.iter();
        let sizes: Vec<usize> = outputs.map(|(_, size)| *size).collect();
        let mut columns: Vec<Vec<f64>> = sizes.iter().map(|size| vec![0.0; size * draws]).collect();
        // Blocks of draws, each with its stretch of every column.
        let block = DRAWS_A_BLOCK;
        let mut blocks: Vec<Mutex<Vec<&mut [f64]>>> = vec![];
        blocks.resize_with(draws.div_ceil(block), Mutex::default);
        for (column, &size) in columns.iter_mut().zip(&sizes) {
            let mut stretches = column.chunks_mut((block * size).max(1));
            for block in &mut blocks {
                let stretches = stretches.next().unwrap_or_default();
                block
                    .get_mut()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(stretches);
            }
        }
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let dim = self.whole_dim();
        let evaluate = |workspace: &mut Workspace, number: usize| -> Result<(), Failure> {
            let mut columns = blocks[number]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for draw in number * block..((number + 1) * block).min(draws) {
                workspace.evaluate(&positions[draw * dim..(draw + 1) * dim])?;
                let row = draw - number * block;
                for (k, &size) in sizes.iter().enumerate() {
                    columns[k][row * size..(row + 1) * size].copy_from_slice(workspace.output(k));
                }
            }
            Ok(())
        };
        let start = || planned.workspace(None);
        let evaluated: Result<(), Failure> = parallel::map(blocks.len(), threads, start, evaluate)
            .into_iter()
            .collect();
        evaluated.map_err(|failure| DensityError(failure.0))?;
        Ok(columns)
    }

    /// The program that computes the named outputs from a position of the model as it is written.
    fn output_program(&self, names: &[String]) -> Result<Planned, DensityError> {
        let outputs = self.bound.outputs.iter();
        let output = |name: &String| Some(outputs.clone().find(|(other, _)| other == name)?.1);
        let roots: Vec<Option<Id>> = names.iter().map(output).collect();
        self.program_of(&self.bound.builder, names, &roots)
    }

    /// The program that computes the named outputs of a draw from its position, completed (see [`Model::completion`]).
    pub(crate) fn draw_program(&self, names: &[String]) -> Result<Planned, DensityError> {
        match &self.marginal {
            None => self.output_program(names),
            Some(marginal) => {
                let (builder, roots) = marginal.outputs(&self.bound, names);
                self.program_of(&builder, names, &roots)
            }
        }
    }

    /// The program of the named roots, of positions of the model as it is written.
    fn program_of(
        &self,
        builder: &Builder,
        names: &[String],
        roots: &[Option<Id>],
    ) -> Result<Planned, DensityError> {
        let root = |(name, id): (&String, &Option<Id>)| {
            id.ok_or_else(|| DensityError(format!("the model has no output {name:?}")))
        };
        let roots: Result<Vec<Id>, DensityError> = names.iter().zip(roots).map(root).collect();
        let (fused, roots) = fuse(builder, &roots?);
        let programs = self.programs.as_deref();
        Ok(plan_with(programs, &fused, &roots, self.whole_dim()))
    }

    /// Shape of an output of a draw.
    pub(crate) fn output_shape(&self, name: &str) -> Option<Vec<usize>> {
        let found = self.outputs().find(|(other, _)| *other == name);
        let found = found.map(|(_, shape)| shape.to_vec());
        found.or_else(|| self.marginal.as_ref()?.shape(name))
    }

    /// Whether a parameter is integrated out.
    pub(crate) fn is_integrated_out(&self, name: &str) -> bool {
        self.marginal
            .iter()
            .any(|marginal| marginal.names().any(|other| other == name))
    }

    /// What completes the positions of a chain, if something is integrated out.
    pub(crate) fn completion(&self, seed: u64) -> Option<Completion> {
        let marginal = self.marginal.as_ref()?;
        Some(Completion::new(marginal, self.whole_dim(), seed))
    }

    /// The bound graph of the log density and its gradient as text.
    pub fn graph_text(&self) -> String {
        let parameters = match &self.marginal {
            Some(marginal) => marginal.parameters(),
            None => self.bound.parameters.clone(),
        };
        let names = parameters.iter().filter(|p| !p.shape.contains(&0));
        let names = names.map(|p| format!("gradient of {:?}", p.name));
        let names = std::iter::once(LOGP.to_string()).chain(names);
        let roots: Vec<(String, Id)> = names.zip(self.roots.iter().copied()).collect();
        self.fused.text(&roots)
    }

    /// The plan of the log density and its gradient as text.
    pub fn plan_text(&self) -> String {
        plan::text(&self.fused, &self.roots)
    }
}

fn plan_with(programs: Option<&Programs>, fused: &Builder, roots: &[Id], dim: usize) -> Planned {
    match programs {
        Some(programs) => programs.plan(fused, roots, dim),
        None => plan::plan(fused, roots).into(),
    }
}

/// The outputs of a graph without parameters, under these data.
pub fn fold(
    room: usize,
    graph: &Graph,
    data: HashMap<String, Data>,
) -> Result<Vec<(String, Arc<Tensor>)>, BindError> {
    let builder = Builder::default().limited_to(room);
    let bound = bind::bind_with(builder, graph, data, &HashMap::new())?;
    let constant = |(name, id): &(String, Id)| match bound.builder.constant_value(*id) {
        Some(value) => Ok((name.clone(), value.clone())),
        None => Err(BindError::Misfit(format!(
            "{name:?} is not known from data alone"
        ))),
    };
    bound.outputs.iter().map(constant).collect()
}

/// Functions of others that `roots` call, in the bodies of loops too.
fn foreign_calls(builder: &Builder, roots: &[Id], found: &mut Vec<(String, Arc<Meter>)>) {
    for id in builder.reachable(roots) {
        match &builder.node(id).op {
            Op::Foreign(call) => found.push((call.function.name().into(), call.meter.clone())),
            Op::Loop(l) => foreign_calls(&l.builder, &l.results, found),
            _ => {}
        }
    }
}

/// The log density in a graph of its own, so that it does not depend on the other outputs, under some rules.
pub(crate) fn log_density(bound: &Bound, rules: Rules) -> Result<(Builder, Id), BindError> {
    let logp = bound.outputs.iter().find(|(name, _)| name == LOGP);
    let logp = logp.ok_or_else(|| BindError::Misfit("the graph has no output `logp`".into()))?;
    let (mut builder, roots) = bound.builder.extract(&[logp.1]);
    let logp = algebra::apply(&mut builder, roots[0], rules);
    Ok((builder, logp))
}

/// The log density and its gradient by each of the parameters.
pub(crate) fn with_gradient(
    builder: &mut Builder,
    logp: Id,
    parameters: &[Parameter],
) -> Result<Vec<Id>, BindError> {
    let parameters = parameters.iter().filter(|p| !p.shape.contains(&0));
    let parameters: Vec<Id> = parameters
        .map(|p| builder.parameter(p.name.as_str().into(), p.offset, p.shape.clone()))
        .collect();
    let gradient = diff::gradient(builder, logp, &parameters)?;
    if let Some(failure) = builder.take_failure() {
        return Err(failure.into());
    }
    Ok([&[logp][..], &gradient].concat())
}

/// The log density and its gradient under some rules.
pub(crate) fn differentiate(bound: &Bound, rules: Rules) -> Result<(Builder, Vec<Id>), BindError> {
    let (mut builder, logp) = log_density(bound, rules)?;
    let roots = with_gradient(&mut builder, logp, &bound.parameters)?;
    Ok((builder, roots))
}

/// The log density of a [`Model`] with the memory to evaluate it.
pub struct ModelDensity {
    dim: usize,
    workspace: Workspace,
}

impl Density for ModelDensity {
    fn dim(&self) -> usize {
        self.dim
    }

    fn work(&self) -> f64 {
        self.workspace.program().work()
    }

    fn logp_and_gradient(
        &mut self,
        position: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, DensityError> {
        // The results are the log density and one gradient a parameter, in the order of the position vector.
        self.workspace
            .evaluate_into(position, gradient)
            .map_err(|failure| DensityError(failure.0))?;
        Ok(self.workspace.output(0)[0])
    }
}

#[cfg(test)]
mod tests;
