//! A run of the sampler as Python sees it.

use super::foreign::Exceptions;
use super::guarded;
use crate::model::Model;
use crate::recorder::{Elements, Kind, Recorded, Wanted};
use crate::sampler::{self, ChainDraws, RunError, RunResult, Settings, Values};
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySlice};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sampling in background threads.
#[pyclass(module = "pymc_rustmc._core", frozen)]
pub struct Run {
    settings: Settings,
    run: Mutex<Option<(sampler::Run, Option<Recorded>)>>,
    exceptions: Exceptions,
}

fn run_error(py: Python<'_>, error: RunError, exceptions: &Exceptions) -> PyErr {
    match error {
        RunError::Input(_) => PyValueError::new_err(error.to_string()),
        RunError::Memory { .. } => PyMemoryError::new_err(error.to_string()),
        RunError::Thread(_) => PyRuntimeError::new_err(error.to_string()),
        RunError::Chain { .. } | RunError::Panic { .. } => {
            exceptions.model_error(py, error.to_string())
        }
    }
}

impl Run {
    fn with<T>(&self, work: impl FnOnce(&sampler::Run) -> T) -> PyResult<T> {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let (run, _) = run
            .as_ref()
            .ok_or_else(|| PyRuntimeError::new_err("the result of this run has been taken"))?;
        Ok(work(run))
    }
}

/// A variable as Python names it: its name, the output that computes it, the dtype of its elements.
pub type Named = (String, Option<String>, String);

/// Starts a run; the settings are JSON.
#[allow(clippy::too_many_arguments)] // one call is one run
pub fn start(
    py: Python<'_>,
    model: &Model,
    settings: &str,
    starts: Vec<Vec<f64>>,
    seeds: Vec<u64>,
    cores: usize,
    wanted: Option<Vec<Named>>,
    exceptions: Exceptions,
) -> PyResult<Run> {
    let settings =
        Settings::from_json(settings).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let wanted = wanted.map(|wanted| {
        let wanted = wanted.into_iter().map(|(name, output, dtype)| {
            let kind = Kind::parse(&dtype)
                .ok_or_else(|| PyValueError::new_err(format!("draws are no {dtype}")))?;
            Ok(Wanted { name, output, kind })
        });
        wanted.collect::<PyResult<Vec<Wanted>>>()
    });
    let wanted = wanted.transpose()?;
    let (run, recorded) = model
        .sample(settings, starts, seeds, cores, wanted.as_deref())
        .map_err(|error| run_error(py, error, &exceptions))?;
    Ok(Run {
        settings: run.settings().clone(),
        run: Mutex::new(Some((run, recorded))),
        exceptions,
    })
}

/// Settings as JSON, with all defaults.
#[pyfunction]
pub fn complete_settings(settings: &str) -> PyResult<String> {
    let settings = Settings::from_json(settings);
    let settings = settings.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(settings.to_json())
}

#[pymethods]
impl Run {
    #[getter]
    fn settings(&self) -> String {
        self.settings.to_json()
    }

    fn progress<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let chains = self.with(sampler::Run::progress)?;
        let chains = chains.into_iter().map(|chain| {
            let dict = PyDict::new(py);
            dict.set_item("started", chain.started)?;
            dict.set_item("finished_draws", chain.finished_draws)?;
            dict.set_item("total_draws", chain.total_draws)?;
            dict.set_item("divergences", chain.divergences)?;
            dict.set_item("tuning", chain.tuning)?;
            dict.set_item("step_size", chain.step_size)?;
            dict.set_item("tree_size", chain.tree_size)?;
            dict.set_item("runtime_s", chain.runtime.as_secs_f64())?;
            Ok(dict)
        });
        chains.collect()
    }

    fn is_finished(&self) -> PyResult<bool> {
        self.with(sampler::Run::is_finished)
    }

    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = Duration::try_from_secs_f64(timeout)
            .map_err(|e| PyValueError::new_err(e.to_string()))?;
        py.detach(|| self.with(|run| run.wait(timeout)))
    }

    fn abort(&self) -> PyResult<()> {
        self.with(sampler::Run::abort)
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let run = self
            .run
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (run, recorded) =
            run.ok_or_else(|| PyRuntimeError::new_err("the result of this run has been taken"))?;
        let result = guarded(|| {
            py.detach(|| run.into_result())
                .map_err(|error| run_error(py, error, &self.exceptions))
        })?;
        result_dict(py, result, recorded, &self.settings)
    }
}

