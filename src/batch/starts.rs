//! Starting points: those that a single run would have, without Python wherever the jitter is all that differs.

use super::numpy::Generator;
use super::template::Array;
use crate::bind::Data;
use crate::density::Density;
use crate::graph::{DType, Graph, Op};
use crate::model;
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The starting point without jitter.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// Shape of each value variable.
    pub shapes: Vec<Vec<usize>>,
    /// Position vector.
    pub position: Vec<f64>,
}

/// Who knows the model's own starting points.
pub trait StartSource: Send + Sync {
    /// The starting point without jitter under these data.
    ///
    /// # Errors
    /// Why there is none.
    fn base(&self, data: &[Arc<Array>]) -> Result<Base, String>;

    /// The starting point that is drawn with a seed.
    ///
    /// # Errors
    /// Why there is none.
    fn point(&self, data: &[Arc<Array>], seed: u64) -> Result<Vec<f64>, String>;
}

/// How the starting point of a seed differs from that without jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Not at all.
    None,
    /// By numbers uniform on (-1, 1) for each of these value variables, from a generator that is this child of the seed's.
    Spawned(Vec<Option<u32>>),
    /// By numbers uniform on (-1, 1) for the value variables that are marked, from the seed's own generator.
    Sequential(Vec<bool>),
    /// By a graph of data and of numbers uniform on (-1, 1), from these children of the seed's generator.
    Evaluated(Vec<Option<u32>>),
    /// In a way that only the source knows.
    Source,
}

/// Starting points as graphs without parameters, an output for each value variable.
#[derive(Clone, Debug, Default)]
pub struct Graphs {
    /// Name and type of every input of the template.
    pub inputs: Vec<(String, DType)>,
    /// Elements that an evaluation may have.
    pub room: usize,
    /// The point without jitter.
    pub base: Option<Graph>,
    /// The point with jitter, of which "jitter of value variable i" is one more input.
    pub point: Option<Graph>,
}

impl Graphs {
    fn evaluate(
        &self,
        graph: &Graph,
        data: &[Arc<Array>],
        mut jitters: HashMap<String, Data>,
    ) -> Result<Vec<Arc<Tensor>>, String> {
        let mut given = HashMap::new();
        for node in graph.nodes() {
            let Op::Data { name } = &node.op else {
                continue;
            };
            let value = match jitters.remove(name) {
                Some(jitter) => jitter,
                None => {
                    let index = self.inputs.iter().position(|(input, _)| input == name);
                    let index = index.ok_or_else(|| format!("there is no input {name:?}"))?;
                    Data {
                        value: Tensor::new(data[index].shape.clone(), &data[index].values),
                        dtype: self.inputs[index].1,
                    }
                }
            };
            given.insert(name.clone(), value);
        }
        let values = model::fold(self.room, graph, given)
            .map_err(|error| format!("it has no starting point: {error}"))?;
        Ok(values.into_iter().map(|(_, value)| value).collect())
    }
}

fn joined(values: &[Arc<Tensor>]) -> Vec<f64> {
    values
        .iter()
        .flat_map(|value| value.values())
        .copied()
        .collect()
}

/// Starting points without jitter that are kept; more are forgotten and asked for again.
const MOST_KNOWN: usize = 10_000;

/// Where chains start.
pub struct StartRule {
    source: Box<dyn StartSource>,
    /// What of the starting points needs no source.
    graphs: Graphs,
    jitter: Jitter,
    /// How often a starting point without a finite density is drawn again.
    retries: u32,
    /// Inputs that the starting point without jitter depends on.
    reads: Vec<usize>,
    /// Starting points without jitter by the bits of what they depend on.
    known: Mutex<HashMap<Vec<u64>, Arc<Base>>>,
}

impl StartRule {
    /// A rule; `reads` are numbers of inputs.
    pub fn new(
        source: Box<dyn StartSource>,
        jitter: Jitter,
        retries: u32,
        reads: Vec<usize>,
    ) -> StartRule {
        let retries = if jitter == Jitter::None { 0 } else { retries };
        StartRule {
            source,
            graphs: Graphs::default(),
            jitter,
            retries,
            reads,
            known: Mutex::default(),
        }
    }

