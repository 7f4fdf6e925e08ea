//! A batch of fits as Python sees it.

use super::graph::{self, Graph, dtype_of};
use super::guarded;
use crate::batch::engine::{Engine, Outcome};
use crate::batch::fit::{self, ChainSummary, Fit, Plan, Variable};
use crate::batch::numpy::Generator;
use crate::batch::starts::{Base, Graphs, Jitter, StartRule, StartSource};
use crate::batch::summary::{Interval, STATISTICS};
use crate::batch::template::{Array, DataSet, Input, Template};
use crate::graph::DType;
use crate::plan::shared::Programs;
use crate::recorder::{Kind, Wanted};
use crate::sampler::{Column, Settings, SettingsError};
use crate::tensor::size_of;
use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Fits in background threads.
#[pyclass(module = "pymc_rustmc._core", frozen)]
pub struct Batch {
    engine: Mutex<Engine>,
    shape: Shape,
}

/// What the arrays of a chunk look like.
struct Shape {
    names: Vec<String>,
    is_kept: Vec<bool>,
    chains: usize,
    draws: usize,
    thin: usize,
}

/// What Python says of a batch, as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Specification {
    inputs: Vec<InputSpecification>,
    parameters: Vec<String>,
    dims: Vec<String>,
    /// Names of the inputs that the starting point depends on.
    start_reads: Vec<String>,
    jitter: JitterSpecification,
    retries: u32,
    variables: Vec<VariableSpecification>,
    /// Shapes of the parameters and settings of the data sets that have them, if not those of all.
    warm_start: Option<(Vec<Vec<usize>>, String)>,
    chains: usize,
    seed: u64,
    interval: String,
    probability: f64,
    thin: usize,
    /// Rules of exact algebra that are on or off.
    rewrites: HashMap<String, bool>,
    /// Value variables that are integrated out where they can be.
    marginalised: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputSpecification {
    name: String,
    dtype: String,
    ndim: usize,
    observed: bool,
    dims: Vec<Option<String>>,
    length_of: Option<String>,
    read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum JitterSpecification {
    None,
    Spawned(Vec<Option<u32>>),
    Sequential(Vec<bool>),
    Evaluated(Vec<Option<u32>>),
    Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariableSpecification {
    name: String,
    output: Option<String>,
    parameter: Option<usize>,
    keep: bool,
}

/// Starting points that Python knows.
struct PythonStarts(Py<PyAny>);

impl PythonStarts {
    /// Calls a method of the source with the data.
    fn call<T>(
        &self,
        method: &str,
        data: &[Arc<Array>],
        seed: Option<u64>,
        read: impl FnOnce(Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T, String> {
        Python::attach(|py| {
            let call = || -> PyResult<T> {
                let arrays = PyList::empty(py);
                for array in data {
                    let values = PyArray1::from_slice(py, &array.values);
                    arrays.append(values.reshape(array.shape.clone())?)?;
                }
                let source = self.0.bind(py);
                read(match seed {
                    None => source.call_method1(method, (arrays,))?,
                    Some(seed) => source.call_method1(method, (arrays, seed))?,
                })
            };
            call().map_err(|error| format!("it has no starting point: {}", error.value(py)))
        })
    }
}

impl StartSource for PythonStarts {
    fn base(&self, data: &[Arc<Array>]) -> Result<Base, String> {
        self.call("base", data, None, |found| {
            let (shapes, position) = found.extract()?;
            Ok(Base { shapes, position })
        })
    }

    fn point(&self, data: &[Arc<Array>], seed: u64) -> Result<Vec<f64>, String> {
        self.call("point", data, Some(seed), |found| found.extract())
    }
}

/// An array of a data set, or why it is none.
fn array(name: &str, value: &Bound<'_, PyAny>) -> Result<Array, String> {
    if let Ok(found) = value.extract::<PyReadonlyArrayDyn<'_, f64>>() {
        let found = found.as_array();
        return Ok(Array {
            shape: found.shape().to_vec(),
            values: match found.as_slice() {
                Some(values) => values.to_vec(),
                None => found.iter().copied().collect(),
            },
            dtype: DType::Float64,
        });
    }
    let found = graph::array(&format!("data '{name}'"), value);
    let (shape, values, dtype) = found.map_err(|error| {
        Python::attach(|py| match error.value(py).str() {
            Ok(text) => text.to_string(),
            Err(_) => format!("data '{name}' cannot be read"),
        })
    })?;
    Ok(Array {
        shape,
        values,
        dtype,
    })
}

/// The data of one data set from `(data, lengths)`, or from a text that says why there are none.
fn data_set(position: u64, item: &Bound<'_, PyAny>) -> PyResult<DataSet> {
    let mut set = DataSet {
        position,
        ..DataSet::default()
    };
    if let Ok(problem) = item.cast::<PyString>() {
        set.problem = Some(problem.to_string());
        return Ok(set);
    }
    let (data, lengths): (Bound<'_, PyDict>, Vec<(String, usize)>) = item.extract()?;
    set.lengths = lengths;
    for (name, value) in data.iter() {
        let name: String = name.extract()?;
        match array(&name, &value) {
            Ok(array) => set.data.push((name, array)),
            Err(problem) => {
                set.problem = Some(problem);
                break;
            }
        }
    }
    Ok(set)
}

impl Specification {
    fn plan(
        self,
        graph: &Graph,
        values: &[Bound<'_, PyAny>],
        settings: Settings,
        starts: Py<PyAny>,
        memory: Option<u64>,
    ) -> PyResult<(Plan, Shape)> {
        let reads = self.start_reads.iter().map(|name| {
            let mut inputs = self.inputs.iter();
            let found = inputs.position(|input| &input.name == name);
            found.ok_or_else(|| PyValueError::new_err(format!("there is no input {name:?}")))
        });
        let reads: Vec<usize> = reads.collect::<PyResult<_>>()?;
        let inputs = self.inputs.into_iter().zip(values).map(|(input, value)| {
            let value = array(&input.name, value).map_err(PyValueError::new_err)?;
            Ok(Input {
                dtype: dtype_of(&input.dtype)?,
                ndim: input.ndim,
                observed: input.observed,
                dims: input.dims,
                length_of: input.length_of,
                is_read: input.read,
                value: Arc::new(value),
                name: input.name,
            })
        });
        let jitter = match self.jitter {
            JitterSpecification::None => Jitter::None,
            JitterSpecification::Spawned(children) => Jitter::Spawned(children),
            JitterSpecification::Sequential(marked) => Jitter::Sequential(marked),
            JitterSpecification::Evaluated(children) => Jitter::Evaluated(children),
            JitterSpecification::Source => Jitter::Source,
        };
        let inputs: Vec<Input> = inputs.collect::<PyResult<_>>()?;
        let (base, point) = Python::attach(|py| -> PyResult<_> {
            let graph = |name: &str| -> PyResult<Option<crate::graph::Graph>> {
                let found: Option<PyRef<'_, Graph>> = starts.bind(py).getattr(name)?.extract()?;
                Ok(found.map(|graph| graph.template()))
            };
            Ok((graph("base_graph")?, graph("point_graph")?))
        })?;
        let graphs = Graphs {
            inputs: inputs.iter().map(|i| (i.name.clone(), i.dtype)).collect(),
            room: graph::room(memory),
            base,
            point,
        };
        let source = Box::new(PythonStarts(starts));
        let template = Template {
            graph: graph.template(),
            parameters: self.parameters,
            dims: self.dims,
            inputs,
            starts: StartRule::new(source, jitter, self.retries, reads).with_graphs(graphs),
            room: graph::room(memory),
            rules: graph::rules(self.rewrites)?,
            marginalised: self.marginalised,
            programs: Arc::new(Programs::default()),
        };
        let variables = self.variables.iter().map(|variable| {
            let name = match (&variable.output, variable.parameter) {
                (Some(_), None) => Some(&variable.name),
                (None, Some(index)) => template.parameters.get(index),
                _ => None,
            };
            let name = name.cloned().ok_or_else(|| {
                PyValueError::new_err(format!("variable {:?} has no source", variable.name))
            })?;
            let output = variable.output.clone();
            let kind = Kind::F64;
            Ok(Variable {
                wanted: Wanted { name, output, kind },
                is_kept: variable.keep,
            })
        });
        let variables: Vec<Variable> = variables.collect::<PyResult<_>>()?;
        let interval = match self.interval.as_str() {
            "hdi" => Interval::Hdi(self.probability),
            "eti" => Interval::Eti(self.probability),
            other => {
                let text = format!("there is no interval {other:?}");
                return Err(PyValueError::new_err(text));
            }
        };
        if settings.draws == 0 || settings.save_warmup || self.chains == 0 {
            let text = "a batch needs chains and draws, and keeps no warm-up";
            return Err(PyValueError::new_err(text));
        }
        let shape = Shape {
            names: self.variables.into_iter().map(|v| v.name).collect(),
            is_kept: variables.iter().map(|v| v.is_kept).collect(),
            chains: self.chains,
            draws: settings.draws as usize,
            thin: self.thin,
        };
        let warm_start = self.warm_start.map(|(shapes, settings)| {
            let settings = Settings::from_json(&settings)?;
            settings.check_dimensions(shapes.iter().map(|shape| size_of(shape)).sum())?;
            Ok((shapes, settings))
        });
        let warm_start = warm_start
            .transpose()
            .map_err(|error: SettingsError| PyValueError::new_err(error.to_string()))?;
        let plan = Plan {
            template,
            settings,
            warm_start,
            chains: self.chains,
            seed: self.seed,
            variables,
            interval,
            thin: self.thin,
        };
        Ok((plan, shape))
    }
}

#[pymethods]
impl Batch {
    #[new]
    #[pyo3(signature = (graph, specification, values, settings, starts, threads, memory=None))]
    fn new(
        graph: PyRef<'_, Graph>,
        specification: &str,
        values: Vec<Bound<'_, PyAny>>,
        settings: &str,
        starts: Py<PyAny>,
        threads: usize,
        memory: Option<u64>,
    ) -> PyResult<Batch> {
        let wrong = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
        let specification: Specification =
            serde_json::from_str(specification).map_err(|error| wrong(&error))?;
        let settings = Settings::from_json(settings).map_err(|error| wrong(&error))?;
        let (plan, shape) = specification.plan(&graph, &values, settings, starts, memory)?;
        let engine = Engine::start(plan, threads.max(1))
            .map_err(|error| PyRuntimeError::new_err(format!("no threads: {error}")))?;
        Ok(Batch {
            engine: Mutex::new(engine),
            shape,
        })
    }

    fn room(&self) -> usize {
        self.with(|engine| engine.room())
    }

    fn submit(&self, position: u64, items: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        for (position, item) in (position..).zip(&items) {
            let set = data_set(position, item)?;
            self.with(|engine| engine.submit(set));
        }
        Ok(())
    }

    fn submit_rows(
        &self,
        position: u64,
        first: usize,
        count: usize,
        stacks: HashMap<String, Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let mut sets: Vec<DataSet> = (position..position + count as u64)
            .map(|position| DataSet {
                position,
                ..DataSet::default()
            })
            .collect();
        let mut stacks: Vec<_> = stacks.into_iter().collect();
        stacks.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, stack) in stacks {
            let rows = stack.get_item(pyo3::types::PySlice::new(
                stack.py(),
                first as isize,
                (first + count) as isize,
                1,
            ))?;
            let stack = array(&name, &rows).map_err(PyValueError::new_err)?;
            if stack.shape.first() != Some(&count) {
                let text = format!("data '{name}' have too few rows");
                return Err(PyValueError::new_err(text));
            }
            let size = stack.values.len() / count.max(1);
            for (number, set) in sets.iter_mut().enumerate() {
                let row = Array {
                    shape: stack.shape[1..].to_vec(),
                    values: stack.values[number * size..(number + 1) * size].to_vec(),
                    dtype: stack.dtype,
                };
                set.data.push((name.clone(), row));
            }
        }
        self.with(|engine| sets.into_iter().for_each(|set| engine.submit(set)));
        Ok(())
    }

    fn close(&self) {
        self.with(|engine| engine.close());
    }

    fn is_finished(&self) -> bool {
        self.with(|engine| engine.is_finished())
    }

    fn take<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Bound<'py, PyDict>> {
        let timeout = Duration::try_from_secs_f64(timeout)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let fits = guarded(|| Ok(py.detach(|| self.with(|engine| engine.take(timeout)))))?;
        self.shape.chunk(py, fits)
    }

    fn stop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fits = guarded(|| Ok(py.detach(|| self.with(|engine| engine.stop()))))?;
        self.shape.chunk(py, fits)
    }
}

impl Batch {
    fn with<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> T {
        work(&mut self.engine.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A statistic of each chain, as a column over all chains of all fits.
type ChainColumn<T> = (&'static str, fn(&ChainSummary) -> T);

const REALS: [ChainColumn<f64>; 6] = [
    ("tree_depth", |chain| chain.tree_depth),
    ("n_steps", |chain| chain.n_steps),
    ("acceptance_rate", |chain| chain.acceptance_rate),
    ("step_size", |chain| chain.step_size),
    ("bfmi", |chain| chain.bfmi),
    ("seconds", |chain| chain.seconds),
];

const COUNTS: [ChainColumn<i64>; 5] = [
    ("divergences", |chain| chain.divergences),
    ("reached_max_treedepth", |chain| chain.reached_max_treedepth),
    ("gradients", |chain| chain.gradients),
    ("tune", |chain| chain.tune),
    ("warm_start", |chain| i64::from(chain.warm_start)),
];

impl Shape {
    /// The fits as arrays, and the failures.
    fn chunk<'py>(
        &self,
        py: Python<'py>,
        outcomes: Vec<(u64, Outcome)>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (mut fits, mut failures) = (vec![], vec![]);
        for (position, outcome) in outcomes {
            match outcome {
                Ok(fit) => fits.push((position, fit)),
                Err(problem) => failures.push((position, problem)),
            }
        }
        let count = fits.len();
        let dict = PyDict::new(py);
        let positions = fits.iter().map(|(position, _)| *position as i64).collect();
        dict.set_item("position", PyArray1::<i64>::from_vec(py, positions))?;
        dict.set_item("failures", failures)?;
        let seeds = fits.iter().flat_map(|(_, fit)| &fit.seeds);
        let seeds = seeds.map(|&seed| seed as i64).collect();
        dict.set_item("seeds", shaped(py, seeds, [count, self.chains])?)?;
        let seconds = fits.iter().map(|(_, fit)| fit.seconds).collect();
        dict.set_item("seconds", PyArray1::<f64>::from_vec(py, seconds))?;

        let chains = PyDict::new(py);
        let all = || fits.iter().flat_map(|(_, fit)| &fit.chains);
        for (name, column) in COUNTS {
            let values = all().map(column).collect();
            chains.set_item(name, shaped(py, values, [count, self.chains])?)?;
        }
        for (name, column) in REALS {
            let values = all().map(column).collect();
            chains.set_item(name, shaped(py, values, [count, self.chains])?)?;
        }
        dict.set_item("chains", chains)?;

        let (shapes, summary) = (PyDict::new(py), PyDict::new(py));
        for (index, name) in self.names.iter().enumerate() {
            let lengths = fits.iter().flat_map(|(_, fit)| &fit.shapes[index]);
            let lengths: Vec<i64> = lengths.map(|&length| length as i64).collect();
            let rank = fits.first().map_or(0, |(_, fit)| fit.shapes[index].len());
            shapes.set_item(name, shaped(py, lengths, [count, rank])?)?;
            let values = fits.iter().flat_map(|(_, fit)| &fit.summary[index]);
            let values: Vec<f64> = values.copied().collect();
            let rows = values.len() / STATISTICS;
            summary.set_item(name, shaped(py, values, [rows, STATISTICS])?)?;
        }
        dict.set_item("shapes", shapes)?;
        dict.set_item("summary", summary)?;
        if self.thin > 0 {
            self.add_draws(py, &dict, &fits)?;
        }
        Ok(dict)
    }

    /// Adds the draws that are kept, with their statistics.
    fn add_draws(
        &self,
        py: Python<'_>,
        dict: &Bound<'_, PyDict>,
        fits: &[(u64, Fit)],
    ) -> PyResult<()> {
        let kept = || fits.iter().filter_map(|(_, fit)| fit.kept.as_ref());
        let draws = PyDict::new(py);
        let names = self.names.iter().zip(&self.is_kept);
        for (index, (name, _)) in names.filter(|(_, is_kept)| **is_kept).enumerate() {
            let values = kept().flat_map(|kept| &kept.values[index]);
            let values: Vec<f64> = values.copied().collect();
            draws.set_item(name, PyArray1::from_vec(py, values))?;
        }
        dict.set_item("draws", draws)?;
        let stats = PyDict::new(py);
        let chains = || kept().flat_map(|kept| &kept.chains);
        let known = chains().next().map(|chain| chain.stats());
        for (index, (name, kind)) in known.unwrap_or_default().into_iter().enumerate() {
            let columns = chains().map(|chain| chain.stats()[index].1);
            let array = match kind {
                Column::F64(_) => self.stat(py, columns, |column| match column {
                    Column::F64(values) => values,
                    _ => &[],
                })?,
                Column::I64(_) => self.stat(py, columns, |column| match column {
                    Column::I64(values) => values,
                    _ => &[],
                })?,
                Column::Bool(_) => self.stat(py, columns, |column| match column {
                    Column::Bool(values) => values,
                    _ => &[],
                })?,
            };
            stats.set_item(name, array)?;
        }
        dict.set_item("sample_stats", stats)
    }

    /// A statistic of all draws that are kept, `(fits, chains, draws)`.
    fn stat<'py, 'a, T: Element + Copy + 'a>(
        &self,
        py: Python<'py>,
        columns: impl Iterator<Item = Column<'a>>,
        values: impl Fn(Column<'a>) -> &'a [T],
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut all = vec![];
        for column in columns {
            all.extend(values(column).iter().step_by(self.thin).copied());
        }
        let draws = self.draws.div_ceil(self.thin);
        let fits = all.len() / (self.chains * draws);
        shaped(py, all, [fits, self.chains, draws])
    }
}

fn shaped<T: Element, const N: usize>(
    py: Python<'_>,
    values: Vec<T>,
    shape: [usize; N],
) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyArray1::from_vec(py, values)
        .reshape(shape.to_vec())?
        .into_any())
}

/// Seeds of the chains of the data set at a position.
#[pyfunction]
pub fn chain_seeds(seed: u64, position: u64, chains: usize) -> Vec<u64> {
    fit::chain_seeds(seed, position, chains)
}

/// Numbers that NumPy's `uniform(-1, 1)` gives for a seed, or for a child of its `SeedSequence`.
#[pyfunction]
#[pyo3(signature = (seed, child, count))]
pub fn numpy_jitter(
    py: Python<'_>,
    seed: u64,
    child: Option<u32>,
    count: usize,
) -> Bound<'_, PyArray1<f64>> {
    let mut generator = Generator::new(seed, child);
    PyArray1::from_iter(py, (0..count).map(|_| generator.jitter()))
}
