//! Element types. Every value is held in f64 lanes: integers are exact up to 2^53, truth values are 0 and 1.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Type of a node's elements; ordered by promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// Truth value, 0 or 1.
    Bool,
    /// Integer, exact up to 2^53.
    Int64,
    /// Real number.
    Float64,
}

impl DType {
    /// NumPy's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::Int64 => "int64",
            DType::Float64 => "float64",
        }
    }

    /// The type of NumPy's name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<DType> {
        [DType::Bool, DType::Int64, DType::Float64]
            .into_iter()
            .find(|dtype| dtype.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::Int64 => "i64",
            DType::Float64 => "f64",
        })
    }
}
