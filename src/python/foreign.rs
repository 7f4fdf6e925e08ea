//! Functions that Python gives to the graph: called with the GIL, which is held for that call alone.

use super::graph::dtype_of;
use super::{GraphError, ModelError, ParameterShapeError};
use crate::bound::BindError;
use crate::foreign::{Array, ArrayRef, Foreign, Function};
use crate::graph::DType;
use crate::kernels::whole::Failure;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// The exceptions behind the failures of a graph's functions, for whoever reports a failure.
///
/// The core carries texts; the exception that belongs to one waits here to be chained to the error of the run.
#[derive(Clone, Default)]
pub struct Exceptions(Arc<Mutex<Vec<(String, PyErr)>>>);

impl Exceptions {
    fn keep(&self, text: String, exception: PyErr) -> Failure {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((text.clone(), exception));
        Failure(text)
    }

    /// The error of a graph that could not be bound.
    pub fn bind_error(&self, py: Python<'_>, error: BindError) -> PyErr {
        let text = error.to_string();
        match error {
            BindError::Misfit(_) => self.error(py, GraphError::new_err(text.clone()), &text),
            BindError::Varies { outputs, .. } => {
                let error = ParameterShapeError::new_err(text);
                match error.value(py).setattr("outputs", outputs) {
                    Ok(()) => error,
                    Err(other) => other,
                }
            }
        }
    }

    /// The error of a model that failed.
    pub fn model_error(&self, py: Python<'_>, text: String) -> PyErr {
        self.error(py, ModelError::new_err(text.clone()), &text)
    }

    /// `error` with the exception behind its text as its cause; that exception itself if it is one of ours, or no
    /// error at all (Ctrl-C).
    fn error(&self, py: Python<'_>, error: PyErr, text: &str) -> PyErr {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Some((_, exception)) = kept.into_iter().find(|(part, _)| text.contains(part)) else {
            return error;
        };
        let is_ours = || -> PyResult<bool> {
            let errors = py.import("pymc_rustmc.errors")?;
            let ours = errors.getattr("RustMCError")?;
            exception.value(py).is_instance(&ours)
        };
        if !exception.is_instance_of::<PyException>(py) || is_ours().unwrap_or(false) {
            return exception;
        }
        error.set_cause(py, Some(exception));
        error
    }
}

/// A `ForeignFunction` of `pymc_rustmc.translate.foreign`.
struct PyFunction {
    object: Py<PyAny>,
    name: String,
    results: Vec<(DType, usize)>,
    exceptions: Exceptions,
}

/// The function that a Python object describes.
pub fn function(object: &Bound<'_, PyAny>, exceptions: &Exceptions) -> PyResult<Function> {
    let results: Vec<(String, usize)> = object.getattr("results")?.extract()?;
    let results = results
        .into_iter()
        .map(|(dtype, ndim)| Ok((dtype_of(&dtype)?, ndim)))
        .collect::<PyResult<_>>()?;
    Ok(Function(Arc::new(PyFunction {
        name: object.getattr("name")?.extract()?,
        results,
        object: object.clone().unbind(),
        exceptions: exceptions.clone(),
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
                // What PyTensor adds about its own graph would bury what the user wrote.
                let text = exception.to_string();
                let text = text
                    .split("\nApply node that caused")
                    .next()
                    .unwrap_or(&text);
                let text = format!("{} failed: {text}", self.name);
                self.exceptions.keep(text, exception)
            })
        })
        .unwrap_or_else(|| Err(Failure(format!("{}: Python is shutting down", self.name))))
    }

    fn derivative(
        &self,
        make: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>>,
    ) -> Result<Function, Failure> {
        self.attached(|object| function(make(object)?.bind(object.py()), &self.exceptions))
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
