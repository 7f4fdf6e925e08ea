//! The template graph as Python builds it.

use super::density::Density;
use super::foreign::{self, Exceptions};
use super::{GraphError, guarded};
use crate::bind::Data;
use crate::explain::explain;
use crate::graph::{self, DType, LoopArguments, NodeId, Op};
use crate::kernels::borrowed::Borrowed;
use crate::model::Model;
use crate::rewrite::algebra::Rules;
use crate::tensor::{LARGE, Tensor, Values};
use numpy::{
    PyArray1, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::collections::HashMap;
use std::sync::Arc;

/// A template graph under construction.
#[pyclass(module = "pymc_rustmc._core")]
#[derive(Default)]
pub struct Graph {
    graph: graph::Graph,
    exceptions: Exceptions,
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
    let (array, dtype) = real_array(name, value)?;
    let shape = array.shape().to_vec();
    Ok((shape, array.readonly().as_slice()?.to_vec(), dtype))
}

/// A NumPy array of real numbers, integers or truth values as one of f64, row-major: itself if it is; and its type.
fn real_array<'py>(
    name: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArrayDyn<f64>>, DType)> {
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
    let form = PyDict::new(value.py());
    form.set_item("dtype", "float64")?;
    form.set_item("requirements", ["C", "A"])?;
    let value = value
        .py()
        .import("numpy")?
        .call_method("require", (value,), Some(&form))?;
    Ok((value.cast_into().map_err(PyErr::from)?, dtype))
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
        let (array, dtype) = real_array("a constant", value)?;
        let (shape, readable) = (array.shape().to_vec(), array.readonly());
        let values = match readable.as_slice()? {
            // PyTensor's constant, which neither it nor we change, is not copied.
            values if values.len() >= LARGE => {
                Values::Borrowed(Arc::new(Borrowed::new(values, array.clone().unbind())))
            }
            values => values.to_vec().into(),
        };
        Ok(self.graph.shared_constant(shape, values, dtype))
    }

    #[pyo3(signature = (name, inputs, **attributes))]
    fn op(
        &mut self,
        name: &str,
        inputs: Vec<NodeId>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<NodeId> {
        let mut given = serde_json::Map::new();
        for (key, value) in attributes.into_iter().flatten() {
            given.insert(key.extract()?, attribute(&value)?);
        }
        let op = Op::parse(name, given).map_err(graph_error)?;
        self.graph.add(op, &inputs).map_err(graph_error)
    }

    fn foreign(
        &mut self,
        function: &Bound<'_, PyAny>,
        inputs: Vec<NodeId>,
        given: bool,
    ) -> PyResult<NodeId> {
        let function = foreign::function(function, &self.exceptions)?;
        let op = Op::Foreign { function, given };
        self.graph.add(op, &inputs).map_err(graph_error)
    }

    fn inner(&self) -> Graph {
        Graph {
            exceptions: self.exceptions.clone(),
            ..Graph::default()
        }
    }

    fn repeat(
        &mut self,
        body: PyRef<'_, Graph>,
        inputs: Vec<NodeId>,
        sequences: usize,
        lags: Vec<Vec<usize>>,
        collected: usize,
        lasts: usize,
    ) -> PyResult<NodeId> {
        let arguments = LoopArguments {
            sequences,
            lags,
            collected,
            lasts,
        };
        let body = Box::new(body.graph.clone());
        let op = Op::Loop { body, arguments };
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

    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let leaves = |pick: fn(&Op) -> Option<&String>| -> Vec<String> {
            let nodes = self.graph.nodes().iter();
            nodes.filter_map(|node| pick(&node.op)).cloned().collect()
        };
        let parameters = leaves(|op| match op {
            Op::Parameter { name } => Some(name),
            _ => None,
        });
        let data = leaves(|op| match op {
            Op::Data { name } => Some(name),
            _ => None,
        });
        let outputs: Vec<&String> = self.graph.outputs().iter().map(|(name, _)| name).collect();
        let names = PyDict::new(py);
        names.set_item("parameters", parameters)?;
        names.set_item("data", data)?;
        names.set_item("outputs", outputs)?;
        Ok(names)
    }

    fn __str__(&self) -> String {
        self.graph.to_string()
    }

    fn __len__(&self) -> usize {
        self.graph.nodes().len()
    }

    #[pyo3(signature = (data, parameter_shapes, memory=None, rewrites=None, marginalised=vec![]))]
    fn bind(
        &self,
        py: Python<'_>,
        data: HashMap<String, Bound<'_, PyAny>>,
        parameter_shapes: HashMap<String, Vec<usize>>,
        memory: Option<u64>,
        rewrites: Option<HashMap<String, bool>>,
        marginalised: Vec<String>,
    ) -> PyResult<Density> {
        let (data, rules) = (arrays(data)?, rules(rewrites.unwrap_or_default())?);
        let (room, shapes) = (room(memory), &parameter_shapes);
        guarded(|| {
            let model = py
                .detach(|| {
                    Model::within(room, rules, &marginalised, None, &self.graph, data, shapes)
                })
                .map_err(|error| self.exceptions.bind_error(py, error))?;
            Ok(Density::new(model, self.exceptions.clone()))
        })
    }

    #[pyo3(signature = (data, memory=None))]
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        data: HashMap<String, Bound<'_, PyAny>>,
        memory: Option<u64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let data = arrays(data)?;
        let values = guarded(|| {
            py.detach(|| crate::model::fold(room(memory), &self.graph, data))
                .map_err(graph_error)
        })?;
        let result = PyDict::new(py);
        for (name, value) in values {
            let array = PyArray1::from_slice(py, value.values());
            result.set_item(name, array.reshape(value.shape().to_vec())?)?;
        }
        Ok(result)
    }

    #[pyo3(signature = (data, parameter_shapes, position, memory=None, rewrites=None, marginalised=vec![]))]
    #[allow(clippy::too_many_arguments)] // one call is one account
    fn explain(
        &self,
        py: Python<'_>,
        data: HashMap<String, Bound<'_, PyAny>>,
        parameter_shapes: HashMap<String, Vec<usize>>,
        position: Vec<f64>,
        memory: Option<u64>,
        rewrites: Option<HashMap<String, bool>>,
        marginalised: Vec<String>,
    ) -> PyResult<String> {
        let (data, shapes, rules) = (
            arrays(data)?,
            &parameter_shapes,
            rules(rewrites.unwrap_or_default())?,
        );
        let wanted: usize = shapes
            .values()
            .map(|shape| crate::tensor::size_of(shape))
            .sum();
        if position.len() != wanted {
            let found = position.len();
            return Err(graph_error(format!(
                "a position has {wanted} entries, not {found}"
            )));
        }
        guarded(|| {
            let found = py
                .detach(|| {
                    let (room, graph) = (room(memory), &self.graph);
                    explain(room, rules, &marginalised, graph, data, shapes, &position)
                })
                .map_err(graph_error)?;
            serde_json::to_string(&found).map_err(graph_error)
        })
    }

    fn to_stored<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(String, Vec<Bound<'py, PyArrayDyn<f64>>>)> {
        let (stored, arrays) = self.graph.to_stored().map_err(graph_error)?;
        let arrays: PyResult<Vec<_>> = arrays
            .into_iter()
            .map(|(shape, values)| PyArray1::from_vec(py, values).reshape(shape))
            .collect();
        Ok((stored.to_string(), arrays?))
    }

    #[staticmethod]
    fn from_stored(stored: &str, arrays: Vec<PyReadonlyArrayDyn<'_, f64>>) -> PyResult<Graph> {
        let arrays = arrays.iter().map(|array| {
            let array = array.as_array();
            (array.shape().to_vec(), array.iter().copied().collect())
        });
        let arrays = arrays.collect();
        guarded(|| {
            let stored = serde_json::from_str(stored).map_err(graph_error)?;
            let graph = graph::Graph::from_stored(stored, arrays).map_err(graph_error)?;
            Ok(Graph {
                graph,
                ..Graph::default()
            })
        })
    }
}

