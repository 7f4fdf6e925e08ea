//! The template graph as Python builds it.

use super::density::Density;
use super::{GraphError, foreign, guarded};
use crate::bind::Data;
use crate::graph::{self, DType, NodeId, Op};
use crate::model::Model;
use crate::tensor::Tensor;
use numpy::{PyArrayDescrMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::collections::HashMap;

/// A template graph under construction.
#[pyclass(module = "pymc_rustmc._core")]
#[derive(Default)]
pub struct Graph {
    graph: graph::Graph,
}

fn graph_error(error: impl ToString) -> PyErr {
    GraphError::new_err(error.to_string())
}

pub fn dtype_of(name: &str) -> PyResult<DType> {
    DType::from_name(name).ok_or_else(|| {
        graph_error(format!(
            "{name:?} is no element type (float64, int64 or bool)"
        ))
    })
}

/// Shape, row-major values and type of a NumPy array of real numbers, integers or truth values.
pub fn array(name: &str, value: &Bound<'_, PyAny>) -> PyResult<(Vec<usize>, Vec<f64>, DType)> {
    let value = value
        .py()
        .import("numpy")?
        .call_method1("asarray", (value,))?;
    let kind = value
        .cast::<PyUntypedArray>()
        .map_err(PyErr::from)?
        .dtype()
        .kind();
    let dtype = match kind {
        b'b' => DType::Bool,
        b'i' | b'u' => DType::Int64,
        b'f' => DType::Float64,
        _ => {
            let found = value.getattr("dtype")?;
            return Err(PyTypeError::new_err(format!(
                "{name} must hold real numbers, integers or bools, not {found}"
            )));
        }
    };
    let value = value.call_method1("astype", ("float64",))?;
    let values: PyReadonlyArrayDyn<'_, f64> = value.extract()?;
    let values = values.as_array();
    Ok((
        values.shape().to_vec(),
        values.iter().copied().collect(),
        dtype,
    ))
}

/// An attribute of an op as JSON.
fn attribute(value: &Bound<'_, PyAny>) -> PyResult<serde_json::Value> {
    Ok(if value.is_none() {
        serde_json::Value::Null
    } else if value.is_instance_of::<PyBool>() {
        value.extract::<bool>()?.into()
    } else if value.is_instance_of::<PyInt>() {
        value.extract::<i64>()?.into()
    } else if value.is_instance_of::<PyFloat>() {
        value.extract::<f64>()?.into()
    } else if value.is_instance_of::<PyString>() {
        value.extract::<String>()?.into()
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let items: PyResult<Vec<_>> = value.try_iter()?.map(|item| attribute(&item?)).collect();
        items?.into()
    } else if let Ok(fields) = value.cast::<PyDict>() {
        let mut object = serde_json::Map::new();
        for (key, value) in fields {
            object.insert(key.extract()?, attribute(&value)?);
        }
        object.into()
    } else if value.hasattr("item")? {
        attribute(&value.call_method0("item")?)?
    } else {
        return Err(PyTypeError::new_err(format!(
            "an attribute cannot be {}",
            value.repr()?
        )));
    })
}

#[pymethods]
impl Graph {
    #[new]
    fn new() -> Graph {
        Graph::default()
    }

    fn parameter(&mut self, name: &str, ndim: usize) -> PyResult<NodeId> {
        self.graph.parameter(name, ndim).map_err(graph_error)
    }

    fn data(&mut self, name: &str, dtype: &str, ndim: usize) -> PyResult<NodeId> {
        self.graph
            .data(name, dtype_of(dtype)?, ndim)
            .map_err(graph_error)
    }

    fn constant(&mut self, value: &Bound<'_, PyAny>) -> PyResult<NodeId> {
        let (shape, values, dtype) = array("a constant", value)?;
        Ok(self.graph.constant(shape, values, dtype))
    }

    #[pyo3(signature = (name, inputs, **attributes))]
    fn op(
        &mut self,
        name: &str,
        inputs: Vec<NodeId>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<NodeId> {
        let mut given = serde_json::Map::new();
        let mut body = None;
        for (key, value) in attributes.into_iter().flatten() {
            match value.cast::<Graph>() {
                Ok(graph) => body = Some(Box::new(graph.borrow().graph.clone())),
                Err(_) => _ = given.insert(key.extract()?, attribute(&value)?),
            }
        }
        let op = match body {
            Some(body) => Op::parse_loop(body, given),
            None => Op::parse(name, given),
        };
        let op = op.map_err(graph_error)?;
        self.graph.add(op, &inputs).map_err(graph_error)
    }

    fn foreign(
        &mut self,
        function: &Bound<'_, PyAny>,
        inputs: Vec<NodeId>,
        given: bool,
    ) -> PyResult<NodeId> {
        let function = foreign::function(function)?;
        let op = Op::Foreign { function, given };
        self.graph.add(op, &inputs).map_err(graph_error)
    }

    fn output(&mut self, name: &str, node: NodeId) -> PyResult<()> {
        self.graph.output(name, node).map_err(graph_error)
    }

    fn dtype(&self, node: NodeId) -> PyResult<&'static str> {
        self.node(node).map(|node| node.dtype.name())
    }

    fn ndim(&self, node: NodeId) -> PyResult<usize> {
        self.node(node).map(|node| node.ndim)
    }

    fn __str__(&self) -> String {
        self.graph.to_string()
    }

    fn __len__(&self) -> usize {
        self.graph.nodes().len()
    }

    fn bind(
        &self,
        py: Python<'_>,
        data: HashMap<String, Bound<'_, PyAny>>,
        parameter_shapes: HashMap<String, Vec<usize>>,
    ) -> PyResult<Density> {
        let mut arrays = HashMap::new();
        for (name, value) in data {
            let (shape, values, dtype) = array(&format!("data {name:?}"), &value)?;
            arrays.insert(
                name,
                Data {
                    value: Tensor::new(shape, &values),
                    dtype,
                },
            );
        }
        guarded(|| {
            let model = py
                .detach(|| Model::new(&self.graph, arrays, &parameter_shapes))
                .map_err(|error| foreign::bind_error(py, error))?;
            Ok(Density::new(model))
        })
    }
}

impl Graph {
    fn node(&self, node: NodeId) -> PyResult<&graph::Node> {
        self.graph
            .nodes()
            .get(node)
            .ok_or_else(|| graph_error(format!("node {node} does not exist")))
    }
}
