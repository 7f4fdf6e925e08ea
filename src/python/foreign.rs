//! Functions that Python gives to the graph: called with the GIL, which is held for that call alone.

use super::graph::dtype_of;
use super::{GraphError, ModelError};
use crate::foreign::{Array, ArrayRef, Foreign, Function};
use crate::graph::DType;
use crate::kernels::whole::Failure;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The last exceptions of functions with the texts of their failures: the core carries only texts, and whoever
/// reports a failure chains the exception that belongs to it.
static EXCEPTIONS: Mutex<VecDeque<(String, PyErr)>> = Mutex::new(VecDeque::new());

/// More than the chains of a run, which may all fail.
const KEPT: usize = 256;

fn exceptions() -> MutexGuard<'static, VecDeque<(String, PyErr)>> {
    EXCEPTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(text: String, exception: PyErr) -> Failure {
    let mut kept = exceptions();
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back((text.clone(), exception));
    Failure(text)
}

/// The error of a model that failed while it was evaluated.
pub fn model_error(py: Python<'_>, error: impl ToString) -> PyErr {
    let text = error.to_string();
    chained(py, ModelError::new_err(text.clone()), &text)
}

/// The error of a graph that could not be bound.
pub fn bind_error(py: Python<'_>, error: impl ToString) -> PyErr {
    let text = error.to_string();
    chained(py, GraphError::new_err(text.clone()), &text)
}

/// `error` with the exception behind its text as its cause; that exception itself if it is one of ours, or no error
/// at all (Ctrl-C).
fn chained(py: Python<'_>, error: PyErr, text: &str) -> PyErr {
    let mut kept = exceptions();
    let found = kept.iter().rposition(|(part, _)| text.contains(part));
    let Some((_, exception)) = found.and_then(|index| kept.remove(index)) else {
        return error;
    };
    drop(kept);
    let is_ours = || -> PyResult<bool> {
        let errors = py.import("pymc_rustmc.errors")?;
        exception
            .value(py)
            .is_instance(&errors.getattr("RustMCError")?)
    };
    if !exception.is_instance_of::<PyException>(py) || is_ours().unwrap_or(false) {
        return exception;
    }
    error.set_cause(py, Some(exception));
    error
}

/// A `ForeignFunction` of `pymc_rustmc.translate.foreign`.
struct PyFunction {
    object: Py<PyAny>,
    name: String,
    results: Vec<(DType, usize)>,
}

/// The function that a Python object describes.
pub fn function(object: &Bound<'_, PyAny>) -> PyResult<Function> {
    let results: Vec<(String, usize)> = object.getattr("results")?.extract()?;
    let results = results
        .into_iter()
        .map(|(dtype, ndim)| Ok((dtype_of(&dtype)?, ndim)))
        .collect::<PyResult<_>>()?;
    Ok(Function(Arc::new(PyFunction {
        name: object.getattr("name")?.extract()?,
        results,
        object: object.clone().unbind(),
    })))
}

impl PyFunction {
    /// Does something with the Python object; an exception is kept and becomes a failure.
    fn attached<T>(
        &self,
        work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T, Failure> {
        Python::try_attach(|py| {
            work(self.object.bind(py)).map_err(|exception| {
                let text = format!("{} failed: {exception}", self.name);
                keep(text, exception)
            })
        })
        .unwrap_or_else(|| Err(Failure(format!("{}: Python is shutting down", self.name))))
    }

    fn derivative(
        &self,
        make: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>>,
    ) -> Result<Function, Failure> {
        self.attached(|object| function(make(object)?.bind(object.py())))
    }
}

impl Foreign for PyFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn results(&self) -> &[(DType, usize)] {
        &self.results
    }

    fn evaluate(&self, inputs: &[ArrayRef<'_>]) -> Result<Vec<Array>, Failure> {
        self.attached(|object| {
            let py = object.py();
            let arrays: PyResult<Vec<_>> = inputs
                .iter()
                .map(|input| PyArray1::from_slice(py, input.values).reshape(input.shape))
                .collect();
            let results: Vec<PyReadonlyArrayDyn<'_, f64>> =
                object.call_method1("evaluate", (arrays?,))?.extract()?;
            let arrays = results.iter().map(|result| {
                let result = result.as_array();
                Array {
                    shape: result.shape().to_vec(),
                    values: result.iter().copied().collect(),
                }
            });
            Ok(arrays.collect())
        })
    }

    fn pullback(&self, wanted: &[usize], connected: &[usize]) -> Result<Function, Failure> {
        self.derivative(|object| {
            let made = object.call_method1("pullback", (wanted, connected))?;
            Ok(made.unbind())
        })
    }

    fn with_gradient(&self, wanted: &[usize]) -> Result<Function, Failure> {
        self.derivative(|object| Ok(object.call_method1("with_gradient", (wanted,))?.unbind()))
    }
}