/// The values of data inputs.
fn arrays(data: HashMap<String, Bound<'_, PyAny>>) -> PyResult<HashMap<String, Data>> {
    data.into_iter()
        .map(|(name, value)| {
            let (array, dtype) = real_array(&format!("data {name:?}"), &value)?;
            let value = Tensor::new(array.shape().to_vec(), array.readonly().as_slice()?);
            Ok((name, Data { value, dtype }))
        })
        .collect()
}

/// The rules that are on, unless their name stands with `false`.
pub fn rules(switches: HashMap<String, bool>) -> PyResult<Rules> {
    let mut rules = Rules::ALL;
    for (name, on) in switches {
        if !rules.switch(&name, on) {
            return Err(graph_error(format!("there is no rule {name:?}")));
        }
    }
    Ok(rules)
}

/// Elements that so many bytes hold.
pub fn room(memory: Option<u64>) -> usize {
    memory.map_or(usize::MAX, |bytes| bytes as usize / size_of::<f64>())
}

impl Graph {
    /// A copy of the graph itself.
    pub fn template(&self) -> graph::Graph {
        self.graph.clone()
    }

    fn node(&self, node: NodeId) -> PyResult<&graph::Node> {
        self.graph
            .nodes()
            .get(node)
            .ok_or_else(|| graph_error(format!("node {node} does not exist")))
    }
}
