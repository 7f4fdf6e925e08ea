//! What is kept of the draws of a model: variables, each in one array for all chains, computed as they are drawn.
//!
//! Positions are not stored beside what they are turned into, and what nobody asked for is neither computed nor stored.

use crate::density::DensityError;
use crate::kernels::machine::Workspace;
use crate::kernels::parts::{Array, Part, array};
use crate::marginal::{Completion, LOG_CONDITIONAL};
use crate::model::Model;
use crate::sampler::{Keep, RunError};
use crate::tensor::size_of;
use std::ops::Range;

/// A variable of which the draws are kept.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name, for the caller.
    pub name: String,
    /// The output that computes it, or else the parameter that it is.
    pub output: Option<String>,
    /// Type of its elements.
    pub kind: Kind,
}

/// Writes the types that elements may have and what differs between them.
macro_rules! kinds {
    ($($kind:ident: $type:ty = $name:literal, $value:ident => $converted:expr;)*) => {
        /// Type of elements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = concat!("NumPy's ", $name, ".")] $kind,)*
        }

        /// Draws of all chains, one after the other, as elements of their type.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Elements {
            $(#[doc = concat!("NumPy's ", $name, ".")] $kind(Vec<$type>),)*
        }

        enum Whole {
            $($kind(Array<$type>),)*
        }

        enum Share {
            $($kind(Part<$type>),)*
        }

        impl Kind {
            /// The type of that name, if elements may have it.
            pub fn parse(name: &str) -> Option<Kind> {
                match name {
                    $($name => Some(Kind::$kind),)*
                    _ => None,
                }
            }

            fn reserve(self, chains: usize, elements: usize) -> Option<(Whole, Vec<Share>)> {
                Some(match self {
                    $(Kind::$kind => {
                        let (whole, parts) = array(chains, elements)?;
                        (Whole::$kind(whole), parts.into_iter().map(Share::$kind).collect())
                    })*
                })
            }
        }

        impl Share {
            fn push(&mut self, values: &[f64]) {
                match self {
                    $(Share::$kind(part) => part.extend_with(values, |&$value| $converted),)*
                }
            }
        }

        impl Whole {
            fn into_elements(self) -> Option<Elements> {
                Some(match self {
                    $(Whole::$kind(whole) => Elements::$kind(whole.into_vec()?),)*
                })
            }
        }
    };
}

kinds! {
    F64: f64 = "float64", value => value;
    F32: f32 = "float32", value => value as f32;
    I64: i64 = "int64", value => value as i64;
    I32: i32 = "int32", value => value as i32;
    I16: i16 = "int16", value => value as i16;
    I8: i8 = "int8", value => value as i8;
    U64: u64 = "uint64", value => value as u64;
    U32: u32 = "uint32", value => value as u32;
    U16: u16 = "uint16", value => value as u16;
    U8: u8 = "uint8", value => value as u8;
    Bool: bool = "bool", value => value != 0.0;
}

/// Where the values of a variable come from.
#[derive(Clone)]
enum Source {
    Position(Range<usize>),
    Output(usize),
}

/// One chain's share of what is kept.
pub struct Recorder {
    outputs: Option<Workspace>,
    fields: Vec<(Source, Share)>,
    /// Of a model without some variables: what they are drawn with, and the output that is their log density.
    completion: Option<(Completion, usize)>,
}

/// What is kept of all chains.
pub struct Recorded(Vec<(String, Vec<usize>, Whole)>);

impl Recorder {
    /// A recorder for each chain of so many draws; one chain for each seed.
    ///
    /// # Errors
    /// If there is no such variable, or no memory.
    pub fn for_chains(
        model: &Model,
        wanted: &[Wanted],
        seeds: &[u64],
        draws: u64,
    ) -> Result<(Recorded, Vec<Recorder>), RunError> {
        let chains = seeds.len();
        let computed = |wanted: &Wanted| match &wanted.output {
            None if model.is_integrated_out(&wanted.name) => Some(wanted.name.clone()),
            output => output.clone(),
        };
        let mut names: Vec<String> = wanted.iter().filter_map(computed).collect();
        if model.marginal().is_some() {
            names.push(LOG_CONDITIONAL.into());
        }
        let planned = (!names.is_empty()).then(|| model.draw_program(&names));
        let planned = planned
            .transpose()
            .map_err(|error| RunError::Input(error.0))?;
        let completion = |seed: u64| {
            let completion = model.completion(seed)?;
            Some((completion, names.len() - 1))
        };
        let mut recorders: Vec<Recorder> = seeds
            .iter()
            .map(|&seed| Recorder {
                outputs: planned.as_ref().map(|planned| planned.workspace(None)),
                fields: vec![],
                completion: completion(seed),
            })
            .collect();
        let mut recorded = vec![];
        let (mut output, mut values) = (0, 0);
        for variable in wanted {
            let (source, shape) = match computed(variable) {
                Some(name) => {
                    let shape = model.output_shape(&name).expect("the program has it");
                    output += 1;
                    (Source::Output(output - 1), shape)
                }
                None => {
                    let parameter = model.parameters().iter().find(|p| p.name == variable.name);
                    let parameter = parameter.ok_or_else(|| {
                        RunError::Input(format!("the model has no parameter {:?}", variable.name))
                    })?;
                    let end = parameter.offset + size_of(&parameter.shape);
                    (
                        Source::Position(parameter.offset..end),
                        parameter.shape.clone(),
                    )
                }
            };
            let size = size_of(&shape);
            values += size;
            let elements = usize::try_from(draws)
                .ok()
                .and_then(|draws| draws.checked_mul(size));
            let (whole, shares) = elements
                .and_then(|elements| variable.kind.reserve(chains, elements))
                .ok_or(RunError::Memory {
                    chains,
                    draws,
                    dim: values,
                })?;
            for (recorder, share) in recorders.iter_mut().zip(shares) {
                recorder.fields.push((source.clone(), share));
            }
            recorded.push((variable.name.clone(), shape, whole));
        }
        Ok((Recorded(recorded), recorders))
    }
}

