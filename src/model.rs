//! A bound model ready to evaluate: log density with gradient, and the outputs of a draw.

use crate::bind::{self, Bound, Data, Parameter};
use crate::bound::{BindError, Builder, Id, Op};
use crate::density::{Density, DensityError};
use crate::diff;
use crate::foreign::Meter;
use crate::graph::Graph;
use crate::kernels::machine::{Program, Workspace};
use crate::kernels::whole::Failure;
use crate::plan;
use crate::rewrite::fuse::fuse;
use std::collections::HashMap;
use std::sync::Arc;

/// Name of the output that is the log density.
pub const LOGP: &str = "logp";

/// A template with data, differentiated and planned; immutable, shared by all threads.
pub struct Model {
    bound: Bound,
    /// The log density with its gradient, fused; `roots` are its nodes.
    fused: Builder,
    roots: Vec<Id>,
    program: Arc<Program>,
}

impl Model {
    /// Binds a template to data and plans its log density with gradient.
    pub fn new(
        graph: &Graph,
        data: HashMap<String, Data>,
        shapes: &HashMap<String, Vec<usize>>,
    ) -> Result<Model, BindError> {
        let mut bound = bind::bind(graph, data, shapes)?;
        let find = |name: &str| {
            bound
                .outputs
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, id)| *id)
        };
        let logp = find(LOGP).ok_or_else(|| BindError("the graph has no output `logp`".into()))?;
        let parameters: Vec<Id> = bound
            .parameters
            .iter()
            .filter(|parameter| !parameter.shape.contains(&0))
            .map(|p| {
                bound
                    .builder
                    .parameter(p.name.as_str().into(), p.offset, p.shape.clone())
            })
            .collect();
        let mut roots = vec![logp];
        roots.extend(diff::gradient(&mut bound.builder, logp, &parameters)?);
        let (fused, roots) = fuse(&bound.builder, &roots);
        let program = Arc::new(plan::plan(&fused, &roots));
        Ok(Model {
            bound,
            fused,
            roots,
            program,
        })
    }

    /// Length of the position vector.
    pub fn dim(&self) -> usize {
        self.bound.dim
    }

    /// Value variables in the order of the position vector.
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
        calls(&self.bound.builder, &outputs, &mut found);
        found
    }

    /// An evaluator of the log density for one thread.
    pub fn density(&self) -> ModelDensity {
        ModelDensity {
            dim: self.dim(),
            workspace: Workspace::new(self.program.clone()),
        }
    }

    /// Values of the named outputs at `draws` positions (row-major, `dim` entries each), draw after draw: a
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
        let program = self.output_program(names)?;
        let sizes: Vec<usize> = program.outputs.iter().map(|(_, size)| *size).collect();
        let mut columns: Vec<Vec<f64>> = sizes.iter().map(|size| vec![0.0; size * draws]).collect();
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = processors.min(draws.div_ceil(64).max(1));
        let share = draws.div_ceil(threads).max(1);
        let mut parts: Vec<Vec<&mut [f64]>> = (0..threads).map(|_| vec![]).collect();
        for (column, &size) in columns.iter_mut().zip(&sizes) {
            let mut shares = column.chunks_mut((share * size).max(1));
            for part in &mut parts {
                part.push(shares.next().unwrap_or_default());
            }
        }
        let evaluated: Result<(), Failure> = std::thread::scope(|scope| {
            let workers = parts.into_iter().enumerate().map(|(index, mut part)| {
                let (program, sizes, dim) = (program.clone(), &sizes, self.dim());
                scope.spawn(move || {
                    let mut workspace = Workspace::new(program);
                    for draw in index * share..((index + 1) * share).min(draws) {
                        workspace.evaluate(&positions[draw * dim..(draw + 1) * dim])?;
                        let row = draw - index * share;
                        for (k, &size) in sizes.iter().enumerate() {
                            part[k][row * size..(row + 1) * size]
                                .copy_from_slice(workspace.output(k));
                        }
                    }
                    Ok(())
                })
            });
            let workers: Vec<_> = workers.collect();
            for worker in workers {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        });
        evaluated.map_err(|failure| DensityError(failure.0))?;
        Ok(columns)
    }

    /// The program that computes the named outputs.
    fn output_program(&self, names: &[String]) -> Result<Arc<Program>, DensityError> {
        let roots: Result<Vec<Id>, DensityError> = names
            .iter()
            .map(|name| {
                let found = self.bound.outputs.iter().find(|(other, _)| other == name);
                found
                    .map(|(_, id)| *id)
                    .ok_or_else(|| DensityError(format!("the model has no output {name:?}")))
            })
            .collect();
        let (fused, roots) = fuse(&self.bound.builder, &roots?);
        Ok(Arc::new(plan::plan(&fused, &roots)))
    }

    /// The bound graph of the log density and its gradient as text.
    pub fn graph_text(&self) -> String {
        let names = self
            .bound
            .parameters
            .iter()
            .filter(|p| !p.shape.contains(&0));
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

/// Functions of others that `roots` call, in the bodies of loops too.
fn calls(builder: &Builder, roots: &[Id], found: &mut Vec<(String, Arc<Meter>)>) {
    for id in builder.reachable(roots) {
        match &builder.node(id).op {
            Op::Foreign(call) => found.push((call.function.name().into(), call.meter.clone())),
            Op::Loop(l) => calls(&l.builder, &l.results, found),
            _ => {}
        }
    }
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

    fn logp_and_gradient(
        &mut self,
        position: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, DensityError> {
        self.workspace
            .evaluate(position)
            .map_err(|failure| DensityError(failure.0))?;
        let mut start = 0;
        // The results are the log density and one gradient a parameter, in the order of the position vector.
        for index in 1..self.workspace.outputs() {
            let values = self.workspace.output(index);
            gradient[start..start + values.len()].copy_from_slice(values);
            start += values.len();
        }
        Ok(self.workspace.output(0)[0])
    }
}

#[cfg(test)]
mod tests;
