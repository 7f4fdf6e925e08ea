//! A bound model as Python sees it.

use super::foreign::Exceptions;
use super::guarded;
use super::optimize;
use super::run::{self, Run};
use crate::density::{Density as _, DensityError};
use crate::marginal::Marginal;
use crate::model::{Model, ModelDensity};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A bound model: immutable, and safe to use from several threads.
#[pyclass(module = "pymc_rustmc._core", frozen)]
pub struct Density {
    model: Arc<Model>,
    /// Evaluators not in use, for the next call.
    idle: Mutex<Vec<ModelDensity>>,
    exceptions: Exceptions,
}

impl Density {
    pub fn new(model: Model, exceptions: Exceptions) -> Density {
        Density {
            model: Arc::new(model),
            idle: Mutex::new(vec![]),
            exceptions,
        }
    }

    fn task<'a, 'py>(&'a self, py: Python<'py>, report: Py<PyAny>) -> optimize::Task<'a, 'py> {
        optimize::Task {
            py,
            model: &self.model,
            report,
            exceptions: &self.exceptions,
        }
    }

    fn check_dim(&self, found: usize) -> PyResult<()> {
        check_entries(self.model.dim(), found)
    }
}

fn check_entries(dim: usize, found: usize) -> PyResult<()> {
    match found == dim {
        true => Ok(()),
        false => Err(PyValueError::new_err(format!(
            "a position has {dim} entries, not {found}"
        ))),
    }
}

#[pymethods]
impl Density {
    #[getter]
    fn dim(&self) -> usize {
        self.model.dim()
    }

    #[getter]
    fn kept<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<i64>>> {
        let kept = self.model.marginal()?.kept.iter();
        Some(PyArray1::from_iter(py, kept.map(|&index| index as i64)))
    }

    #[getter]
    fn marginalised(&self) -> Vec<&str> {
        let marginal = self.model.marginal().into_iter();
        marginal.flat_map(Marginal::names).collect()
    }

    #[getter]
    fn not_marginalised(&self) -> HashMap<&str, &str> {
        let reasons = self.model.not_marginalised.iter();
        reasons
            .map(|(name, reason)| (name.as_str(), reason.as_str()))
            .collect()
    }

    fn logp_and_gradient<'py>(
        &self,
        py: Python<'py>,
        position: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<(f64, Bound<'py, PyArray1<f64>>)> {
        let position: Vec<f64> = position.as_array().to_vec();
        self.check_dim(position.len())?;
        let mut gradient = vec![0.0; position.len()];
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let logp = guarded(|| {
            let taken = idle().pop();
            let mut density = taken.unwrap_or_else(|| self.model.density());
            let logp = density.logp_and_gradient(&position, &mut gradient);
            idle().push(density);
            logp.map_err(|error| self.exceptions.model_error(py, error.to_string()))
        })?;
        Ok((logp, PyArray1::from_vec(py, gradient)))
    }

    #[pyo3(signature = (position, repeats, cores=1))]
    fn time_gradient(
        &self,
        py: Python<'_>,
        position: PyReadonlyArray1<'_, f64>,
        repeats: u64,
        cores: usize,
    ) -> PyResult<f64> {
        let position: Vec<f64> = position.as_array().to_vec();
        self.check_dim(position.len())?;
        let mut gradient = vec![0.0; position.len()];
        guarded(|| {
            let timed = self.model.with_helpers(cores.saturating_sub(1), |density| {
                let mut evaluate = |repeats: u64| {
                    (0..repeats).try_for_each(|_| {
                        let logp =
                            density.logp_and_gradient(black_box(&position), &mut gradient)?;
                        black_box(logp);
                        Ok::<(), DensityError>(())
                    })
                };
                // Helpers have begun by then.
                evaluate(if cores > 1 { repeats.min(5) } else { 0 })?;
                let began = Instant::now();
                evaluate(repeats)?;
                Ok::<f64, DensityError>(began.elapsed().as_secs_f64())
            });
            timed.map_err(|error| self.exceptions.model_error(py, error.to_string()))
        })
    }