impl Keep for Recorder {
    fn keep(&mut self, position: &[f64], tuning: bool) -> Result<f64, DensityError> {
        let position = match &mut self.completion {
            Some((completion, _)) => completion.complete(position, tuning),
            None => position,
        };
        if let Some(outputs) = &mut self.outputs {
            outputs
                .evaluate(position)
                .map_err(|failure| DensityError(failure.0))?;
        }
        for (source, share) in &mut self.fields {
            match (source, &self.outputs) {
                (Source::Position(stretch), _) => share.push(&position[stretch.clone()]),
                (Source::Output(index), Some(outputs)) => share.push(outputs.output(*index)),
                (Source::Output(_), None) => unreachable!("outputs have a workspace"),
            }
        }
        let conditional = self.completion.as_ref().zip(self.outputs.as_ref());
        Ok(conditional.map_or(0.0, |((_, index), outputs)| outputs.output(*index)[0]))
    }
}

impl Recorded {
    /// Name, shape of a draw, and elements of all chains of each variable; `None` while a recorder is alive.
    pub fn into_elements(self) -> Option<Vec<(String, Vec<usize>, Elements)>> {
        let variables = self.0.into_iter();
        variables
            .map(|(name, shape, whole)| Some((name, shape, whole.into_elements()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Settings;
    use crate::testing::Template;
    use serde_json::json;
    use std::collections::HashMap;

    /// A standard normal x of two elements, with outputs exp(x) and x > 0.
    fn model() -> Model {
        let mut t = Template::default();
        let x = t.parameter("x", &[2]);
        let square = t.op("sqr", &[x]);
        let total = t.op_with("sum", &[square], json!({"axes": [0]}));
        let half = t.number(-0.5);
        let logp = t.op("mul", &[half, total]);
        let (exp, zero) = (t.op("exp", &[x]), t.number(0.0));
        let positive = t.op("gt", &[x, zero]);
        t.graph.output("logp", logp).unwrap();
        t.graph.output("exp", exp).unwrap();
        t.graph.output("positive", positive).unwrap();
        Model::new(&t.graph, HashMap::new(), &t.shapes).unwrap()
    }

    fn wanted(name: &str, output: Option<&str>, kind: &str) -> Wanted {
        Wanted {
            name: name.into(),
            output: output.map(Into::into),
            kind: Kind::parse(kind).unwrap(),
        }
    }

    type Found = Vec<(String, Vec<usize>, Elements)>;

    /// Draws of two chains: positions, or what was wanted.
    fn sample(wanted: Option<&[Wanted]>) -> (Vec<f64>, Found) {
        let settings = Settings::from_json(r#"{"tune": 10, "draws": 20}"#).unwrap();
        let starts = vec![vec![0.5; 2]; 2];
        let sampled = model().sample(settings, starts, vec![1, 2], 2, wanted);
        let (run, recorded) = sampled.unwrap();
        let result = run.into_result().unwrap();
        drop(result.chains);
        let elements = recorded.map_or(vec![], |recorded| recorded.into_elements().unwrap());
        (result.arrays.into_vecs().unwrap().0, elements)
    }

    #[test]
    fn variables_are_kept_in_place_of_positions() {
        let (positions, nothing) = sample(None);
        assert_eq!((positions.len(), nothing.len()), (2 * 20 * 2, 0));
        let kinds = [
            wanted("exp", Some("exp"), "float32"),
            wanted("x", None, "float64"),
            wanted("above", Some("positive"), "bool"),
            wanted("count", Some("positive"), "int64"),
        ];
        let (none, elements) = sample(Some(&kinds));
        assert!(none.is_empty());
        let names: Vec<&str> = elements.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["exp", "x", "above", "count"]);
        assert!(elements.iter().all(|(_, shape, _)| *shape == [2]));
        assert_eq!(elements[1].2, Elements::F64(positions.clone()));
        let above: Vec<bool> = positions.iter().map(|&x| x > 0.0).collect();
        let count = above.iter().map(|&above| i64::from(above)).collect();
        assert_eq!(elements[2].2, Elements::Bool(above));
        assert_eq!(elements[3].2, Elements::I64(count));
        let Elements::F32(exp) = &elements[0].2 else {
            panic!("{:?}", elements[0])
        };
        let pairs = exp.iter().zip(&positions);
        assert!(pairs.clone().count() == 80);
        pairs.for_each(|(&e, x)| assert!((f64::from(e) - x.exp()).abs() < 1e-6 * x.exp()));
    }

    #[test]
    fn what_the_model_lacks_is_named() {
        for (unknown, message) in [
            (
                wanted("y", None, "float64"),
                "the model has no parameter \"y\"",
            ),
            (
                wanted("y", Some("f"), "float64"),
                "the model has no output \"f\"",
            ),
        ] {
            let settings = Settings::default();
            let error = model().sample(settings, vec![vec![0.5; 2]], vec![1], 1, Some(&[unknown]));
            assert_eq!(error.err().unwrap().to_string(), message);
        }
        assert_eq!(Kind::parse("complex128"), None);
    }

    #[test]
    fn draws_beyond_memory_are_refused() {
        let settings = Settings::from_json(r#"{"draws": 4000000000000000}"#).unwrap();
        let kept = [wanted("x", None, "float64")];
        let error = model().sample(settings, vec![vec![0.5; 2]], vec![1], 1, Some(&kept));
        assert!(error.err().unwrap().to_string().starts_with("no memory"));
    }
}
