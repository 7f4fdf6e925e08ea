//! What all data sets share: the graph, its data inputs with their values, and the rule for starting points.

use super::starts::{Base, StartRule};
use crate::bind::Data;
use crate::graph::{DType, Graph};
use crate::model::Model;
use crate::plan::shared::Programs;
use crate::rewrite::algebra::Rules;
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::sync::Arc;

/// Values of a data input.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f64>,
    /// Type of the elements as given.
    pub dtype: DType,
}

/// Something that a data set may set.
#[derive(Clone, Debug)]
pub struct Input {
    /// Name of the data input.
    pub name: String,
    /// Type that the model holds.
    pub dtype: DType,
    /// Number of axes.
    pub ndim: usize,
    /// Whether it is the value of an observed variable as it stands.
    pub observed: bool,
    /// Names of its axes, where they have names.
    pub dims: Vec<Option<String>>,
    /// The dim of which it is the length.
    pub length_of: Option<String>,
    /// Whether the graph reads it.
    pub is_read: bool,
    /// The template's own value.
    pub value: Arc<Array>,
}

/// The data of one fit, as given.
#[derive(Clone, Debug, Default)]
pub struct DataSet {
    /// Number in the order in which data sets come.
    pub position: u64,
    /// New values by name.
    pub data: Vec<(String, Array)>,
    /// Lengths of dims for which coordinate values are given.
    pub lengths: Vec<(String, usize)>,
    /// Why it cannot be used, if that is known already.
    pub problem: Option<String>,
}

impl DataSet {
    /// Bytes that its values take.
    pub fn bytes(&self) -> usize {
        let elements = self.data.iter().map(|(_, array)| array.values.len());
        elements.sum::<usize>() * size_of::<f64>()
    }
}

/// A translated model with what a data set may leave out.
pub struct Template {
    /// The graph.
    pub graph: Graph,
    /// Names of the value variables, in the order of the position vector.
    pub parameters: Vec<String>,
    /// All data inputs.
    pub inputs: Vec<Input>,
    /// Names of all dims.
    pub dims: Vec<String>,
    /// Where chains start.
    pub starts: StartRule,
    /// Elements that arrays and evaluations may have.
    pub room: usize,
    /// Rules of exact algebra that are on.
    pub rules: Rules,
    /// Programs that data sets share.
    pub programs: Arc<Programs>,
    /// Value variables that are integrated out where they can be.
    pub marginalised: Vec<String>,
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    names.join(", ")
}