    fn output_shapes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let shapes = PyDict::new(py);
        for (name, shape) in self.model.outputs() {
            shapes.set_item(name, pyo3::types::PyTuple::new(py, shape)?)?;
        }
        Ok(shapes)
    }

    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        names: Vec<String>,
        positions: PyReadonlyArray2<'py, f64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let positions = positions.as_array();
        check_entries(self.model.whole_dim(), positions.ncols())?;
        let draws = positions.nrows();
        let positions = positions.as_standard_layout();
        let positions = positions.as_slice().unwrap_or_default();
        let columns = guarded(|| {
            py.detach(|| self.model.evaluate(&names, positions, draws))
                .map_err(|error| self.exceptions.model_error(py, error.to_string()))
        })?;
        let shapes: HashMap<&str, &[usize]> = self.model.outputs().collect();
        let result = PyDict::new(py);
        for (name, values) in names.iter().zip(columns) {
            let shape: Vec<usize> = std::iter::once(draws)
                .chain(shapes[name.as_str()].iter().copied())
                .collect();
            let array: Bound<'_, PyArrayDyn<f64>> =
                PyArray1::from_vec(py, values).reshape(shape)?;
            result.set_item(name, array)?;
        }
        Ok(result)
    }

    #[pyo3(signature = (settings, starts, seeds, cores, wanted=None))]
    fn sample(
        &self,
        py: Python<'_>,
        settings: &str,
        starts: PyReadonlyArray2<'_, f64>,
        seeds: Vec<u64>,
        cores: usize,
        wanted: Option<Vec<run::Named>>,
    ) -> PyResult<Run> {
        let starts = rows(&starts);
        guarded(|| {
            let exceptions = self.exceptions.clone();
            run::start(
                py,
                &self.model,
                settings,
                starts,
                seeds,
                cores,
                wanted,
                exceptions,
            )
        })
    }

    fn find_mode<'py>(
        &self,
        py: Python<'py>,
        start: Vec<f64>,
        history: usize,
        max_iterations: u64,
        report: Py<PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.check_dim(start.len())?;
        let task = self.task(py, report);
        guarded(|| optimize::find_mode(task, &start, history, max_iterations))
    }

    #[allow(clippy::too_many_arguments)] // one call is one computation
    fn laplace<'py>(
        &self,
        py: Python<'py>,
        start: Vec<f64>,
        seeds: Vec<u64>,
        draws: usize,
        history: usize,
        max_iterations: u64,
        threads: usize,
        report: Py<PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.check_dim(start.len())?;
        let task = self.task(py, report);
        guarded(|| {
            optimize::laplace(
                task,
                &start,
                &seeds,
                draws,
                history,
                max_iterations,
                threads,
            )
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn pathfinder<'py>(
        &self,
        py: Python<'py>,
        starts: PyReadonlyArray2<'py, f64>,
        seeds: Vec<u64>,
        draws: usize,
        draws_per_path: usize,
        elbo_draws: usize,
        history: usize,
        max_iterations: u64,
        threads: usize,
        report: Py<PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.check_dim(starts.as_array().ncols())?;
        let starts = rows(&starts);
        let settings = crate::optimize::pathfinder::Settings {
            history,
            max_iterations,
            elbo_draws,
            draws: draws_per_path,
        };
        let task = self.task(py, report);
        guarded(|| optimize::pathfinder(task, &starts, &seeds, &settings, draws, threads))
    }

    fn foreign_times<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let times = self.model.foreign().into_iter().map(|(name, meter)| {
            let (calls, time) = meter.read();
            let dict = PyDict::new(py);
            dict.set_item("name", name)?;
            dict.set_item("calls", calls)?;
            dict.set_item("seconds", time.as_secs_f64())?;
            Ok(dict)
        });
        times.collect()
    }

    fn graph_text(&self) -> String {
        self.model.graph_text()
    }

    fn plan_text(&self) -> String {
        self.model.plan_text()
    }
}

/// The rows of a matrix.
fn rows(matrix: &PyReadonlyArray2<'_, f64>) -> Vec<Vec<f64>> {
    let rows = matrix.as_array();
    rows.rows().into_iter().map(|row| row.to_vec()).collect()
}
