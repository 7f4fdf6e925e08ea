//! A run of the sampler as Python sees it.

use super::foreign::Exceptions;
use super::guarded;
use crate::sampler::{self, ChainDraws, Column, RunError, RunResult, Settings};
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sampling in background threads.
#[pyclass(module = "pymc_rustmc._core", frozen)]
pub struct Run {
    settings: Settings,
    run: Mutex<Option<sampler::Run>>,
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
        let run = run
            .as_ref()
            .ok_or_else(|| PyRuntimeError::new_err("the result of this run has been taken"))?;
        Ok(work(run))
    }
}

/// Starts a run; the settings are JSON.
pub fn start(
    py: Python<'_>,
    settings: &str,
    densities: Vec<Box<dyn crate::density::Density>>,
    starts: Vec<Vec<f64>>,
    seeds: Vec<u64>,
    cores: usize,
    exceptions: Exceptions,
) -> PyResult<Run> {
    let settings =
        Settings::from_json(settings).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let run = sampler::Run::start(settings, densities, starts, seeds, cores)
        .map_err(|error| run_error(py, error, &exceptions))?;
    Ok(Run {
        settings: run.settings().clone(),
        run: Mutex::new(Some(run)),
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
        let run =
            run.ok_or_else(|| PyRuntimeError::new_err("the result of this run has been taken"))?;
        let result = guarded(|| {
            py.detach(|| run.into_result())
                .map_err(|error| run_error(py, error, &self.exceptions))
        })?;
        result_dict(py, &result, self.settings.kept_warmup() as usize)
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
    result: &RunResult,
    warmup: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let (kept, length) = kept(&result.chains);
    let chains: Vec<&ChainDraws> = kept.iter().map(|&chain| &result.chains[chain]).collect();
    let dim = chains.first().map_or(0, |chain| chain.dim());
    let dict = PyDict::new(py);
    let mut positions = Vec::with_capacity(chains.len() * length * dim);
    chains
        .iter()
        .for_each(|chain| positions.extend_from_slice(&chain.positions()[..length * dim]));
    dict.set_item(
        "positions",
        PyArray1::from_vec(py, positions).reshape([chains.len(), length, dim])?,
    )?;
    let stats = PyDict::new(py);
    for (name, column) in chains
        .first()
        .map(|chain| chain.stats())
        .unwrap_or_default()
    {
        let columns = chains.iter().map(|chain| {
            let found = chain.stats().into_iter().find(|(other, _)| *other == name);
            found
                .map(|(_, column)| column)
                .expect("every chain has the same statistics")
        });
        let array = match column {
            Column::F64(_) => matrix(py, columns, length, |c| {
                if let Column::F64(v) = c { v } else { &[] }
            })?,
            Column::I64(_) => matrix(py, columns, length, |c| {
                if let Column::I64(v) = c { v } else { &[] }
            })?,
            Column::Bool(_) => matrix(py, columns, length, |c| {
                if let Column::Bool(v) = c { v } else { &[] }
            })?,
        };
        stats.set_item(name, array)?;
    }
    dict.set_item("stats", stats)?;
    dict.set_item("chains", kept)?;
    dict.set_item("warmup_draws", warmup.min(length))?;
    dict.set_item("warmup_time", result.warmup_time)?;
    dict.set_item("sampling_time", result.sampling_time)?;
    dict.set_item(
        "gradients",
        chains
            .iter()
            .map(|chain| chain.gradients)
            .collect::<Vec<u64>>(),
    )?;
    Ok(dict)
}

fn matrix<'py, 'a, T: Element + Copy + 'a>(
    py: Python<'py>,
    columns: impl Iterator<Item = Column<'a>>,
    length: usize,
    values: impl Fn(Column<'a>) -> &'a [T],
) -> PyResult<Bound<'py, PyAny>> {
    let mut all = vec![];
    let mut chains = 0;
    for column in columns {
        all.extend_from_slice(&values(column)[..length]);
        chains += 1;
    }
    Ok(PyArray1::from_vec(py, all)
        .reshape([chains, length])?
        .into_any())
}
