//! The extension module `pymc_rustmc._core`: the only place that knows Python.

mod batch;
mod density;
mod diagnostics;
mod foreign;
mod graph;
mod optimize;
mod run;

use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

create_exception!(
    pymc_rustmc._core,
    GraphError,
    PyValueError,
    "A graph that is malformed, or data that do not fit it."
);
create_exception!(
    pymc_rustmc._core,
    ParameterShapeError,
    GraphError,
    "A shape, or an index that must be known when data are bound, depends on a parameter."
);
create_exception!(
    pymc_rustmc._core,
    CurvatureError,
    PyValueError,
    "A log density without a strict maximum where there should be one."
);
create_exception!(
    pymc_rustmc._core,
    ModelError,
    PyRuntimeError,
    "A model that failed while it was sampled."
);

/// Runs `work`; a panic, which would be our mistake, becomes an error that a user can report.
fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(ModelError::new_err(format!(
            "internal error of pymc_rustmc: {text}. Please report it with the model; \
             pm.sample(nuts_sampler=\"pymc\") samples it meanwhile."
        )))
    })
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add(
        "REWRITE_RULES",
        crate::rewrite::algebra::Rules::NAMES.to_vec(),
    )?;
    module.add("GraphError", module.py().get_type::<GraphError>())?;
    module.add(
        "ParameterShapeError",
        module.py().get_type::<ParameterShapeError>(),
    )?;
    module.add("CurvatureError", module.py().get_type::<CurvatureError>())?;
    module.add("ModelError", module.py().get_type::<ModelError>())?;
    module.add_class::<graph::Graph>()?;
    module.add_class::<density::Density>()?;
    module.add_class::<run::Run>()?;
    module.add_class::<batch::Batch>()?;
    module.add_function(wrap_pyfunction!(run::complete_settings, module)?)?;
    module.add_function(wrap_pyfunction!(batch::chain_seeds, module)?)?;
    module.add_function(wrap_pyfunction!(batch::numpy_jitter, module)?)?;
    module.add_function(wrap_pyfunction!(diagnostics::diagnose, module)?)?;
    module.add_function(wrap_pyfunction!(diagnostics::bfmi, module)?)?;
    Ok(())
}