impl Template {
    /// The value of every input: the given one, or that of the template.
    ///
    /// # Errors
    /// What does not fit the model: names, ranks, types, lengths, values that are missing.
    pub fn complete(&self, given: DataSet) -> Result<Vec<Arc<Array>>, String> {
        if let Some(problem) = given.problem {
            return Err(problem);
        }
        let mut arrays: Vec<Arc<Array>> = self
            .inputs
            .iter()
            .map(|input| input.value.clone())
            .collect();
        let mut is_given = vec![false; arrays.len()];
        for (name, array) in given.data {
            let Some(index) = self.index(&name) else {
                let known = quoted(self.inputs.iter().map(|input| input.name.as_str()));
                let known = if known.is_empty() { "none" } else { &known };
                return Err(format!(
                    "the model has no data named '{name}'; it has {known}"
                ));
            };
            self.inputs[index].check(&array)?;
            arrays[index] = Arc::new(array);
            is_given[index] = true;
        }
        self.fit_lengths(&mut arrays, &is_given, &given.lengths)?;
        Ok(arrays)
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.name == name)
    }

    /// The input that is the length of a dim.
    fn length_index(&self, dim: &str) -> Option<usize> {
        let mut inputs = self.inputs.iter();
        inputs.position(|input| input.length_of.as_deref() == Some(dim))
    }

    /// Sets the lengths of dims that new data imply; all data must agree with the lengths.
    fn fit_lengths(
        &self,
        arrays: &mut [Arc<Array>],
        is_given: &[bool],
        lengths: &[(String, usize)],
    ) -> Result<(), String> {
        let scalar = |length: usize| {
            Arc::new(Array {
                shape: vec![],
                values: vec![length as f64],
                dtype: DType::Int64,
            })
        };
        for (dim, length) in lengths {
            if !self.dims.contains(dim) {
                let known = quoted(self.dims.iter().map(String::as_str));
                let known = if known.is_empty() { "none" } else { &known };
                return Err(format!("the model has no dim '{dim}'; it has {known}"));
            }
            if let Some(index) = self.length_index(dim).filter(|&index| !is_given[index]) {
                arrays[index] = scalar(*length);
            }
        }
        let axes = self.inputs.iter().enumerate().flat_map(|(index, input)| {
            let dims = input.dims.iter().enumerate();
            dims.filter_map(move |(axis, dim)| {
                let dim = dim.as_deref()?;
                Some((index, axis, dim, self.length_index(dim)?))
            })
        });
        for (index, axis, _, length) in axes.clone() {
            if is_given[index] && !is_given[length] {
                arrays[length] = scalar(arrays[index].shape[axis]);
            }
        }
        for (index, axis, dim, length) in axes {
            let (found, wanted) = (arrays[index].shape[axis], arrays[length].values[0]);
            if found as f64 != wanted {
                return Err(format!(
                    "data '{}' has length {found} along axis {axis}, but the length of dim '{dim}' is {wanted}; \
                     give all data of that dim the same length",
                    self.inputs[index].name
                ));
            }
        }
        for (dim, length) in lengths {
            if let Some(wanted) = self.dim_length(arrays, dim).filter(|l| l != length) {
                return Err(format!(
                    "the dim '{dim}' has the length {wanted}, but {length} coords were given"
                ));
            }
        }
        Ok(())
    }

    /// Length of a dim under these data, if they tell it.
    fn dim_length(&self, arrays: &[Arc<Array>], dim: &str) -> Option<usize> {
        if let Some(index) = self.length_index(dim) {
            return Some(arrays[index].values[0] as usize);
        }
        self.inputs.iter().zip(arrays).find_map(|(input, array)| {
            let mut dims = input.dims.iter();
            let axis = dims.position(|name| name.as_deref() == Some(dim))?;
            Some(array.shape[axis])
        })
    }

    /// Binds the graph.
    ///
    /// # Errors
    /// Data or shapes that do not fit together.
    pub fn bind(&self, arrays: &[Arc<Array>], base: &Base) -> Result<Model, String> {
        let inputs = self.inputs.iter().zip(arrays);
        let data = inputs.filter(|(input, _)| input.is_read);
        let data: HashMap<String, Data> = data
            .map(|(input, array)| {
                let value = Tensor::new(array.shape.clone(), &array.values);
                let dtype = input.dtype;
                (input.name.clone(), Data { value, dtype })
            })
            .collect();
        let shapes = self.parameters.iter().zip(&base.shapes);
        let shapes = shapes
            .map(|(name, shape)| (name.clone(), shape.clone()))
            .collect();
        let programs = Some(self.programs.clone());
        let marginalised = &self.marginalised;
        Model::within(
            self.room,
            self.rules,
            marginalised,
            programs,
            &self.graph,
            data,
            &shapes,
        )
        .map_err(|error| error.to_string())
    }
}

impl Input {
    /// Whether a value can be held without loss, and holds what the model can use.
    fn check(&self, array: &Array) -> Result<(), String> {
        let name = &self.name;
        if array.shape.len() != self.ndim {
            return Err(format!(
                "data '{name}' have {} axes, but the model needs {}",
                array.shape.len(),
                self.ndim
            ));
        }
        let nan = array.values.iter().filter(|x| x.is_nan()).count();
        if nan > 0 {
            return Err(format!(
                "data '{name}' hold {nan} NaN; drop or replace those entries, or pass missing observations to \
                 observed= as a masked array, which PyMC imputes"
            ));
        }
        let held = |x: f64| match self.dtype {
            DType::Float64 => true,
            DType::Int64 => x.fract() == 0.0 && x.abs() < 9_007_199_254_740_992.0,
            DType::Bool => x == 0.0 || x == 1.0,
        };
        if array.dtype > self.dtype && !array.values.iter().all(|&x| held(x)) {
            return Err(format!(
                "data '{name}' must be {}, but hold other values; round or recode them",
                self.dtype.name()
            ));
        }
        if self.observed && array.values.iter().any(|x| x.is_infinite()) {
            return Err(format!(
                "observed data '{name}' hold infinite values; drop or replace those entries"
            ));
        }
        Ok(())
    }
}