    /// The same with graphs, which are asked before the source.
    #[must_use]
    pub fn with_graphs(self, graphs: Graphs) -> StartRule {
        StartRule { graphs, ..self }
    }

    /// The starting point without jitter under these data.
    ///
    /// # Errors
    /// Why there is none.
    pub fn base(&self, data: &[Arc<Array>]) -> Result<Arc<Base>, String> {
        let mut key = vec![];
        for &index in &self.reads {
            key.extend(data[index].shape.iter().map(|&length| length as u64));
            key.extend(data[index].values.iter().map(|value| value.to_bits()));
        }
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = known().get(&key) {
            return Ok(base.clone());
        }
        let graph = self.graphs.base.as_ref();
        let base = Arc::new(
            match graph.map(|g| self.graphs.evaluate(g, data, HashMap::new())) {
                Some(Ok(values)) => Base {
                    shapes: values.iter().map(|value| value.shape().to_vec()).collect(),
                    position: joined(&values),
                },
                // What a graph refuses, the source may know, or say why not.
                Some(Err(_)) | None => self.source.base(data)?,
            },
        );
        let mut known = known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, base.clone());
        Ok(base)
    }

    /// Draws the starting point of a chain, at which log density and gradient are finite.
    ///
    /// # Errors
    /// No such point was found, or the model failed.
    pub fn start(
        &self,
        data: &[Arc<Array>],
        base: &Base,
        seed: u64,
        density: &mut dyn Density,
    ) -> Result<Vec<f64>, String> {
        let mut seeds = Generator::new(seed, None);
        let (mut seed, mut logp) = (seed, f64::NAN);
        let mut gradient = vec![0.0; density.dim()];
        for _ in 0..=self.retries {
            let position = self.draw(data, base, seed)?;
            logp = density
                .logp_and_gradient(&position, &mut gradient)
                .map_err(|error| error.to_string())?;
            if logp.is_finite() && gradient.iter().all(|g| g.is_finite()) {
                return Ok(position);
            }
            seed = seeds.seed();
        }
        let what = match logp.is_finite() {
            true => "the gradient is not finite".to_string(),
            false => format!("the log density is {logp}"),
        };
        let tries = match self.retries {
            0 => String::new(),
            retries => format!(" in {} tries", retries + 1),
        };
        Err(format!(
            "{what} at the starting point{tries}; compile_model(template).bind(data).sample() says in which term"
        ))
    }

    fn draw(&self, data: &[Arc<Array>], base: &Base, seed: u64) -> Result<Vec<f64>, String> {
        let mut position = base.position.clone();
        let sizes = base.shapes.iter().map(|shape| shape.iter().product());
        let mut start = 0;
        let parts = sizes.map(|size: usize| {
            start += size;
            start - size..start
        });
        let shift = |values: &mut [f64], generator: &mut Generator| {
            values
                .iter_mut()
                .for_each(|value| *value += generator.jitter());
        };
        match &self.jitter {
            Jitter::None => {}
            Jitter::Spawned(children) => {
                for (part, child) in parts.zip(children) {
                    if child.is_some() {
                        shift(&mut position[part], &mut Generator::new(seed, *child));
                    }
                }
            }
            Jitter::Sequential(marked) => {
                let mut generator = Generator::new(seed, None);
                for (part, _) in parts.zip(marked).filter(|(_, marked)| **marked) {
                    shift(&mut position[part], &mut generator);
                }
            }
            Jitter::Evaluated(children) => {
                let graph = self.graphs.point.as_ref();
                let graph = graph.ok_or("there is no graph of its starting point")?;
                let mut jitters = HashMap::new();
                for (i, (shape, child)) in base.shapes.iter().zip(children).enumerate() {
                    if child.is_some() {
                        let mut values = vec![0.0; shape.iter().product()];
                        shift(&mut values, &mut Generator::new(seed, *child));
                        let value = Tensor::new(shape.clone(), &values);
                        let dtype = DType::Float64;
                        jitters.insert(
                            format!("jitter of value variable {i}"),
                            Data { value, dtype },
                        );
                    }
                }
                position = match self.graphs.evaluate(graph, data, jitters) {
                    Ok(values) => joined(&values),
                    Err(_) => self.source.point(data, seed)?,
                };
            }
            Jitter::Source => position = self.source.point(data, seed)?,
        }
        Ok(position)
    }
}