/// The chains to return, and how many draws of each: all of them, or after an abort those that give most draws
/// when cut to one length.
fn kept(chains: &[ChainDraws]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..chains.len()).collect();
    order.sort_by_key(|&chain| std::cmp::Reverse(chains[chain].len()));
    let count = (1..=chains.len())
        .max_by_key(|&count| count * chains[order[count - 1]].len())
        .unwrap_or(0);
    let length = count
        .checked_sub(1)
        .map_or(0, |last| chains[order[last]].len());
    let mut chosen = order[..count].to_vec();
    chosen.sort_unstable();
    (chosen, length)
}

fn result_dict<'py>(
    py: Python<'py>,
    result: RunResult,
    recorded: Option<Recorded>,
    settings: &Settings,
) -> PyResult<Bound<'py, PyDict>> {
    let most_warmup = settings.kept_warmup() as usize;
    let RunResult { chains, arrays, .. } = result;
    let warmup = most_warmup.min(result.tune as usize);
    let (kept, length) = kept(&chains);
    let dim = chains.first().map_or(0, ChainDraws::dim);
    let gradients: Vec<u64> = kept.iter().map(|&chain| chains[chain].gradients).collect();
    let shape = Shape {
        chains: chains.len(),
        draws: most_warmup + settings.draws as usize,
        kept: &kept,
        length,
    };
    let was_recorded = recorded.is_some();
    drop(chains); // the arrays are whole without them
    let dict = PyDict::new(py);
    let taken = || PyRuntimeError::new_err("the draws of this run are in use");
    let (positions, columns) = arrays.into_vecs().ok_or_else(taken)?;
    if !was_recorded {
        dict.set_item("positions", shape.array(py, positions, &[dim])?)?;
    }
    let stats = PyDict::new(py);
    for (name, values) in columns {
        let array = match values {
            Values::F64(values) => shape.array(py, values, &[])?,
            Values::I64(values) => shape.array(py, values, &[])?,
            Values::Bool(values) => shape.array(py, values, &[])?,
        };
        stats.set_item(name, array)?;
    }
    dict.set_item("stats", stats)?;
    let values = PyDict::new(py);
    if let Some(recorded) = recorded {
        for (name, of_a_draw, elements) in recorded.into_elements().ok_or_else(taken)? {
            values.set_item(name, elements_array(py, &shape, &of_a_draw, elements)?)?;
        }
    }
    dict.set_item("values", values)?;
    dict.set_item("chains", &kept)?;
    dict.set_item("warmup_draws", warmup.min(length))?;
    dict.set_item("tune", result.tune)?;
    dict.set_item("warmup_time", result.warmup_time)?;
    dict.set_item("sampling_time", result.sampling_time)?;
    dict.set_item("gradients", gradients)?;
    Ok(dict)
}

/// Chains and draws that there is room for, and those of them that are returned.
struct Shape<'a> {
    chains: usize,
    draws: usize,
    kept: &'a [usize],
    length: usize,
}

impl Shape<'_> {
    /// The values as an array over chains and draws, not copied where all of them are returned.
    fn array<'py, T: Element>(
        &self,
        py: Python<'py>,
        values: Vec<T>,
        of_a_draw: &[usize],
    ) -> PyResult<Bound<'py, PyAny>> {
        let shape = [&[self.chains, self.draws], of_a_draw].concat();
        let array = PyArray1::from_vec(py, values).reshape(shape)?.into_any();
        if self.length == self.draws && self.kept.len() == self.chains {
            return Ok(array);
        }
        let draws = PySlice::new(py, 0, self.length as isize, 1);
        match self.kept.len() == self.chains {
            true => array.get_item((PySlice::full(py), draws)),
            false => array.get_item((self.kept.to_vec(), draws)),
        }
    }
}

/// Elements as an array of their type.
fn elements_array<'py>(
    py: Python<'py>,
    shape: &Shape<'_>,
    of_a_draw: &[usize],
    elements: Elements,
) -> PyResult<Bound<'py, PyAny>> {
    match elements {
        Elements::F64(values) => shape.array(py, values, of_a_draw),
        Elements::F32(values) => shape.array(py, values, of_a_draw),
        Elements::I64(values) => shape.array(py, values, of_a_draw),
        Elements::I32(values) => shape.array(py, values, of_a_draw),
        Elements::I16(values) => shape.array(py, values, of_a_draw),
        Elements::I8(values) => shape.array(py, values, of_a_draw),
        Elements::U64(values) => shape.array(py, values, of_a_draw),
        Elements::U32(values) => shape.array(py, values, of_a_draw),
        Elements::U16(values) => shape.array(py, values, of_a_draw),
        Elements::U8(values) => shape.array(py, values, of_a_draw),
        Elements::Bool(values) => shape.array(py, values, of_a_draw),
    }
}
