//! Modes and normal approximations as Python sees them: each one call, which Ctrl-C ends.

use super::CurvatureError;
use super::foreign::Exceptions;
use crate::density::Density;
use crate::model::Model;
use crate::optimize::lbfgs::{AT_MODE, Lbfgs, Optimum};
use crate::optimize::pathfinder::{self, Path, Pathfinder, Settings};
use crate::optimize::{Control, Draws, Evaluator, OptimizeError, laplace, psis};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Between two looks at the progress; also the longest wait of a pending Ctrl-C.
const POLL: Duration = Duration::from_millis(50);

/// What every computation needs.
pub struct Task<'a, 'py> {
    pub py: Python<'py>,
    pub model: &'a Model,
    /// Called with the number of evaluations and the last log density, now and then.
    pub report: Py<PyAny>,
    pub exceptions: &'a Exceptions,
}

impl<'py> Task<'_, 'py> {
    /// Does the work on another thread, without the GIL, while this one attends to signals and progress.
    fn attend<T: Send>(
        &self,
        work: impl FnOnce(&Control) -> Result<T, OptimizeError> + Send,
    ) -> PyResult<T> {
        let control = Control::default();
        let report = &self.report;
        let (result, stopped) = self.py.detach(|| {
            std::thread::scope(|scope| {
                let control = &control;
                let (working, ended) = channel::<()>();
                let worker = scope.spawn(move || {
                    let _working = working; // dropped at the end, whatever that is
                    work(control)
                });
                let mut stopped = None;
                while ended.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                    let looked = Python::attach(|py| {
                        py.check_signals()?;
                        report.call1(py, control.progress())
                    });
                    if let Err(error) = looked {
                        control.abort.store(true, Relaxed);
                        stopped.get_or_insert(error);
                    }
                }
                let result = worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                (result, stopped)
            })
        });
        match stopped {
            Some(error) => Err(error),
            None => result.map_err(|error| self.error(error)),
        }
    }

    fn error(&self, error: OptimizeError) -> PyErr {
        let text = error.to_string();
        match error {
            OptimizeError::Start(_) | OptimizeError::NoApproximation => PyValueError::new_err(text),
            OptimizeError::Interrupted => PyKeyboardInterrupt::new_err(text),
            OptimizeError::Density(_) => self.exceptions.model_error(self.py, text),
            OptimizeError::Memory(_) => PyMemoryError::new_err(text),
            OptimizeError::NoCurvature(coordinates) => {
                let error = CurvatureError::new_err(text);
                match error.value(self.py).setattr("coordinates", coordinates) {
                    Ok(()) => error,
                    Err(other) => other,
                }
            }
        }
    }

    fn mode_dict(&self, mode: &Optimum, evaluations: u64) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(self.py);
        dict.set_item("position", PyArray1::from_slice(self.py, &mode.position))?;
        dict.set_item("gradient", PyArray1::from_slice(self.py, &mode.gradient))?;
        dict.set_item("logp", mode.logp)?;
        dict.set_item("iterations", mode.iterations)?;
        dict.set_item("evaluations", evaluations)?;
        dict.set_item("converged", mode.converged)?;
        Ok(dict)
    }

    /// An array of this shape.
    fn array(&self, values: Vec<f64>, shape: impl Into<Vec<usize>>) -> PyResult<Bound<'py, PyAny>> {
        let shape: Vec<usize> = shape.into();
        Ok(PyArray1::from_vec(self.py, values)
            .reshape(shape)?
            .into_any())
    }
}

/// Climbs to a mode.
pub fn find_mode<'py>(
    task: Task<'_, 'py>,
    start: &[f64],
    history: usize,
    max_iterations: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let (mode, evaluations) = task.attend(|control| {
        let mut density = Evaluator::new(Box::new(task.model.density()), control);
        let climb = Lbfgs::new(&mut density, start, history, AT_MODE)?;
        let mode = climb.run(&mut density, max_iterations)?;
        Ok((mode, density.evaluations))
    })?;
    task.mode_dict(&mode, evaluations)
}

