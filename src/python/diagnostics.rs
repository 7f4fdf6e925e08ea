//! Convergence diagnostics as Python sees them.

use super::guarded;
use crate::diagnostics::{self, DrawArray, Ess, Measure};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

fn measure_of(name: &str, probabilities: &[f64]) -> PyResult<Measure> {
    Ok(match (name, probabilities) {
        ("rhat", []) => Measure::Rhat,
        ("ess_bulk", []) => Measure::Ess(Ess::Bulk),
        ("ess_tail", &[low, high]) => Measure::Ess(Ess::Tail(low, high)),
        ("ess_mean", []) => Measure::Ess(Ess::Mean),
        ("ess_sd", []) => Measure::Ess(Ess::Sd),
        ("ess_quantile", &[p]) => Measure::Ess(Ess::Quantile(p)),
        ("mcse_mean", []) => Measure::McseMean,
        ("mcse_sd", []) => Measure::McseSd,
        ("mcse_quantile", &[p]) => Measure::McseQuantile(p),
        ("hdi", &[probability]) => Measure::Hdi(probability),
        ("eti", &[probability]) => Measure::Eti(probability),
        _ => {
            let given = probabilities.len();
            let text = format!("there is no diagnostic {name:?} of {given} probabilities");
            return Err(PyValueError::new_err(text));
        }
    })
}

/// Every measure of every element of arrays of shape (chains, draws, elements), by all processors.
#[pyfunction]
pub fn diagnose<'py>(
    py: Python<'py>,
    arrays: Vec<PyReadonlyArray3<'py, f64>>,
    measures: Vec<(String, Vec<f64>)>,
) -> PyResult<Vec<Bound<'py, PyArray2<f64>>>> {
    let measures: Vec<Measure> = measures
        .iter()
        .map(|(name, p)| measure_of(name, p))
        .collect::<PyResult<_>>()?;
    let arrays: Vec<_> = arrays.iter().map(|array| array.as_array()).collect();
    let sources = arrays.iter().map(|array| {
        let (_, draws, elements) = array.dim();
        let chains = array.outer_iter().map(|chain| chain.to_slice());
        let chains = chains
            .collect::<Option<Vec<&[f64]>>>()
            .ok_or_else(|| PyValueError::new_err("draws of a chain must be contiguous"))?;
        Ok(DrawArray {
            chains,
            draws,
            elements,
        })
    });
    let sources: Vec<DrawArray<'_>> = sources.collect::<PyResult<_>>()?;
    let results = guarded(|| Ok(py.detach(|| diagnostics::measure_all(&sources, &measures))))?;
    let columns = measures
        .iter()
        .map(|measure| measure.width())
        .sum::<usize>();
    let shaped = results
        .into_iter()
        .zip(&sources)
        .map(|(values, source)| PyArray1::from_vec(py, values).reshape([source.elements, columns]));
    shaped.collect()
}

/// The estimated Bayesian fraction of missing information of each row.
#[pyfunction]
pub fn bfmi<'py>(py: Python<'py>, energy: PyReadonlyArray2<'py, f64>) -> Bound<'py, PyArray1<f64>> {
    let rows = energy.as_array();
    let values = rows
        .rows()
        .into_iter()
        .map(|row| diagnostics::bfmi(&row.to_vec()));
    PyArray1::from_iter(py, values)
}
