//! Real numbers in JSON without loss: JSON has no infinities and no NaN, these are written by name.

use crate::tensor::Values;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Named(String),
}

/// Writes numbers, `"inf"`, `"-inf"` and `"NaN"`.
pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|&value| match value.is_finite() {
        true => Number::Finite(value),
        false => Number::Named(value.to_string()),
    }))
}

/// Reads what [`serialize`] writes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Values, D::Error> {
    let values: Result<Vec<f64>, D::Error> = Vec::deserialize(deserializer)?
        .into_iter()
        .map(|number| match number {
            Number::Finite(value) => Ok(value),
            Number::Named(name) => name
                .parse()
                .map_err(|_| D::Error::custom(format!("{name:?} is no number"))),
        })
        .collect();
    values.map(Values::from)
}