/// Climbs to a mode, and draws from the normal there.
pub fn laplace<'py>(
    task: Task<'_, 'py>,
    start: &[f64],
    seeds: &[u64],
    draws: usize,
    history: usize,
    max_iterations: u64,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let model = task.model;
    let density = || Box::new(model.density()) as Box<dyn Density>;
    let (found, chains, pareto_k) = task.attend(|control| {
        let found = laplace::fit(&density, start, history, max_iterations, threads, control)?;
        let chains = found.draws(&density, draws, seeds, threads, control)?;
        let ratios: Vec<f64> = chains.iter().flat_map(|chain| chain.log_ratios()).collect();
        let pareto_k = psis::weigh(&ratios).map_or(f64::INFINITY, |found| found.pareto_k);
        Ok((found, chains, pareto_k))
    })?;
    let (n, shape) = (start.len(), [chains.len(), draws]);
    let dict = task.mode_dict(&found.mode, found.evaluations)?;
    dict.set_item("covariance", task.array(found.covariance, [n, n])?)?;
    let all = |part: fn(&Draws) -> &Vec<f64>| -> Vec<f64> {
        chains.iter().flat_map(part).copied().collect()
    };
    let positions = task.array(all(|c| &c.positions), [shape[0], shape[1], n])?;
    dict.set_item("positions", positions)?;
    dict.set_item("logp", task.array(all(|c| &c.logp), shape)?)?;
    dict.set_item("logq", task.array(all(|c| &c.logq), shape)?)?;
    dict.set_item("pareto_k", pareto_k)?;
    Ok(dict)
}

/// Climbs from several starts, and draws from the best normals on the way; resamples `draws` of them if there are any.
pub fn pathfinder<'py>(
    task: Task<'_, 'py>,
    starts: &[Vec<f64>],
    seeds: &[u64],
    settings: &Settings,
    draws: usize,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    if starts.is_empty() || starts.len() != seeds.len() {
        return Err(PyValueError::new_err("every start needs a seed"));
    }
    let model = task.model;
    let density = || Box::new(model.density()) as Box<dyn Density>;
    let found = task.attend(|control| match draws {
        0 => Ok(Pathfinder {
            paths: pathfinder::paths(&density, starts, seeds, settings, threads, control)?,
            chosen: vec![],
            pareto_k: f64::NAN,
        }),
        _ => pathfinder::fit(&density, starts, seeds, settings, draws, threads, control),
    })?;
    let n = starts[0].len();
    let paths = &found.paths;
    let dict = PyDict::new(task.py);
    let numbers = |value: fn(&Path) -> u64| -> Vec<u64> { paths.iter().map(value).collect() };
    dict.set_item(
        "iterations",
        PyArray1::from_vec(task.py, numbers(|p| p.iterations)),
    )?;
    dict.set_item(
        "best_iteration",
        PyArray1::from_vec(task.py, numbers(|p| p.best_iteration)),
    )?;
    dict.set_item(
        "evaluations",
        PyArray1::from_vec(task.py, numbers(|p| p.evaluations)),
    )?;
    let converged: Vec<bool> = paths.iter().map(|p| p.converged).collect();
    dict.set_item("converged", PyArray1::from_vec(task.py, converged))?;
    let elbo = paths.iter().map(|p| p.elbo).collect();
    dict.set_item("elbo", PyArray1::from_vec(task.py, elbo))?;
    let all = |part: fn(&Path) -> &Vec<f64>| -> Vec<f64> {
        paths.iter().flat_map(part).copied().collect()
    };
    let shape = [paths.len(), settings.draws];
    dict.set_item("end", task.array(all(|p| &p.end), [shape[0], n])?)?;
    let positions = task.array(all(|p| &p.draws.positions), [shape[0], shape[1], n])?;
    dict.set_item("positions", positions)?;
    dict.set_item("logp", task.array(all(|p| &p.draws.logp), shape)?)?;
    dict.set_item("logq", task.array(all(|p| &p.draws.logq), shape)?)?;
    let chosen = found.chosen.iter().map(|&i| i as i64);
    dict.set_item("chosen", PyArray1::from_iter(task.py, chosen))?;
    dict.set_item("pareto_k", found.pareto_k)?;
    Ok(dict)
}
